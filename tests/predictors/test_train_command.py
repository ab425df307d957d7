"""The training of LC-PFN, and its command."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from symnas.predictors import LCPFN
from symnas.predictors.lc_pfn.bins import bin_masses
from symnas.predictors.lc_pfn.training import Training
from symnas.predictors.lc_pfn.weights import load_weights
from symnas.train_command import app


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def borders():
    return Training("small", 1, 4).borders


def tiny(num_steps=6, seed=0):
    return Training("small", num_steps, batch_size=4, seed=seed)


def weights_of(training):
    return torch.cat([p.detach().flatten() for p in training.network.parameters()])


def test_a_training_that_is_cut_ends_with_the_same_weights(tmp_path):
    whole, first, second = tiny(), tiny(), tiny()
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    first.save(tmp_path / "state")
    second.load(tmp_path / "state")
    assert second.num_done == 2
    for _ in range(2):
        second.step()
    assert torch.equal(weights_of(whole), weights_of(second))


def test_a_state_of_another_training_is_refused(tmp_path):
    tiny().save(tmp_path / "state")
    with pytest.raises(ValueError, match="belongs to another training.*delete it"):
        tiny(seed=1).load(tmp_path / "state")


def test_the_rate_rises_stays_and_falls_to_nearly_zero():
    training = tiny(num_steps=2000)
    rates = []
    for training.num_done in (0, 199, 399, 1400, 1699, 1999):
        rates.append(training._learning_rate())
    assert rates == pytest.approx(
        [7.5e-6, 1.5e-3, 3e-3, 3e-3, 1.505e-3, 5e-6], rel=0.02
    )


def test_the_loss_is_the_mean_of_what_noise_makes_of_it():
    """The closed form against draws of the targets."""
    training = tiny()
    rng = np.random.default_rng(0)
    borders, mean, sd = training.borders, torch.tensor([0.5]), torch.tensor([0.05])
    masses = bin_masses(mean, sd, borders)[0]
    targets = rng.normal(0.5, 0.05, 200_000)
    drawn = np.searchsorted(borders[1:-1].numpy(), targets)
    shares = np.bincount(drawn, minlength=1000) / 200_000
    logs = torch.randn(1000, generator=torch.Generator().manual_seed(0)).numpy()
    assert masses.numpy() @ logs == pytest.approx(shares @ logs, abs=0.01)


def test_it_learns():
    training = Training("small", 600, batch_size=8, learning_rate=0.02)
    losses = [training.step() for _ in range(40)]  # The rate rises to 0.002.
    # An untrained network gives all 1,000 bins much the same share.
    assert np.mean(losses[:3]) == pytest.approx(np.log(1000), abs=0.3)
    assert np.mean(losses[-5:]) < np.log(1000) - 0.2


def test_the_command_writes_what_it_scored_and_goes_on_where_it_was(tmp_path):
    output = tmp_path / "new" / "own.safetensors"
    arguments = [
        *("lc-pfn", str(output), "--steps", "3", "--batch", "8", "--curves", "20"),
    ]
    training = Training("small", 3, 8)
    training.step()
    output.parent.mkdir()
    training.save(output.with_name("own.safetensors.checkpoint"))
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    assert "Continues after step 1." in run.stderr
    assert not output.with_name("own.safetensors.checkpoint").exists()
    network, *_, about = load_weights(output)
    assert about["recipe"]["num_steps"] == 3
    assert about["num_curves"] == 20
    assert set(about["log_likelihood"]) == {"5", "10", "20", "40", "80"}
    for _ in range(2):
        training.step()
    for found, expected in zip(
        network.parameters(), training.network.parameters(), strict=True
    ):
        assert torch.equal(found, expected.half().float())
    assert LCPFN.load(output).predict([0.1, 0.2], 50).median.shape == (1,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"something else", "is no whole file of safetensors"),
        (None, "another training"),
    ],
)
def test_the_command_ends_with_one_line_if_the_state_is_of_no_use(
    tmp_path, content, message
):
    output = tmp_path / "own.safetensors"
    state = tmp_path / "own.safetensors.checkpoint"
    if content is None:
        Training("small", 9, 8).save(state)
    else:
        state.write_bytes(content)
    arguments = ["lc-pfn", str(output), "--steps", "3", "--batch", "8"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 2
    assert message in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_a_device_that_is_not_there_ends_with_one_line(tmp_path):
    arguments = ["lc-pfn", str(tmp_path / "own.safetensors"), "--device", "nonsense"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 2
    assert "Traceback" not in run.stderr

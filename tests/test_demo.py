"""The demo: what it finds is honest, and what it leaves behind can be used."""

import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

import symnas as sn
from symnas import demo

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EPOCHS", "FINAL_EPOCHS", "FINAL_SEEDS"):
        monkeypatch.setattr(demo, name, 1)


def run(seed: int, output: Path) -> str:
    text = io.StringIO()
    demo.run(seed, 2, output, Console(file=text, width=100))
    return text.getvalue()


def test_the_parts_of_the_data_are_disjoint_and_balanced() -> None:
    train, valid, test = demo.load_images()
    assert [len(part.targets) for part in (train, valid, test)] == [300, 300, 1197]
    assert sum(len(part.targets) for part in (train, valid, test)) == 1797
    for part in (train, valid, test):
        share = part.targets.bincount() / len(part.targets)
        assert share.shape == (10,) and ((share - 0.1).abs() < 0.01).all()
    again, _, _ = demo.load_images()
    assert torch.equal(again.inputs, train.inputs)


def test_the_default_network_is_a_point_of_the_space() -> None:
    space = sn.SearchSpace(demo.search_space())
    genotype = space.from_dna(space.to_dna([1, 1, 0, 0, 0, 0, 0, 0, 1, 0.0]))
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(demo.ConvNet).parameters.items()
    }
    values = space.values(genotype)
    assert (values["widths[0]"], values["widths[1]"]) == defaults["widths"]
    assert (values["depths[0]"], values["depths[1]"]) == defaults["depths"]
    assert str(space.build(genotype)) == str(demo.ConvNet())


@pytest.mark.usefixtures("short")
def test_the_search_never_sees_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    before = [trial.rewards for trial in demo.search("random", 2, seed=0).trials]
    train, valid, test = demo.load_images()
    spoiled = demo.Images(torch.full_like(test.inputs, torch.nan), 9 - test.targets)
    monkeypatch.setattr(demo, "load_images", lambda: (train, valid, spoiled))
    after = [trial.rewards for trial in demo.search("random", 2, seed=0).trials]
    assert before == after and len(before[0]) == 1


@pytest.mark.usefixtures("short")
def test_what_it_saves_is_loaded_by_the_lines_it_prints(tmp_path: Path) -> None:
    output = tmp_path / "it's [bold]here"
    text = run(0, output)
    code = text[text.index("import symnas") : text.index("\n\nseed 0:")]
    assert code == demo.loading_code(output)
    score = (
        "\n*_, test = symnas.demo.load_images()"
        "\naccuracy = (model(test.inputs).argmax(1) == test.targets).sum().item() / 1197"
        "\nprint(f'test accuracy {accuracy:.2%}')"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code + score],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"winner: (test accuracy \S+)", text)[1] == loaded.stdout.strip()


@pytest.mark.usefixtures("short")
def test_it_ends_with_both_test_accuracies_and_repeats(tmp_path: Path) -> None:
    first, second = run(3, tmp_path), run(3, tmp_path)
    last = first.splitlines()[-1]
    assert re.fullmatch(
        r"seed 3: test accuracy winner \d+\.\d\d% \(.*\), default \d+\.\d\d% \(.*\)",
        last,
    )
    assert first == second
    assert run(4, tmp_path).splitlines()[-1] != last

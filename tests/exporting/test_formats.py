"""Every format gives back a model with the same outputs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import symnas as sn
from symnas import nn
from symnas.demo import ConvNet
from symnas.spaces import NASBench201


def _models(user_blocks):
    """Models by name, with inputs; parameters and statistics are not as they were made."""
    shared = nn.Linear(8, 8)
    width = sn.oneof([8, 16], name="width")
    space = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 3))
    images = torch.rand(2, 1, 8, 8)
    models = {
        "mlp": (sn.SearchSpace(space).build([1]), torch.rand(2, 8)),
        "cnn": (ConvNet([4, 8], [1, 2], dropout=0.5), images),
        "nas_bench_201": (
            NASBench201(5, channels=4, cells_per_stage=1),
            torch.rand(2, 3, 16, 16),
        ),
        "shared": (nn.Sequential(shared, nn.ReLU(), shared), torch.rand(2, 8)),
        "norm": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), images),
        "user": (
            user_blocks.Block(8, activation=nn.SiLU, mode="it's", **{"a-b": 0.5}),
            torch.rand(2, 8),
        ),
        "double": (nn.Sequential(nn.Linear(8, 2)).double(), torch.rand(2, 8).double()),
    }
    for model, inputs in models.values():
        model.train()
        with torch.no_grad():
            model(inputs)  # Statistics move.
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.eval()
    return models


NAMES = ("mlp", "cnn", "nas_bench_201", "shared", "norm", "user", "double")


@pytest.fixture(scope="module")
def models(blocks):
    torch.manual_seed(0)
    return _models(blocks)


@pytest.fixture(scope="module")
def folders(models, tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    for name, (model, _) in models.items():
        sn.export.save(model, root / name)
    return root


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_loaded_back(name, models, folders):
    model, inputs = models[name]
    loaded = sn.export.load(folders / name)
    assert type(loaded) is type(model) and not loaded.training
    assert torch.equal(loaded(inputs), model(inputs))


def test_what_is_shared_or_tied_is_so_again(models, folders):
    shared = sn.export.load(folders / "shared")
    assert shared[0] is shared[2]
    user = sn.export.load(folders / "user")
    assert user.first.weight is user.last.weight


RUN = """
import importlib.util, pathlib, sys
import torch
from safetensors.torch import load_file, load_model, save_file

torch.set_num_threads(1)
root = pathlib.Path(sys.argv[1])
outputs = {}
for name, inputs in load_file(root / "inputs.safetensors").items():
    spec = importlib.util.spec_from_file_location(name, root / name / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.make_model().to(inputs.dtype).eval()
    load_model(model, root / name / "weights.safetensors")
    outputs[name] = model(inputs.clone()).detach()  # As aligned as other tensors are.
    if name == "user":
        assert "symnas" not in sys.modules
save_file(outputs, root / "outputs.safetensors")
"""


def test_the_code_runs_in_a_process_of_its_own(models, folders, blocks):
    from safetensors.torch import load_file, save_file

    # Those of plain torch come first, and are made where symnas is not imported.
    plain = ("mlp", "shared", "norm", "double", "user")
    order = [*plain, *(name for name in NAMES if name not in plain)]
    inputs = {f"{i}": models[name][1].clone() for i, name in enumerate(order)}
    for i, name in enumerate(order):
        (folders / f"{i}").symlink_to(folders / name)
    save_file(inputs, folders / "inputs.safetensors")
    script = RUN.replace('"user"', f'"{order.index("user")}"')
    paths = [str(Path(blocks.__file__).parent), str(Path(sn.__file__).parents[1])]
    subprocess.run(
        [sys.executable, "-c", script, str(folders)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=True,
    )
    outputs = load_file(folders / "outputs.safetensors")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for i, name in enumerate(order):
        model, given = models[name]
        assert torch.equal(outputs[f"{i}"], model(given)), name
    torch.set_num_threads(threads)


QUICK = ("shared", "user")  # The others take seconds each.


@pytest.mark.parametrize(
    "name",
    [
        *QUICK,
        *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n not in QUICK),
    ],
)
def test_programs_of_torch_give_the_same_for_any_batch(name, models, tmp_path):
    model, inputs = models[name]
    sn.export.to_torch_export(model, tmp_path / "model.pt2", inputs)
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    more = torch.cat([inputs, inputs, inputs])
    for batch in (inputs, more):
        assert torch.equal(loaded(batch), model(batch))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_onnx_gives_the_same_for_any_batch(name, models, tmp_path):
    import onnxruntime

    model, inputs = models[name]
    sn.export.to_onnx(model, tmp_path / "model.onnx", inputs)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (argument,) = session.get_inputs()
    for batch in (inputs, torch.cat([inputs, inputs, inputs])):
        (outputs,) = session.run(None, {argument.name: batch.numpy()})
        np.testing.assert_allclose(outputs, model(batch).detach(), rtol=1e-5, atol=1e-5)

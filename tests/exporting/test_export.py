"""What export promises besides equal outputs, and what it refuses."""

import collections
import functools
import math
import random
import re
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import symnas as sn
from symnas import nn
from symnas.spaces import DARTS, darts


def snapshot(model):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generators = random.getstate(), np.random.get_state()[1].tolist()
    modes = [module.training for module in model.modules()]
    return state, generators, torch.get_rng_state(), modes, list(vars(model))


def assert_unchanged(model, before):
    state, generators, torch_state, modes, attributes = snapshot(model)
    assert state.keys() == before[0].keys()
    assert all(torch.equal(state[name], before[0][name]) for name in state)
    assert generators == before[1]
    assert torch.equal(torch_state, before[2])
    assert (modes, attributes) == before[3:]


@pytest.mark.parametrize(
    "inputs", [None, pytest.param(torch.ones(2, 4), marks=pytest.mark.slow)]
)
def test_neither_the_model_nor_a_generator_changes(inputs, tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[1].eval()
    before = snapshot(model)
    written = sn.export.save(model, tmp_path, inputs)
    expected = "weights.safetensors description.json model.py model.onnx model.pt2"
    assert [p.name for p in written] == expected.split()[: 3 if inputs is None else 5]
    assert_unchanged(model, before)


def test_a_result_exports_its_winner(tmp_path):
    space = nn.Sequential(nn.Linear(4, sn.oneof([2, 3])))
    result = sn.search(
        space, lambda model: model[0].out_features, "random", 4, seed=0, progress=False
    )
    result.export(tmp_path)
    x = torch.rand(2, 4)
    assert torch.equal(sn.export.load(tmp_path)(x), result.best_model()(x))
    trained = result.best_model()
    torch.nn.init.ones_(trained[0].weight)
    result.export(tmp_path, trained)
    assert torch.equal(sn.export.load(tmp_path)(x), trained(x))


def test_files_of_an_earlier_export_do_not_stay(tmp_path):
    (tmp_path / "model.onnx").write_text("of another model")
    (tmp_path / "notes.txt").write_text("of the user")
    sn.export.save(nn.Linear(2, 2), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"weights.safetensors", "description.json", "model.py", "notes.txt"}


def test_examples_of_traced_functions_have_weights_only(tmp_path):
    def make_model():
        return torch.nn.Linear(4, sn.oneof([2, 3]))

    model = sn.SearchSpace(make_model).build([1])
    with pytest.warns(
        UserWarning, match="was not written: It is not known how this"
    ) as w:
        written = sn.export.save(model, tmp_path)
    assert [str(one.message).split()[0] for one in w] == [
        "description.json",
        "model.py",
    ]
    assert [path.name for path in written] == ["weights.safetensors"]
    with pytest.raises(FileNotFoundError, match="has no description.json"):
        sn.export.load(tmp_path)


def test_a_model_that_was_changed_has_no_description(tmp_path):
    model = nn.Sequential(nn.Linear(4, 2))
    model.append(torch.nn.Linear(2, 2))
    with pytest.warns(UserWarning, match="do not fit this Sequential"):
        written = sn.export.save(model, tmp_path)
    assert [path.name for path in written] == ["weights.safetensors"]


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'symnas\[onnx\]'"):
        sn.export.to_onnx(nn.Linear(2, 2), tmp_path / "x.onnx", torch.rand(2, 2))


@pytest.mark.parametrize("example", [{"x": 1}, 3])
def test_only_modules_are_exported(example, tmp_path):
    with pytest.raises(TypeError, match="What can be exported are modules"):
        sn.export.save(example, tmp_path)


def test_inputs_that_the_model_does_not_take_are_refused_first(tmp_path):
    model = nn.Linear(4, 2)
    with pytest.raises(ValueError, match="The model does not take `inputs`: mat1 and"):
        sn.export.save(model, tmp_path, torch.rand(2, 5))
    with pytest.raises(TypeError, match="`inputs` must be a tensor, or a tuple"):
        sn.export.to_torch_export(model, tmp_path / "model.pt2", {"x": 1})
    assert not list(tmp_path.iterdir())


# --- weights ----------------------------------------------------------------------


def test_weights_of_another_model_do_not_fit(tmp_path):
    path = tmp_path / "weights.safetensors"
    sn.export.to_safetensors(nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match="do not fit this Linear"):
        sn.export.from_safetensors(nn.Linear(2, 3), path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match="do not fit this Linear"):
        sn.export.from_safetensors(nn.Linear(2, 2), path)


def test_what_is_no_tensor_is_named(tmp_path):
    class Odd(torch.nn.Linear):
        def get_extra_state(self):
            return {"made": "by hand"}

    with pytest.raises(TypeError, match="`_extra_state` of the state dict is a dict"):
        sn.export.to_safetensors(Odd(1, 1), tmp_path / "weights.safetensors")


# --- code -------------------------------------------------------------------------


def made_by(code):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.py")
        path.write_text(code)
        return runpy.run_path(str(path))["make_model"]()


VALUES = [
    None,
    True,
    -3,
    2.5,
    math.inf,
    1 + 2j,
    "it's <b>\n",
    b"\x00",
    ...,
    (),
    (1,),
    [[1, "a"], (2.0, [3])],
    {"a": 1, "b": [2]},
    {1: "one", (2, 3): "two"},
    {"_type": "os.system"},
    {3, 1, 2},
    frozenset((1, 2)),
    set(),
    range(1, 7, 2),
    slice(1, None),
    collections.OrderedDict(a=1),
    list(range(300)),
    torch.float16,
    torch.device("cpu"),
    torch.Size([1, 2]),
    torch.channels_last,
    torch.nn.ReLU,
    torch.nn.functional.gelu,
    torch.relu,
    math.sqrt,
    int,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_code_makes_equal_arguments(value, blocks):
    code = sn.export.to_python(blocks.Keep(value, named=value))
    (item,), named = made_by(code).kept
    assert (item, named) == (value, {"named": value})
    assert type(item) is type(value)


def test_code_names_what_a_user_has_defined(blocks):
    one, two = blocks.Color.RED, blocks.Pair(1, [2])
    code = sn.export.to_python(blocks.Keep(one, two, blocks.doubled))
    items, _ = made_by(code).kept
    assert items[:2] == (one, two) and isinstance(items[1], blocks.Pair)
    assert items[2] is blocks.doubled


def test_code_calls_functions_and_partial_functions(blocks):
    choice = sn.oneof([3, 4])
    part = functools.partial(torch.nn.functional.gelu, approximate="tanh")
    space = blocks.Keep(blocks.doubled(choice), part)
    code = sn.export.to_python(sn.SearchSpace(space).build([1]))
    (number, function), _ = made_by(code).kept
    assert number == 8
    assert (function.func, function.keywords) == (part.func, part.keywords)


def test_names_that_are_no_keywords_are_passed_in_a_dict(blocks):
    named = {"a-b": 1, "class": 2, "fine": 3}
    assert made_by(sn.export.to_python(blocks.Keep(**named))).kept == ((), named)


def test_shared_parts_within_shared_parts_are_made_once():
    inner = nn.Linear(2, 2)
    outer = nn.Sequential(inner, inner)
    made = made_by(sn.export.to_python(nn.Sequential(outer, inner, outer)))
    assert made[0] is made[2] and made[0][0] is made[1] is made[0][1]


def test_cells_of_darts_are_written_as_code():
    edges = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    model = DARTS(darts.Genotype(edges, range(2, 6), edges), channels=4, num_cells=1)
    assert made_by(sn.export.to_python(model)).genotype == model.genotype


def local_function():
    def inside(x):
        return x

    return inside


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: lambda x: x,
            r"at `\[0\]\[1\]` cannot be written as code, because no import",
        ),
        (
            local_function,
            "local_function.*cannot be written as code, because no import",
        ),
        (lambda: torch.zeros(3), r"<tensor of shape \(3,\)>.* it holds data"),
        (lambda: torch.nn.Linear(2, 2), r"<Linear instance>.* it holds data"),
        (lambda: sn.share([1]), r"share.* it is an object of this process"),
        (lambda: Path("x"), r"PosixPath\('x'\) of type PosixPath"),
        (
            lambda: re.IGNORECASE | re.MULTILINE,
            r"of type RegexFlag at `\[0\]\[1\]` cannot be written",
        ),
    ],
)
def test_what_no_code_can_make_is_named(make, message, blocks):
    with pytest.raises(TypeError, match=message):
        sn.export.to_python(sn.symbolic(blocks.Keep([1, make()], sn.oneof([1, 2]))))


def test_open_decisions_are_no_code():
    with pytest.raises(
        ValueError, match=r"`oneof\(\[8, 16\]\)` at `out_features` is open"
    ):
        sn.export.to_python(nn.Linear(4, sn.oneof([8, 16])))


def test_a_class_of_the_running_script_is_refused(monkeypatch):
    class Net(torch.nn.Module):
        pass

    Net.__module__, Net.__qualname__ = "__main__", "Net"
    monkeypatch.setattr(sys.modules["__main__"], "Net", Net, raising=False)
    sn.symbolize(Net)
    with pytest.raises(
        TypeError, match="Define it at the top level of a module of its"
    ):
        sn.export.to_python(Net())

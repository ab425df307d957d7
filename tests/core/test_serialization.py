"""JSON of spaces and examples, and fingerprints."""

import collections
import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch

import symnas as sn
from symnas import nn


@sn.symbolize
class Model(torch.nn.Module):
    def __init__(self, width, *layers, act=None, **options):
        super().__init__()
        self.width, self.act, self.options = width, act, options
        self.layers = torch.nn.ModuleList(layers)


@sn.symbolize
def double(n):
    return 2 * n


@sn.symbolize
def positional(a, b=3, /, *rest, c):
    return a, b, rest, c


def shared_layer():
    layer = nn.Linear(4, sn.oneof([4, 8], name="w"))
    inner = nn.Sequential(layer, nn.ReLU())
    return nn.ModuleList([layer, inner, inner])


def recorded():
    layer = nn.Linear(2, 2)
    return [nn.Sequential(layer, nn.ReLU(), layer), sn.oneof([1, 2])]


SPACES = {
    "oneof": lambda: sn.oneof([1, "a", None, True, 2.5, -1]),
    "oneof named": lambda: [sn.oneof([1, 2], name="n"), sn.oneof([1, 2], name="n")],
    "hints": lambda: sn.oneof([1, 2], hints={"order": ["x", 1]}),
    "manyof": lambda: sn.manyof(2, [1, 2, 3], name="m"),
    "manyof any": lambda: sn.manyof(2, [1, 2], distinct=False, sorted=True),
    "permutate": lambda: sn.permutate([1, 2, 3], name="p", hints="h"),
    "floatv": lambda: [sn.floatv(0.1, 1, "log", name="lr"), sn.floatv(0, 1, hints=3)],
    "rlog": lambda: [sn.floatv(0.5, 0.99, "rlog"), sn.floatv(-1, 0, "linear")],
    "intv": lambda: [
        sn.intv(1, 9, 2, name="i"),
        sn.intv(1, 9, log=True),
        sn.intv(-3, 3),
    ],
    "large intv": lambda: sn.intv(-(10**15), 10**15),
    "nested": lambda: sn.oneof(
        [[sn.oneof([1, sn.manyof(1, [2, 3])])], {"a": sn.intv(0, 1)}]
    ),
    "tuples": lambda: [
        (1, 2),
        (),
        ((3,), [4]),
        (sn.oneof([1, 2]), (5,)),
        sn.oneof([(1,), 2]),
    ],
    "sets": lambda: [{1, 2}, frozenset([3]), {sn.oneof([4, 5])}, sn.oneof([{1}, 2])],
    "dicts": lambda: {"a": {"b.c": sn.oneof([1, 2]), "": 0}, "x": {1: 2, (3, 4): 5}},
    "int keys": lambda: {1: sn.oneof([1, 2]), (2, 3): {None: 4}},
    "words of the format": lambda: {
        "oneof": sn.oneof([1, 2]),
        "call": "torch.nn.Linear",
        "tuple": [1],
        "_type": "x",
    },
    "words of PyGlove": lambda: [
        {"_type": "os.system"},
        ["__tuple__", 1],
        sn.oneof([1, 2]),
    ],
    "ordered": lambda: nn.Sequential(
        collections.OrderedDict(b=nn.ReLU(), a=sn.oneof([nn.Tanh(), nn.ReLU()]))
    ),
    "long list": lambda: [list(range(1000)), sn.oneof([1, 2])],
    "numbers": lambda: [
        1e300,
        -0.0,
        float("inf"),
        float("-inf"),
        10**40,
        2 + 3j,
        sn.oneof([1, 2]),
    ],
    "numpy numbers": lambda: [sn.oneof([np.int64(1), np.float32(0.5)]), np.bool_(True)],
    "bytes and ranges": lambda: [
        b"\x00\xff",
        range(1, 9, 2),
        sn.oneof([b"", range(2)]),
    ],
    "sizes": lambda: [torch.Size([1, 2]), sn.oneof([torch.Size([]), 1])],
    "dtypes": lambda: nn.Linear(2, 3, dtype=sn.oneof([torch.float32, torch.bfloat16])),
    "devices": lambda: nn.Linear(2, sn.oneof([3]), device=torch.device("cpu")),
    "text": lambda: sn.oneof(["ä\u2028\x00'\"\\", "\U0001f600"]),
    "modules": lambda: nn.Sequential(
        nn.Conv2d(3, sn.oneof([8, 16]), 3), nn.ReLU(inplace=True)
    ),
    "recorded": recorded,
    "classes": lambda: Model(1, act=sn.oneof([torch.nn.ReLU, nn.GELU, Model])),
    "functions": lambda: Model(
        1, act=sn.oneof([torch.nn.functional.relu, torch.tanh, torch.relu, double])
    ),
    "partials": lambda: Model(
        1, act=sn.oneof([functools.partial(nn.Conv2d, 3, kernel_size=sn.oneof([1, 3]))])
    ),
    "varargs": lambda: Model(
        sn.oneof([1, 2]), nn.ReLU(), nn.Tanh(), act=3, extra=[4], self_=5
    ),
    "positional only": lambda: [
        positional(sn.oneof([1, 2]), c=3),
        positional(1, 2, 4, c=sn.oneof([5])),
    ],
    "function calls": lambda: nn.Linear(2, double(sn.oneof([1, 2]))),
    "shared": shared_layer,
    "containers": lambda: nn.ModuleDict(
        {"a": nn.ReLU(), "b": sn.oneof([nn.ReLU(), nn.Tanh()])}
    ),
}


def same_example(left, right):
    if isinstance(left, torch.nn.Module):
        attributes = {k: v for k, v in vars(left).items() if not k.startswith("_")}
        others = {k: v for k, v in vars(right).items() if not k.startswith("_")}
        return (
            type(left) is type(right)
            and repr(left) == repr(right)
            and left.state_dict().keys() == right.state_dict().keys()
            and same_example(attributes, others)
        )
    if isinstance(left, dict):
        return list(left) == list(right) and same_example(
            [*left.values()], [*right.values()]
        )
    if isinstance(left, (list, tuple)):
        return (
            type(left) is type(right)
            and len(left) == len(right)
            and all(map(same_example, left, right))
        )
    if isinstance(left, functools.partial):
        return same_example(
            [left.func, left.args, left.keywords],
            [right.func, right.args, right.keywords],
        )
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("name", SPACES)
def test_a_space_comes_back_equal(name):
    space = sn.SearchSpace(SPACES[name]())
    text = space.to_json()
    again = sn.SearchSpace.from_json(text)
    assert again.to_json() == text
    assert again.fingerprint == space.fingerprint
    assert (again.size, again.size_is_exact) == (space.size, space.size_is_exact)
    for mine, theirs in zip(space.decisions, again.decisions, strict=True):
        assert (mine.path, mine.kind, mine.name) == (
            theirs.path,
            theirs.kind,
            theirs.name,
        )
        assert (mine.when, mine.scale, mine.hints) == (
            theirs.when,
            theirs.scale,
            theirs.hints,
        )
    for genotype in space.random(np.random.default_rng(0), 4):
        assert space.values(genotype) == again.values(genotype)
        example, twin = space.build(genotype), again.build(genotype)
        assert same_example(example, twin) or name == "numpy numbers"


@pytest.mark.parametrize("name", SPACES)
def test_an_example_comes_back_equal(name):
    space = sn.SearchSpace(SPACES[name]())
    for genotype in space.random(np.random.default_rng(1), 3):
        form = space.symbolic(genotype)
        text = sn.to_json(form)
        again = sn.from_json(text)
        assert sn.to_json(again) == text
        assert type(again) is type(form) or isinstance(form, np.generic)
        if isinstance(form, sn.tree._Node):
            assert again == form
        assert same_example(sn.build(again), sn.build(form)) or name == "numpy numbers"


def test_sharing_survives_in_spaces_and_in_examples():
    for make in (shared_layer, recorded):
        space = sn.SearchSpace.from_json(sn.SearchSpace(make()).to_json())
        built = space.build([1])
        form = sn.from_json(sn.to_json(space.symbolic([1])))
        for model in (built, sn.build(form)):
            if isinstance(model, torch.nn.ModuleList):
                assert model[1] is model[2] and model[1][0] is model[0]
            else:
                assert model[0][0] is model[0][2]


def test_an_unfinished_example_of_where_comes_back_as_a_space():
    space = {
        "a": sn.oneof([1, 2], name="a"),
        "b": sn.oneof([sn.oneof([3, 4]), 5], name="b"),
    }
    outer = sn.SearchSpace(space, where=lambda v: v.name == "a")
    part = outer.build([1])
    again = sn.from_json(sn.to_json(part))
    assert sn.SearchSpace(again).size == sn.SearchSpace(part).size == 3
    assert sn.SearchSpace(again).build([1, -1]) == {"a": 2, "b": 5}


def test_symbols_of_a_traced_function_come_back_as_decisions():
    def code():
        width = sn.oneof([8, 16], name="width")
        return width, sn.floatv(0.1, 1.0, "log"), sn.manyof(2, ["a", "b", "c"])

    space = sn.SearchSpace(code)
    again = sn.SearchSpace.from_json(space.to_json())
    assert again.to_json() == space.to_json()
    assert again.fingerprint == space.fingerprint
    assert [d.kind for d in again.decisions] == [d.kind for d in space.decisions]
    genotype = space.random(np.random.default_rng(0))[0]
    assert list(again.values(genotype).values()) == list(
        space.values(genotype).values()
    )


def test_json_is_strict_and_readable():
    text = sn.to_json([float("inf"), sn.oneof([float("nan"), 1])])
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert sn.from_json(text)[0] == float("inf")
    layer = nn.Linear(4, sn.oneof([8, 16], name="width"))
    assert json.loads(sn.to_json(layer)) == {
        "call": "torch.nn.Linear",
        "fields": {
            "in_features": 4,
            "out_features": {"oneof": [8, 16], "name": "width"},
        },
    }


def test_weights_data_and_lambdas_are_refused():
    trained = nn.Linear(2, 2)
    torch.nn.init.ones_(trained.weight)
    choice = sn.oneof([1, 2])

    class Thing:
        pass

    for value, words in [
        (torch.nn.Linear(2, 2), "weights or data"),
        (trained, "weights or data"),
        (torch.ones(2), "weights or data"),
        (np.ones(2), "no JSON form"),
        (lambda: 0, "module level"),
        (Thing(), "no JSON form"),
        (sn.derive(lambda n: n, sn.oneof([1, 2])), "module level"),
        (sn.share([1]), "shared|share|JSON"),
        (slice(1, 2), "no JSON form"),
    ]:
        with pytest.raises(TypeError, match=words):
            sn.to_json([value, choice])
        with pytest.raises(TypeError, match=words):
            sn.SearchSpace([value, choice]).to_json()


def test_classes_and_functions_of_the_caller_need_symbolize_or_allow():
    class Mine(torch.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.n = n

    Mine.__qualname__ = "Mine"
    space = nn.Sequential(sn.oneof([nn.ReLU()]), sn.nn.Identity(Mine))
    text = sn.to_json(space)
    with pytest.raises(ValueError, match=r"\$.*Mine.*`allow`"):
        sn.from_json(text)
    again = sn.from_json(text, allow=[Mine])
    assert again.args[1].args[0] is Mine
    with pytest.raises(ValueError, match="Mine"):
        sn.SearchSpace.from_json(json.dumps({"space": json.loads(text)}))
    assert (
        sn.SearchSpace.from_json(
            json.dumps({"space": json.loads(text)}), allow=[Mine]
        ).size
        == 1
    )


def test_what_is_built_after_reading_has_passed_the_checks_of_the_constructor():
    text = sn.to_json(nn.Linear(4, sn.oneof([8, 16])))
    data = json.loads(text)
    data["fields"]["widht"] = 3
    with pytest.raises(ValueError, match="widht"):
        sn.from_json(json.dumps(data))


# --- fingerprints -----------------------------------------------------------------------------


def test_fingerprints_of_different_spaces_differ_and_of_equal_ones_do_not():
    prints = {name: sn.SearchSpace(make()).fingerprint for name, make in SPACES.items()}
    assert len(set(prints.values())) == len(SPACES)
    for name, make in SPACES.items():
        assert sn.SearchSpace(make()).fingerprint == prints[name], name
    assert all(len(p) == 64 and int(p, 16) >= 0 for p in prints.values())


def test_whatever_changes_the_examples_changes_the_fingerprint():
    choice = sn.oneof([1, 2])
    layer = nn.Linear(2, sn.oneof([2, 3]))
    foreign, wide = torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)
    spaces = [
        [choice],
        [sn.oneof([1, 2], name="n")],
        [sn.oneof([1, 2.0])],
        [sn.oneof([1, True])],
        [sn.oneof(["1", 2])],
        [sn.oneof([2, 1])],
        [sn.oneof([1, 2, 3])],
        [sn.intv(1, 2)],
        [sn.intv(1, 2, log=True)],
        [sn.floatv(1, 2)],
        [sn.floatv(1, 2, "log")],
        [sn.manyof(1, [1, 2])],
        [sn.manyof(1, [1, 2], sorted=True)],
        [sn.manyof(1, [1, 2], distinct=False)],
        (choice,),
        {"a": choice},
        {"b": choice},
        [choice, None],
        [choice, 0],
        [choice, False],
        [choice, ""],
        [choice, ()],
        [choice, []],
        [choice, {}],
        [choice, foreign],
        [choice, wide],
        [choice, torch.ones(2)],
        [choice, torch.ones(3)],
        [choice, np.ones(2)],
        [choice, np.zeros(2)],
        [choice, torch.nn.functional.relu],
        [choice, torch.nn.functional.gelu],
        [layer, layer],
        [layer, layer.clone()],
        [sn.share(foreign), choice],
        [foreign, choice],
    ]
    prints = [sn.SearchSpace(space).fingerprint for space in spaces]
    for i, mine in enumerate(prints):
        for j in range(i):
            assert mine != prints[j], (spaces[i], spaces[j])


def test_weights_do_not_change_the_fingerprint_and_lambdas_have_none():
    def make():
        return nn.Sequential(torch.nn.Linear(2, 2), sn.oneof([nn.ReLU(), nn.Tanh()]))

    assert sn.SearchSpace(make()).fingerprint == sn.SearchSpace(make()).fingerprint
    with pytest.raises(TypeError, match="module level"):
        sn.SearchSpace(Model(1, act=sn.oneof([lambda: 0]))).fingerprint  # noqa: B018


def test_line_numbers_do_not_change_the_fingerprint_of_a_traced_function():
    source = "def f():\n{}    a = sn.oneof([1, 2])\n    return a, sn.oneof([a, 3])\n"
    prints = set()
    for gap in ("", "\n\n    x = 1\n"):
        scope = {"sn": sn}
        exec(source.format(gap), scope)  # noqa: S102
        prints.add(sn.SearchSpace(scope["f"]).fingerprint)
    assert len(prints) == 1


IN_ANOTHER_PROCESS = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules[sys.argv[1]] = module
spec.loader.exec_module(module)
import symnas as sn
print(json.dumps({k: sn.SearchSpace(make()).fingerprint for k, make in module.SPACES.items()}))
"""


def test_fingerprints_are_the_same_in_another_process():
    prints = {name: sn.SearchSpace(make()).fingerprint for name, make in SPACES.items()}
    root = pathlib.Path(sn.__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, __name__, __file__],
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == prints

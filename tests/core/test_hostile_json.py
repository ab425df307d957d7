"""Hostile input: nothing that is read or handed over is executed, imported or altered.

PyGlove's reader unpickles, imports any module by name and turns marshalled code into live
functions; putting a plain dict into one of its containers does the same.
"""

import base64
import copy
import functools
import itertools
import json
import marshal
import pickle
import types

import numpy as np
import pyglove as pg
import pytest
import torch

import symnas as sn
from symnas import nn

_numbers = itertools.count()


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Canary:
    """Payloads, and whether one of them has run."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "fired"

    def payload(self, route):
        module = f"canary_{next(_numbers)}"
        (self.folder / f"{module}.py").write_text(
            f"open({str(self.file)!r}, 'w').close()\n"
            "def function(): pass\n"
            "class Class:\n"
            "    from_json = classmethod(lambda cls, *args, **kwargs: cls())\n"
            "    make = classmethod(lambda cls: None)\n"
        )
        code = compile("lambda: 0", "canary", "eval").co_consts[0]
        return {
            "opaque": {
                "_type": "pyglove.core.utils.json_conversion._OpaqueObject",
                "value": _text(pickle.dumps(Touch(self.file))),
            },
            "type": {"_type": "type", "name": f"{module}.Class"},
            "function": {"_type": "function", "name": f"{module}.function"},
            "method": {"_type": "method", "name": f"{module}.Class.make"},
            "class": {"_type": f"{module}.Class"},
            "marshalled": {
                "_type": "function",
                "name": "canary.<lambda>",
                "code": _text(marshal.dumps(code)),
                "defaults": None,
            },
        }[route]

    def has_fired(self, value=None):
        """Whether code ran, or `value` holds a function made from marshalled code."""
        fired = self.file.exists() or "live function" in str(_kinds(value))
        self.file.unlink(missing_ok=True)
        return fired


def _text(data):
    return base64.encodebytes(data).decode()


def _kinds(value):
    if isinstance(value, types.FunctionType) and value.__code__.co_filename == "canary":
        return "live function"
    if isinstance(value, dict):
        return [_kinds(item) for item in dict.values(value)]
    if isinstance(value, (list, tuple)):
        return [_kinds(item) for item in value]
    if isinstance(value, pg.DNA):
        return _kinds(value.metadata)
    if isinstance(value, pg.hyper.Choices):
        return _kinds(list(value.candidates))
    return None


@pytest.fixture
def canary(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    made = Canary(tmp_path)
    yield made
    assert not made.has_fired()


def in_dna(payload):
    data = json.loads(pg.to_json_str(pg.DNA(0, metadata=pg.Dict(x=1))))
    data["metadata"]["x"] = payload
    return data


def in_oneof(payload):
    data = json.loads(pg.to_json_str(pg.oneof([0, 1])))
    data["candidates"][0] = payload
    return data


ROUTES = ["opaque", "type", "function", "method", "class", "marshalled"]
WRAPPERS = {
    "bare": lambda payload: payload,
    "list": lambda payload: [0, payload],
    "tuple": lambda payload: ["__tuple__", payload],
    "dict": lambda payload: {"a": {"b": [payload]}},
    "dna": in_dna,
    "oneof": in_oneof,
}


# --- texts ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("route", ROUTES)
def test_texts_in_the_format_of_pyglove_are_refused(canary, route, wrap):
    # PyGlove runs it: the canary works.
    data = WRAPPERS[wrap](canary.payload(route))
    assert canary.has_fired(pg.from_json(copy.deepcopy(data)))

    data = WRAPPERS[wrap](canary.payload(route))
    call = {
        "call": "torch.nn.Linear",
        "fields": {"in_features": data, "out_features": 1},
    }
    choice = {"oneof": [0, 1]}
    for hostile in (
        data,
        call,
        {"oneof": [data, 1]},
        {"oneof": [0, 1], "hints": data},
        {"manyof": [data, 1], "num_choices": 1},
        {"dict": {"a": data, "b": choice}},
        {"tuple": [data, choice]},
        {"pairs": [[1, data]]},
        {"floatv": [0, 1], "hints": data},
        {"intv": [0, data]},
        {"call": data, "fields": {}},
        {"object": data},
    ):
        with pytest.raises(ValueError, match=r"\$"):
            sn.from_json(json.dumps(hostile))
        for whole in (
            hostile,
            {"space": hostile},
            {"decisions": hostile, "branches": []},
        ):
            with pytest.raises(ValueError):
                sn.SearchSpace.from_json(json.dumps(whole))


def test_a_space_given_as_json_data_of_pyglove_is_not_read(canary):
    for route in ROUTES:
        payload = canary.payload(route)
        assert sn.SearchSpace([payload, sn.oneof([1, 2])]).build([1]) == [payload, 2]


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "builtins.exec",
        "builtins.open",
        "builtins.getattr",
        "builtins.__import__",
        "pickle.loads",
        "torch.load",
        "torch.hub.load",
        "torch.nn.functional.torch",
        "torch.nn.functional.__builtins__",
        "torch.nn.functional._verify_batch_size",
        "torch.nn.init.torch",
        "torch.nn.modules.os",
        "torch.nn.Module.load_state_dict",
        "torch.nn.Linear.__init__",
        "torch.nn.Module.__init__.__globals__",
        "torch.nn.modules.linear.Linear",
        "torch.nn.nope",
        "torch.nn.functional",
        "torch.nn.utils",
        "torch.save",
        "symnas.symbolize",
        "symnas.from_json",
        "symnas.constructors._registry",
        "__main__.x",
        "",
        ".",
        "a..b",
        "torch.nn.",
        "torch.nn.Linear ",
        "torch.\x00nn.Linear",
        "numpy.load",
    ],
)
def test_names_that_are_not_allowed_are_refused(name):
    for hostile in (
        {"call": name, "fields": {}},
        {"call": name, "fields": {"args": ["echo hacked"]}},
        {"object": name},
        {"oneof": [{"object": name}]},
        {"call": "functools.partial", "fields": {"func": {"object": name}}},
    ):
        with pytest.raises(ValueError, match=r"\$.* is not known"):
            sn.from_json(json.dumps(hostile))


def test_partials_of_allowed_functions_run_nothing_when_they_are_read():
    made = []

    @sn.symbolize
    def loud():
        made.append(1)

    name = f"{loud.__module__}.{loud.__qualname__}"
    form = sn.from_json(json.dumps({"call": name, "fields": {}}))
    assert made == []
    sn.build(form)
    assert made == [1]


BAD = {
    "not json": "{",
    "empty": "",
    "nan": "NaN",
    "infinity": '{"floatv": [0, Infinity]}',
    "bytes": b"\xff\xfe",
    "two keys": '{"tuple": [], "list": []}',
    "no key": "{}",
    "unknown key": '{"eval": "1"}',
    "unknown extra key": '{"oneof": [1, 2], "code": "x"}',
    "unknown field": '{"call": "torch.nn.Linear", "fields": {"in_features": 1, "x": 1}}',
    "missing field": '{"call": "torch.nn.Linear", "fields": {"in_features": 1}}',
    "no fields": '{"call": "torch.nn.Linear"}',
    "fields list": '{"call": "torch.nn.Linear", "fields": [1, 2]}',
    "args not a list": '{"call": "torch.nn.Sequential", "fields": {"args": 3}}',
    "args a choice": '{"call": "torch.nn.Sequential", "fields": {"args": {"oneof": [1]}}}',
    "name a number": '{"call": 3, "fields": {}}',
    "name a list": '{"object": ["torch.nn.Linear"]}',
    "no candidates": '{"oneof": []}',
    "candidates a text": '{"oneof": "abc"}',
    "candidates an object": '{"oneof": {"list": [1, 2]}}',
    "hyper name a number": '{"oneof": [1, 2], "name": 3}',
    "hyper name a list": '{"oneof": [1, 2], "name": [3]}',
    "num choices a text": '{"manyof": [1, 2], "num_choices": "2"}',
    "num choices too many": '{"manyof": [1, 2], "num_choices": 3}',
    "num choices huge": '{"manyof": [1, 2], "num_choices": 1e308}',
    "num choices missing": '{"manyof": [1, 2]}',
    "distinct a text": '{"manyof": [1, 2], "num_choices": 1, "choices_distinct": "no"}',
    "float bounds": '{"floatv": [1, 0]}',
    "float bounds text": '{"floatv": ["a", "b"]}',
    "float bounds numeric text": '{"floatv": ["1", "2"]}',
    "float bounds huge": '{"floatv": [0, 1e999]}',
    "float bounds huge int": '{"floatv": [0, 1' + "0" * 400 + "]}",
    "float one bound": '{"floatv": [1]}',
    "float bound null": '{"floatv": [null, 1]}',
    "scale unknown": '{"floatv": [0, 1], "scale": "exp"}',
    "scale a list": '{"floatv": [0, 1], "scale": ["log"]}',
    "log of zero": '{"floatv": [0, 1], "scale": "log"}',
    "int bounds float": '{"intv": [0.5, 2]}',
    "int step zero": '{"intv": [0, 2], "step": 0}',
    "int step text": '{"intv": [0, 2], "step": "1"}',
    "int log text": '{"intv": [1, 2], "log": "yes"}',
    "dtype unknown": '{"dtype": "load"}',
    "dtype a number": '{"dtype": 3}',
    "device unknown": '{"device": "toaster"}',
    "device a list": '{"device": ["cpu"]}',
    "base64": '{"bytes": "%%%"}',
    "base64 padding": '{"bytes": "abc"}',
    "base64 a number": '{"bytes": 3}',
    "float text": '{"float": "1e5"}',
    "shared unknown": '{"shared": 1}',
    "shared a list": '{"shared": [1]}',
    "shared true": '{"shared": true}',
    "number a list": '{"call": "torch.nn.ReLU", "number": [1], "fields": {}}',
    "pairs not pairs": '{"pairs": [1, 2]}',
    "pairs unhashable": '{"pairs": [[[1], 2]]}',
    "pairs triple": '{"pairs": [[1, 2, 3]]}',
    "dict a list": '{"dict": [1]}',
    "tuple an object": '{"tuple": {"a": 1}}',
    "set unhashable": '{"set": [[1]]}',
    "range float": '{"range": [0.5]}',
    "range empty": '{"range": []}',
    "range step zero": '{"range": [0, 1, 0]}',
    "complex": '{"complex": ["1", 2]}',
    "complex three": '{"complex": [1, 2, 3]}',
    "size": '{"size": ["a"]}',
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep dicts": '{"dict": {"a": ' * 5_000 + "1" + "}}" * 5_000,
    "deep choices": '{"oneof": [' * 5_000 + "1" + "]}" * 5_000,
    "huge number": "[" + "9" * 5_000 + "]",
}


@pytest.mark.parametrize("bad", BAD)
def test_what_to_json_never_writes_is_refused(bad):
    text = BAD[bad]
    with pytest.raises(ValueError):
        sn.from_json(text)
    with pytest.raises(ValueError):
        sn.SearchSpace.from_json(text)
    if (
        isinstance(text, str)
        and text.startswith("{")
        and bad not in ("not json", "no key")
    ):
        inside = '{"dict": {"left": 1, "right": [0, ' + text + "]}}"
        with pytest.raises(ValueError) as error:
            sn.from_json(inside)
        if "deep" not in bad and "huge" not in bad and bad != "infinity":
            assert "$.right[1]" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "[]",
        "null",
        '{"space": 3}',
        '{"space": [1, 2]}',
        '{"space": {"oneof": [1, 2]}, "other": 1}',
        '{"decisions": []}',
        '{"decisions": [], "branches": [[]]}',
        '{"decisions": 3, "branches": [[]]}',
        '{"decisions": [3], "branches": [[]]}',
        '{"decisions": [{}], "branches": [[]]}',
        '{"decisions": [], "branches": {}}',
        '{"decisions": [], "branches": [[[0]]]}',
    ],
)
def test_descriptions_of_spaces_that_are_none_are_refused(text):
    with pytest.raises(ValueError):
        sn.SearchSpace.from_json(text)


def mutations_of(text):
    """The same description with one value replaced by each of some bad ones."""
    bad = [None, -1, 10**6, 1e300, "x", [], [[-5]], True, {"_type": "x"}]

    def places(value, path=()):
        yield path
        items = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        for key, item in items:
            yield from places(item, (*path, key))

    for path in list(places(json.loads(text))):
        for replacement in bad:
            data = json.loads(text)
            if not path:
                yield replacement
                continue
            inner = data
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = replacement
            yield data


def test_a_description_with_any_value_replaced_is_refused_or_consistent():
    def code():
        op = sn.oneof(["a", "b", 3])
        rate = sn.floatv(0.1, 1.0, "log", name="rate")
        return op, sn.manyof(2, [1, 2, 3]), sn.intv(2, 8, 2), rate

    nested = pg.dna_spec(pg.Dict(a=pg.oneof([{"b": pg.oneof([1, 2])}, 3])))
    for text in (sn.SearchSpace(code).to_json(), sn.SearchSpace(nested).to_json()):
        assert sn.SearchSpace.from_json(text).to_json() == text
        accepted = 0
        for data in mutations_of(text):
            try:
                space = sn.SearchSpace.from_json(json.dumps(data))
            except ValueError:
                continue
            accepted += 1
            # What is accepted is a space that works.
            for genotype in space.random(np.random.default_rng(0), 1):
                assert space.check(genotype).shape == (space.num_columns,)
                space.values(genotype)
        assert accepted > 3


# --- Python objects -------------------------------------------------------------------------


def test_pyglove_executes_plain_dicts_that_are_put_into_its_containers(canary):
    for put in (
        lambda p: pg.Dict(x=p),
        lambda p: pg.List([p]),
        lambda p: pg.oneof([p, 1]),
    ):
        payload = canary.payload("class")
        put(payload)
        assert canary.has_fired()
        assert "_type" not in payload


@sn.symbolize
def keep(*args, **kwargs):
    return list(args) if args else kwargs


def first_of(space, choose=0):
    compiled = sn.SearchSpace(space)
    return compiled.build([choose] * compiled.num_columns)


HANDED_OVER = {
    "argument": lambda p: first_of(keep(p, sn.oneof([1, 2])))[0],
    "argument in a list": lambda p: first_of(keep([p], sn.oneof([1, 2])))[0][0],
    "argument in a tuple": lambda p: first_of(keep((p,), sn.oneof([1, 2])))[0][0],
    "argument beside a choice": lambda p: first_of(keep({"p": p, "c": sn.oneof([1])}))[
        0
    ]["p"],
    "argument below int keys": lambda p: first_of(keep({1: p, 2: sn.oneof([1])}))[0][1],
    "keyword": lambda p: first_of(keep(p=p, c=sn.oneof([1, 2])))["p"],
    "partial": lambda p: first_of(keep(functools.partial(keep, p, sn.oneof([1]))))[
        0
    ].args[0],
    "candidate": lambda p: first_of(sn.oneof([p, 1])),
    "candidate in a list": lambda p: first_of(sn.oneof([[0, [p]], 1]))[1][0],
    "candidate of manyof": lambda p: first_of([sn.manyof(1, [p, 1])])[0][0],
    "candidate of permutate": lambda p: first_of(sn.permutate([p]))[0],
    "derive": lambda p: first_of(sn.derive(lambda c, q: q, sn.oneof([1, 2]), p)),
    "share": lambda p: first_of([sn.share(p), sn.oneof([1, 2])])[0],
    "space": lambda p: first_of({"p": p, "c": sn.oneof([1, 2])})["p"],
    "space in a list": lambda p: first_of([[[p]], sn.oneof([1, 2])])[0][0][0],
    "long list": lambda p: first_of([[p] * 300, sn.oneof([1, 2])])[0][7],
    "symbolized class": lambda p: (
        first_of(nn.Sequential(Holder(p), sn.oneof([nn.ReLU()])))[0].held
    ),
    "recorded call": lambda p: sn.build(sn.symbolic(Holder([p]))).held[0],
    "build": lambda p: sn.build([p])[0],
    "sample": lambda p: next(iter(sn.sample({"p": p, "c": sn.oneof([1, 2])})))[0]["p"],
    "rebind": lambda p: first_of(keep(sn.oneof([1]), 2).rebind({"args[1]": p}))[1],
    "rebind with keywords": lambda p: first_of(
        keep(a=sn.oneof([1]), b=2).rebind({"kwargs.b": p})
    )["b"],
    "rebind to a list": lambda p: first_of(
        keep(sn.oneof([1]), 2).rebind({"args[1]": [p]})
    )[1][0],
    "rebind of all arguments": lambda p: first_of(
        keep(sn.oneof([1]), 2).rebind(args=[p, sn.oneof([1])])
    )[0],
    "rebind by a function": lambda p: first_of(
        keep(sn.oneof([1]), 2).rebind(lambda k, v, _: p if k == "args[1]" else v)
    )[1],
    "clone with override": lambda p: first_of(
        keep(sn.oneof([1]), 2).clone(override={"args[1]": p})
    )[1],
    "append": lambda p: appended(p, lambda items: items.append(p)),
    "insert": lambda p: appended(p, lambda items: items.insert(0, p)),
    "extend": lambda p: appended(p, lambda items: items.extend([p])),
    "add": lambda p: appended(p, lambda items: items.__iadd__([p])),
    "assign": lambda p: appended(p, lambda items: items.__setitem__(1, p)),
    "assign to a slice": lambda p: appended(
        p, lambda items: items.__setitem__(slice(1, 2), [p])
    ),
    "assign to a key": lambda p: updated(lambda fields: fields.__setitem__("p", p)),
    "assign to an attribute": lambda p: updated(lambda fields: setattr(fields, "p", p)),
    "update": lambda p: updated(lambda fields: fields.update({"p": p})),
    "update with keywords": lambda p: updated(lambda fields: fields.update(p=p)),
    "setdefault": lambda p: updated(lambda fields: fields.setdefault("p", p)),
    "copy of the space": lambda p: first_of(keep(p, sn.oneof([1])).clone(deep=True))[0],
    "deepcopy": lambda p: first_of(copy.deepcopy(keep([p], sn.oneof([1]))))[0][0],
    "pickle": lambda p: (
        first_of(pickle.loads(pickle.dumps(nn.Sequential(Holder(sn.oneof([p]))))))[
            0
        ].held
    ),
    "json": lambda p: first_of(sn.from_json(sn.to_json([p, sn.oneof([1, 2])])))[0],
}


@sn.symbolize
class Holder(torch.nn.Module):
    def __init__(self, held):
        super().__init__()
        self.held = held


def appended(payload, change):
    space = keep([sn.oneof([1]), 2])
    change(space.args[0])
    return next(item for item in first_of(space)[0] if item == payload)


def updated(change):
    space = keep({"c": sn.oneof([1])})
    change(space.args[0])
    return first_of(space)[0]["p"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("how", HANDED_OVER)
def test_dicts_that_pyglove_would_execute_are_handed_through(canary, how, route):
    payload = canary.payload(route)
    kept = copy.deepcopy(payload)
    got = HANDED_OVER[how](payload)
    assert not canary.has_fired(got)
    assert payload == kept  # The caller's dict is as it was.
    assert got == kept and type(got) is dict


@pytest.mark.parametrize("how", HANDED_OVER)
def test_other_words_of_pyglove_are_handed_through(how):
    for payload in (
        {"_type": 3},
        {"_type": None, "x": 1},
        {"__tuple__": 1},
        {"__ref__": "x", "value": 1},
        {"type_name": "x"},
        {"a": {"_type": "x"}},
    ):
        kept = copy.deepcopy(payload)
        assert HANDED_OVER[how](payload) == kept == payload
    for payload in (["__tuple__"], ["__tuple__", 1], ["__tuple__", {"_type": "x"}]):
        kept = copy.deepcopy(payload)
        if how not in ("keyword",):
            assert HANDED_OVER[how](payload) == kept == payload


def test_hints_and_metadata_are_not_executed(canary):
    for route in ROUTES:
        payload = canary.payload(route)
        kept = copy.deepcopy(payload)
        for make in (
            lambda p: sn.oneof([1, 2], hints=p),
            lambda p: sn.manyof(1, [1, 2], hints=[p]),
            lambda p: sn.floatv(0, 1, hints={"a": p}),
            lambda p: sn.intv(0, 1, hints=(p,)),
        ):
            space = sn.SearchSpace([make(payload)])
            space.to_dna(space.random(np.random.default_rng(0), 1)[0])
            assert payload == kept
            assert not canary.has_fired()
        for _, feedback in sn.sample([sn.oneof([1, 2])], num_examples=1):
            feedback.set_metadata("note", payload)
            assert feedback.get_metadata("note") == kept
            feedback(1.0)
        assert payload == kept


def test_views_and_comparisons_of_a_space_execute_nothing(canary):
    for route in ROUTES:
        payload = canary.payload(route)
        space = keep([payload], sn.oneof([payload, 1]))
        twin = space.clone()
        assert pg.eq(space, twin)
        pg.diff(space, keep([payload], sn.oneof([payload, 2])))
        pg.query(space, ".*")
        space.to_html()
        repr(space), str(space), hash(space)
        pg.contains(space, type=int)
        sn.SearchSpace(space).fingerprint  # noqa: B018
        sn.to_json(space)
        assert not canary.has_fired()

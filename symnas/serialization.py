"""Symbolic objects as JSON, read without executing anything.

Every JSON object has one key that says what it is: `{"call": "torch.nn.Linear",
"fields": {...}}`, `{"oneof": [...], "name": "width"}`, `{"tuple": [...]}`. Numbers,
strings, booleans, null and lists stand for themselves.

Classes and functions are looked up, never imported: modules of `torch.nn`, functions of
`torch.nn.functional` and some of `torch`, what the running program has symbolized, and
what the caller allows. Anything else is refused.
"""

from __future__ import annotations

import base64
import enum
import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import pyglove as pg
import torch

from symnas import hyper, names, tree
from symnas.constructors import Constructor, qualified_name, registered
from symnas.json_reader import Reader
from symnas.tree import Call, Foreign, SymbolicDict, SymbolicList


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON text of a symbolic object, from which `from_json` makes an equal one.

    Args:
      value: a symbolic object, a list or dict with symbolic objects, or a constant.
      indent: as in `json.dumps`.

    Raises:
      TypeError: something in it has no JSON form, as weights and lambdas have none.

    Example:

    >>> import symnas as sn
    >>> space = sn.nn.Linear(4, sn.oneof([8, 16], name="width"))
    >>> sn.from_json(sn.to_json(space)) == space
    True
    """
    return json.dumps(to_data(value), indent=indent, allow_nan=False)


def from_json(text: str | bytes, allow: Sequence[Any] = ()) -> Any:
    """The symbolic object that `to_json` has written.

    Args:
      text: JSON. It may come from anywhere: nothing in it is executed or imported.
      allow: classes and functions it may name besides those of torch and those that
        this program has symbolized.

    Raises:
      ValueError: it is not what `to_json` writes, or names something not allowed.

    Example:

    >>> import symnas as sn
    >>> sn.from_json('{"oneof": [16, 32], "name": "width"}')
    oneof([16, 32], name='width')
    >>> sn.from_json('{"call": "os.system", "fields": {"command": "ls"}}')
    Traceback (most recent call last):
        ...
    ValueError: $: 'os.system' is not known here. Import the module that symbolizes it ...
    """
    return from_data(parse(text), allow)


def parse(text: str | bytes) -> Any:
    """What strict JSON holds: no NaN, no infinity, no endless nesting."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is not JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def to_data(value: Any) -> Any:
    """The same as `to_json`, as lists, dicts and basic values."""
    try:
        root = tree.convert(value)
        return _Writer(root, exact=True).write(root)
    except RecursionError:
        raise TypeError("This object is nested too deeply for JSON.") from None


def fingerprint_data(value: Any) -> Any:
    """What identifies a space: as `to_data`, but weights stand for their shapes."""
    root = tree.convert(value)
    return _Writer(root, exact=False).write(root)


def from_data(data: Any, allow: Sequence[Any] = ()) -> Any:
    """The symbolic object of what `to_data` returns."""
    allowed = {}
    for item in allow:
        target = item.__symnas_unwrap__() if isinstance(item, Constructor) else item
        allowed[qualified_name(target)] = target
    try:
        return tree.convert(Reader(allowed).read(data, "$"))
    except RecursionError:
        raise ValueError("This JSON is nested too deeply.") from None


# --- writing ----------------------------------------------------------------------


class _Writer:
    def __init__(self, root: Any, exact: bool) -> None:
        self.exact = exact
        self.repeated = tree.repeated_tokens(root)
        self.numbers: dict[Any, int] = {}

    def write(self, node: Any) -> Any:
        if isinstance(node, (SymbolicList, SymbolicDict, Call, hyper.HyperValue)):
            return self._node(node)
        if node is None or isinstance(node, (bool, str)):
            return node
        if type(node) is int:
            return node
        if type(node) is float:
            return node if math.isfinite(node) else {"float": repr(node)}
        return self._leaf(node)

    def _node(self, node: Any) -> Any:
        if isinstance(node, SymbolicList):
            return [self.write(item) for _, item in tree.children(node)]
        if isinstance(node, SymbolicDict):
            return {"dict": {key: self.write(v) for key, v in tree.children(node)}}
        if isinstance(node, Call):
            return self._call(node)
        fields = {
            key: self.write(item)
            for key, item in tree.children(node)
            if key not in ("where", "candidates") and item is not None
        }
        kind = _kind_of(node)
        if kind == "intv":
            return {kind: [fields.pop("low"), fields.pop("high")], **fields}
        if kind == "floatv":
            bounds = [fields.pop("min_value"), fields.pop("max_value")]
            return {kind: bounds, **fields}
        candidates = self.write(dict.__getitem__(node._sym_attributes, "candidates"))
        if kind == "oneof":
            for key in ("num_choices", "choices_distinct", "choices_sorted"):
                del fields[key]
        return {kind: candidates, **fields}

    def _call(self, node: Call) -> Any:
        if node.sym_token in self.numbers:
            return {"shared": self.numbers[node.sym_token]}
        data: dict[str, Any] = {"call": self._name(node.sym_target)}
        if node.sym_token in self.repeated:
            data["number"] = self.numbers[node.sym_token] = len(self.numbers) + 1
        data["fields"] = {key: self.write(item) for key, item in tree.children(node)}
        return data

    def _name(self, target: Any) -> str:
        name = names.name_of(target)
        if name is None or "<lambda>" in name:
            raise TypeError(
                f"{target!r} cannot be named in JSON or in the fingerprint of a space. "
                "Define it with `def` at module level and put `@symnas.symbolize` on it."
            )
        return name

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, Foreign):
            return self._foreign(value)
        if isinstance(value, (tuple, frozenset)) and type(value) in (tuple, frozenset):
            items = value if isinstance(value, tuple) else sorted(value, key=repr)
            return {type(value).__name__: [self.write(item) for item in items]}
        if isinstance(value, torch.Size):
            return {"size": list(value)}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": str(value)}
        if isinstance(value, (int, float)) and not isinstance(value, enum.Enum):
            return self.write(float(value) if isinstance(value, float) else int(value))
        if isinstance(value, (np.integer, np.floating, np.bool_)):
            return self.write(value.item())
        if isinstance(value, complex):
            return {"complex": [self.write(value.real), self.write(value.imag)]}
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, range):
            return {"range": [value.start, value.stop, value.step]}
        if isinstance(value, pg.Object) and _is_registered(type(value)):
            fields = {key: self.write(item) for key, item in value.sym_items()}
            return {"call": self._name(type(value)), "fields": fields}
        if isinstance(value, type) or callable(value):
            return {"object": self._name(value)}
        if not self.exact:
            return {"value": type(value).__qualname__, "repr": stable_repr(value)}
        raise TypeError(f"{value!r} of type {type(value).__name__} has no JSON form.")

    def _foreign(self, node: Foreign) -> Any:
        value = node.value
        if node.shared and self.exact:
            raise TypeError(
                f"{node!r} is an object of this process, so it has no JSON form."
            )
        if node.shared:
            return {"share": self._foreign(Foreign(value))}
        if type(value) in (list, dict, set):
            if type(value) is list:
                return {"list": [self.write(tree.convert(item)) for item in value]}
            pairs = (
                value.items() if isinstance(value, dict) else ((v, 0) for v in value)
            )
            items = [
                [self.write(tree.convert(k)), self.write(tree.convert(v))]
                for k, v in pairs
            ]
            if type(value) is dict:
                return {"pairs": items}
            return {"set": sorted((k for k, _ in items), key=repr)}
        if self.exact:
            raise TypeError(
                f"{node!r} holds weights or data, which have no JSON form. Describe the "
                "space with symbolic constructors, and save weights as safetensors."
            )
        if isinstance(value, torch.Tensor):
            return {"tensor": [str(value.dtype), *value.shape]}
        if isinstance(value, torch.nn.Module):
            shapes = {k: list(v.shape) for k, v in value.state_dict().items()}
            return {"module": type(value).__qualname__, "state": shapes}
        return {"value": type(value).__qualname__}


def _is_registered(kind: type) -> bool:
    return registered(qualified_name(kind)) is kind


def stable_repr(value: Any) -> str:
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def _kind_of(node: Any) -> str:
    if isinstance(node, hyper.Float):
        return "floatv"
    if isinstance(node, hyper.Int):
        return "intv"
    return "oneof" if isinstance(node, hyper.OneOf) else "manyof"

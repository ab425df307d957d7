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
import collections
import enum
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pyglove as pg
import torch

from symnas import hyper, tree
from symnas.symbolic import Constructor, qualified_name, registered
from symnas.tree import Call, Foreign, SymbolicDict, SymbolicList

_BUILTINS: dict[str, Any] = {
    "builtins.tuple": tuple,
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "collections.OrderedDict": collections.OrderedDict,
    "functools.partial": functools.partial,
}

# Pure functions of torch that stand for activations and the like in constructors.
_TORCH_FUNCTIONS = [
    "relu",
    "selu",
    "celu",
    "rrelu",
    "prelu",
    "sigmoid",
    "tanh",
    "softmax",
    "log_softmax",
    "sin",
    "cos",
    "exp",
    "log",
    "sqrt",
    "abs",
    "square",
    "neg",
    "erf",
    "sign",
    "mean",
    "sum",
    "amax",
    "add",
    "mul",
    "cat",
    "stack",
]


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
        return tree.convert(_Reader(allowed).read(data, "$"))
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
        name = _public_name(target) or qualified_name_or_none(target)
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


def qualified_name_or_none(target: Any) -> str | None:
    if not hasattr(target, "__qualname__") or not getattr(target, "__module__", None):
        return None
    return qualified_name(target)


def _public_name(target: Any) -> str | None:
    """The name under which torch offers something, if it may be read back."""
    name = getattr(target, "__name__", "")
    for prefix, space in (
        ("torch.nn", torch.nn),
        ("torch.nn.functional", torch.nn.functional),
    ):
        if getattr(space, name, None) is target:
            return f"{prefix}.{name}"
    if name in _TORCH_FUNCTIONS and getattr(torch, name, None) is target:
        return f"torch.{name}"
    return None


# --- reading ----------------------------------------------------------------------


class _Reader:
    def __init__(self, allowed: Mapping[str, Any]) -> None:
        self.allowed = allowed
        self.shared: dict[int, Any] = {}
        self.kinds: dict[str, Callable[[Any, Mapping[str, Any], str], Any]] = {
            "call": self._call,
            "shared": self._shared,
            "dict": self._dict,
            "pairs": self._pairs,
            "oneof": self._choices,
            "manyof": self._choices,
            "floatv": self._floatv,
            "intv": self._intv,
            "tuple": self._items,
            "list": self._items,
            "set": self._items,
            "frozenset": self._items,
            "size": self._items,
            "range": self._items,
            "complex": self._items,
            "float": self._float,
            "dtype": self._dtype,
            "device": self._device,
            "bytes": self._bytes,
            "object": self._object,
        }

    def read(self, data: Any, path: str) -> Any:
        if data is None or isinstance(data, (bool, int, float, str)):
            return data
        if isinstance(data, list):
            return [self.read(item, f"{path}[{i}]") for i, item in enumerate(data)]
        kind = next(iter(data), None)
        if kind not in self.kinds:
            raise ValueError(
                f"{path}: an object must begin with one of "
                f"{', '.join(map(repr, self.kinds))}, got {kind!r}."
            )
        return self.kinds[kind](data[kind], data, path)

    def _call(self, name: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("call", "number", "fields"), path)
        target = self._find(name, path)
        target = getattr(target, "__symnas_target__", target)
        if not isinstance(data.get("fields"), dict):
            raise ValueError(
                f"{path}: a call needs `fields`, got {data.get('fields')!r}."
            )
        fields = {
            key: self.read(item, f"{path}.{key}")
            for key, item in data["fields"].items()
        }
        parameters = tree.signature(target).parameters
        for key, value in fields.items():
            kind = getattr(parameters.get(key), "kind", None)
            if kind is None:
                raise ValueError(f"{path}: `{name}` has no parameter {key!r}.")
            wanted = {2: list, 4: dict}.get(int(kind))
            if wanted is not None and type(value) is not wanted:
                raise ValueError(f"{path}.{key} must be a {wanted.__name__}.")
        for key, parameter in parameters.items():
            required = parameter.default is parameter.empty and int(parameter.kind) in (
                0,
                1,
                3,
            )
            if required and key not in fields:
                raise ValueError(f"{path}: `{name}` needs the parameter {key!r}.")
        node = tree.make_call(target, fields)
        if "number" in data:
            self.shared[self._integer(data["number"], path)] = node
        return node

    def _shared(self, number: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("shared",), path)
        if self._integer(number, path) not in self.shared:
            raise ValueError(f"{path}: nothing before it has the number {number!r}.")
        return self.shared[number]

    def _dict(self, items: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("dict",), path)
        if not isinstance(items, dict):
            raise ValueError(f"{path}: a dict needs an object, got {items!r}.")
        return {key: self.read(item, f"{path}.{key}") for key, item in items.items()}

    def _pairs(self, items: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("pairs",), path)
        pairs = self.read(self._list(items, path), path)
        try:
            return dict(pairs)
        except (TypeError, ValueError):
            raise ValueError(f"{path}: `pairs` needs pairs, got {items!r}.") from None

    def _items(self, items: Any, data: Mapping[str, Any], path: str) -> Any:
        (kind,) = self._only(data, (next(iter(data)),), path)
        values = self.read(self._list(items, path), path)
        makers: dict[str, Callable[[list[Any]], Any]] = {
            "tuple": tuple,
            "list": list,
            "set": set,
            "frozenset": frozenset,
            "size": torch.Size,
            "range": lambda v: range(*v),
            "complex": lambda v: complex(*v),
        }
        try:
            return makers[kind](values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: no {kind} of {items!r}: {error}") from None

    def _choices(self, items: Any, data: Mapping[str, Any], path: str) -> Any:
        many = "manyof" in data
        extra = ("num_choices", "choices_distinct", "choices_sorted") if many else ()
        self._only(data, ("manyof" if many else "oneof", "name", "hints", *extra), path)
        candidates = self.read(self._list(items, path), path)
        common = {"name": data.get("name"), "hints": self.read(data.get("hints"), path)}
        return self._checked(
            path,
            lambda: (
                hyper.manyof(
                    data.get("num_choices"),  # type: ignore[arg-type]
                    candidates,
                    self._flag(data, "choices_distinct", True, path),
                    self._flag(data, "choices_sorted", False, path),
                    **common,
                )
                if many
                else hyper.oneof(candidates, **common)
            ),
        )

    def _floatv(self, bounds: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("floatv", "scale", "name", "hints"), path)
        low, high = self._pair(bounds, path)
        hints = self.read(data.get("hints"), path)
        return self._checked(
            path,
            lambda: hyper.floatv(
                low, high, data.get("scale"), name=data.get("name"), hints=hints
            ),
        )

    def _intv(self, bounds: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("intv", "step", "log", "name", "hints"), path)
        low, high = self._pair(bounds, path)
        step, log = data.get("step", 1), self._flag(data, "log", False, path)
        hints = self.read(data.get("hints"), path)
        return self._checked(
            path,
            lambda: hyper.intv(
                low, high, step, log, name=data.get("name"), hints=hints
            ),
        )

    def _float(self, text: Any, data: Mapping[str, Any], path: str) -> float:
        self._only(data, ("float",), path)
        if text not in ("inf", "-inf", "nan"):
            raise ValueError(
                f"{path}: `float` must be 'inf', '-inf' or 'nan', got {text!r}."
            )
        return float(text)

    def _dtype(self, name: Any, data: Mapping[str, Any], path: str) -> torch.dtype:
        self._only(data, ("dtype",), path)
        value = getattr(torch, name, None) if isinstance(name, str) else None
        if not isinstance(value, torch.dtype):
            raise ValueError(f"{path}: torch has no dtype {name!r}.")
        return value

    def _device(self, name: Any, data: Mapping[str, Any], path: str) -> torch.device:
        self._only(data, ("device",), path)
        try:
            return torch.device(name)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from None

    def _bytes(self, text: Any, data: Mapping[str, Any], path: str) -> bytes:
        self._only(data, ("bytes",), path)
        try:
            return base64.b64decode(text, validate=True)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

    def _object(self, name: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("object",), path)
        return self._find(name, path)

    def _find(self, name: Any, path: str) -> Any:
        """The class or function of a name; nothing is imported to find it."""
        if not isinstance(name, str):
            raise ValueError(f"{path}: a name must be a string, got {name!r}.")
        found = self.allowed.get(name) or _BUILTINS.get(name) or registered(name)
        if found is not None:
            return found
        space, _, last = name.rpartition(".")
        if space == "torch.nn":
            found = vars(torch.nn).get(last)
            if isinstance(found, type) and issubclass(found, torch.nn.Module):
                return found
        if space == "torch.nn.functional" and not last.startswith("_"):
            found = vars(torch.nn.functional).get(last)
            if callable(found) and _public_name(found) == name:
                return found
        if space == "torch" and last in _TORCH_FUNCTIONS:
            return getattr(torch, last)
        raise ValueError(
            f"{path}: {name!r} is not known here. Import the module that symbolizes it "
            "before loading, or pass it in `allow`."
        )

    @staticmethod
    def _integer(value: Any, path: str) -> int:
        if type(value) is not int:
            raise ValueError(f"{path}: an integer is needed, got {value!r}.")
        return value

    @staticmethod
    def _flag(data: Mapping[str, Any], key: str, default: bool, path: str) -> bool:
        value = data.get(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"{path}: `{key}` must be true or false, got {value!r}.")
        return value

    @staticmethod
    def _list(items: Any, path: str) -> list[Any]:
        if not isinstance(items, list):
            raise ValueError(f"{path}: a list is needed, got {items!r}.")
        return items

    @staticmethod
    def _pair(bounds: Any, path: str) -> tuple[Any, Any]:
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise ValueError(f"{path}: two bounds are needed, got {bounds!r}.")
        return bounds[0], bounds[1]

    @staticmethod
    def _only(data: Mapping[str, Any], keys: Sequence[str], path: str) -> Sequence[str]:
        unknown = [key for key in data if key not in keys]
        if unknown:
            raise ValueError(
                f"{path}: unknown keys {unknown}; it may have {list(keys)}."
            )
        return keys

    @staticmethod
    def _checked(path: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

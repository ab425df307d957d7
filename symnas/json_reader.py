"""The reader of symbolic JSON: it executes, unpickles and imports nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from symnas import names, primitives, tree
from symnas.signature import signature


class Reader:
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
        parameters = signature(target).parameters
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
                primitives.manyof(
                    data.get("num_choices"),  # type: ignore[arg-type]
                    candidates,
                    self._flag(data, "choices_distinct", True, path),
                    self._flag(data, "choices_sorted", False, path),
                    **common,
                )
                if many
                else primitives.oneof(candidates, **common)
            ),
        )

    def _floatv(self, bounds: Any, data: Mapping[str, Any], path: str) -> Any:
        self._only(data, ("floatv", "scale", "name", "hints"), path)
        low, high = self._pair(bounds, path)
        hints = self.read(data.get("hints"), path)
        return self._checked(
            path,
            lambda: primitives.floatv(
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
            lambda: primitives.intv(
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
        found = self.allowed.get(name) or names.named(name)
        if found is None:
            raise ValueError(
                f"{path}: {name!r} is not known here. Import the module that symbolizes "
                "it before loading, or pass it in `allow`."
            )
        return found

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

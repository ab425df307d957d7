"""The classes and functions that JSON may name. They are looked up, never imported."""

from __future__ import annotations

import collections
import functools
from typing import Any

import torch

from symnas.constructors import qualified_name, registered

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
# fmt: off
_TORCH_FUNCTIONS = frozenset((
    "relu", "selu", "celu", "rrelu", "prelu", "sigmoid", "tanh", "softmax",
    "log_softmax", "sin", "cos", "exp", "log", "sqrt", "abs", "square", "neg", "erf",
    "sign", "mean", "sum", "amax", "add", "mul", "cat", "stack",
))
# fmt: on


def name_of(target: Any) -> str | None:
    """The name under which a class or function is written, None if it has none."""
    name = getattr(target, "__name__", "")
    for prefix, space in (
        ("torch.nn", torch.nn),
        ("torch.nn.functional", torch.nn.functional),
    ):
        if getattr(space, name, None) is target:
            return f"{prefix}.{name}"
    if name in _TORCH_FUNCTIONS and getattr(torch, name, None) is target:
        return f"torch.{name}"
    if not hasattr(target, "__qualname__") or not getattr(target, "__module__", None):
        return None
    return qualified_name(target)


def named(name: str) -> Any:
    """What a name stands for, None if that is not known or not allowed."""
    found = _BUILTINS.get(name) or registered(name)
    if found is not None:
        return found
    space, _, last = name.rpartition(".")
    if space == "torch.nn":
        found = vars(torch.nn).get(last)
        module = isinstance(found, type) and issubclass(found, torch.nn.Module)
        return found if module else None
    if space == "torch.nn.functional" and not last.startswith("_"):
        found = vars(torch.nn.functional).get(last)
        return found if callable(found) and name_of(found) == name else None
    if space == "torch" and last in _TORCH_FUNCTIONS:
        return getattr(torch, last)
    return None

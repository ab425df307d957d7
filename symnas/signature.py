"""Signatures: arguments as fields by name, and fields as arguments again."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ANY_ARGUMENTS = inspect.signature(lambda *args, **kwargs: None)


@functools.cache
def signature(target: Callable[..., Any]) -> inspect.Signature:
    """The parameters of `target`; `*args, **kwargs` where Python cannot tell."""
    if target is functools.partial:
        return inspect.signature(lambda func, /, *args, **kwargs: None)
    called: Any = target
    if getattr(getattr(target, "__new__", None), "__symnas__", False):
        # It stands in for the `__init__`, which `dataclass` may have added later.
        init: Any = called.__init__
        called = target if init is object.__init__ else types.MethodType(init, target)
    try:
        return inspect.signature(called)
    except (ValueError, TypeError):
        return _ANY_ARGUMENTS


def bind(
    target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments by parameter name, in the order in which they were written."""
    try:
        signature(target).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{target_name(target)}(): {error}") from None
    positional, var_positional, var_keyword = _kinds(target)
    fields: dict[str, Any] = dict(zip(positional, args, strict=False))
    if len(args) > len(positional):
        fields[var_positional] = list(args[len(positional) :])
    named = signature(target).parameters
    extra = {}
    for key, value in kwargs.items():
        parameter = named.get(key)
        if parameter is None or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            extra[key] = value
        else:
            fields[key] = value
    if extra:
        fields[var_keyword] = extra
    return fields


@functools.cache
def _kinds(target: Callable[..., Any]) -> tuple[list[str], str, str]:
    positional, var_positional, var_keyword = [], "", ""
    for name, parameter in signature(target).parameters.items():
        if parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        ):
            positional.append(name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            var_positional = name
        elif parameter.kind is parameter.VAR_KEYWORD:
            var_keyword = name
    return positional, var_positional, var_keyword


class CallPlan:
    """How fields become arguments again: by position, by keyword, and unpacked."""

    def __init__(self, target: Callable[..., Any], names: Sequence[str]) -> None:
        positional, var_positional, var_keyword = _kinds(target)
        self.unpacked = var_positional if var_positional in names else None
        self.merged = var_keyword if var_keyword and var_keyword in names else None
        parameters = signature(target).parameters
        last = -1
        for i, name in enumerate(positional):
            only = parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY
            if self.unpacked is not None or (only and name in names):
                last = i
        # What precedes a positional argument must be passed by position too; a
        # parameter that was not given is then passed as its default.
        self.positional = positional[: last + 1]
        self.defaults = {
            name: parameters[name].default
            for name in self.positional
            if name not in names
        }
        by_position = {*self.positional, self.unpacked, self.merged}
        self.keywords = [name for name in names if name not in by_position]


def target_name(target: Callable[..., Any]) -> str:
    """How code would name `target`: `nn.Linear`, `Net`, `functools.partial`."""
    name = getattr(target, "__qualname__", None) or type(target).__name__
    module = getattr(target, "__module__", "") or ""
    if module.startswith("torch.nn.modules") or module == "torch.nn":
        return f"nn.{name}"
    if target is functools.partial:
        return "functools.partial"
    return str(name)

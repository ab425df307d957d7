"""Symbolic objects as code: what a person would have written."""

from __future__ import annotations

import enum
import functools
from typing import Any, NamedTuple

import torch

from symnas import hyper, tree
from symnas.signature import CallPlan, target_name
from symnas.tree import Call, SymbolicDict, SymbolicList


def describe(value: Any, width: int | None = 88) -> str:
    """Python code for a symbolic object.

    Args:
      value: a symbolic object, or any leaf of one.
      width: lines longer than this are broken; None writes a single line.

    Example:

    >>> import symnas as sn
    >>> from symnas import nn
    >>> print(sn.describe(nn.Linear(sn.oneof([16, 32]), 10)))
    nn.Linear(in_features=oneof([16, 32]), out_features=10)
    """
    try:
        return layout(_document(value, names_of_shared(value), set()), width)
    except RecursionError:
        return f"<{type(value).__name__} with deeply nested parts>"


class Document(NamedTuple):
    """A piece of code that may be broken after its opening and after each item."""

    opening: str
    items: list[tuple[str, Document]]
    closing: str


def layout(
    document: Document, width: int | None, indent: int = 0, used: int = 0
) -> str:
    """The code of a document whose line is indented by `indent` and has `used` more."""
    flat = [label + layout(item, None) for label, item in document.items]
    line = f"{document.opening}{', '.join(flat)}{document.closing}"
    if width is None or not flat or indent + used + len(line) + 1 <= width:
        return line
    margin = "\n" + " " * indent
    body = "".join(
        f"{margin}    {label}{layout(item, width, indent + 4, len(label))},"
        for label, item in document.items
    )
    return f"{document.opening}{body}{margin}{document.closing.lstrip(',')}"


def _document(value: Any, names: dict[Any, str], seen: set[Any]) -> Document:
    opening, items, closing = _parts(value, names, seen)
    documents = [(label, _document(item, names, seen)) for label, item in items or ()]
    return Document(opening, documents, closing)


def names_of_shared(root: Any) -> dict[Any, str]:
    """Objects that stand in several places get a name, which the other places use."""
    repeated = tree.repeated_tokens(root)
    tokens = [n.sym_token for n in tree.walk(root) if isinstance(n, Call)]
    ordered = dict.fromkeys(token for token in tokens if token in repeated)
    return {token: f"shared_{i}" for i, token in enumerate(ordered, 1)}


def _parts(
    value: Any, names: dict[Any, str], seen: set[Any]
) -> tuple[str, list[tuple[str, Any]] | None, str]:
    """The opening, the labelled items and the closing of one node."""
    if isinstance(value, hyper.HyperValue):
        return _hyper_parts(value)
    if isinstance(value, Call):
        name = names.get(value.sym_token)
        if name is not None and value.sym_token in seen:
            return name, None, ""
        seen.add(value.sym_token)
        prefix = "" if name is None else f"{name} := "
        return _call_parts(value, prefix)
    if isinstance(value, (SymbolicList, list)):
        return "[", [("", item) for item in list.__iter__(value)], "]"
    if isinstance(value, (SymbolicDict, dict)):
        return "{", [(f"{key!r}: ", item) for key, item in dict.items(value)], "}"
    if type(value) is tuple:
        closing = ",)" if len(value) == 1 else ")"
        return "(", [("", item) for item in value], closing
    return _leaf(value), None, ""


def _call_parts(
    value: Call, prefix: str
) -> tuple[str, list[tuple[str, Any]] | None, str]:
    opening, items, closing = call_parts(value, target_name(value.sym_target))
    return prefix + opening, items, closing


def call_parts(value: Call, name: str) -> tuple[str, list[tuple[str, Any]], str]:
    """The opening, the labelled arguments and the closing of a call of `name`."""
    target = value.sym_target
    fields = dict(dict.items(value._sym_attributes))
    items: list[tuple[str, Any]]
    if target in (tuple, set, frozenset):
        items = [("", item) for item in list.__iter__(*fields.values())]
        if target is tuple:
            return "(", items, ",)" if len(items) == 1 else ")"
        return f"{name}([", items, "])"
    plan = CallPlan(target, list(fields))
    items = [
        ("", fields.get(name, plan.defaults.get(name))) for name in plan.positional
    ]
    if plan.unpacked is not None:
        items += [("", item) for item in list.__iter__(fields[plan.unpacked])]
    items += [(f"{name}=", fields[name]) for name in plan.keywords]
    if plan.merged is not None:
        merged = fields[plan.merged]
        if isinstance(merged, dict):
            items += [(f"{key}=", item) for key, item in dict.items(merged)]
        else:
            items.append(("**", merged))
    return f"{name}(", items, ")"


def _hyper_parts(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    fields = dict(dict.items(value._sym_attributes))
    name = [] if fields["name"] is None else [("name=", fields["name"])]
    if isinstance(value, hyper.Float):
        scale = [] if fields["scale"] is None else [("scale=", fields["scale"])]
        bounds = [("", fields["min_value"]), ("", fields["max_value"])]
        return "floatv(", [*bounds, *scale, *name], ")"
    if isinstance(value, hyper.Int):
        items = [("", fields["low"]), ("", fields["high"])]
        items += [("step=", fields["step"])] if fields["step"] != 1 else []
        items += [("log=", True)] if fields["log"] else []
        return "intv(", items + name, ")"
    items = [("", fields["candidates"])]
    if isinstance(value, hyper.OneOf):
        return "oneof(", items + name, ")"
    free_order = fields["choices_distinct"] and not fields["choices_sorted"]
    if free_order and fields["num_choices"] == len(fields["candidates"]):
        return "permutate(", items + name, ")"
    items = [("", fields["num_choices"]), *items]
    items += [] if fields["choices_distinct"] else [("distinct=", False)]
    items += [("sorted=", True)] if fields["choices_sorted"] else []
    return "manyof(", items + name, ")"


def _leaf(value: Any) -> str:
    if isinstance(value, (torch.dtype, torch.device)):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, functools.partial):
        return repr(value)
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return target_name(value)
    return repr(value)

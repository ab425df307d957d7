"""What a person writes where a decision is open: `oneof`, `floatv` and their like.

`oneof`, `manyof`, `permutate` and `floatv` are PyGlove's, with their arguments; `intv`,
`derive` and `share` are ours. A hyper-value with a `name` that stands in several places
is one decision; unnamed ones are independent of each other.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, TypeVar

from symnas import tree
from symnas.hyper import (
    Float,
    HyperValue,
    Int,
    ManyOf,
    OneOf,
    refuse_unnamed,
    tracing,
)
from symnas.signature import bind
from symnas.tree import Foreign, SymbolicList

T = TypeVar("T")
Scale = Literal["linear", "log", "rlog"]


def oneof(
    candidates: Sequence[T] | Iterable[T],
    *,
    name: str | None = None,
    hints: Any = None,
) -> T:
    """A choice of one candidate.

    Candidates may be anything, and may contain hyper-values themselves: these are
    decided only when their candidate is chosen.

    Args:
      candidates: at least one.
      name: two hyper-values with one name are one decision.
      hints: anything that an algorithm wants to know about this decision.

    Example:

    >>> import symnas as sn
    >>> sn.SearchSpace({"width": sn.oneof([16, 32]), "depth": sn.oneof([1, 2, 3])}).size
    6
    """
    items = _candidates("oneof", candidates, name)
    fields = {
        "num_choices": 1,
        "candidates": items,
        "choices_distinct": True,
        "choices_sorted": False,
        "where": None,
        "name": _name(name),
        "hints": hints,
    }
    return _open(OneOf, fields)


def manyof(
    k: int,
    candidates: Sequence[T] | Iterable[T],
    distinct: bool = True,
    sorted: bool = False,
    *,
    name: str | None = None,
    hints: Any = None,
) -> list[T]:
    """A choice of `k` candidates, as a list.

    Args:
      k: how many are chosen.
      candidates: at least one, and at least `k` when they must be distinct.
      distinct: no candidate is chosen twice. Otherwise a candidate that is chosen
        twice is built twice.
      sorted: chosen candidates keep the order in which they are listed here.
      name: two hyper-values with one name are one decision.
      hints: anything that an algorithm wants to know about this decision.

    Example:

    >>> import symnas as sn
    >>> sn.SearchSpace(sn.manyof(2, ["a", "b", "c"], sorted=True)).size
    3
    """
    items = _candidates("manyof", candidates, name)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(
            f"`k` of {_called('manyof', name)} must be at least 1, got {k!r}."
        )
    if distinct and k > len(items):
        raise ValueError(
            f"{_called('manyof', name)} cannot choose {k} distinct candidates out of "
            f"{len(items)}. Add candidates or pass `distinct=False`."
        )
    fields = {
        "num_choices": k,
        "candidates": items,
        "choices_distinct": bool(distinct),
        "choices_sorted": bool(sorted),
        "where": None,
        "name": _name(name),
        "hints": hints,
    }
    return _open(ManyOf, fields)


def permutate(
    candidates: Sequence[T] | Iterable[T],
    name: str | None = None,
    hints: Any = None,
) -> list[T]:
    """An order of all candidates, as a list.

    Example:

    >>> import symnas as sn
    >>> sn.SearchSpace(sn.permutate(["conv", "norm", "relu"])).size
    6
    """
    items = _candidates("permutate", candidates, name)
    return manyof(len(items), items, name=name, hints=hints)


def floatv(
    min_value: float,
    max_value: float,
    scale: Scale | None = None,
    *,
    name: str | None = None,
    hints: Any = None,
) -> float:
    """A number between `min_value` and `max_value`, both included.

    Args:
      min_value: finite; positive for the scales 'log' and 'rlog'.
      max_value: finite, at least `min_value`.
      scale: 'log' draws and moves on a logarithmic scale, 'rlog' on one that is fine
        near `max_value`; None and 'linear' are uniform.
      name: two hyper-values with one name are one decision.
      hints: anything that an algorithm wants to know about this decision.

    Example:

    >>> import symnas as sn
    >>> sn.SearchSpace(sn.floatv(1e-4, 1e-1, scale="log")).decisions[0].kind
    'float'
    """
    called = _called("floatv", name)
    low, high = (
        _number(called, "min_value", min_value),
        _number(called, "max_value", max_value),
    )
    if low > high:
        raise ValueError(f"{called}: `min_value` {low} is above `max_value` {high}.")
    if scale not in (None, "linear", "log", "rlog"):
        raise ValueError(
            f"`scale` of {called} must be None, 'linear', 'log' or 'rlog', got {scale!r}."
        )
    if scale in ("log", "rlog") and low <= 0:
        raise ValueError(
            f"{called}: a logarithmic scale needs `min_value` above 0, got {low}."
        )
    fields = {
        "min_value": low,
        "max_value": high,
        "scale": scale,
        "name": _name(name),
        "hints": hints,
    }
    return _open(Float, fields)


def intv(
    low: int,
    high: int,
    step: int = 1,
    log: bool = False,
    *,
    name: str | None = None,
    hints: Any = None,
) -> int:
    """An integer from `low` to `high`, both included when `step` divides the range.

    Choose it over `oneof(range(...))` when neighbouring numbers behave alike: algorithms
    may then step from one to the next.

    Args:
      low: the smallest value; positive when `log`.
      high: at least `low`.
      step: the distance of values, at least 1.
      log: draw and move on a logarithmic scale.
      name: two hyper-values with one name are one decision.
      hints: anything that an algorithm wants to know about this decision.

    Example:

    >>> import symnas as sn
    >>> sn.SearchSpace(sn.intv(16, 64, step=16)).size
    4
    """
    called = _called("intv", name)
    for label, value in (("low", low), ("high", high), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"`{label}` of {called} must be an integer, got {value!r}.")
    if low > high:
        raise ValueError(f"{called}: `low` {low} is above `high` {high}.")
    if step < 1:
        raise ValueError(f"`step` of {called} must be at least 1, got {step}.")
    if log and low <= 0:
        raise ValueError(
            f"{called}: a logarithmic scale needs `low` above 0, got {low}."
        )
    fields = {
        "low": low,
        "high": high,
        "step": step,
        "log": bool(log),
        "name": _name(name),
        "hints": hints,
    }
    return _open(Int, fields)


def derive(fn: Callable[..., T], *values: Any) -> T:
    """The value of `fn(*values)`, computed when the decisions in `values` are made.

    A decision that is also used elsewhere needs a `name`: unnamed hyper-values are
    independent of each other, so `fn` would see another value than the rest of the model.

    Example:

    >>> import symnas as sn
    >>> width = sn.oneof([16, 32], name="width")
    >>> space = sn.SearchSpace({"width": width, "heads": sn.derive(lambda w: w // 8, width)})
    >>> space.build([1])
    {'width': 32, 'heads': 4}
    """
    if not callable(fn):
        raise TypeError(f"`fn` of derive must be callable, got {fn!r}.")
    if not tree.is_symbolic(values):
        return fn(*values)
    for value in values:
        if isinstance(value, HyperValue) and value.sym_parent is not None:
            refuse_unnamed(value)
    node = tree.make_call(getattr(fn, "__symnas_target__", fn), bind(fn, values, {}))
    for inner in tree.walk(node):
        if isinstance(inner, HyperValue):
            object.__setattr__(inner, "_sym_derived", True)
    return node


def share(module: T) -> T:
    """Keeps `module` (or any object) one object in all examples of a space.

    Without it each example gets its own deep copy of a module that was not made
    symbolically, for instance of a pretrained backbone.

    Example:

    >>> import symnas as sn, torch
    >>> backbone = torch.nn.Linear(4, 4)
    >>> space = sn.SearchSpace([sn.share(backbone), sn.oneof([1, 2])])
    >>> space.build([0])[0] is backbone
    True
    """
    if tree.is_symbolic(module):
        raise TypeError(
            f"`share` keeps an existing object, and `{module!r}` is a search space. A "
            "symbolic object that is used twice is shared without it."
        )
    if tracing.decide is not None:
        return module
    return Foreign(module, shared=True)  # type: ignore[return-value]


# --- Checks -----------------------------------------------------------------------


def _open(kind: type[HyperValue], fields: Mapping[str, Any]) -> Any:
    if tracing.decide is not None:
        return tracing.decide(kind, fields)
    if "candidates" in fields:  # However many: no constant that may stay a leaf.
        fields = {**fields, "candidates": SymbolicList(fields["candidates"])}
    return kind._make(fields)


def _called(what: str, name: str | None) -> str:
    return f"`{what}`" if name is None else f"`{what}` named {name!r}"


def _candidates(what: str, candidates: Any, name: str | None) -> list[Any]:
    if isinstance(candidates, SymbolicList):
        return list(list.__iter__(candidates))
    if isinstance(candidates, (str, bytes, Mapping)):
        raise TypeError(
            f"`candidates` of {_called(what, name)} must be a list, got {candidates!r}."
        )
    if isinstance(candidates, AbstractSet):
        raise TypeError(
            f"`candidates` of {_called(what, name)} must have an order that is the same "
            f"in every run: pass a list instead of the set {candidates!r}."
        )
    try:
        items = list(candidates)
    except TypeError:
        raise TypeError(
            f"`candidates` of {_called(what, name)} must be a list, got {candidates!r}."
        ) from None
    if not items:
        raise ValueError(
            f"{_called(what, name)} needs at least one candidate, got none."
        )
    return items


def _name(name: Any) -> str | None:
    if name is not None and (not isinstance(name, str) or not name):
        raise TypeError(f"`name` must be a non-empty string, got {name!r}.")
    return name


def _number(called: str, label: str, value: Any) -> float:
    if not isinstance(value, numbers.Real):
        raise TypeError(f"`{label}` of {called} must be a number, got {value!r}.")
    try:
        number = float(value)
    except OverflowError:  # An integer beyond the largest float.
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"`{label}` of {called} must be finite, got {value!r}.")
    return number

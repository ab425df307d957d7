"""Hyper-values: places in a program where a decision is still open.

`oneof`, `manyof`, `permutate` and `floatv` are PyGlove's, so `pg.query`,
`pg.dna_spec`, `pg.iter` and `pg.sample` know them; `intv`, `derive` and `share`
are ours. A hyper-value with a `name` that stands in several places is one
decision; unnamed ones are independent of each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import pyglove as pg

from symnas import tree
from symnas.genotype import Decision
from symnas.tree import SymbolicObject

T = TypeVar("T")
Scale = Literal["linear", "log", "rlog"]

# Most values of an `intv` that PyGlove, which lists them, is shown.
_MOST_LISTED = 10_000


class _Tracing(threading.local):
    """The define-by-run context of this thread, if there is one."""

    decide: Callable[[type[HyperValue], Mapping[str, Any]], Any] | None = None


tracing = _Tracing()


class HyperValue(SymbolicObject):
    """What our hyper-values have in common."""

    def _why_unusable(self) -> str:
        return f"`{self!r}` is a decision that is still open"

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "sym_")):
            raise AttributeError(name)
        if dict.__contains__(self._sym_attributes, name):
            return dict.__getitem__(self._sym_attributes, name)
        raise AttributeError(f"{self._advice()} It has no attribute `{name}`.")

    # PyGlove's own initialisation costs a millisecond, for what is computed on demand
    # here or was checked by the functions that make hyper-values.
    @pg.explicit_method_override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Hyper-values are made by `symnas.oneof` and its like.")

    def _fill(self, fields: Mapping[str, Any]) -> None:
        super()._fill(fields)
        self.__dict__.update(_dna=None, _decoded_value=None, _value_spec=None)

    def _on_bound(self) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)

    @property
    def sym_name(self) -> str | None:
        name: str | None = dict.get(self._sym_attributes, "name")
        return name

    def __reduce__(self) -> Any:
        fields = dict(dict.items(self._sym_attributes))
        return _remake, (type(self), fields)

    def dna_spec(self, location: Any = None) -> Any:
        _refuse_tied(self)
        return super().dna_spec(location)

    def _enter_second_place(self) -> None:
        if getattr(self, "_sym_derived", False):
            refuse_unnamed(self)


def refuse_unnamed(value: HyperValue) -> None:
    if value.sym_name is None:
        raise ValueError(
            f"`{value!r}` is used by `derive` and elsewhere. Give it a `name`: unnamed "
            "hyper-values in two places are two independent decisions."
        )


def _remake(kind: type[HyperValue], fields: Mapping[str, Any]) -> Any:
    return kind._make(fields)


def _refuse_tied(value: HyperValue) -> None:
    """PyGlove would count a decision that stands in two places twice."""
    root = value.sym_root
    name, tied, node = value.sym_name, None, value.sym_parent
    while node is not None:
        if getattr(node, "_sym_tied", False):
            tied = node.sym_token
        node = node.sym_parent
    if name is None and tied is None:
        return
    places = 0
    for node in tree.walk(root):
        if (
            name is not None
            and isinstance(node, HyperValue)
            and node.sym_name == name
            or tied is not None
            and getattr(node, "sym_token", None) is tied
        ):
            places += 1
    if places > 1:
        what = f"The decision `{name}`" if name else "An object with open decisions"
        raise ValueError(
            f"{what} stands in {places} places of this space. PyGlove has no such "
            "decisions: give it `symnas.SearchSpace(space).for_pyglove()` instead."
        )


class _Choices(HyperValue):
    """The part of `pg.hyper.Choices` that must not run at every construction."""

    @property
    def _candidate_templates(self) -> list[Any]:
        return [
            pg.hyper.ObjectTemplate(candidate, where=self.where)
            for candidate in self.candidates
        ]

    def _update_children_paths(self, old_path: Any, new_path: Any) -> None:
        pass


class OneOf(_Choices, pg.hyper.OneOf):
    """One of several candidates; made by `oneof`."""


class ManyOf(_Choices, pg.hyper.ManyOf):
    """Several of several candidates; made by `manyof` and `permutate`."""


class Float(HyperValue, pg.hyper.Float):
    """A number from an interval; made by `floatv`."""


class Int(HyperValue, pg.hyper.HyperPrimitive):
    """An integer from a range; made by `intv`. PyGlove sees a list of choices."""

    @property
    def values(self) -> range:
        return range(self.low, self.high + 1, self.step)

    def dna_spec(self, location: Any = None) -> Any:
        _refuse_tied(self)
        if len(self.values) > _MOST_LISTED:
            raise ValueError(
                f"{self!r} has {len(self.values)} values, and PyGlove lists them all: "
                f"at most {_MOST_LISTED} are possible there."
            )
        return pg.geno.Choices(
            num_choices=1,
            candidates=[pg.geno.constant() for _ in self.values],
            literal_values=list(self.values),
            distinct=True,
            sorted=False,
            hints=self.hints,
            name=self.name,
            location=location or pg.KeyPath(),
        )

    def _decode(self) -> int:
        index = self._dna.value
        if not isinstance(index, int) or not 0 <= index < len(self.values):
            raise ValueError(
                f"{self!r} has {len(self.values)} values, got the index {index!r}."
            )
        return self.values[index]

    def encode(self, value: Any) -> Any:
        if not isinstance(value, int) or value not in self.values:
            raise ValueError(f"{value!r} is not one of the values of {self!r}.")
        return pg.DNA(self.values.index(value))

    def is_leaf(self) -> bool:
        return True

    def custom_apply(self, *args: Any, **kwargs: Any) -> tuple[bool, Int]:
        return (False, self)


def decision(kind: type[HyperValue], fields: Mapping[str, Any]) -> Decision:
    """The decision of a hyper-value, not yet placed in a genotype."""
    common: dict[str, Any] = {"name": fields["name"], "hints": fields["hints"]}
    if kind is Float:
        bounds = fields["min_value"], fields["max_value"]
        scale = fields["scale"] or "linear"
        return Decision("float", 0, 0, bounds, scale=scale, **common)
    if kind is Int:
        values = range(fields["low"], fields["high"] + 1, fields["step"])
        scale = "log" if fields["log"] else "linear"
        return Decision("int", 0, len(values), values, scale=scale, **common)
    candidates = list(list.__iter__(fields["candidates"]))
    return Decision(
        "choice",
        0,
        len(candidates),
        candidates,
        slots=fields["num_choices"],
        many=kind is ManyOf,
        distinct=fields["choices_distinct"],
        sorted=fields["choices_sorted"],
        **common,
    )


def _from_pyglove(value: Any) -> Any:
    """Our hyper-value that equals one of PyGlove's."""
    if isinstance(value, pg.hyper.Choices):
        fields = dict(value.sym_items())
        kind = OneOf if isinstance(value, pg.hyper.OneOf) else ManyOf
        if not len(value.candidates):
            raise ValueError(f"{value!r} needs at least one candidate, got none.")
        return kind._make(fields)
    if isinstance(value, pg.hyper.Float):
        return Float._make(dict(value.sym_items()))
    raise TypeError(
        f"symnas has no counterpart for {value!r}. Supported are PyGlove's oneof, manyof, "
        "permutate and floatv."
    )


tree.from_pyglove = _from_pyglove

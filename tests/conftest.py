"""Search spaces of every kind, small enough to know all about them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import pyglove as pg
import pytest

import symnas as sn


@dataclasses.dataclass(frozen=True)
class Toy:
    """A space and what is known about it.

    Attributes:
      make: makes the space anew, as the caller of `sample` would.
      size: the number of different examples, counted by hand.
      tied: a decision or object stands in several places, which PyGlove does not know.
      listed: PyGlove can list all values.
    """

    name: str
    make: Callable[[], Any]
    size: int | float
    constraint: Callable[[Mapping[str, Any]], bool] | None = None
    tied: bool = False
    traced: bool = False
    listed: bool = True

    # What reading a toy from JSON must be allowed to call.
    @property
    def allow(self) -> list[Any]:
        return [Block, double]

    def compile(self) -> sn.SearchSpace:
        return sn.SearchSpace(self.make(), self.constraint)


@sn.symbolize
class Block:
    """A constructor whose objects compare by their fields."""

    def __init__(self, width: Any, inner: Any = None) -> None:
        self.width = width
        self.inner = inner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and (self.width, self.inner) == (
            other.width,
            other.inner,
        )

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"Block({self.width!r}, {self.inner!r})"


@sn.symbolize
def double(number: Any) -> Any:
    return 2 * number


def chain(depth: int) -> Any:
    """Each decision stands under the second candidate of the one above it."""
    space: Any = sn.oneof(["end", "last"])
    for i in range(depth - 1):
        space = sn.oneof([i, {"next": space}])
    return {"chain": space}


def _conditional() -> Any:
    ops = [{"x": sn.oneof([1, 2, 3])}, {"y": sn.oneof([4, 5]), "z": sn.intv(6, 7)}, 8]
    return {"op": sn.oneof(ops), "last": sn.oneof(["a", "b"])}


def _many(distinct: bool, ordered: bool) -> Callable[[], Any]:
    return lambda: {"ops": sn.manyof(2, ["a", "b", "c", "d"], distinct, ordered)}


def _many_with_decisions(distinct: bool, ordered: bool) -> Callable[[], Any]:
    def make() -> Any:
        inner = [Block(sn.oneof([1, 2])), "b", Block(sn.oneof([3, 4, 5]))]
        return [sn.oneof([6, 7]), sn.manyof(2, inner, distinct, ordered)]

    return make


def _tied() -> Any:
    width = sn.oneof([8, 16, 32], name="width")
    twice = sn.derive(double, sn.oneof([8, 16, 32], name="width"))
    return {"a": width, "b": sn.oneof([8, 16, 32], name="width"), "c": twice}


def _conditionally_tied() -> Any:
    def width() -> Any:
        return sn.oneof([8, 16, 32], name="width")

    return {"op": sn.oneof([Block(width()), Block(width(), sn.oneof([1, 2])), 5])}


def _tied_to_a_later_decision() -> Any:
    def op() -> Any:
        return sn.oneof([Block(sn.oneof([8, 16, 32], name="width")), 0])

    return [op(), op()]


def _tied_with_decisions() -> Any:
    def op(low: int) -> Any:
        return sn.oneof([Block(sn.oneof([low, low + 1])), 0], name="op")

    return [op(1), op(5)]


def _shared() -> Any:
    layer = Block(sn.oneof([1, 2, 3]), sn.oneof([4, Block(sn.oneof([5, 6]))]))
    return [layer, {"again": layer}, sn.oneof([7, 8])]


def _conditionally_shared() -> Any:
    layer = Block(sn.oneof([1, 2, 3]))
    return [sn.oneof([Block(layer), 0]), sn.oneof([Block(layer), 0])]


def _mixed() -> Any:
    rate = sn.floatv(1e-4, 1e-1, "log", name="rate")
    layers = [
        sn.nn.Linear(2, sn.oneof([2, 3], name="width")),
        sn.oneof([sn.nn.ReLU(), sn.nn.Dropout(sn.floatv(0.0, 0.5)), sn.nn.Identity()]),
        sn.nn.Linear(sn.oneof([2, 3], name="width"), 2),
    ]
    return {
        "model": sn.nn.Sequential(*layers),
        "order": sn.permutate(["x", "y", "z"]),
        "steps": sn.intv(10, 99, log=True),
        "rates": [rate, sn.derive(double, rate)],
    }


def _traced() -> Any:
    op = sn.oneof(["conv", "pool"])
    if op == "conv":
        return op, sn.oneof([1, 3, 5]), sn.intv(2, 3)
    return op, sn.manyof(2, ["max", "mean", "min"], sorted=True)


def _pyglove_spec() -> Any:
    return pg.dna_spec(pg.Dict(a=pg.oneof([{"x": pg.floatv(0.1, 0.9)}, 4])))


def _small_pyglove_spec() -> Any:
    # 3 + 1 for `a`, times 2 * 1 + 2 * 1 + 1 for `b`.
    inner = [{"x": pg.oneof([1, 2, 3])}, 4]
    ops = pg.manyof(2, [{"z": pg.oneof([1, 2])}, "b", "c"], choices_sorted=True)
    return pg.dna_spec(pg.Dict(a=pg.oneof(inner), b=ops))


def _sum_is_even(values: Mapping[str, Any]) -> bool:
    return sum(values.values()) % 2 == 0


TOYS = [
    Toy("flat", lambda: {k: sn.oneof([1, 2, 3]) for k in "abc"}, 27),
    Toy("large", lambda: [sn.oneof(range(5)) for _ in range(10)], 5**10),
    Toy("one_point", lambda: {"a": sn.oneof(["only"])}, 1),
    Toy("conditional", _conditional, (3 + 2 * 2 + 1) * 2),
    Toy("deep_chain", lambda: chain(60), 61),
    Toy("many_distinct", _many(True, False), 12),
    Toy("many_sorted", _many(True, True), 6),
    Toy("many_any", _many(False, False), 16),
    Toy("many_any_sorted", _many(False, True), 10),
    # Pairs ab, ac, bc have 2, 2 * 3 and 3 ways inside.
    Toy("many_deep_sorted", _many_with_decisions(True, True), 2 * 11),
    Toy("many_deep_distinct", _many_with_decisions(True, False), 2 * 22),
    Toy("many_deep_any", _many_with_decisions(False, False), 2 * 36),
    # In the order of the candidates: aa 4, ab 2, ac 6, bb 1, bc 3, cc 9.
    Toy("many_deep_any_sorted", _many_with_decisions(False, True), 2 * 25),
    Toy("one_of_many", lambda: [sn.manyof(1, [1, 2, 3]), sn.oneof([1, 2])], 6),
    Toy("permutation", lambda: [sn.permutate(["a", "b", "c", "d"])], 24),
    Toy("ints", lambda: {"a": sn.intv(3, 7), "b": sn.intv(-4, 4, 4)}, 15),
    Toy("log_int", lambda: {"a": sn.intv(1, 40, log=True), "b": sn.oneof([1, 2])}, 80),
    Toy(
        "large_ints",
        lambda: {"a": sn.intv(0, 10**12), "b": sn.intv(1, 10**9, log=True)},
        (10**12 + 1) * 10**9,
        listed=False,
    ),
    Toy(
        "floats",
        lambda: {
            "linear": sn.floatv(-1.0, 3.0),
            "log": sn.floatv(1e-4, 1.0, "log"),
            "rlog": sn.floatv(0.5, 0.99, "rlog"),
        },
        math.inf,
    ),
    Toy(
        "constant_float",
        lambda: {"a": sn.floatv(2.0, 2.0), "b": sn.oneof([1, 2, 3])},
        3,
    ),
    Toy(
        "float_below",
        lambda: {
            "a": sn.oneof([{"b": sn.floatv(0.0, 1.0)}, 2, 3]),
            "c": sn.oneof([4, 5]),
        },
        math.inf,
    ),
    Toy("tied", _tied, 3, tied=True),
    Toy("conditionally_tied", _conditionally_tied, 3 + 3 * 2 + 1, tied=True),
    Toy("tied_to_later", _tied_to_a_later_decision, 3 * 3 + 1, tied=True),
    Toy("tied_with_decisions", _tied_with_decisions, 2 * 2 + 1, tied=True),
    Toy("shared", _shared, 3 * (1 + 2) * 2, tied=True),
    Toy("conditionally_shared", _conditionally_shared, 3 * 3 + 1, tied=True),
    Toy("mixed", _mixed, math.inf, tied=True),
    Toy("traced", lambda: _traced, 3 * 2 + 3, traced=True),
    Toy("pyglove_spec", _pyglove_spec, math.inf),
    Toy("small_pyglove_spec", _small_pyglove_spec, 4 * 5),
    Toy(
        "constraint", lambda: {k: sn.oneof([1, 2, 3]) for k in "abc"}, 13, _sum_is_even
    ),
    Toy(
        "narrow",  # Random draws hit it once in 50 times.
        lambda: {"a": sn.oneof(range(50)), "b": sn.oneof([1, 2])},
        2,
        lambda values: values["a"] == 37,
    ),
]


@pytest.fixture(params=TOYS, ids=lambda toy: toy.name)
def toy(request: pytest.FixtureRequest) -> Toy:
    return request.param


@pytest.fixture(params=[t for t in TOYS if t.size <= 100], ids=lambda toy: toy.name)
def small_toy(request: pytest.FixtureRequest) -> Toy:
    """A toy of which all examples can be listed."""
    return request.param


@pytest.fixture(
    params=[t for t in TOYS if t.listed and not (t.tied or t.traced or t.constraint)],
    ids=lambda toy: toy.name,
)
def untied_toy(request: pytest.FixtureRequest) -> Toy:
    """A toy that PyGlove knows as well."""
    return request.param


@pytest.fixture
def toys() -> dict[str, Toy]:
    return {toy.name: toy for toy in TOYS}


@pytest.fixture
def make_chain() -> Callable[[int], Any]:
    return chain


@pytest.fixture
def block() -> type[Block]:
    return Block

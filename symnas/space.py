"""The compiled search space: the only thing that algorithms see."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyglove as pg
import torch

from symnas import (
    counting,
    description,
    primitives,
    pyglove_bridge,
    serialization,
    tree,
)
from symnas.constructors import Example, attach
from symnas.genotype import Decision, Entry, Genotypes
from symnas.layout import Layout
from symnas.program import Program
from symnas.signature import target_name
from symnas.tracing import Trace

_MOST_TRIES = (
    100_000  # Random genotypes drawn in search of one that meets a constraint.
)

Constraint = Callable[[Mapping[str, Any]], bool]


class SearchSpace:
    """A search space, compiled once into a flat vector of decisions.

    Args:
      space: a symbolic object; a list or dict with hyper-values inside; a function or
        class without required arguments whose body calls `oneof` and its like
        (define-by-run); a `pg.DNASpec`; a `Layout`; or a `SearchSpace`. What has no code
        builds `pg.DNA`s.
      constraint: a predicate on the decisions of an example, a mapping from the name or
        path of each active decision to its value. What it refuses is not proposed.
      where: a predicate on hyper-values. Those it refuses stay open in the examples,
        which are then search spaces themselves.

    Raises:
      ValueError: nothing in `space` is left to decide, or one name is given to
        decisions with different choices.

    Example:

    >>> import symnas as sn, numpy as np
    >>> space = sn.SearchSpace({"op": sn.oneof(["conv", "pool"]), "width": sn.intv(8, 64, 8)})
    >>> space.size, [d.path for d in space.decisions]
    (16, ['op', 'width'])
    >>> genotypes = space.random(np.random.default_rng(0), 2)
    >>> genotypes.shape
    (2, 2)
    >>> space.build([1, 3])
    {'op': 'pool', 'width': 32}
    """

    def __init__(
        self,
        space: Any,
        constraint: Constraint | None = None,
        where: Callable[[Any], bool] | None = None,
    ) -> None:
        self.constraint = constraint
        self._source: Any = None  # The symbolic tree, where there is one.
        self._spec: Any = None
        self._descriptions: dict[tuple[int, int], Any] = {}
        self._origin: Any = space
        self._where: Callable[[Any], bool] | None = where
        self._maker: Program | Trace | None = None
        branches: Sequence[Sequence[Entry]] = [[]]
        if isinstance(space, SearchSpace):
            self.constraint = constraint or space.constraint
            if where is not None and space._source is None:
                raise ValueError("`where` needs a symbolic space.")
            where = self._where = where or space._where
            space = space._origin if where is None else space._source
            self._origin = space
        decisions: Sequence[Decision]
        traced = False
        if isinstance(space, Layout):
            decisions, branches, traced = space.decisions, space.branches, space.traced
        elif isinstance(space, pg.DNASpec):
            decisions, branches = pyglove_bridge.from_spec(space)
            self._spec = space
        elif _is_code(space):
            if where is not None:
                raise ValueError(
                    "`where` selects hyper-values of a symbolic space, and this space is "
                    "a function. Symbolize the function and call it with hyper-values."
                )
            self._maker = Trace(space)
            decisions, traced = self._maker.decisions, True
        else:
            self._source = tree.convert(space)
            self._maker = Program(self._source, where)
            decisions, branches = self._maker.decisions, self._maker.branches
        if not decisions:
            what = (
                description.describe(self._source)
                if self._source is not None
                else repr(space)
            )
            raise ValueError(
                f"There is nothing to search: no hyper-value {'selected ' if where else ''}"
                f"in {what[:500]}. Put `symnas.oneof([...])` or another hyper-value where "
                "you are unsure."
            )
        self.layout = Layout(decisions, branches, traced)

    # --- what it consists of ------------------------------------------------------

    @property
    def decisions(self) -> list[Decision]:
        """The decisions, in the order in which their columns stand in a genotype."""
        return self.layout.decisions

    @property
    def num_columns(self) -> int:
        """The length d of a genotype."""
        return self.layout.num_columns

    @functools.cached_property
    def size(self) -> int | float:
        """The number of genotypes, `math.inf` with floats.

        An upper bound when `size_is_exact` is false.
        """
        return counting.size(self.layout)

    @property
    def size_is_exact(self) -> bool:
        """Whether `size` is exact.

        It is not with a constraint, for a traced function whose branches depend on
        decisions, and for a decision that stands in several places but in none for
        certain.
        """
        sure = counting.size_is_exact(self.layout) and self.constraint is None
        return sure and not self.layout.traced

    @functools.cached_property
    def makes_objects(self) -> bool:
        """Whether making an example calls constructors, which may draw weights."""
        return isinstance(self._maker, Trace) or (
            isinstance(self._maker, Program) and self._maker.calls
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that equal spaces share, also in other processes.

        Raises:
          TypeError: the space holds a lambda, which has no lasting identity.
        """
        data = serialization.fingerprint_data(self._described())
        text = json.dumps(data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __repr__(self) -> str:
        size = "infinitely many" if self.size == math.inf else f"{self.size:,}"
        bound = "" if self.size_is_exact else "at most "
        return f"SearchSpace({len(self.decisions)} decisions, {bound}{size} examples)"

    # --- genotypes --------------------------------------------------------------------

    def random(self, rng: np.random.Generator, n: int = 1) -> Genotypes:
        """Random genotypes (n, d): each decision uniform on its scale.

        Raises:
          ValueError: the constraint refused 100,000 genotypes in a row.
        """
        genotypes = self.layout.random(rng, n)
        if self.constraint is None or self.layout.traced:
            return genotypes
        for i in range(n):
            tries = 0
            while not self.is_feasible(genotypes[i]):
                tries += 1
                if tries == _MOST_TRIES:
                    raise ValueError(
                        f"The constraint refused {_MOST_TRIES:,} random examples in a "
                        "row, the last one with "
                        f"{self.values(genotypes[i])}. Loosen it, or build it into the space."
                    )
                genotypes[i] = self.layout.random_row(rng)
        return genotypes

    def mutate(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Children (n, d), each different from its parent in one decision."""
        return self.layout.mutate(np.asarray(genotypes, dtype=float), rng)

    def crossover(
        self, first: Genotypes, second: Genotypes, rng: np.random.Generator
    ) -> Genotypes:
        """Children (n, d) that take each decision from one of two parents."""
        return self.layout.crossover(first, second, rng)

    def neighbors(self, genotype: Sequence[float] | Genotypes) -> Genotypes:
        """All genotypes (m, d) that differ from one in a single decision.

        Floats move by a tenth of their scale, ints to the next value.
        """
        return self.layout.neighbors(self.check(genotype).tolist())

    def enumerate(self, resolution: int = 5) -> Iterator[Genotypes]:
        """All genotypes (d,), in lexicographic order; floats at `resolution` points."""
        seen: set[tuple[float, ...]] = set()
        for row in counting.enumerate_rows(self.layout, resolution):
            if isinstance(self._maker, Trace):
                row = self._maker.canonical(row)
                if tuple(row) in seen:
                    continue
                seen.add(tuple(row))
            if self.is_feasible(row):
                yield np.array(row)

    def encode(self, genotypes: Genotypes, one_hot: bool = False) -> Genotypes:
        """Genotypes as points (n, d) of the unit cube, or one-hot."""
        return self.layout.encode(np.atleast_2d(genotypes), one_hot)

    def decode(self, points: Genotypes) -> Genotypes:
        """The genotypes (n, d) of points in the unit cube or one-hot."""
        return self.layout.decode(points)

    def check(self, genotype: Any) -> Genotypes:
        """The genotype (d,) with inactive decisions at -1; raises `ValueError` if bad."""
        return self.layout.check(genotype)

    def is_feasible(self, genotype: Sequence[float] | Genotypes) -> bool:
        """Whether the constraint accepts a genotype."""
        return self.constraint is None or bool(self.constraint(self.values(genotype)))

    # --- examples -------------------------------------------------------------------

    def values(self, genotype: Sequence[float] | Genotypes) -> dict[str, Any]:
        """The active decisions by name or path, with the values they have.

        A candidate that is built, as a layer, is given as its code.
        """
        result: dict[str, Any] = {}
        genotype = list(map(float, genotype))
        for decision in self.decisions:
            column = decision.column
            if genotype[column] < 0:
                continue
            if decision.kind != "choice":
                result[decision.label] = decision.value(genotype[column])
                continue
            genes = genotype[column : column + decision.slots]
            chosen = [self._shown(decision, int(gene)) for gene in genes]
            result[decision.label] = chosen if decision.many else chosen[0]
        return result

    def _shown(self, decision: Decision, index: int) -> Any:
        """A candidate as `values` gives it; descriptions are made once."""
        key = decision.column, index
        if key not in self._descriptions:
            self._descriptions[key] = _shown(decision.choices[index])
        return self._descriptions[key]

    def build(self, genotype: Sequence[float] | Genotypes) -> Any:
        """The example that a genotype stands for, made anew."""
        return self.realize(self.check(genotype).tolist())[0]

    def realize(self, row: list[float]) -> tuple[Any, list[float]]:
        """The example of a valid genotype, and the genotype with what was not met at -1.

        The two genotypes differ only in a traced space.
        """
        if isinstance(self._maker, Trace):
            return self._maker.run(row)
        if self._maker is None:
            return self.to_dna(np.array(row)), row
        example = self._maker.build(row)
        if self.makes_objects:
            attach(example, Example(functools.partial(self.symbolic, row)))
        return example, row

    def symbolic(self, genotype: Sequence[float] | Genotypes) -> Any:
        """The symbolic form of an example: its constructor calls, not made."""
        if not isinstance(self._maker, Program):
            raise ValueError(
                "Examples of a function that is traced have no symbolic form: it exists "
                "for spaces made of symbolic constructors."
            )
        return self._maker.symbolic(self.check(genotype).tolist())

    # --- PyGlove and JSON -------------------------------------------------------------

    @functools.cached_property
    def dna_spec(self) -> Any:
        """The space as PyGlove sees it: a `pg.DNASpec`."""
        return self._spec or pyglove_bridge.to_spec(self.layout)

    def to_dna(self, genotype: Sequence[float] | Genotypes) -> Any:
        """The `pg.DNA` of a genotype."""
        return pyglove_bridge.to_dna(self.layout, list(genotype), self.dna_spec)

    def from_dna(self, dna: Any) -> Genotypes:
        """The genotype (d,) of a `pg.DNA`.

        Raises:
          ValueError: the DNA does not belong to this space.
        """
        return self.check(pyglove_bridge.from_dna(self.layout, dna, self.dna_spec))

    def for_pyglove(self) -> Any:
        """The space for `pg.sample` and `pg.iter`, which then yield functions that build
        the example. Needed when something in the space is shared."""
        return pyglove_bridge.Context(self)

    def to_json(self) -> str:
        """JSON text of the space, read by `SearchSpace.from_json`."""
        data: dict[str, Any] = {"space": serialization.to_data(self._described())}
        if self.layout.traced:
            data["traced"] = True
        return json.dumps(data)

    def _described(self) -> Any:
        return _outline(self.layout) if self._source is None else self._source

    @classmethod
    def from_json(
        cls,
        text: str | bytes,
        constraint: Constraint | None = None,
        allow: Sequence[Any] = (),
    ) -> SearchSpace:
        """The space that `to_json` has written. Nothing in it is executed or imported.

        The space of a function or a DNASpec comes back as its decisions alone: it can be
        searched, but builds a dict of them.
        """
        data = serialization.parse(text)
        valid = isinstance(data, dict) and "space" in data
        if not valid or data.keys() - {"space", "traced"}:
            raise ValueError("This JSON does not hold a search space.")
        if not isinstance(data.get("traced", False), bool):
            raise ValueError(f"`traced` must be true or false, got {data['traced']!r}.")
        space = cls(serialization.from_data(data["space"], allow), constraint)
        if data.get("traced"):
            space.layout = Layout(space.layout.decisions, space.layout.branches, True)
        return space


def build(space: Any) -> Any:
    """Makes the object that a symbolic object without open decisions describes.

    Raises:
      ValueError: there are open decisions.

    Example:

    >>> import symnas as sn
    >>> space = sn.nn.Linear(4, sn.oneof([8, 16], name="width"))
    >>> concrete = sn.SearchSpace(space).symbolic([1])
    >>> sn.build(concrete)
    Linear(in_features=4, out_features=16, bias=True)
    """
    source = tree.convert(space)
    program = Program(source)
    if program.decisions:
        names = ", ".join(f"`{d.label}`" for d in program.decisions[:5])
        raise ValueError(
            f"{len(program.decisions)} decisions are open ({names}...). Use "
            "`symnas.sample`, or `SearchSpace(space).build(genotype)`."
        )
    example = program.build([])
    attach(example, Example(lambda: source))
    return example


def _outline(layout: Layout) -> dict[str, Any]:
    """The decisions of a space as symbolic values, without the code that uses them.

    Those of a traced function are known by their name or number: line numbers change
    with every edit of a file.
    """
    inside: list[list[Decision]] = [[] for _ in layout.branches]
    keys: dict[int, str] = {}
    for number, decision in enumerate(layout.decisions):
        inside[decision.branches[0]].append(decision)
        keys[id(decision)] = decision.name or str(number)

    def branch(branch_id: int) -> dict[str, Any]:
        return {keys[id(decision)]: value(decision) for decision in inside[branch_id]}

    def value(decision: Decision) -> Any:
        common = {"name": decision.name, "hints": decision.hints}
        if decision.kind == "float":
            scale: Any = None if decision.scale == "linear" else decision.scale
            low, high = decision.choices
            return primitives.floatv(low, high, scale, **common)
        if decision.kind == "int":
            values = decision.choices
            assert isinstance(values, range)
            log = decision.scale == "log"
            return primitives.intv(values[0], values[-1], values.step, log, **common)
        below = decision.children[0][0] if decision.children else [-1] * decision.count
        candidates = [
            literal(choice) if child < 0 else [literal(choice), branch(child)]
            for choice, child in zip(decision.choices, below, strict=True)
        ]
        if not decision.many:
            return primitives.oneof(candidates, **common)
        return primitives.manyof(
            decision.slots, candidates, decision.distinct, decision.sorted, **common
        )

    return branch(0)


def literal(choice: Any) -> Any:
    """A candidate as JSON can hold it: numbers and strings as they are, others as code."""
    shown = _shown(choice)
    plain = shown is None or isinstance(shown, (bool, int, float, str))
    return shown if plain else serialization.stable_repr(shown)


def _shown(candidate: Any) -> Any:
    """A candidate as a value of a mapping: constants as they are, others as code."""
    if isinstance(candidate, (tree._Node, tree.Foreign)) or callable(candidate):
        if sum(1 for _ in itertools.islice(tree.walk(candidate), 100)) == 100:
            target = getattr(candidate, "sym_target", type(candidate))
            return f"{target_name(target)}(...)"
        text = description.describe(candidate, width=None)
        return text if len(text) <= 200 else text[:197] + "..."
    return candidate


def _is_code(space: Any) -> bool:
    """Whether a space is given as code to be traced."""
    described = (pg.Symbolic, tree.Foreign, torch.nn.Module)
    return callable(space) and not isinstance(space, described)

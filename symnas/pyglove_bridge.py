"""Between our layout and PyGlove's `DNASpec` and `DNA`.

A decision that stands in several places has no counterpart in PyGlove: it becomes an
unconditional decision at the root, which PyGlove's algorithms always set. So does what
stands below one of its candidates, and in an object that is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyglove as pg

from symnas.genotype import INACTIVE, Decision, Entry
from symnas.hyper import _MOST_LISTED
from symnas.layout import Layout


class Context(pg.hyper.DynamicEvaluationContext):
    """A compiled space in the place of a hyper-value of PyGlove's.

    `pg.sample(context, ...)` and `pg.iter(context)` yield functions without arguments
    that build the example.
    """

    def __init__(self, space: Any) -> None:
        super().__init__(dna_spec=space.dna_spec)
        self._space = space

    def apply(self, decisions: Any) -> Any:
        return self._space.build(self._space.from_dna(decisions))


# --- Layout -> DNASpec ---------------------------------------------------------------


def _members(layout: Layout) -> list[list[Decision]]:
    """For each branch the decisions that PyGlove finds there."""
    members: list[list[Decision]] = [[] for _ in layout.branches]
    for decision in layout.decisions:
        members[_home(layout, decision)].append(decision)
    return members


def _home(layout: Layout, decision: Decision) -> int:
    """The branch in which PyGlove finds a decision."""
    branch = decision.branches[0]
    nested = len(decision.branches) == 1 and all(
        entry.column >= 0 and len(layout.owner[entry.column].children) == 1
        for entry in layout.branches[branch]
    )
    return branch if nested else 0


def to_spec(layout: Layout) -> Any:
    members = _members(layout)

    def space(branch: int) -> Any:
        elements = [point(decision) for decision in members[branch]]
        return pg.geno.Space(elements=elements)

    def point(decision: Decision) -> Any:
        moved = _home(layout, decision) != decision.branches[0]
        common = {
            "location": pg.KeyPath(
                [decision.path] if moved else _relative_keys(decision)
            ),
            "name": decision.name,
            "hints": decision.hints,
        }
        if decision.kind == "float":
            low, high = decision.choices
            scale = None if decision.scale == "linear" else decision.scale
            return pg.geno.Float(min_value=low, max_value=high, scale=scale, **common)
        if decision.kind == "int" and decision.count > _MOST_LISTED:
            raise ValueError(
                f"`{decision.label}` has {decision.count:,} values, and PyGlove lists them "
                f"all: at most {_MOST_LISTED:,} are possible there."
            )
        candidates = [pg.geno.constant() for _ in range(decision.count)]
        if len(decision.children) == 1:
            for i, child in enumerate(decision.children[0][0]):
                if child >= 0:
                    candidates[i] = space(child)
        return pg.geno.Choices(
            num_choices=decision.slots,
            candidates=candidates,
            distinct=decision.distinct,
            sorted=decision.sorted,
            literal_values=[_literal(choice) for choice in decision.choices],
            **common,
        )

    return space(0)


def _relative_keys(decision: Decision) -> list[Any]:
    """The path below the candidate in which a decision stands."""
    keys: list[Any] = []
    location = decision.location
    while location is not None:
        location, key = location
        if isinstance(key, str) and key.startswith("["):
            break
        keys.append(key)
    return keys[::-1]


def _literal(choice: Any) -> Any:
    if isinstance(choice, (int, float, str)):
        return choice
    text = repr(choice)
    return text if len(text) <= 120 else text[:117] + "..."


# --- DNASpec -> Layout ---------------------------------------------------------------


def from_spec(spec: Any) -> tuple[list[Decision], list[list[Entry]]]:
    """Decisions and branches of a `pg.DNASpec`."""
    decisions: list[Decision] = []
    branches: list[list[Entry]] = [[]]

    def add(element: Any, branch: int) -> None:
        if element.is_space:
            for inner in element.elements:
                add(inner, branch)
            return
        column = sum(d.slots for d in decisions[-1:])
        column += decisions[-1].column if decisions else 0
        common: dict[str, Any] = {
            "name": element.name,
            "hints": element.hints,
            "branches": [branch],
            "location": (None, str(element.id)),
        }
        if element.is_numerical:
            bounds = element.min_value, element.max_value
            scale = element.scale or "linear"
            decisions.append(
                Decision("float", column, 0, bounds, scale=scale, **common)
            )
            return
        if not element.is_categorical:
            raise ValueError(
                f"symnas cannot search the custom decision `{element.id}` of a DNASpec: "
                "it knows choices and numbers only."
            )
        count = len(element.candidates)
        decision = Decision(
            "choice",
            column,
            count,
            element.literal_values or list(range(count)),
            slots=element.num_choices,
            many=element.num_choices > 1,
            distinct=element.distinct,
            sorted=element.sorted,
            **common,
        )
        decisions.append(decision)
        table = [[-1] * count for _ in range(decision.slots)]
        decision.children.append(table)
        for slot in range(decision.slots):
            for i, candidate in enumerate(element.candidates):
                if not candidate.is_constant:
                    branches.append([Entry(branch, column + slot, i)])
                    table[slot][i] = len(branches) - 1
                    add(candidate, len(branches) - 1)

    add(spec, 0)
    return decisions, branches


# --- genotype <-> DNA ----------------------------------------------------------------


def to_dna(layout: Layout, genotype: Sequence[float], spec: Any) -> Any:
    members = _members(layout)

    def space(branch: int) -> list[Any]:
        return [point(decision) for decision in members[branch]]

    def point(decision: Decision) -> Any:
        genes = [genotype[column] for column in decision.columns]
        if decision.kind == "float":
            gene = genes[0] if genes[0] >= 0 else 0.0
            return pg.DNA(float(decision.value(gene)))
        if genes[0] < 0:  # PyGlove always decides what stands in several places.
            genes = [
                float(slot if decision.distinct else 0) for slot in range(len(genes))
            ]
        choices = [choice(decision, slot, int(g)) for slot, g in enumerate(genes)]
        return choices[0] if len(choices) == 1 else pg.DNA(None, choices)

    def choice(decision: Decision, slot: int, value: int) -> Any:
        below = []
        if len(decision.children) == 1 and decision.children[0][slot][value] >= 0:
            below = space(decision.children[0][slot][value])
        return pg.DNA(value, [pg.DNA(None, below)] if below else [])

    return pg.DNA(None, space(0)).use_spec(spec)


def from_dna(layout: Layout, dna: Any, spec: Any) -> list[float]:
    """The genes of a DNA; raises `ValueError` if it has another shape."""
    if not isinstance(dna, pg.DNA):
        raise TypeError(f"A `pg.DNA` is needed, got {dna!r}.")
    members = _members(layout)
    row = [INACTIVE] * layout.num_columns

    def bad(decision: Decision, what: str) -> ValueError:
        return ValueError(
            f"{dna!r} does not fit this space: `{decision.label}` {what}."
        )

    # PyGlove leaves out nodes that hold nothing but one other, so nodes are passed on
    # as lists: those of a decision are its slots.
    def space(branch: int, nodes: Sequence[Any]) -> None:
        inside = members[branch]
        if len(inside) == 1:
            point(inside[0], nodes)
            return
        if len(nodes) != len(inside):
            raise ValueError(
                f"{dna!r} does not fit this space: {len(inside)} values are needed "
                f"where {len(nodes)} stand."
            )
        for decision, node in zip(inside, nodes, strict=True):
            several = decision.slots > 1 and node.value is None
            point(decision, node.children if several else [node])

    def point(decision: Decision, nodes: Sequence[Any]) -> None:
        if len(nodes) != decision.slots:
            raise bad(decision, f"needs {decision.slots} values, got {len(nodes)}")
        if decision.kind == "float":
            low, high = decision.choices
            value = nodes[0].value
            if not isinstance(value, float) or not low <= value <= high:
                raise bad(
                    decision, f"must be a float from {low} to {high}, got {value!r}"
                )
            if nodes[0].children:
                raise bad(decision, f"must be one number, got {nodes[0]!r}")
            row[decision.column] = decision.gene(value)
            return
        for slot, node in enumerate(nodes):
            value = node.value
            if not isinstance(value, int) or not 0 <= value < decision.count:
                raise bad(decision, f"has {decision.count} candidates, got {value!r}")
            row[decision.column + slot] = float(value)
            below = -1
            if len(decision.children) == 1:
                below = decision.children[0][slot][value]
            if below >= 0 and members[below]:
                space(below, node.children)
            elif node.children:
                raise bad(
                    decision, f"has nothing to decide below {value}, got {node!r}"
                )

    space(0, dna.children if dna.value is None else [dna])
    return row

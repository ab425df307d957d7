"""How many genotypes a space has, and all of them in order."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence

from symnas.genotype import Decision
from symnas.layout import Layout


def enumerate_rows(layout: Layout, resolution: int = 5) -> Iterator[list[float]]:
    """All genotypes in lexicographic order; floats at `resolution` points."""
    order = _parents_first(layout)
    row: list[float] = [0.0] * layout.num_columns
    _complete(layout, row, order, 0, resolution)
    while True:
        live = layout.activate_row(list(row))
        yield list(live)
        for at in range(len(order) - 1, -1, -1):
            column = order[at]
            if live[column] < 0:
                continue
            following = _next(layout, row, column, row[column], resolution)
            if following is not None:
                row[column] = following
                _complete(layout, row, order, at + 1, resolution)
                break
        else:
            return


def _parents_first(layout: Layout) -> list[int]:
    """The columns in order, but behind those that decide whether they are active."""
    openers: list[set[int]] = [set() for _ in layout.branches]
    depth = layout.depths()
    for branch in sorted(range(len(layout.branches)), key=lambda b: depth[b]):
        for parent, column, _ in layout.branches[branch]:
            openers[branch] |= {column} if column >= 0 else openers[parent]
    waiting: list[set[int]] = []
    below: list[list[int]] = [[] for _ in layout.owner]
    for column, decision in enumerate(layout.owner):
        waiting.append(set().union(*(openers[b] for b in decision.branches)))
        for opener in waiting[column]:
            below[opener].append(column)
    ready = [column for column, openers_ in enumerate(waiting) if not openers_]
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for column in below[order[-1]]:
            waiting[column].discard(order[-1])
            if not waiting[column]:
                heapq.heappush(ready, column)
    return order


def _complete(
    layout: Layout, row: list[float], order: list[int], at: int, resolution: int
) -> None:
    """Gives all later columns their first value."""
    for column in order[at:]:
        first = _next(layout, row, column, None, resolution)
        assert first is not None
        row[column] = first


def _next(
    layout: Layout, row: list[float], column: int, gene: float | None, resolution: int
) -> float | None:
    """The smallest value of a column above `gene` that its rules allow."""
    decision = layout.owner[column]
    if decision.kind == "float":
        steps = resolution - 1 if decision.can_change else 0
        index = 0 if gene is None else round(gene * steps) + 1
        return None if index > steps else index / max(steps, 1)
    slot = column - decision.column
    before = row[decision.column : column]
    lowest = 0 if gene is None else int(gene) + 1
    highest = decision.count - 1
    if slot and decision.sorted:
        lowest = max(lowest, int(before[-1]) + (1 if decision.distinct else 0))
    if decision.sorted and decision.distinct:
        highest -= decision.slots - 1 - slot
    for value in range(lowest, highest + 1):
        if not (decision.distinct and slot and float(value) in before):
            return float(value)
    return None


def size_is_exact(layout: Layout) -> bool:
    """False when a decision stands in several places that may, but need not, be there."""
    return all(
        _homes(layout, d.branches) is not None for d in layout.decisions
    ) and all(
        _homes(layout, [e.parent for e in entries if e.column < 0]) is not None
        for entries in layout.branches
        if any(e.column < 0 for e in entries)
    )


def _homes(layout: Layout, branches: Sequence[int]) -> list[int] | None:
    """The branches in which to count what stands in `branches`, if they are certain.

    Several are when no two of them can be there at once.
    """
    several = sorted(set(branches))
    if several[0] == 0 or len(several) == 1:
        return several[:1]
    chosen = [_chosen(layout, branch) for branch in several]
    for one, other in itertools.combinations(chosen, 2):
        if not any(
            one[column] != other[column] for column in one.keys() & other.keys()
        ):
            return None
    return several


def _chosen(layout: Layout, branch: int) -> dict[int, int]:
    """Values by column that must be chosen for a branch to be there."""
    chosen = {}
    while branch and len(layout.branches[branch]) == 1:
        branch, column, value = layout.branches[branch][0]
        if column >= 0 and layout.owner[column].slots == 1:
            chosen[column] = value
    return chosen


def size(layout: Layout) -> int | float:
    """The number of genotypes, at the most; infinite with floats."""
    if any(d.kind == "float" and d.can_change for d in layout.decisions):
        return math.inf
    depth = layout.depths()
    sizes = [1] * len(layout.branches)
    at_home: list[list[Decision]] = [[] for _ in layout.branches]
    for decision in layout.decisions:
        for home in _homes(layout, decision.branches) or [0]:
            at_home[home].append(decision)
    below: list[list[int]] = [[] for _ in layout.branches]
    for branch, entries in enumerate(layout.branches):
        above = [e.parent for e in entries if e.column < 0]
        if above:
            for home in _homes(layout, above) or [0]:
                below[home].append(branch)
    for branch in sorted(range(len(layout.branches)), key=lambda b: -depth[b]):
        for decision in at_home[branch]:
            tables = [
                table
                for place, table in zip(
                    decision.branches, decision.children, strict=False
                )
                if branch in (0, place)
            ]
            sizes[branch] *= _combinations(decision, tables, sizes)
        for linked in below[branch]:
            sizes[branch] *= sizes[linked]
    return sizes[0]


def _combinations(
    decision: Decision, tables: list[list[list[int]]], sizes: list[int]
) -> int:
    """How many ways there are to make a decision with all that stands below it."""
    if decision.kind == "float":
        return 1
    if decision.kind == "int":
        return decision.count
    if not tables:
        ways = [[1] * decision.count for _ in range(decision.slots)]
    else:
        ways = [
            [
                math.prod(
                    sizes[table[slot][value]]
                    for table in tables
                    if table[slot][value] >= 0
                )
                for value in range(decision.count)
            ]
            for slot in range(decision.slots)
        ]
    if decision.slots == 1:
        return sum(ways[0])
    if not decision.sorted and not decision.distinct:
        return math.prod(sum(row) for row in ways)
    # Ways to fill the first j slots with the candidates seen so far, in their order.
    filled = [1] + [0] * decision.slots
    for value in range(decision.count):
        if decision.distinct:
            for j in range(decision.slots, 0, -1):
                filled[j] += filled[j - 1] * ways[j - 1][value]
        else:
            for j in range(1, decision.slots + 1):
                filled[j] += filled[j - 1] * ways[j - 1][value]
    orders = 1 if decision.sorted else math.factorial(decision.slots)
    return filled[-1] * orders

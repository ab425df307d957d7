"""The shape of genotypes, and what is done to them: draw, change, encode, check.

Decisions stand in *branches*: branch 0 is always there, every candidate with decisions
or constructors inside is another one. A branch is there when one of its entries is: an
entry names the branch above and the column and value that open it.

All operations work on batches (n, d). Some have a second, scalar form for one genotype,
because a NumPy call costs a microsecond however small the array; both make the same
kind of random draw, but not the same draws.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.genotype import INACTIVE, Decision, Entry, Genotypes

_FLOAT_STEP = 0.1  # Of the scale, between neighbouring values of a float.
_MOST_ONE_HOT = 100_000  # Values of one decision that a one-hot code may have.


class Layout:
    """The shape of genotypes: decisions, branches, and the operations on rows."""

    def __init__(
        self,
        decisions: Sequence[Decision],
        branches: Sequence[Sequence[Entry]],
        traced: bool = False,
    ) -> None:
        # What is active in a traced space is known only after an example was made.
        self.traced = traced
        self.decisions = list(decisions)
        self.branches = [list(entries) for entries in branches]
        self.owner = [d for d in self.decisions for _ in range(d.slots)]
        self.num_columns = len(self.owner)
        self.counts = np.array([d.count for d in self.owner], dtype=np.int64)
        self.is_float = self.counts == 0
        self.can_change = np.array([d.can_change for d in self.owner], dtype=bool)
        self.groups = [d for d in self.decisions if d.slots > 1]
        self.conditional = traced or any(d.branches != [0] for d in self.decisions)
        # A count of 0 marks floats; their draws are used as they are.
        self._scale = np.where(self.is_float, 1, self.counts).astype(float)
        self._discrete = np.flatnonzero(~self.is_float)
        self._scales = [float(c) for c in self.counts]
        # Whose scale is not the one that the counts say: log ints, constant floats.
        self._unscaled = [
            d
            for d in self.decisions
            if (d.kind == "float" and not d.can_change)
            or (d.kind == "int" and d.scale != "linear")
        ]
        self._special = np.array(
            [d.slots > 1 or d in self._unscaled for d in self.owner], dtype=bool
        )
        self._in_branch: list[list[Decision]] = [[] for _ in self.branches]
        self._tables: list[list[tuple[Decision, list[list[int]] | None]]] = [
            [] for _ in self.branches
        ]
        for decision in self.decisions:
            for i, branch in enumerate(decision.branches):
                table = decision.children[i] if decision.children else None
                if table is not None and all(b < 0 for row in table for b in row):
                    table = None
                self._in_branch[branch].append(decision)
                self._tables[branch].append((decision, table))
        # Branches that are there whenever another one is: shared objects.
        self._linked: list[list[int]] = [[] for _ in self.branches]
        for branch, entries in enumerate(self.branches):
            for entry in entries:
                if entry.column < 0:
                    self._linked[entry.parent].append(branch)
        self._levels = self._by_level() if self.conditional else []
        for decision in self.decisions:
            decision._when = self._condition

    # --- activity -----------------------------------------------------------------

    def _condition(self, decision: Decision) -> str:
        """What opens the branches in which a decision stands: '' for the root."""
        openers: dict[str, list[int]] = {}
        stack, seen = list(decision.branches), set(decision.branches)
        while stack:
            branch = stack.pop()
            if branch == 0:
                return ""
            for parent, column, value in self.branches[branch]:
                if column >= 0:
                    values = openers.setdefault(self.owner[column].label, [])
                    values += [value] * (value not in values)
                elif parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        return ", or ".join(
            f"candidate {' or '.join(map(str, sorted(values)))} of `{label}`"
            for label, values in sorted(openers.items())
        )

    def _by_level(self) -> list[tuple[NDArray[Any], ...]]:
        """Entries grouped by the depth of their branch, as arrays."""
        holds = [bool(self._in_branch[b]) for b in range(len(self.branches))]
        depth = self.depths()
        needed = holds[:]
        for branch in sorted(range(len(self.branches)), key=lambda b: -depth[b]):
            if needed[branch]:
                for entry in self.branches[branch]:
                    needed[entry.parent] = True
        levels: dict[int, list[int]] = {}
        for branch in range(1, len(self.branches)):
            if needed[branch]:
                levels.setdefault(depth[branch], []).append(branch)
        result: list[tuple[NDArray[Any], ...]] = []
        for level in sorted(levels):
            ids = levels[level]
            flat = [entry for branch in ids for entry in self.branches[branch]]
            starts = np.cumsum([0] + [len(self.branches[b]) for b in ids[:-1]])
            table = np.array(flat, dtype=np.int64)
            result.append(
                (np.array(ids), starts, table[:, 0], table[:, 1], table[:, 2])
            )
        return result

    def depths(self) -> list[int]:
        """How many entries lie between each branch and the root, at the most."""
        depth = [0] * len(self.branches)
        children: list[list[int]] = [[] for _ in self.branches]
        waiting = [0] * len(self.branches)
        for branch, entries in enumerate(self.branches):
            waiting[branch] = len(entries)
            for entry in entries:
                children[entry.parent].append(branch)
        ready = [b for b, n in enumerate(waiting) if n == 0]
        while ready:
            branch = ready.pop()
            for child in children[branch]:
                depth[child] = max(depth[child], depth[branch] + 1)
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
        return depth

    def active(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Which columns (n, d) are active, given the values of the others."""
        there = np.zeros((len(genotypes), len(self.branches)), dtype=bool)
        there[:, 0] = True
        for ids, starts, parents, columns, values in self._levels:
            opened = there[:, parents] & (
                (columns < 0) | (genotypes[:, columns] == values)
            )
            there[:, ids] = np.logical_or.reduceat(opened, starts, axis=1)
        first = np.array([d.branches[0] for d in self.owner])
        active = there[:, first]
        for decision in self.decisions:
            if len(decision.branches) > 1:
                active[:, decision.columns] = there[:, decision.branches].any(
                    axis=1, keepdims=True
                )
        return active

    def activate(self, genotypes: Genotypes) -> Genotypes:
        """Sets what is inactive to -1, in place."""
        if self.conditional:
            genotypes[~self.active(genotypes)] = INACTIVE
        return genotypes

    def activate_row(self, row: list[float]) -> list[float]:
        """The same for one genotype as a list; it visits what is active only."""
        if not self.conditional:
            return row
        result = [INACTIVE] * self.num_columns
        stack = [0]
        while stack:
            branch = stack.pop()
            stack += self._linked[branch]
            for decision, table in self._tables[branch]:
                for slot, column in enumerate(decision.columns):
                    gene = row[column]
                    result[column] = gene
                    if table is not None and table[slot][int(gene)] >= 0:
                        stack.append(table[slot][int(gene)])
        return result

    # --- random genotypes -----------------------------------------------------------

    def random(self, rng: np.random.Generator, n: int) -> Genotypes:
        """Genotypes (n, d), each decision drawn uniformly on its scale."""
        if n == 1:
            return np.array([self.random_row(rng)])
        return self.activate(self._draw(rng, n))

    def random_row(self, rng: np.random.Generator) -> list[float]:
        """One genotype as a list."""
        return self.activate_row(self._draw_row(rng))

    def _draw_row(self, rng: np.random.Generator) -> list[float]:
        draws = rng.random(self.num_columns).tolist()
        row = [
            float(int(u * scale)) if scale else u
            for u, scale in zip(draws, self._scales, strict=True)
        ]
        for decision in self._unscaled:
            row[decision.column] = decision.gene_at(draws[decision.column])
        for group in self.groups:
            self._draw_group(rng, group, row)
        return row

    def _draw_group(
        self, rng: np.random.Generator, group: Decision, row: list[float]
    ) -> None:
        if not group.distinct and not group.sorted:
            return
        count = group.count if group.distinct else group.count + group.slots - 1
        picks = rng.permutation(count)[: group.slots].astype(float).tolist()
        if group.sorted:
            picks = sorted(picks)
        if not group.distinct:  # Stars and bars: all multisets are equally likely.
            picks = [pick - slot for slot, pick in enumerate(picks)]
        row[group.column : group.column + group.slots] = picks

    def _draw(self, rng: np.random.Generator, n: int) -> Genotypes:
        draws = rng.random((n, self.num_columns))
        genotypes = draws * self._scale
        discrete = self._discrete
        if len(discrete) == self.num_columns:
            np.floor(genotypes, out=genotypes)
        else:
            genotypes[:, discrete] = np.floor(genotypes[:, discrete])
        for decision in self._unscaled:
            column = decision.column
            genotypes[:, column] = [
                decision.gene_at(u) for u in draws[:, column].tolist()
            ]
        for group in self.groups:
            if not group.distinct and not group.sorted:
                continue
            count = group.count if group.distinct else group.count + group.slots - 1
            keys = rng.random((n, count))
            picks = keys.argsort(axis=1)[:, : group.slots].astype(float)
            if group.sorted:
                picks = np.sort(picks, axis=1)
            if not group.distinct:
                picks -= np.arange(group.slots)
            genotypes[:, group.column : group.column + group.slots] = picks
        return genotypes

    # --- mutation -------------------------------------------------------------------

    def mutate(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Children (n, d) that differ from their parents in one decision each.

        The decision is drawn uniformly from the active columns that have another
        value. What becomes active by the change is drawn afresh. Only where nothing
        can change is a child equal to its parent.
        """
        if len(genotypes) == 1:
            return self._mutate_one(genotypes, rng)
        children = genotypes.copy()
        if self.conditional:
            inactive = children < 0
            children[inactive] = self._draw(rng, len(children))[inactive]
        free = (genotypes >= 0) & self.can_change
        number = free.sum(axis=1)
        rank = (rng.random(len(children)) * number).astype(np.int64)
        picked = (np.cumsum(free, axis=1) == rank[:, None] + 1).argmax(axis=1)
        draws = rng.random(len(children))
        movable = np.flatnonzero(number > 0)
        columns = picked[movable]
        special = self._special[columns]
        simple, column = movable[~special], columns[~special]
        count = self.counts[column]
        old = children[simple, column]
        new = np.floor(draws[simple] * (count - 1))
        new += new >= old
        children[simple, column] = np.where(count == 0, draws[simple], new)
        for i, col in zip(movable[special], columns[special], strict=True):
            child = children[i].tolist()
            self._change(child, int(col), float(draws[i]))
            children[i] = child
        return self.activate(children)

    def _mutate_one(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """The same for one genotype (1, d)."""
        if self.conditional:
            parent: list[float] = genotypes[0].tolist()
            fresh = self._draw_row(rng)
            free = [
                c for c, g in enumerate(parent) if g >= 0 and self.owner[c].can_change
            ]
            row = [f if g < 0 else g for g, f in zip(parent, fresh, strict=True)]
            self._mutate_row(row, free, rng)
            return np.array([self.activate_row(row)]) if free else genotypes.copy()
        children = genotypes.copy()
        self._mutate_row(children[0], self._changeable, rng)
        return children

    def _mutate_row(self, row: Any, free: list[int], rng: np.random.Generator) -> None:
        """Gives one of the columns `free` another value, in place."""
        where, draw = rng.random(2).tolist()
        if not free:
            return
        column = free[int(where * len(free))]
        scale = self._scales[column]
        if self._special[column]:
            self._change(row, column, draw)
        elif scale:
            gene = float(int(draw * (scale - 1)))
            row[column] = gene + 1.0 if gene >= row[column] else gene
        else:
            row[column] = draw

    @functools.cached_property
    def _changeable(self) -> list[int]:
        columns: list[int] = np.flatnonzero(self.can_change).tolist()
        return columns

    def _change(self, row: Any, column: int, draw: float) -> None:
        """Gives a column another value, where that needs more than its count."""
        decision = self.owner[column]
        if decision.slots > 1:
            self._change_slot(row, column, draw)
            return
        # An int on a logarithmic scale: the rest of the scale, without the old value.
        old = float(row[column])
        start, stop = decision.position(old), decision.position(old + 1)
        position = draw * (1.0 - (stop - start))
        gene = decision.gene_at(position + (stop - start if position >= start else 0.0))
        if gene == old:  # By rounding.
            gene = old + 1.0 if old + 1.0 < decision.count else old - 1.0
        row[column] = gene

    def _change_slot(self, row: Any, column: int, draw: float) -> None:
        """Gives one slot of a `manyof` another candidate, within its rules."""
        group = self.owner[column]
        start, stop = group.column, group.column + group.slots
        picks = list(map(float, row[start:stop]))
        slot, old = column - start, float(row[column])
        others = [float(v) for v in range(group.count) if v != old]
        if group.distinct and group.sorted:
            others = [v for v in others if v not in picks]
        new = others[int(draw * len(others))]
        if group.distinct and new in picks:
            picks[picks.index(new)] = old  # The two slots change places.
        picks[slot] = new
        row[start:stop] = sorted(picks) if group.sorted else picks

    def crossover(
        self, first: Genotypes, second: Genotypes, rng: np.random.Generator
    ) -> Genotypes:
        """Children (n, d) that take each decision from one of two parents, uniformly."""
        mask = rng.random((len(first), len(self.decisions))) < 0.5
        mask = np.repeat(mask, [d.slots for d in self.decisions], axis=1)
        mask = np.where(first < 0, False, np.where(second < 0, True, mask))
        children = np.where(mask, first, second)
        if self.conditional:
            missing = children < 0
            children[missing] = self._draw(rng, len(children))[missing]
        return self.activate(children)

    def redraw(
        self, genotypes: Genotypes, which: NDArray[np.bool_], rng: np.random.Generator
    ) -> Genotypes:
        """Children (n, d) in which the decisions `which` (n, D) are drawn anew."""
        fresh = self._draw(rng, len(genotypes))
        drawn = np.repeat(which, [d.slots for d in self.decisions], axis=1)
        # What becomes active has no value yet.
        return self.activate(np.where(drawn | (genotypes < 0), fresh, genotypes))

    # --- neighbours -------------------------------------------------

    def neighbors(self, row: Sequence[float]) -> Genotypes:
        """All genotypes (m, d) that differ from `row` in one decision.

        Choices take every other candidate, ints step to the next value, floats move a
        tenth of their scale. What becomes active takes its first value.
        """
        found = {}
        start = [0.0 if g < 0 else g for g in row]
        for group in self.groups:
            if row[group.column] < 0:
                for slot, column in enumerate(group.columns):
                    start[column] = float(slot if group.distinct else 0)
        for column, gene in enumerate(row):
            decision = self.owner[column]
            if gene < 0 or not decision.can_change:
                continue
            for change in self._moves(decision, column, gene, start):
                child = self.activate_row(change)
                found[tuple(child)] = child
        found.pop(tuple(row), None)
        return np.array(list(found.values())).reshape(len(found), self.num_columns)

    def _moves(
        self, decision: Decision, column: int, gene: float, row: list[float]
    ) -> Iterator[list[float]]:
        if decision.slots > 1:
            for draw in (np.arange(decision.count - 1) + 0.5) / (decision.count - 1):
                child = list(row)
                if decision.distinct and decision.sorted:
                    picks = row[decision.column : decision.column + decision.slots]
                    if draw * (decision.count - 1) > decision.count - len(picks):
                        break
                    draw = draw * (decision.count - 1) / (decision.count - len(picks))
                self._change_slot(child, column, float(draw))
                yield child
            return
        if decision.kind == "float":
            values = [max(gene - _FLOAT_STEP, 0.0), min(gene + _FLOAT_STEP, 1.0)]
        elif decision.kind == "int":
            values = [g for g in (gene - 1, gene + 1) if 0 <= g < decision.count]
        else:
            values = [float(v) for v in range(decision.count) if v != gene]
        for value in values:
            child = list(row)
            child[column] = value
            yield child

    # --- encoding -------------------------------------------------------------------

    def encode(self, genotypes: Genotypes, one_hot: bool = False) -> Genotypes:
        """Points (n, d) of the unit cube, or (n, sum of counts) with `one_hot`.

        In the cube, candidate i of m lies at (i + 1/2) / m, an int on a logarithmic
        scale in the middle of its part of it, and inactive columns at 0. One-hot, floats
        keep one column and inactive columns are all zero.
        """
        genotypes = np.asarray(genotypes, dtype=float)
        if not one_hot:
            unit = np.where(self.is_float, genotypes, (genotypes + 0.5) / self._scale)
            for decision in self._unscaled:
                if decision.kind == "int":
                    unit[:, decision.column] = [
                        (decision.position(gene) + decision.position(gene + 1)) / 2
                        if gene >= 0
                        else 0.0
                        for gene in genotypes[:, decision.column].tolist()
                    ]
            return np.where(genotypes < 0, 0.0, unit)
        parts = []
        for column, count in enumerate(self.counts):
            if count > _MOST_ONE_HOT:
                raise ValueError(
                    f"`{self.owner[column].label}` has {count:,} values, and a one-hot "
                    f"code is limited to {_MOST_ONE_HOT:,}. Use the unit cube."
                )
            genes = genotypes[:, column : column + 1]
            if count:
                parts.append((genes == np.arange(count)).astype(float))
            else:
                parts.append(np.where(genes < 0, 0.0, genes))
        return np.concatenate(parts, axis=1)

    def decode(self, points: Genotypes) -> Genotypes:
        """Genotypes (n, d) of points in the unit cube or, by their width, one-hot.

        Slots of a distinct `manyof` that ask for the same candidate are moved to the
        nearest one that is free.
        """
        points = np.asarray(points, dtype=float)
        width = int(np.where(self.is_float, 1, self.counts).sum())
        if points.ndim != 2 or points.shape[1] not in (self.num_columns, width):
            raise ValueError(
                f"Points must have shape (n, {self.num_columns}), or (n, {width}) when "
                f"one-hot, got {points.shape}."
            )
        if np.isnan(points).any():
            raise ValueError("Points to decode must not be NaN.")
        if points.shape[1] == self.num_columns:
            genotypes = np.clip(points, 0.0, 1.0) * self._scale
            genotypes[:, self._discrete] = np.minimum(
                np.floor(genotypes[:, self._discrete]), self.counts[self._discrete] - 1
            )
            for decision in self._unscaled:
                column = decision.column
                positions = points[:, column].clip(0.0, 1.0).tolist()
                genotypes[:, column] = [decision.gene_at(u) for u in positions]
        else:
            genotypes, at = np.empty((len(points), self.num_columns)), 0
            for column, count in enumerate(self.counts):
                part = points[:, at : at + max(int(count), 1)]
                genotypes[:, column] = part.argmax(axis=1) if count else part[:, 0]
                at += max(int(count), 1)
            genotypes[:, self.is_float] = genotypes[:, self.is_float].clip(0.0, 1.0)
            genotypes[:, self.is_float & ~self.can_change] = 0.0
        for group in self.groups:
            for row in genotypes:
                picks = row[group.column : group.column + group.slots]
                if group.distinct:
                    _separate(picks, group.count)
                if group.sorted:
                    picks.sort()
        return self.activate(genotypes)

    # --- validation -----------------------------------------------------------------

    def check(self, genotype: Any) -> Genotypes:
        """The genotype (d,) as an array, with what is inactive set to -1.

        Raises:
          ValueError: it has another length, or a value that its decision cannot have.
        """
        row = np.array(genotype, dtype=float) + 0.0  # There is no -0.
        if row.shape != (self.num_columns,):
            raise ValueError(
                f"A genotype of this space has {self.num_columns} numbers, got shape "
                f"{row.shape}: {genotype!r}."
            )
        genes = row.tolist()
        for column, gene in enumerate(genes):
            decision = self.owner[column]
            if gene == INACTIVE:
                continue
            if decision.kind == "float":
                valid, rule = 0.0 <= gene <= 1.0, "a number from 0 to 1"
                if valid and not decision.can_change:
                    row[column] = genes[column] = 0.0
            else:
                valid = gene.is_integer() and 0 <= gene < decision.count
                rule = f"a whole number from 0 to {decision.count - 1}"
            if not valid:
                raise ValueError(
                    f"Column {column} of a genotype (`{decision.label}`) must be {rule}, "
                    f"got {gene}."
                )
        for group in self.groups:
            picks = genes[group.column : group.column + group.slots]
            if INACTIVE in picks:
                if len(set(picks)) > 1:
                    raise ValueError(
                        f"The choices of `{group.label}` are active together or not at "
                        f"all, got {picks}."
                    )
                continue
            if group.distinct and len(set(picks)) < len(picks):
                raise ValueError(
                    f"`{group.label}` needs distinct choices, got {picks}."
                )
            if group.sorted and picks != sorted(picks):
                raise ValueError(f"`{group.label}` needs sorted choices, got {picks}.")
        filled = [0.0 if gene < 0 else gene for gene in genes]
        if self.traced:
            return row
        live = self.activate_row(filled)
        for column, gene in enumerate(genes):
            if gene < 0 and live[column] >= 0:
                raise ValueError(
                    f"Column {column} of a genotype (`{self.owner[column].label}`) is "
                    f"active here and needs a value, got {gene}."
                )
        return np.array(live)


def _separate(picks: NDArray[np.float64], count: int) -> None:
    """Moves equal picks to the nearest candidate that is free, in place."""
    used: set[float] = set()
    for slot, pick in enumerate(picks.tolist()):
        if pick in used:
            free = [float(v) for v in range(count) if float(v) not in used]
            pick = min(free, key=lambda v: (abs(v - pick), v))
            picks[slot] = pick
        used.add(pick)

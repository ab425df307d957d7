"""Algorithms that compare examples after a part of their training.

They propose an example together with a *budget*, the step at which its evaluation is to
end. What does well goes on: it is proposed again with a larger budget. A *rung* holds the
results at one budget, a *bracket* is a ladder of rungs.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from symnas.by_number import ByNumber
from symnas.genotype import Genotypes


@dataclasses.dataclass(eq=False)
class Entry:
    """A proposal on a rung; `point` is what an algorithm decoded its genotype from."""

    rung: Rung
    genotype: Genotypes
    promoted: bool = False
    point: Any = None


class Rung:
    """The proposals at one budget.

    Attributes:
      size: how many belong here; None for any number.
      num_proposed: how many of them were proposed.
      num_ended: how many of those have a result or have failed.
      ranked: those with a result, best first, the earliest of equal ones.
    """

    def __init__(self, budget: int, size: int | None = None) -> None:
        self.budget = budget
        self.size = size
        self.num_proposed = 0
        self.num_ended = 0
        self.num_promoted = 0
        self.ranked: list[Entry] = []
        self._keys: list[tuple[float, int]] = []

    @property
    def full(self) -> bool:
        return self.size is not None and self.num_proposed >= self.size

    @property
    def complete(self) -> bool:
        return self.full and self.num_ended == self.num_proposed

    def enter(self, entry: Entry, reward: float, number: int) -> None:
        key = (-reward, number)
        at = bisect.bisect(self._keys, key)
        self._keys.insert(at, key)
        self.ranked.insert(at, entry)

    def to_promote(self, n: int) -> Entry | None:
        """The best entry of the best `n` that is not promoted, if fewer than `n` are."""
        if self.num_promoted >= n:
            return None
        return next((e for e in self.ranked[:n] if not e.promoted), None)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the next proposal belongs, and what is promoted there; None if it is new."""

    rung: Rung
    promoted: Entry | None = None


class MultiFidelity(ByNumber):
    """The part that such algorithms share: which proposal stands on which rung.

    Subclasses say where the next proposal belongs (`_place`), and what a new one is
    (`_new`). The reward that is told is the one at the budget.
    """

    def _setup(self) -> None:
        super()._setup()
        self._running: dict[int, Entry] = {}  # By number.

    def _place(self) -> Place:
        """Where the next proposal belongs: a function of all that happened so far."""
        raise NotImplementedError

    def _new(self, rng: np.random.Generator) -> Genotypes:
        """A genotype (1, d) to begin with."""
        return self.space.random(rng, 1)

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        place = self._place()
        self.budget = place.rung.budget
        if place.promoted is not None:
            return place.promoted.genotype[None]
        return self._new(rng)

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        place = self._place()
        number = super().proposed(genotype, budget)
        place.rung.num_proposed += 1
        if place.promoted is not None:
            place.promoted.promoted = True
            place.promoted.rung.num_promoted += 1
        self._running[number] = Entry(place.rung, genotype)
        return number

    def told(self, number: int, rewards: Sequence[float]) -> None:
        if number in self._running:
            entry = self._running.pop(number)
            entry.rung.num_ended += 1
            entry.rung.enter(entry, rewards[0], number)
        super().told(number, rewards)

    def dropped(self, number: int) -> None:
        if number in self._running:
            self._running.pop(number).rung.num_ended += 1
        super().dropped(number)


class Bracketed(MultiFidelity):
    """The part that algorithms share which run bracket after bracket.

    Results of the earliest bracket that can go on are wanted first; when all wait for a
    result the next bracket begins.
    """

    def _setup(self) -> None:
        super()._setup()
        self._num_brackets = 0
        self._brackets: dict[int, list[Rung]] = {}  # By number, those not finished.

    def _bracket(self, number: int) -> list[Rung]:
        """The rungs of a bracket, which count from 0."""
        raise NotImplementedError

    def _place(self) -> Place:
        for number, bracket in list(self._brackets.items()):
            place = place_in(bracket)
            if place is not None:
                return place
            if bracket[-1].full:
                del self._brackets[number]
        bracket = self._bracket(self._num_brackets)
        self._brackets[self._num_brackets] = bracket
        self._num_brackets += 1
        return Place(bracket[0])


def ladder(smallest: int, largest: int, eta: int) -> list[int]:
    """Budgets that end with the largest and shrink by `eta`, rounded down to whole steps.

    Counted in whole numbers: a truncated logarithm loses a rung, as for 243 = 3**5.
    """
    budgets = [largest]
    while largest // eta ** len(budgets) >= smallest:
        budgets.append(largest // eta ** len(budgets))
    return budgets[::-1]


def halving(num_examples: int, budgets: Sequence[int], eta: int) -> list[Rung]:
    """The rungs of a bracket: each keeps the best 1 / `eta` of the one below."""
    return [
        Rung(budget, max(num_examples // eta**i, 1)) for i, budget in enumerate(budgets)
    ]


def place_in(bracket: Sequence[Rung]) -> Place | None:
    """Where a bracket has room now; None while it waits for results, or at its end."""
    for i, rung in enumerate(bracket):
        if rung.full:
            continue
        if i == 0:
            return Place(rung)
        if not bracket[i - 1].complete:
            return None
        promoted = bracket[i - 1].to_promote(rung.size or 0)
        if promoted is not None:
            return Place(rung, promoted)
        rung.size = rung.num_proposed  # Too many below have failed to fill it.
    return None


def check_budgets(min_budget: int, max_budget: int, eta: int) -> None:
    """Raises `ValueError` if budgets are no whole numbers in order."""
    if not 1 <= min_budget <= max_budget:
        raise ValueError(
            "`min_budget` must lie between 1 and `max_budget` "
            f"({max_budget}), got {min_budget}."
        )
    if eta < 2:
        raise ValueError(f"`eta` must be at least 2, got {eta}.")


def check_bracket_size(rule: str) -> None:
    """Raises `ValueError` if there is no such rule."""
    if rule not in ("floor", "ceil"):
        raise ValueError(f"`bracket_size` must be 'floor' or 'ceil', got {rule!r}.")


def hyperband_bracket(
    number: int, budgets: Sequence[int], eta: int, rule: str = "floor"
) -> list[Rung]:
    """A bracket of Hyperband; the first one begins at the smallest budget."""
    num_brackets = len(budgets)  # s_max + 1.
    s = num_brackets - 1 - number % num_brackets
    if rule == "floor":
        size = num_brackets // (s + 1) * eta**s
    else:
        size = -(-num_brackets * eta**s // (s + 1))
    return halving(size, budgets[num_brackets - 1 - s :], eta)

"""The evolution of SWAP-NAS: mutants of a good member compete for a place [1].

[1] Y. Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR
    2024, appendix. https://arxiv.org/abs/2403.04161
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from symnas.by_number import Latent
from symnas.genotype import Genotypes


class _Child(NamedTuple):
    """A proposal (d,), and the member of whom it comes; None for random ones."""

    genotype: Genotypes
    parent: Genotypes | None = None
    parent_reward: float = -math.inf


class _Cycle:
    """What is known of the children of one cycle."""

    def __init__(self, parent: Genotypes | None, reward: float) -> None:
        self.parent, self.parent_reward = parent, reward  # Of the next mutant.
        self.best: Genotypes | None = None  # Of the children.
        self.best_reward = -math.inf
        self.num_over = 0  # Children that have a result, or will have none.


class SwapNAS(Latent):
    """Evolution for evaluations that cost next to nothing, as zero-cost proxies.

    A cycle draws `tournament_size` members. The child of the two best of them is evaluated,
    and `num_mutants` mutants of it, or of the best member where that is better. The best
    child of the cycle enters the population and the worst member leaves, however old it is.

    [1] gives no sizes; these are ours. Its budget is some thousands of evaluations. For
    trainings, which are noisy, prefer `RegularizedEvolution`: here a lucky result stays.

    Args:
      crossover: whether a cycle begins with a child of two members.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(6)]
    >>> sn.search(space, sum, "swap_nas", 300, seed=0, progress=False).best.reward
    24.0
    """

    population_size: int = 50
    tournament_size: int = 10
    num_mutants: int = 5
    crossover: bool = True

    def _check(self) -> None:
        if not 1 <= self.tournament_size <= self.population_size:
            raise ValueError(
                "`tournament_size` must lie between 1 and `population_size` "
                f"({self.population_size}), got {self.tournament_size}."
            )
        if self.num_mutants < 1:
            raise ValueError(
                f"`num_mutants` must be at least 1, got {self.num_mutants}."
            )

    def _setup(self) -> None:
        super()._setup()
        self._members = np.empty((0, self.space.num_columns))
        self._fitness = np.empty(0)
        self._cycles: dict[int, _Cycle] = {}  # Those that are not over.
        self._num_children = self.num_mutants + self.crossover  # Of a cycle.

    def _place(self, number: int) -> tuple[int, int]:
        """The cycle of a proposal, below 0 for the first ones, and its position there."""
        return divmod(number - self.population_size, self._num_children)

    def _point(self, number: int, rng: np.random.Generator) -> _Child:
        cycle, position = self._place(number)
        if cycle < 0 or not len(self._members):
            return _Child(self.space.random(rng)[0])
        begun = self._cycles.get(cycle)
        if begun is not None and begun.parent is not None:
            parent = begun.parent
            return _Child(self.space.mutate(parent[None], rng)[0], parent)
        draws = rng.random(self.tournament_size) * len(self._members)
        rivals = np.unique(draws.astype(np.int64))
        best = rivals[np.argsort(-self._fitness[rivals], kind="stable")][:2]
        parents, reward = self._members[best], float(self._fitness[best[0]])
        child = parents[:1]
        if position == 0 and self.crossover and len(parents) == 2:
            child = self.space.crossover(child, parents[1:], rng)
        if position > 0 or not self.crossover or self.attempt or len(parents) < 2:
            child = self.space.mutate(child, rng)
        return _Child(child[0], parents[0], reward)

    def _genotype(self, point: _Child) -> Genotypes:
        return point.genotype

    def _point_at(self, genotype: Genotypes) -> _Child:
        return _Child(genotype)

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        number = super().proposed(genotype, budget)
        cycle, _ = self._place(number)
        if cycle >= 0 and cycle not in self._cycles:
            point = self._points[number]
            self._cycles[cycle] = _Cycle(point.parent, point.parent_reward)
        return number

    def _learn(self, number: int, point: _Child, reward: float) -> None:
        index, position = self._place(number)
        if index < 0:
            self._enter(point.genotype, reward)
            return
        cycle = self._cycles[index]
        if reward > cycle.best_reward:
            cycle.best, cycle.best_reward = point.genotype, reward
        if position == 0 and self.crossover and reward > cycle.parent_reward:
            cycle.parent, cycle.parent_reward = point.genotype, reward
        self._end_child(index)

    def _lose(self, number: int, point: _Child) -> None:
        index, _ = self._place(number)
        if index >= 0:
            self._end_child(index)

    def _end_child(self, index: int) -> None:
        cycle = self._cycles[index]
        cycle.num_over += 1
        if cycle.num_over == self._num_children:
            del self._cycles[index]
            if cycle.best is not None:
                self._enter(cycle.best, cycle.best_reward)

    def _tell_foreign(self, genotype: Genotypes, reward: float) -> None:
        super()._tell_foreign(genotype, reward)
        self._enter(genotype, reward)

    def _enter(self, genotype: Genotypes, reward: float) -> None:
        """Adds a member; the worst leaves if there are too many."""
        self._members = np.vstack([self._members, genotype])
        self._fitness = np.append(self._fitness, reward)
        if len(self._members) > self.population_size:
            worst = int(self._fitness.argmin())  # The oldest of equal ones.
            self._members = np.delete(self._members, worst, axis=0)
            self._fitness = np.delete(self._fitness, worst)

"""NSGA-II: evolution towards the Pareto front [1].

[1] K. Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
    IEEE Transactions on Evolutionary Computation 2002. https://doi.org/10.1109/4235.996017
[2] K. Deb and R. B. Agrawal, "Simulated Binary Crossover for Continuous Search Space",
    Complex Systems 1995.
[3] J. Blank and K. Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access
    2020. https://arxiv.org/abs/2002.04504
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from symnas import pareto
from symnas.algorithm import Algorithm
from symnas.genotype import Genotypes

Array = NDArray[np.float64]

_CROSSOVER_ETA = 15.0  # How close children stay to their parents; as in [3].
_MUTATION_ETA = 20.0


class NSGA2(Algorithm):
    """Keeps the fronts that nothing dominates, and spreads along them.

    The standard for two or three objectives. After `population_size` random examples,
    parents win tournaments of two by their front and then by how far their neighbours on
    it are. A child takes each decision from one of two parents, and then draws each of
    its D decisions anew with probability 1 / D. Ints and floats are blended by simulated
    binary crossover [2] and moved by polynomial mutation, on their scale. After as many
    results as there are members, the best of both form the next population. With one
    objective it is a genetic algorithm that keeps the best.

    Settings are those of pymoo [3]. A child that is a duplicate is bred again with more
    mutation. Nobody waits for a straggler: what comes late competes in the next
    selection. Budgets of a few hundred examples need a smaller population, as
    `NSGA2.nas_bench_201()` has.

    Args:
      crossover_probability: that a child has two parents, and not one.

    Example:

    >>> import symnas as sn
    >>> space = {"width": sn.oneof([8, 16, 32, 64]), "depth": sn.intv(1, 8)}
    >>> def evaluate(x):
    ...     size = x["width"] * x["depth"]
    ...     return {"accuracy": 1 - 1 / size, "size": size}
    >>> result = sn.search(
    ...     space, evaluate, sn.algorithms.NSGA2(population_size=8), 30, seed=0,
    ...     objectives=["accuracy", "-size"], progress=False,
    ... )
    >>> len(result.pareto_front()) > 5
    True
    """

    population_size: int = 100
    crossover_probability: float = 0.9

    supports_multi_objective = True

    @classmethod
    def nas_bench_201(cls) -> NSGA2:
        """20 members, for about 500 examples."""
        return cls(population_size=20)

    def _check(self) -> None:
        if self.population_size < 2:
            raise ValueError(
                f"`population_size` must be at least 2, got {self.population_size}."
            )
        if not 0 <= self.crossover_probability <= 1:
            raise ValueError(
                "`crossover_probability` must lie between 0 and 1, got "
                f"{self.crossover_probability}."
            )

    def _setup(self) -> None:
        self._slots = [decision.slots for decision in self.space.decisions]
        self._kinds = np.array([decision.kind for decision in self.space.decisions])
        width = self.history.genotypes.shape[1]
        self._population = np.empty((0, width))  # The best first.
        self._rewards = np.empty((0, self.history._rewards.shape[1]))
        self._num_seen = 0  # Results that took part in a selection.

    def _tell(self, genotypes: Genotypes, rewards: Array) -> None:
        while len(self.history) - self._num_seen >= self.population_size:
            self._select(self._num_seen + self.population_size)

    def _select(self, last: int) -> None:
        """The best of the population and of what was told after it, up to `last`."""
        told = self.history.rewards.reshape(len(self.history), -1)
        new = slice(self._num_seen, last)
        genotypes = np.vstack([self._population, self.history.genotypes[new]])
        rewards = np.vstack([self._rewards, told[new]])
        best = _best_first(rewards)[: self.population_size]
        self._population, self._rewards = genotypes[best], rewards[best]
        self._num_seen = last

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        parents, known, size = self._population, len(self.history), self.population_size
        if not known or (self.num_proposals < size and known < size):
            return self.space.random(rng, n)
        if not len(parents):  # Some of the first results are still to come.
            told = self.history.rewards.reshape(len(self.history), -1)
            parents = self.history.genotypes[_best_first(told)]
        # The better of two comes earlier.
        rivals = (rng.random((2, n, 2)) * len(parents)).astype(np.int64)
        first, second = parents[rivals.min(axis=2)]
        crossed = rng.random((n, 1)) < self.crossover_probability
        second = np.where(crossed, second, first)
        children = self.space.crossover(first, second, rng)
        children = self._move_numbers(first, second, children, rng)
        drawn = self._mutates(rng, n) & (self._kinds == "choice")
        return self.space.layout.redraw(children, drawn, rng)

    def _mutates(self, rng: np.random.Generator, n: int) -> NDArray[np.bool_]:
        """Which decisions (n, D) change."""
        shape = (n, len(self._slots))
        return rng.random(shape) * shape[1] < 1 + self.attempt

    def _move_numbers(
        self,
        first: Genotypes,
        second: Genotypes,
        children: Genotypes,
        rng: np.random.Generator,
    ) -> Genotypes:
        """Blends the ints and floats of two parents (n, d), and moves some of them."""
        is_number = np.repeat(self._kinds != "choice", self._slots)
        if not is_number.any():
            return children
        encode = self.space.encode
        places, one, two = encode(children), encode(first), encode(second)
        n, d = places.shape
        blended = (first >= 0) & (second >= 0) & (rng.random((n, d)) < 0.5)
        middle, half = (one + two) / 2, np.abs(one - two) / 2
        side = np.where(rng.random((n, d)) < 0.5, -1.0, 1.0)
        factor = _spread(rng.random((n, d)), _CROSSOVER_ETA)
        places = np.where(blended, middle + side * factor * half, places)
        moved = np.repeat(self._mutates(rng, n), self._slots, axis=1)
        places = np.where(moved, _polynomial(places, rng.random((n, d))), places)
        numbers = self.space.decode(places.clip(0.0, 1.0))
        return np.where(is_number & (children >= 0), numbers, children)


def _best_first(rewards: Array) -> NDArray[np.int64]:
    """The order (n,) of rewards (n, m): by front, and by crowding within it."""
    ranks = pareto.non_dominated_ranks(rewards)
    crowding = np.empty(len(rewards))
    for rank in range(int(ranks.max()) + 1):
        front = ranks == rank
        crowding[front] = pareto.crowding_distances(rewards[front])
    return np.lexsort((-crowding, ranks))


def _spread(draws: Array, eta: float) -> Array:
    """How much further apart than their parents children are, equation (6) of [2]."""
    near = (2 * draws) ** (1 / (eta + 1))
    return np.where(draws < 0.5, near, (2 - 2 * draws) ** (-1 / (eta + 1)))


def _polynomial(places: Array, draws: Array) -> Array:
    """Places in [0, 1] after polynomial mutation, which keeps them there ([1], [3])."""
    power = _MUTATION_ETA + 1
    below = 2 * draws + (1 - 2 * draws) * (1 - places) ** power
    above = 2 - 2 * draws + (2 * draws - 1) * places.clip(0.0) ** power
    down, up = np.abs(below) ** (1 / power) - 1, 1 - np.abs(above) ** (1 / power)
    return places + np.where(draws < 0.5, down, up)

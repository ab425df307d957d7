"""DEHB: Hyperband whose examples evolve, one population for each budget [1].

[1] N. Awad, N. Mallik, F. Hutter, "DEHB: Evolutionary Hyperband for Scalable, Robust and
    Efficient Hyperparameter Optimization", IJCAI 2021. https://arxiv.org/abs/2105.09821
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from symnas.algorithms.differential_evolution import (
    STRATEGIES,
    Array,
    check_factors,
    crossed,
    mutated,
    repaired,
)
from symnas.by_number import Latent
from symnas.genotype import Genotypes
from symnas.multi_fidelity import (
    Bracketed,
    Rung,
    check_bracket_size,
    check_budgets,
    hyperband_bracket,
    ladder,
)

_STRATEGY = STRATEGIES["rand1"]


class _Trial(NamedTuple):
    """A vector (d,), and the member with which it competes in the population of a budget."""

    vector: Array
    budget: int
    target: int


class _Population:
    """Vectors (n, d) and their rewards (n,), minus infinity before the first."""

    def __init__(self, size: int, num_columns: int) -> None:
        self.vectors = np.full((size, num_columns), 0.5)
        self.fitness = np.full(size, -math.inf)
        self.num_proposed = 0

    @property
    def target(self) -> int:
        """The member with which the next proposal competes: one after the other."""
        return self.num_proposed % len(self.vectors)

    def best(self, n: int) -> Array:
        """The best vectors, at most `n`, of those that have a reward."""
        order = np.argsort(-self.fitness, kind="stable")[:n]
        return self.vectors[order[self.fitness[order] > -math.inf]]

    def enter(self, vector: Array, target: int, reward: float) -> None:
        if reward >= self.fitness[target]:
            self.vectors[target], self.fitness[target] = vector, reward


class DEHB(Bracketed, Latent):
    """Differential evolution within the brackets of `Hyperband`, as in [1].

    The first round of brackets is Hyperband's: random examples, the best of which go on.
    In later rounds the population of each budget evolves instead. Above the first rung of a
    bracket, mutants are made of the best members at the next smaller budget, as many as
    would have gone on, and compete with the members at their own. For evaluations that
    report as they go; see `SuccessiveHalving`.

    Args:
      min_budget: the smallest number of steps of an evaluation.
      max_budget: the largest.
      eta: the ratio of a budget to the next smaller one.
      bracket_size: 'floor' or 'ceil'; see `Hyperband`.
      mutation_factor: F of differential evolution.
      crossover_probability: Cr of differential evolution.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     for step in range(1, 10):
    ...         yield -((example["x"] - 0.3) ** 2) - 0.1 / step
    >>> dehb = sn.algorithms.DEHB(max_budget=9)
    >>> space = {"x": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, evaluate, dehb, 100, seed=0, progress=False)
    >>> abs(result.best.decisions["x"] - 0.3) < 0.01
    True
    """

    min_budget: int = 1
    max_budget: int = 81
    eta: int = 3
    bracket_size: str = "floor"
    mutation_factor: float = 0.5
    crossover_probability: float = 0.5

    def _check(self) -> None:
        check_budgets(self.min_budget, self.max_budget, self.eta)
        check_bracket_size(self.bracket_size)
        check_factors(self.mutation_factor, self.crossover_probability)

    def _setup(self) -> None:
        super()._setup()
        budgets = ladder(self.min_budget, self.max_budget, self.eta)
        self._budgets = budgets
        sizes = dict.fromkeys(budgets, 0)
        for number in range(len(budgets)):
            for rung in self._bracket(number):
                sizes[rung.budget] = max(sizes[rung.budget], rung.size or 0)
        self._populations = {
            budget: _Population(size, self.space.num_columns)
            for budget, size in sizes.items()
        }

    def _bracket(self, number: int) -> list[Rung]:
        return hyperband_bracket(number, self._budgets, self.eta, self.bracket_size)

    # --- proposals ----------------------------------------------------------------------

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        self.budget = self._place().rung.budget
        return Latent._ask(self, n, rng)

    def _point(self, number: int, rng: np.random.Generator) -> _Trial:
        place = self._place()
        budget, rung = place.rung.budget, place.rung
        population = self._populations[budget]
        target = population.target
        first_round = self._number_of(rung) < len(self._budgets)
        if first_round and place.promoted is not None:
            return _Trial(place.promoted.point.vector, budget, target)
        if first_round:
            return _Trial(rng.random(self.space.num_columns), budget, target)
        if place.promoted is not None:
            below = self._populations[place.promoted.rung.budget]
            parents = below.best(rung.size or 0)
        else:
            others = np.arange(len(population.vectors)) != target
            parents = population.vectors[others & (population.fitness > -math.inf)]
        vector = self._evolved(population.vectors[target], parents, rng)
        return _Trial(vector, budget, target)

    def _number_of(self, rung: Rung) -> int:
        """Which bracket a rung belongs to."""
        return next(i for i, rungs in self._brackets.items() if rung in rungs)

    def _evolved(
        self, current: Array, parents: Array, rng: np.random.Generator
    ) -> Array:
        needed = _STRATEGY.num_drawn
        drawn = rng.permutation(parents)[:needed]
        if len(drawn) < needed:  # Others of any budget, or random ones.
            everyone = [p.best(len(p.vectors)) for p in self._populations.values()]
            spare = rng.random((needed, len(current)))
            others = rng.permutation(np.vstack(everyone))
            drawn = np.vstack([drawn, others, spare])[:needed]
        # The strategy has no use for the best.
        mutant = mutated(_STRATEGY, self.mutation_factor, drawn, current, current)
        taken = crossed(len(current), self.crossover_probability, "bin", rng)
        vector = np.where(taken, mutant, current)
        return repaired(vector, "random", self.attempt, rng)

    def _genotype(self, point: _Trial) -> Genotypes:
        return self.space.decode(point.vector[None])[0]

    def _point_at(self, genotype: Genotypes) -> _Trial:
        budget = self._place().rung.budget
        target = self._populations[budget].target
        return _Trial(self.space.encode(genotype)[0], budget, target)

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        number = super().proposed(genotype, budget)
        point = self._points[number]
        self._running[number].point = point
        self._populations[point.budget].num_proposed += 1
        return number

    # --- results ------------------------------------------------------------------------

    def _learn(self, number: int, point: _Trial, reward: float) -> None:
        self._populations[point.budget].enter(point.vector, point.target, reward)

    def _tell_foreign(self, genotype: Genotypes, reward: float) -> None:
        super()._tell_foreign(genotype, reward)
        population = self._populations[self.max_budget]
        worst = int(population.fitness.argmin())
        population.enter(self.space.encode(genotype)[0], worst, reward)

"""Differential evolution on the continuous form of any space [1, 2].

[1] R. Storn and K. Price, "Differential Evolution - A Simple and Efficient Heuristic for
    Global Optimization over Continuous Spaces", Journal of Global Optimization 1997.
    https://doi.org/10.1023/A:1008202821328
[2] N. Awad, N. Mallik, F. Hutter, "Differential Evolution for Neural Architecture
    Search", ICLR 2020 workshop on NAS. https://arxiv.org/abs/2012.06400
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from symnas.by_number import Latent
from symnas.genotype import Genotypes

Array = NDArray[np.float64]

_REDRAWN = 0.02  # Of the coordinates, more with each attempt to find something new.


class Strategy(NamedTuple):
    """A mutant is a base plus F times a sum of differences.

    Letters name vectors: b the best, c the current one, digits those drawn at random. A
    difference of three is the one of 'rand2dir', which counts half.
    """

    base: str
    differences: tuple[str, ...]

    @property
    def num_drawn(self) -> int:
        return len({c for c in self.base + "".join(self.differences) if c.isdigit()})


STRATEGIES = {
    "rand1": Strategy("1", ("23",)),
    "rand2": Strategy("1", ("23", "45")),
    "best1": Strategy("b", ("12",)),
    "best2": Strategy("b", ("12", "34")),
    "currenttobest1": Strategy("c", ("bc", "12")),
    "randtobest1": Strategy("1", ("b1", "23")),
    "rand2dir": Strategy("1", ("123",)),
}
CROSSOVERS = ("bin", "exp")
REPLACEMENTS = ("deferred", "immediate", "random", "worst")
REPAIRS = ("random", "clip")
INTEGERS = ("round", "bins")


def mutated(
    strategy: Strategy, factor: float, drawn: Array, current: Array, best: Array
) -> Array:
    """The mutant (d,) of drawn vectors (k, d), the current one and the best one (d,).

    >>> mutated(STRATEGIES["rand1"], 0.5, np.array([[1.0], [0.4], [0.2]]), *np.eye(2, 1))
    array([1.1])
    """
    named = {str(i): vector for i, vector in enumerate(drawn, start=1)}
    named |= {"b": best, "c": current}
    mutant = named[strategy.base].copy()
    for difference in strategy.differences:
        first, *rest = (named[name] for name in difference)
        mutant += factor / len(rest) * (first - sum(rest))
    return mutant


def crossed(
    d: int, probability: float, crossover: str, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which of `d` coordinates come from the mutant, at least one.

    >>> crossed(3, 0.0, "bin", np.random.default_rng(0))
    array([False, False,  True])
    """
    start = int(rng.integers(d))
    taken = rng.random(d) < probability
    taken[start] = True
    if crossover == "exp":  # As far as the first that is not taken.
        taken = np.roll(np.logical_and.accumulate(np.roll(taken, -start)), start)
    return taken


def repaired(
    vector: Array, repair: str, attempt: int, rng: np.random.Generator
) -> Array:
    """A vector (d,) brought back into the unit cube.

    A further attempt at a proposal that was known draws some coordinates anew.

    >>> repaired(np.array([1.5, 0.3]), "clip", 0, np.random.default_rng(0))
    array([1. , 0.3])
    """
    fresh = rng.random(len(vector))
    if repair == "random":
        vector = np.where((vector < 0) | (vector > 1), fresh, vector)
    if attempt:
        anew = rng.random(len(vector)) < _REDRAWN * attempt
        vector = np.where(anew, fresh, vector)
    return vector.clip(0.0, 1.0)


def check_factors(mutation_factor: float, crossover_probability: float) -> None:
    """Raises `ValueError` if F or Cr cannot be used."""
    if not 0 < mutation_factor <= 2:
        raise ValueError(
            f"`mutation_factor` must be above 0 and at most 2, got {mutation_factor}."
        )
    if not 0 <= crossover_probability <= 1:
        raise ValueError(
            "`crossover_probability` must lie between 0 and 1, got "
            f"{crossover_probability}."
        )


class _Trial(NamedTuple):
    """A vector (d,), and the member of the population that it competes with."""

    vector: Array
    target: int


class DifferentialEvolution(Latent):
    """A population in the unit cube that moves along its own differences, as in [2].

    Each decision is a coordinate; a vector is decoded for its evaluation, and stays as it
    is in the population. Candidates of a choice are equal bins, in the order in which they
    are listed. What is not active is ignored, and kept in the vector. A trial replaces its
    target if its reward is not smaller: ties keep vectors moving where many decode to the
    same example. Robust from a few hundred examples on; with 100 it is no better than
    regularized evolution.

    Args:
      population_size: NP in [1].
      mutation_factor: F, the step along a difference.
      crossover_probability: Cr, for each coordinate to come from the mutant.
      strategy: how a mutant is made: 'rand1', 'rand2', 'best1', 'best2',
        'currenttobest1', 'randtobest1' or 'rand2dir'.
      crossover: 'bin' takes each coordinate by itself, 'exp' a run of them.
      replacement: 'deferred' builds a whole generation from the last one; the others
        replace at once: 'immediate' the target, 'random' any member, 'worst' the worst.
      repair: 'random' redraws coordinates that have left the cube, 'clip' moves them to
        its side.
      integers: 'round' as in [2], by which the first and last value are half as likely
        as others; 'bins' of equal size.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(-2.0, 2.0), "n": sn.intv(1, 9)}
    >>> def evaluate(x):
    ...     return -((x["x"] - 1) ** 2) - (x["n"] - 4) ** 2
    >>> result = sn.search(
    ...     space, evaluate, "differential_evolution", 400, seed=0, progress=False
    ... )
    >>> result.best.reward > -1e-4
    True
    """

    population_size: int = 20
    mutation_factor: float = 0.5
    crossover_probability: float = 0.5
    strategy: str = "rand1"
    crossover: str = "bin"
    replacement: str = "deferred"
    repair: str = "random"
    integers: str = "round"

    def _check(self) -> None:
        for name, known in (
            ("strategy", tuple(STRATEGIES)),
            ("crossover", CROSSOVERS),
            ("replacement", REPLACEMENTS),
            ("repair", REPAIRS),
            ("integers", INTEGERS),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"`{name}` must be one of {known}, got {value!r}.")
        needed = STRATEGIES[self.strategy].num_drawn + 1
        if self.population_size < needed:
            raise ValueError(
                f"`population_size` must be at least {needed} for the strategy "
                f"'{self.strategy}', got {self.population_size}."
            )
        check_factors(self.mutation_factor, self.crossover_probability)

    def _setup(self) -> None:
        super()._setup()
        size, layout = self.population_size, self.space.layout
        # Vectors (NP, d) and their rewards (NP,), and what they are replaced by.
        self._vectors = np.full((size, layout.num_columns), 0.5)
        self._fitness = np.full(size, -math.inf)
        self._next_vectors = self._vectors.copy()
        self._next_fitness = self._fitness.copy()
        self._num_over = 0  # Proposals that were told or dropped.
        self._rounded = (
            np.array(
                [
                    d.kind == "int" and d.scale == "linear" and self.integers == "round"
                    for d in layout.owner
                ]
            ),
            layout.counts,
        )

    # --- proposals ----------------------------------------------------------------------

    def _point(self, number: int, rng: np.random.Generator) -> _Trial:
        size = self.population_size
        target = number % size
        if number < size:
            return _Trial(rng.random(self.space.num_columns), target)
        strategy = STRATEGIES[self.strategy]
        others = rng.permutation(size - 1)[: strategy.num_drawn]
        others += others >= target
        current, best = self._vectors[target], self._vectors[self._fitness.argmax()]
        drawn = self._vectors[others]
        mutant = mutated(strategy, self.mutation_factor, drawn, current, best)
        taken = crossed(len(current), self.crossover_probability, self.crossover, rng)
        vector = np.where(taken, mutant, current)
        vector = repaired(vector, self.repair, self.attempt, rng)
        if self.replacement == "random":
            target = int(rng.integers(size))
        return _Trial(vector, target)

    def _genotype(self, point: _Trial) -> Genotypes:
        return self._decode(point.vector[None])[0]

    def _point_at(self, genotype: Genotypes) -> _Trial:
        vector = self.space.encode(genotype)[0]
        return _Trial(vector, self.num_proposals % self.population_size)

    def _decode(self, vectors: Array) -> Genotypes:
        """The genotypes (n, d) of vectors (n, d)."""
        rounded, counts = self._rounded
        if rounded.any():
            genes = np.floor(vectors * (counts - 1) + 0.5)
            vectors = np.where(rounded, (genes + 0.5) / np.maximum(counts, 1), vectors)
        return self.space.decode(vectors)

    # --- results ------------------------------------------------------------------------

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        number = super().proposed(genotype, budget)
        if number < self.population_size:
            vector = self._points[number].vector
            self._vectors[number] = self._next_vectors[number] = vector
        return number

    def _learn(self, number: int, point: _Trial, reward: float) -> None:
        self._enter(point, reward)
        self._count()

    def _lose(self, number: int, point: _Trial) -> None:
        self._count()

    def _tell_foreign(self, genotype: Genotypes, reward: float) -> None:
        super()._tell_foreign(genotype, reward)
        worst = int(self._next_fitness.argmin())
        self._enter(_Trial(self.space.encode(genotype)[0], worst), reward)

    def _enter(self, trial: _Trial, reward: float) -> None:
        target = trial.target
        if self.replacement == "worst":
            target = int(self._next_fitness.argmin())
        if reward >= self._next_fitness[target]:
            self._next_vectors[target] = trial.vector
            self._next_fitness[target] = reward
        if self.replacement != "deferred":
            self._advance()

    def _count(self) -> None:
        """Notes that a proposal is over; with the last one of a generation it advances."""
        self._num_over += 1
        if self._num_over % self.population_size == 0:
            self._advance()

    def _advance(self) -> None:
        self._vectors = self._next_vectors.copy()
        self._fitness = self._next_fitness.copy()

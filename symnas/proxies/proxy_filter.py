"""A proxy beside an algorithm: it chooses what is worth an evaluation [1].

[1] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 5.
    https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symnas.algorithm import Algorithm
from symnas.algorithm_text import algorithm_from_text
from symnas.by_number import ByNumber
from symnas.genotype import Genotypes
from symnas.proxies.aggregation import RankSum
from symnas.proxies.proxy import Undefined
from symnas.seeding import generators_restored, seed_generators

Scorer = Callable[[Any], float]


class _Guided(ByNumber):
    """An algorithm that another one proposes for, after a look at the proxy."""

    base_algorithm: Any
    proxy: Any
    pool: int

    def _check(self) -> None:
        if not isinstance(self.base_algorithm, (str, Algorithm)):
            raise TypeError(
                "`base_algorithm` must be an algorithm or its name, got "
                f"{self.base_algorithm!r}."
            )
        scorers = self._scorers()
        if not scorers or not all(callable(scorer) for scorer in scorers):
            raise TypeError(
                "`proxy` must be a function of an example, or several, as "
                f"`SWAP().on(images)`; got {self.proxy!r}."
            )
        if self.pool < 1:
            raise ValueError(f"`pool` must be at least 1, got {self.pool}.")
        made = self._made()
        self.supports_multi_objective = made.supports_multi_objective
        self.ends = made.ends

    def _scorers(self) -> list[Scorer]:
        several = isinstance(self.proxy, Sequence)
        return list(self.proxy) if several else [self.proxy]

    def _made(self) -> Algorithm:
        base = self.base_algorithm
        made: Algorithm = (
            algorithm_from_text(base) if isinstance(base, str) else base.clone()
        )
        return made

    def _setup(self) -> None:
        super()._setup()
        self._base = self._made()
        seed = int(self._rng.at(0, 1 << 32).integers(2**31))
        objectives = self.history._rewards.shape[1]
        self._base.setup(self.space, seed, objectives)
        self._scores: dict[bytes, list[float]] = {}
        self._warned = False
        self._ranked: tuple[int, Genotypes] | None = None  # The last pool, by number.

    # --- what the base algorithm learns -------------------------------------------------

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        self._base.proposed(genotype, budget)
        return super().proposed(genotype, budget)

    def told(self, number: int, rewards: Sequence[float]) -> None:
        super().told(number, rewards)
        self._base.told(number, rewards)

    def dropped(self, number: int) -> None:
        super().dropped(number)
        self._base.dropped(number)

    def _tell_foreign(self, genotype: Genotypes, reward: float) -> None:
        super()._tell_foreign(genotype, reward)
        self._base.tell(genotype[None], [reward])

    # --- the pool -----------------------------------------------------------------------

    def _best_first(self, pool: Genotypes) -> Genotypes:
        """The different members of a pool (n, d), the most promising first."""
        _, first = np.unique(pool, axis=0, return_index=True)
        pool = pool[np.sort(first)]
        feasible = [self.space.is_feasible(genotype) for genotype in pool]
        pool = pool[feasible] if any(feasible) else pool
        scores = np.array([self._score(genotype) for genotype in pool])
        order = np.argsort(-RankSum()(scores), kind="stable")
        return pool[order]

    def _score(self, genotype: Genotypes) -> list[float]:
        """What each proxy says, NaN where it has no value."""
        key = genotype.tobytes()
        if key not in self._scores:
            with generators_restored():
                seed_generators(0)  # The same weights whenever it is scored.
                self._scores[key] = self._values(genotype)
        return self._scores[key]

    def _values(self, genotype: Genotypes) -> list[float]:
        """What cannot be built or scored is without a score, and goes last."""
        scorers = self._scorers()
        try:
            example = self.space.build(genotype)
        except Exception:  # If it is proposed all the same, its trial tells why.
            return [math.nan] * len(scorers)
        return [self._value(scorer, example) for scorer in scorers]

    def _value(self, scorer: Scorer, example: Any) -> float:
        try:
            value = float(scorer(example))
        except Undefined:
            return math.nan
        except Exception as error:  # Of a proxy, or of the example's forward pass.
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"The proxy {scorer!r} failed, and examples for which it does count as "
                    f"without a score. {type(error).__name__}: {error}",
                    stacklevel=2,
                )
            return math.nan
        return value if math.isfinite(value) else math.nan


class ProxyFilter(_Guided):
    """Of every `pool` proposals of another algorithm, evaluates the one that scores best.

    Works with any algorithm, which learns of the evaluations as if the proposal had been
    its first. Those of a pool vary as further attempts at a new example do. Scoring has to
    be much cheaper than an evaluation. A proxy that ranks badly where it matters, among the
    best, holds a search back for good: compare on a table first.

    Args:
      base_algorithm: an algorithm, or its name.
      proxy: a function of an example, as `SWAP().on(images)`; of several the logarithms of
        the ranks within the pool are added (`RankSum`).
      pool: how many proposals compete.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(6)]
    >>> guided = sn.proxies.ProxyFilter("random", proxy=lambda x: sum(x[:5]), pool=20)
    >>> sn.search(space, sum, guided, 20, seed=0, progress=False).best.reward > 20
    True
    """

    base_algorithm: Any
    proxy: Any
    pool: int = 10

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        number = self.num_proposals
        if self._ranked is None or self._ranked[0] != number or self.attempt == 0:
            drawn = [self._base.draw(1, attempt) for attempt in range(self.pool)]
            self._ranked = number, self._best_first(np.vstack(drawn))
            self.budget = self._base.budget
        ranked = self._ranked[1]
        if self.attempt < len(ranked):  # The next best where that one is known.
            return ranked[self.attempt : self.attempt + 1]
        return self._base.draw(1, self.attempt)


class ProxyWarmup(_Guided):
    """Begins with the `num_examples` best of `pool` random examples; then another decides.

    The first examples of evolution and of model-based algorithms are random; this makes
    them good ones [1].

    Args:
      base_algorithm: an algorithm, or its name.
      proxy: see `ProxyFilter`.
      pool: how many random examples are scored.
      num_examples: how many of them are evaluated.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(6)]
    >>> warm = sn.proxies.ProxyWarmup(
    ...     "regularized_evolution(population_size=10, tournament_size=3)",
    ...     proxy=lambda x: sum(x[:5]), pool=500, num_examples=10,
    ... )
    >>> sn.search(space, sum, warm, 10, seed=0, progress=False).best.reward > 20
    True
    """

    base_algorithm: Any
    proxy: Any
    pool: int = 1000
    num_examples: int = 10

    def _check(self) -> None:
        super()._check()
        if not 1 <= self.num_examples <= self.pool:
            raise ValueError(
                f"`num_examples` must lie between 1 and `pool` ({self.pool}), got "
                f"{self.num_examples}."
            )

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        if self.num_proposals >= self.num_examples:
            proposed = self._base.draw(1, self.attempt)
            self.budget = self._base.budget
            return proposed
        if self._ranked is None:
            pool = self.space.random(self._rng.at(0, (1 << 32) + 1), self.pool)
            self._ranked = 0, self._best_first(pool)
        ranked = self._ranked[1]
        place = self.num_proposals + self.attempt
        return (
            ranked[place : place + 1] if place < len(ranked) else self.space.random(rng)
        )

"""Regularized evolution: the oldest member dies, not the worst [1].

[1] E. Real et al., "Regularized Evolution for Image Classifier Architecture
    Search", AAAI 2019. https://arxiv.org/abs/1802.01548
"""

from __future__ import annotations

import numpy as np

from symnas.algorithm import Algorithm
from symnas.genotype import Genotypes


class RegularizedEvolution(Algorithm):
    """Algorithm 1 of [1], with one random mutation per child.

    A robust first choice for discrete spaces, and asynchronous by nature. Members of a
    tournament are drawn with replacement, as in the scripts of NAS-Bench-201. The first
    `population_size` proposals are random; after them children are bred from what is
    known, even if some of the first results are still to come.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(6)]
    >>> evolution = sn.algorithms.RegularizedEvolution.nas_bench_201()
    >>> sn.search(space, sum, evolution, 200, seed=0, progress=False).best.reward
    24.0
    """

    population_size: int = 100  # P in [1].
    tournament_size: int = 25  # S in [1].

    @classmethod
    def nas_bench_201(cls) -> RegularizedEvolution:
        """The setting in the scripts of NAS-Bench-201, for about 100 examples."""
        return cls(population_size=10, tournament_size=3)

    def _check(self) -> None:
        if not 1 <= self.tournament_size <= self.population_size:
            raise ValueError(
                "`tournament_size` must lie between 1 and `population_size` "
                f"({self.population_size}), got {self.tournament_size}."
            )

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        size = self.population_size
        known = len(self.history)
        if not known or (self.num_proposals < size and known < size):
            return self.space.random(rng, n)
        genotypes = self.history.genotypes[-size:]  # Older ones have died.
        rewards = self.history.rewards[-size:]
        draws = rng.random((n, self.tournament_size))
        rivals = (draws * len(rewards)).astype(np.int64)
        if n == 1:  # Indexing with pairs of arrays takes longer than all the rest.
            parent = rivals[0, rewards[rivals[0]].argmax()]
            return self.space.mutate(genotypes[parent : parent + 1], rng)
        parents = rivals[np.arange(n), rewards[rivals].argmax(axis=1)]
        return self.space.mutate(genotypes[parents], rng)

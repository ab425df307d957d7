"""Local search: move to better neighbours until there is none [1].

[1] C. White et al., "Exploring the Loss Landscape in Neural Architecture Search",
    UAI 2021. https://arxiv.org/abs/2005.02960
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from symnas.algorithm import Algorithm
from symnas.genotype import Genotypes

_PATIENCE = 10  # Neighbourhoods of other results before a walk is given up.


class LocalSearch(Algorithm):
    """From the best of some random examples uphill, again and again, as in [1].

    Hard to beat on small spaces with smooth rewards, such as NAS-Bench-201, and there is
    nothing to tune. It fails where neighbourhoods are large, as in the DARTS space [1].

    Neighbours differ in one decision (`SearchSpace.neighbors`: floats move by a tenth of
    their scale, ints to the next value). They are evaluated in random order. What is
    known from an earlier walk costs nothing, so each walk ends at a local optimum; the
    authors' code ignores such neighbours, even better ones. A failed neighbour counts as
    the worst. Workers that ask while the last neighbours are evaluated get random
    examples, and a walk is given up when it waits much too long for one of its own.

    Args:
      num_init: the random examples of which the best starts a walk.
      full_neighborhood: evaluate all neighbours and move to the best, instead of moving
        as soon as one is better.
      restart: begin at new random examples after a local optimum, instead of going on
        from the best example whose neighbours are not all known.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(6)]
    >>> sn.search(space, sum, "local_search", 100, seed=0, progress=False).best.reward
    24.0
    """

    num_init: int = 10
    full_neighborhood: bool = False
    restart: bool = True

    def _check(self) -> None:
        if self.num_init < 1:
            raise ValueError(f"`num_init` must be at least 1, got {self.num_init}.")

    def _setup(self) -> None:
        self._known: dict[bytes, float] = {}  # Rewards by genotype, -inf if it failed.
        self._done: set[bytes] = set()  # Of these all neighbours are known.
        self._cell: Genotypes | None = None  # Where a walk stands, and its reward.
        self._reward = -math.inf
        # The best of the results since then that do not belong to the walk.
        self._other: Genotypes | None = None
        self._other_reward = -math.inf
        self._stand(None, -math.inf)

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        unknown = self._neighbors[np.isnan(self._rewards)]
        unknown = unknown[~_equal(unknown, self.pending).any(axis=1)]
        chosen = unknown[rng.permutation(len(unknown))[:n]]
        if len(chosen) == n:
            return chosen
        return np.vstack([chosen, self.space.random(rng, n - len(chosen))])

    def _tell(self, genotypes: Genotypes, rewards: NDArray[np.float64]) -> None:
        for genotype, reward in zip(genotypes, rewards.tolist(), strict=True):
            self._learn(genotype, reward)

    def dropped(self, number: int) -> None:
        genotype = self._pending.get(number)
        super().dropped(number)
        if genotype is not None:
            self._learn(genotype, -math.inf)

    def _learn(self, genotype: Genotypes, reward: float) -> None:
        self._known[genotype.tobytes()] = reward
        neighbor = _equal(self._neighbors, genotype[None])[:, 0]
        if neighbor.any():
            self._rewards[neighbor] = reward
            self._num_others = 0
        else:
            self._num_others += 1
            if self._other is None or reward > self._other_reward:
                self._other, self._other_reward = genotype.copy(), reward
        if self._num_others >= max(self.num_init, _PATIENCE * len(self._neighbors)):
            self._stand(self._other, self._other_reward)
        self._walk()

    def _stand(self, cell: Genotypes | None, reward: float) -> None:
        """Moves to a cell (d,), or to none until `num_init` others are known."""
        self._cell, self._reward = cell, reward
        self._neighbors = np.empty((0, self.space.num_columns))
        if cell is not None:
            rows = self.space.neighbors(cell)
            self._neighbors = rows[[self.space.is_feasible(row) for row in rows]]
        self._rewards = self._recall(self._neighbors)  # NaN where not known.
        self._num_others = 0
        self._other, self._other_reward = None, -math.inf

    def _walk(self) -> None:
        """Moves as far as what is known allows."""
        while self._cell is not None:
            unknown = bool(np.isnan(self._rewards).any())
            better = self._rewards > self._reward
            if not self.restart:
                better &= [row.tobytes() not in self._done for row in self._neighbors]
            if better.any() and not (unknown and self.full_neighborhood):
                best = np.where(better, self._rewards, -math.inf).argmax()
                self._stand(self._neighbors[best], float(self._rewards[best]))
            elif unknown:
                return
            else:  # A local optimum.
                self._done.add(self._cell.tobytes())
                self._stand(*self._next_start())

    def _next_start(self) -> tuple[Genotypes | None, float]:
        left = () if self.restart else self._known.keys() - self._done
        if not left:
            return None, -math.inf
        best = max(left, key=lambda key: (self._known[key], key))
        return np.frombuffer(best), self._known[best]

    def _recall(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """The rewards (n,) of genotypes (n, d), NaN where not known."""
        if not self.space.layout.traced:
            known = [self._known.get(row.tobytes(), math.nan) for row in genotypes]
            return np.array(known)
        rewards = np.full(len(genotypes), math.nan)
        for key, reward in self._known.items():
            rewards[_equal(genotypes, np.frombuffer(key)[None])[:, 0]] = reward
        return rewards


def _equal(genotypes: Genotypes, told: Genotypes) -> NDArray[np.bool_]:
    """Which genotypes (n, d) make the same examples as others (m, d): (n, m).

    What is not met in a traced space is -1 only after the example was made.
    """
    rows = genotypes[:, None]
    equal: NDArray[np.bool_] = ((rows == told) | (told < 0)).all(axis=2)
    return equal

"""Parts of algorithms that must know to which proposal a result belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symnas.algorithm import REDRAWS, Algorithm
from symnas.genotype import Genotypes


class ByNumber(Algorithm):
    """Every proposal passes `proposed`, and every result of one `told` or `dropped`.

    Whatever asks: the sample loop, a batch, or PyGlove. Results of genotypes that were
    never proposed, as those of an earlier study, pass `_tell_foreign`.
    """

    def _tell_foreign(self, genotype: Genotypes, reward: float) -> None:
        """Takes in a genotype (d,) that was not proposed."""
        super().tell(genotype[None], [reward])

    def ask(self, n: int = 1) -> Genotypes:
        """The next `n` proposals (n, d); `budget` is that of the last one."""
        genotypes = []
        for _ in range(n):
            for genotype in self.draw(1):
                self.proposed(genotype, self.budget)
                genotypes.append(genotype)
        return np.array(genotypes).reshape(len(genotypes), self.space.num_columns)

    def tell(self, genotypes: Genotypes, rewards: Any) -> None:
        genotypes, rewards = self._checked(genotypes, rewards)
        for genotype, reward in zip(genotypes, rewards[:, 0].tolist(), strict=True):
            numbers = (
                number
                for number, pending in self._pending.items()
                if np.array_equal(pending, genotype)
            )
            number = next(numbers, None)
            if number is None:
                self._tell_foreign(genotype, reward)
            else:
                self.told(number, [reward])

    def _propose(self) -> Any:
        dna = super()._propose()
        (genotype,) = self._batches.pop()
        self.proposed(genotype, self.budget)
        self._num_proposals -= 1  # `propose` of the base class counts it again.
        return dna


class Latent(ByNumber):
    """Algorithms whose genotypes are decoded from points of their own, which they keep.

    A study that is taken up again stores genotypes only; the points are then drawn again,
    as they were before.
    """

    def _setup(self) -> None:
        super()._setup()
        self._points: dict[int, Any] = {}  # By number, until the proposal is over.
        # The number and the point of the last draw: what is proposed next, mostly.
        self._drawn: tuple[int, Any] | None = None

    def _point(self, number: int, rng: np.random.Generator) -> Any:
        """The point of a proposal."""
        raise NotImplementedError

    def _genotype(self, point: Any) -> Genotypes:
        """The genotype (d,) of a point."""
        raise NotImplementedError

    def _point_at(self, genotype: Genotypes) -> Any:
        """A point of a genotype (d,) that was not drawn here."""
        raise NotImplementedError

    def _learn(self, number: int, point: Any, reward: float) -> None:
        """Takes in the result of a proposal."""
        raise NotImplementedError

    def _lose(self, number: int, point: Any) -> None:
        """Notes that a proposal will have no result."""

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        points = [self._point(self.num_proposals + i, rng) for i in range(n)]
        self._drawn = self.num_proposals, points[0]
        return np.array([self._genotype(point) for point in points])

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        point = self._point_of(genotype)
        number = super().proposed(genotype, budget)
        self._points[number] = point
        return number

    def _point_of(self, genotype: Genotypes) -> Any:
        """The point from which the next proposal was decoded."""
        for attempt in range(-1, REDRAWS + 1):
            if attempt >= 0:
                self.draw(1, attempt)
            if self._drawn is not None and self._drawn[0] == self.num_proposals:
                same = self._genotype(self._drawn[1]) == genotype
                if (same | (genotype < 0)).all():  # Not met in a traced space.
                    return self._drawn[1]
        # It does not come from here: the loop took something that was not known.
        return self._point_at(genotype)

    def told(self, number: int, rewards: Sequence[float]) -> None:
        super().told(number, rewards)
        if number in self._points:
            self._learn(number, self._points.pop(number), rewards[0])

    def dropped(self, number: int) -> None:
        super().dropped(number)
        if number in self._points:
            self._lose(number, self._points.pop(number))

"""Grid search: everything, in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from symnas.algorithm import Algorithm
from symnas.genotype import Genotypes


class GridSearch(Algorithm):
    """All examples in lexicographic order, floats at `resolution` points each.

    Choose it for small spaces, and where every example is wanted. The last decision
    changes fastest. The search ends after the last example. PyGlove calls this sweeping.

    Example:

    >>> import symnas as sn
    >>> space = {"a": sn.oneof([1, 2]), "b": sn.floatv(0.0, 1.0)}
    >>> examples = [x for x, feedback in sn.sample(space, sn.algorithms.GridSearch(3))]
    >>> len(examples), examples[1]
    (6, {'a': 1, 'b': 0.5})
    """

    resolution: int = 5

    supports_multi_objective = True
    ends = True

    def _check(self) -> None:
        if self.resolution < 1:
            raise ValueError(f"`resolution` must be at least 1, got {self.resolution}.")

    def _setup(self) -> None:
        self._position = 0
        self._points: Iterator[Genotypes] = self.space.enumerate(self.resolution)

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        # A second attempt means that the point was known already: take the next one.
        first = self.num_proposals + self.attempt
        if self._position > first:  # The iterator only saves counting from the start.
            self._setup()
        genotypes = []
        for point in self._points:
            self._position += 1
            if self._position > first:
                genotypes.append(point)
            if len(genotypes) == n:
                break
        return np.array(genotypes).reshape(len(genotypes), self.space.num_columns)

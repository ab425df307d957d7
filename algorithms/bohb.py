"""BOHB: Hyperband whose new examples come from a model of the good ones [1].

[1] S. Falkner, A. Klein, F. Hutter, "BOHB: Robust and Efficient Hyperparameter
    Optimization at Scale", ICML 2018. https://arxiv.org/abs/1807.01774
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from symnas.genotype import Genotypes
from symnas.multi_fidelity import (
    Bracketed,
    Rung,
    check_budgets,
    hyperband_bracket,
    ladder,
)
from symnas.space import SearchSpace

_SMALLEST = 1e-32  # Of a density that is divided by.


class BOHB(Bracketed):
    """Algorithm 2 of [1] within Hyperband: two kernel densities, of good and bad examples.

    The model is fitted to the largest budget at which enough is known. Until then, and for
    a share of the proposals, examples are random, which keeps Hyperband's guarantees.
    Defaults are those of the authors' code; `nas_bench_201()` is what the authors of
    NAS-Bench-201 used. For evaluations that report as they go; see `SuccessiveHalving`.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     for step in range(1, 10):
    ...         yield -(example["x"] - 0.3) ** 2 * step
    >>> bohb = sn.algorithms.BOHB(max_budget=9)
    >>> result = sn.search(
    ...     {"x": sn.floatv(0.0, 1.0)}, evaluate, bohb, 60, seed=0, progress=False
    ... )
    >>> result.best.reward > -0.001
    True
    """

    min_budget: int = 1
    max_budget: int = 81
    eta: int = 3
    top_fraction: float = 0.15  # Of the examples, which count as good.
    num_samples: int = 64
    random_fraction: float = 1 / 3  # rho in [1].
    bandwidth_factor: float = 3.0  # Widens the kernels that are sampled from.
    min_bandwidth: float = 1e-3

    @classmethod
    def nas_bench_201(cls) -> BOHB:
        """The setting of NAS-Bench-201: 12 to 200 epochs, no random proposals."""
        return cls(
            min_budget=12,
            max_budget=200,
            num_samples=4,
            random_fraction=0.0,
            min_bandwidth=0.3,
        )

    def _check(self) -> None:
        check_budgets(self.min_budget, self.max_budget, self.eta)
        if not 0.0 <= self.random_fraction <= 1.0:
            raise ValueError(
                f"`random_fraction` must lie in [0, 1], got {self.random_fraction}."
            )
        if not 0.0 < self.top_fraction < 1.0:
            raise ValueError(
                f"`top_fraction` must lie between 0 and 1, got {self.top_fraction}."
            )
        if self.num_samples < 1:
            raise ValueError(
                f"`num_samples` must be at least 1, got {self.num_samples}."
            )

    def _setup(self) -> None:
        super()._setup()
        self._budgets = ladder(self.min_budget, self.max_budget, self.eta)
        self._known: dict[int, list[tuple[Genotypes, float]]] = {
            budget: [] for budget in self._budgets
        }

    def _bracket(self, number: int) -> list[Rung]:
        return hyperband_bracket(number, self._budgets, self.eta)

    def told(self, number: int, rewards: Sequence[float]) -> None:
        if number in self._running:
            entry = self._running[number]
            self._known[entry.rung.budget].append((entry.genotype, rewards[0]))
        super().told(number, rewards)

    def _new(self, rng: np.random.Generator) -> Genotypes:
        fewest = self.space.num_columns + 1
        known = next(
            (
                self._known[budget]
                for budget in reversed(self._budgets)
                if len(self._known[budget]) >= fewest + 2
            ),
            None,
        )
        if known is None or rng.random() < self.random_fraction:
            return self.space.random(rng, 1)
        rewards = np.array([reward for _, reward in known])
        genotypes = np.array([genotype for genotype, _ in known])
        genotypes = genotypes[np.argsort(-rewards, kind="stable")]
        num_good = max(fewest, int(self.top_fraction * len(known)))
        num_bad = max(fewest, int((1.0 - self.top_fraction) * len(known)))
        good = _Density(self.space, genotypes[:num_good], self.min_bandwidth)
        bad = _Density(self.space, genotypes[-num_bad:], self.min_bandwidth)
        samples = good.sample(rng, self.num_samples, self.bandwidth_factor)
        ratio = np.maximum(good(samples), _SMALLEST) / np.maximum(
            bad(samples), _SMALLEST
        )
        best = int(ratio.argmax())
        return samples[best : best + 1]


class _Density:
    """A product of kernels around genotypes (n, d), in the unit cube.

    Gaussian for ints and floats; for choices one that keeps the candidate with probability
    1 - h. Bandwidths h are the normal reference rule, 1.06 std n^(-1 / (4 + d)).
    """

    def __init__(
        self, space: SearchSpace, genotypes: Genotypes, smallest: float
    ) -> None:
        self._space = space
        layout = space.layout
        self._counts = np.maximum(layout.counts, 2)
        self._ordered = np.array([d.kind != "choice" for d in layout.owner])
        self._genes = genotypes
        self._points = space.encode(genotypes)
        n, d = genotypes.shape
        # The rule takes a choice by the index of its candidate, as the authors' code does.
        spread = np.where(self._ordered, self._points, genotypes).std(axis=0)
        width = 1.06 * spread * n ** (-1.0 / (4 + d))
        self._width = np.maximum(width, smallest)
        kept = np.minimum(self._width, 1.0 - 1.0 / self._counts)
        self._width = np.where(self._ordered, self._width, kept)

    def __call__(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """The density (m,) at genotypes (m, d)."""
        points = self._space.encode(genotypes)
        distance = (points[:, None] - self._points[None]) / self._width
        gauss = np.exp(-0.5 * distance**2) / (np.sqrt(2 * np.pi) * self._width)
        same = genotypes[:, None] == self._genes[None]
        other = self._width / (self._counts - 1)
        kernel = np.where(
            self._ordered, gauss, np.where(same, 1.0 - self._width, other)
        )
        # Where one of the two is inactive nothing is known: uniform.
        uniform = np.where(self._ordered, 1.0, 1.0 / self._counts)
        here, there = genotypes[:, None] >= 0, self._genes[None] >= 0
        kernel = np.where(here & there, kernel, np.where(here, uniform, 1.0))
        density: NDArray[np.float64] = kernel.prod(axis=2).mean(axis=1)
        return density

    def sample(self, rng: np.random.Generator, n: int, factor: float) -> Genotypes:
        """Genotypes (n, d) near those of the density."""
        picked = (rng.random(n) * len(self._genes)).astype(np.int64)
        centers, genes = self._points[picked], self._genes[picked]
        draws, moves = rng.random(centers.shape), rng.random(centers.shape)
        # A Gaussian that is cut off at the borders of the cube.
        scale = factor * self._width
        low, high = (
            scipy.special.ndtr(-centers / scale),
            scipy.special.ndtr((1.0 - centers) / scale),
        )
        near = centers + scale * scipy.special.ndtri(low + draws * (high - low))
        kept = np.where(moves < self._width, draws, centers)
        points = np.where(self._ordered, near, kept)
        points = np.where(genes < 0, draws, points)
        decoded: Genotypes = self._space.decode(points.clip(0.0, 1.0))
        return decoded

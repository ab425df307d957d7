"""What is predicted of learning curves, on the scale of their metric."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from symnas.predictors.lc_pfn.normalizer import Normalizer

_LEVELS = (np.arange(1000) + 0.5) / 1000  # For the mean of a metric.


class CurveDistribution:
    """Of the value of each curve at each step: arrays (curves, steps).

    For one curve the first axis is missing. Steps of a curve are not independent of each
    other, but nothing is known here of how they depend.

    Example:
        >>> from symnas.predictors import LCPFN
        >>> curves = [[0.2, 0.5], [0.4, 0.6, 0.7]]
        >>> predicted = LCPFN.load("small").predict(curves, steps=[5, 20, 50])
        >>> predicted.median.shape, predicted.quantile([0.05, 0.95]).shape
        ((2, 3), (2, 3, 2))
    """

    shape: tuple[int, ...]
    normalizer: Normalizer | None

    @property
    def median(self) -> Any:
        """Between two equally likely halves."""
        return self.quantile(0.5)

    @property
    def mean(self) -> Any:
        """Infinite if an infinite bound of the metric can be reached: prefer `median`."""
        if self.normalizer is None:
            return self._moments()[0]
        return self.quantile(_LEVELS).mean(axis=-1)

    @property
    def std(self) -> Any:
        """Standard deviation, infinite where the mean is."""
        if self.normalizer is None:
            return self._moments()[1]
        values = self.quantile(_LEVELS)
        finite = np.isfinite(values).all(axis=-1)
        spread = np.where(finite[..., None], values, 0.0).std(axis=-1)
        return np.where(finite, spread, np.inf)

    def quantile(self, q: ArrayLike) -> Any:
        """Of one number: (curves, steps). Of several: (curves, steps, numbers)."""
        q = np.asarray(q, float)
        if not ((q > 0) & (q < 1)).all():
            raise ValueError(f"`q` must lie between 0 and 1, got {q.tolist()}.")
        levels = np.broadcast_to(q, (*self.shape, *q.shape))
        if q.ndim == 0:
            return self._metrics_at(levels[..., None])[..., 0]
        return self._metrics_at(levels)

    def cdf(self, metric: ArrayLike) -> Any:
        """Chance of at most this metric: one, or one for each curve and step."""
        metric = np.broadcast_to(np.asarray(metric, float), self.shape)
        if self.normalizer is None:
            return self._below(metric)
        below = self._below(self.normalizer(metric))
        below = 1 - below if self.normalizer.minimize else below
        low, high = self.normalizer.hard  # What lies beyond is taken to be at them.
        return np.where(metric < low, 0.0, np.where(metric >= high, 1.0, below))

    def prob_greater(self, metric: ArrayLike) -> Any:
        """Chance of more than this metric: one, or one for each curve and step."""
        return 1 - self.cdf(metric)

    def log_likelihood(self, metric: ArrayLike) -> Any:
        """Logarithm of the density at this metric: one, or one for each curve and step."""
        metric = np.broadcast_to(np.asarray(metric, float), self.shape)
        if self.normalizer is None:
            return self._log_density(metric)
        density = self._log_density(self.normalizer(metric))
        return density + self.normalizer.log_slope(metric)

    def sample(self, num: int, rng: np.random.Generator) -> Any:
        """Values (num, curves, steps)."""
        levels = np.clip(rng.random((*self.shape, num)), 1e-12, 1 - 1e-12)
        return np.moveaxis(self._metrics_at(levels), -1, 0)

    def _metrics_at(self, levels: Any) -> Any:
        """Metrics (..., n) below which these shares (..., n) of the mass lie."""
        if self.normalizer is None:
            return self._values_at(levels)
        levels = 1 - levels if self.normalizer.minimize else levels
        return self.normalizer.inverse(self._values_at(levels))

    # What follows is about values in [0, 1], up to noise, where higher is better.

    def _moments(self) -> tuple[Any, Any]:
        """Mean and standard deviation (...)."""
        raise NotImplementedError

    def _values_at(self, levels: Any) -> Any:
        """Values (..., n) below which these shares (..., n) of the mass lie."""
        raise NotImplementedError

    def _below(self, values: Any) -> Any:
        """Mass (...) below values (...)."""
        raise NotImplementedError

    def _log_density(self, values: Any) -> Any:
        """Logarithm of the density (...) at values (...)."""
        raise NotImplementedError

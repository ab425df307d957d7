"""A mixture of normal distributions: what the baselines of LC-PFN predict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr

from symnas.predictors.lc_pfn.distribution import CurveDistribution
from symnas.predictors.lc_pfn.normalizer import Normalizer

_HALVINGS = 40  # Of the interval in which a quantile lies.


class NormalMixture(CurveDistribution):
    """Equally likely normal distributions."""

    def __init__(
        self, means: Any, sds: Any, normalizer: Normalizer | None = None
    ) -> None:
        """means, sds: (..., n), of n components."""
        self.means, self.sds = np.broadcast_arrays(means, sds)
        self.shape = self.means.shape[:-1]
        self.normalizer = normalizer

    def _moments(self) -> tuple[Any, Any]:
        mean = self.means.mean(axis=-1)
        squares = (self.means**2 + self.sds**2).mean(axis=-1)
        return mean, np.sqrt(np.maximum(squares - mean**2, 0.0))

    def _values_at(self, levels: Any) -> Any:
        ends = self.means - 12 * self.sds, self.means + 12 * self.sds
        low = np.broadcast_to(ends[0].min(axis=-1, keepdims=True), levels.shape)
        high = np.broadcast_to(ends[1].max(axis=-1, keepdims=True), levels.shape)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            right = self._mass(middle) < levels
            low, high = np.where(right, middle, low), np.where(right, high, middle)
        return (low + high) / 2

    def _below(self, values: Any) -> Any:
        return self._mass(values[..., None])[..., 0]

    def _mass(self, values: Any) -> Any:
        """Mass (..., m) below values (..., m)."""
        if values.shape[-1] > self.means.shape[-1]:
            parts = [
                ndtr((values - self.means[..., [k]]) / self.sds[..., [k]])
                for k in range(self.means.shape[-1])
            ]
            return np.mean(parts, axis=0)
        columns = [
            ndtr((column[..., None] - self.means) / self.sds).mean(axis=-1)
            for column in np.moveaxis(values, -1, 0)
        ]
        return np.stack(columns, axis=-1)

    def _log_density(self, values: Any) -> Any:
        z = (values[..., None] - self.means) / self.sds
        logs = -(z**2) / 2 - np.log(self.sds) - math.log(2 * math.pi) / 2
        return logsumexp(logs, axis=-1) - math.log(logs.shape[-1])

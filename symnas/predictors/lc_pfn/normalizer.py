"""Metrics of any range as values in [0, 1], higher is better [1].

[1] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023, appendix B. https://arxiv.org/abs/2310.20447
    Its exponent -a (x - b) is a misprint: its inverse and its code have a x + b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from symnas.constructors import symbolize


@symbolize
@dataclass(frozen=True)
class Normalizer:
    """A logistic curve through a metric: steepest between its soft bounds.

    Attributes:
      hard: the bounds that no value can leave; infinite ones are allowed.
      soft: where values of interest lie.
      minimize: whether lower is better.

    Example:
        >>> loss = Normalizer.log_loss(untrained=0.69)
        >>> loss(0.0).item(), round(loss(0.69).item(), 3), loss(np.inf).item()
        (1.0, 0.368, 0.0)
        >>> round(loss.inverse(loss(0.3)).item(), 6)
        0.3
    """

    hard: tuple[float, float] = (0.0, 1.0)
    soft: tuple[float, float] = (0.0, 1.0)
    minimize: bool = False

    def __post_init__(self) -> None:
        low, high = self.soft
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(
                f"`soft` must be two finite numbers, the lower first, got {self.soft}."
            )
        if not self.hard[0] <= low < high <= self.hard[1]:
            raise ValueError(
                f"`hard` must enclose `soft` {self.soft}, got {self.hard}."
            )

    @classmethod
    def accuracy(cls) -> Normalizer:
        """For accuracies from 0 to 1."""
        return cls()

    @classmethod
    def error_rate(cls) -> Normalizer:
        """For error rates from 0 to 1."""
        return cls(minimize=True)

    @classmethod
    def log_loss(cls, untrained: float) -> Normalizer:
        """For losses from 0; `untrained` is that of the model before training."""
        return cls((0.0, math.inf), (0.0, untrained), minimize=True)

    def __call__(self, metric: ArrayLike) -> Any:
        """Values in [0, 1] of metrics within the hard bounds, of the same shape."""
        worst, scale = self._worst_and_scale()
        return np.clip(scale * (expit(self._position(metric)) - worst), 0.0, 1.0)

    def inverse(self, value: ArrayLike) -> Any:
        """Metrics of values; those outside [0, 1] give the hard bounds."""
        worst, scale = self._worst_and_scale()
        value = np.asarray(value, float)
        position = logit(np.clip(value / scale + worst, 0.0, 1.0))
        position = -position if self.minimize else position
        low, high = self.soft
        metric = np.clip((position + 1) / 2 * (high - low) + low, *self.hard)
        at_0, at_1 = self.hard[::-1] if self.minimize else self.hard
        return np.where(value <= 0, at_0, np.where(value >= 1, at_1, metric))

    def log_slope(self, metric: ArrayLike) -> Any:
        """Logarithm of the change of the value with the metric."""
        _, scale = self._worst_and_scale()
        s = expit(self._position(metric))
        with np.errstate(divide="ignore"):
            return np.log(s * (1 - s) * scale * 2 / (self.soft[1] - self.soft[0]))

    def _position(self, metric: ArrayLike) -> Any:
        """-1 and 1 at the soft bounds, the better one being 1."""
        low, high = self.soft
        position = 2 * (np.asarray(metric, float) - low) / (high - low) - 1
        return -position if self.minimize else position

    def _worst_and_scale(self) -> tuple[float, float]:
        ends = expit(self._position(self.hard))
        worst, best = sorted(ends.tolist())
        return worst, 1 / (best - worst)

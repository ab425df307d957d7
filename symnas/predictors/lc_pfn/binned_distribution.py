"""Bins with half-normal tails: what a network of LC-PFN predicts [1].

[1] S. Müller et al., "Transformers Can Do Bayesian Inference", ICLR 2022, section 4.
    https://arxiv.org/abs/2112.10510. In the code of LC-PFN quantiles, variance and
    improvement take the outer bins as uniform; here they have the same tails as the density.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import erfc, erfcinv
from torch import Tensor

from symnas.predictors.lc_pfn.distribution import CurveDistribution
from symnas.predictors.lc_pfn.normalizer import Normalizer

_HALF = 0.6744897501960817  # Scales below which half of a half-normal lies.
_ROWS = 256  # Distributions that fit into a processor's cache together.
_MEAN = math.sqrt(2 / math.pi)  # Of a half-normal, in scales.


class BinnedDistribution(CurveDistribution):
    """A share of the mass for each of K bins, spread evenly over those inside.

    Attributes:
      stride: 1, or k if runs are so long that only every k-th step was used.

    Example:
        >>> borders, masses = np.linspace(0, 1, 11), np.full((1, 10), 0.1)
        >>> predicted = BinnedDistribution(masses, borders)
        >>> predicted.median.round(3), predicted.prob_greater(0.8).round(3)
        (array([0.5]), array([0.2]))
        >>> predicted.quantile([0.2, 0.8]).round(3)
        array([[0.2, 0.8]])
    """

    def __init__(
        self,
        masses: Any,
        borders: Any,
        normalizer: Normalizer | None = None,
        stride: int = 1,
        head: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """masses: (..., K), or (..., D) if `head` makes (n, K) of (n, D), as often as asked.

        borders: (K + 1,).
        """
        self._given, self._head = masses, head
        self.borders = np.asarray(borders, float)
        self.shape = masses.shape[:-1]
        self.normalizer, self.stride = normalizer, stride
        widths = np.diff(self.borders)
        self._widths = widths
        # Half of the mass of an outer bin lies inside it.
        self._edges = self.borders[[1, -2]]
        self._scales = widths[[0, -1]] / _HALF

    @property
    def masses(self) -> Any:
        """(..., K)."""
        return self._by_rows(lambda masses: masses.numpy())

    def _by_rows(self, function: Callable[..., Any], *given: Any) -> Any:
        """Joins (..., n) what a function makes of masses (R, K) and of given rows (R, m)."""
        features = self._given.reshape(-1, self._given.shape[-1])
        rows = [array.reshape(len(features), -1) for array in given]
        found = []
        for i in range(0, len(features), _ROWS):
            masses = torch.from_numpy(features[i : i + _ROWS])
            if self._head is not None:
                masses = self._head(masses)
            found.append(function(masses, *(array[i : i + _ROWS] for array in rows)))
        return np.concatenate(found).reshape(*self.shape, -1)

    def _moments(self) -> tuple[Any, Any]:
        low, high = self.borders[:-1], self.borders[1:]
        means, squares = (low + high) / 2, (low**2 + low * high + high**2) / 3
        for end, sign in ((0, -1), (-1, 1)):
            scale = self._scales[end]
            means[end] = self._edges[end] + sign * scale * _MEAN
            squares[end] = means[end] ** 2 + scale**2 * (1 - _MEAN**2)
        summed = torch.from_numpy(np.stack([np.ones_like(means), means, squares], 1))
        sums = self._by_rows(lambda masses: (masses.double() @ summed).numpy())
        total, mean, square = np.moveaxis(sums, -1, 0)
        mean, square = mean / total, square / total
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))

    def _values_at(self, levels: Any) -> Any:
        return self._by_rows(self._rows_at, levels)

    def _rows_at(self, masses: Tensor, levels: Any) -> Any:
        num_bins = masses.shape[1]
        cumulative = _cumulative(masses)
        levels = levels * cumulative[:, -1:]
        bins = torch.searchsorted(*map(torch.from_numpy, (cumulative, levels))).numpy()
        above = np.take_along_axis(cumulative, bins, axis=1)
        before = np.take_along_axis(cumulative, np.maximum(bins - 1, 0), axis=1)
        before = np.where(bins == 0, 0.0, before)
        mass = np.maximum(above - before, 1e-300)
        share = np.clip((levels - before) / mass, 1e-300, 1.0)
        rest = np.clip((above - levels) / mass, 1e-300, 1.0)
        values = self.borders[bins] + self._widths[bins] * share
        left, right = self._scales * math.sqrt(2)
        values = np.where(bins == 0, self._edges[0] - left * erfcinv(share), values)
        tail = self._edges[1] + right * erfcinv(rest)
        return np.where(bins == num_bins - 1, tail, values)

    def _below(self, values: Any) -> Any:
        return self._by_rows(self._rows_below, values)[..., 0]

    def _rows_below(self, masses: Tensor, values: Any) -> Any:
        cumulative = _cumulative(masses)
        bins = self._bins(values)
        last = len(self._widths) - 1
        above = np.take_along_axis(cumulative, bins, axis=1)
        before = np.take_along_axis(cumulative, np.maximum(bins - 1, 0), axis=1)
        before = np.where(bins == 0, 0.0, before)
        share = (values - self.borders[bins]) / self._widths[bins]
        left, right = self._scales * math.sqrt(2)
        share = np.where(bins == 0, erfc((self._edges[0] - values) / left), share)
        tail = 1 - erfc((values - self._edges[1]) / right)
        below = before + (above - before) * np.where(bins == last, tail, share)
        return below / cumulative[:, -1:]

    def _log_density(self, values: Any) -> Any:
        bins = self._bins(values)
        mass = self._by_rows(
            lambda masses, bins: np.take_along_axis(masses.numpy(), bins, axis=1), bins
        )[..., 0]
        density = -np.log(self._widths[bins])
        ends = (0, len(self._widths) - 1)
        for end, edge, scale in zip(ends, self._edges, self._scales, strict=True):
            tail = math.log(_MEAN / scale) - ((values - edge) / scale) ** 2 / 2
            density = np.where(bins == end, tail, density)
        with np.errstate(divide="ignore"):
            return np.log(mass, dtype=float) + density

    def _bins(self, values: Any) -> Any:
        """The largest k whose border lies below the value."""
        return np.searchsorted(self.borders[1:-1], values)


def _cumulative(masses: Tensor) -> Any:
    """(R, K), up to a factor for each row."""
    # NumPy takes thrice as long.
    return masses.cumsum(dim=1, dtype=torch.float64).numpy()

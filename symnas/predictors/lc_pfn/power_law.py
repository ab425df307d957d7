"""A power law, fitted by least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from symnas.predictors.lc_pfn.last_value import SMALLEST_SD, LastValue, predicted
from symnas.predictors.lc_pfn.normal_mixture import NormalMixture
from symnas.predictors.lc_pfn.normalizer import Normalizer
from symnas.predictors.lc_pfn.observations import observations

_EXPONENTS = np.geomspace(0.01, 10, 100)
_FEWEST = 4  # Values; a curve with fewer is predicted to stay where it is.


class PowerLaw:
    """c - a t^-alpha, and residuals that are normal; else as `LCPFN.predict`.

    Example:
        >>> curve = [0.8 - 0.5 / t for t in range(1, 11)]
        >>> PowerLaw().predict(curve, steps=[100]).median.round(2)
        array([0.79])
    """

    def predict(
        self,
        curves: Any,
        steps: ArrayLike,
        normalizer: Normalizer | None = None,
        observed_at: Any = None,
    ) -> NormalMixture:
        seen = observations(curves, steps, normalizer, observed_at)
        means, sds = np.empty(seen.asked.shape), np.empty(seen.asked.shape)
        for i, (at, values) in enumerate(zip(seen.steps, seen.values, strict=True)):
            if len(values) < _FEWEST:
                naive = LastValue().predict(values, seen.asked[i], observed_at=at)
                means[i], sds[i] = naive.mean, naive.std
            else:
                means[i], sds[i] = _fit(at, values, seen.asked[i])
        return predicted(means[..., None], sds[..., None], normalizer, seen.single)


def _fit(at: Any, values: Any, asked: Any) -> tuple[Any, float]:
    """Predictions (Q,) and the standard deviation of the residuals."""
    powers = np.exp(-_EXPONENTS[:, None] * np.log(at))  # (exponents, T)
    centred = powers - powers.mean(axis=1, keepdims=True)
    variance = np.maximum((centred**2).sum(axis=1), 1e-30)
    slopes = centred @ (values - values.mean()) / variance  # -a for each exponent
    errors = values - values.mean() - slopes[:, None] * centred
    squares = (errors**2).sum(axis=1)
    best = squares.argmin()
    c = values.mean() - slopes[best] * powers[best].mean()
    sd = np.sqrt(squares[best] / (len(at) - 3))
    means = c + slopes[best] * np.exp(-_EXPONENTS[best] * np.log(asked))
    return means, max(sd, SMALLEST_SD)

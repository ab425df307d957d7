"""How well a predictor knows the prior of LC-PFN: on curves that nobody has seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from symnas.predictors.lc_pfn.distribution import CurveDistribution
from symnas.predictors.lc_pfn.observations import NOISY
from symnas.predictors.lc_pfn.prior import NUM_STEPS, add_noise, sample_curves

SEED = 12345  # Of the curves; no training draws from it.
_TOGETHER = 40  # Curves of one call: memory that is allocated once and used again.


class Predictor(Protocol):
    """LC-PFN, or what it is compared with."""

    def predict(self, curves: Any, steps: Any) -> CurveDistribution: ...


def prior_scores(
    predictor: Predictor,
    num_curves: int = 10_000,
    cutoffs: Sequence[int] = (5, 10, 20, 40, 80),
    seed: int = SEED,
) -> dict[str, dict[str, float]]:
    """For each number of observed steps, over all later steps up to 100.

    `log_likelihood`: mean, in nats per step, and `standard_error` of that over curves.
    `coverage_50`, `coverage_90`: share of values inside the central interval.
    `rmse`: of the median against the curve without noise.

    Example:
        >>> from symnas.predictors.lc_pfn.last_value import LastValue
        >>> scores = prior_scores(LastValue(), num_curves=20, cutoffs=[10, 40])
        >>> list(scores), list(scores["rmse"])
        (['log_likelihood', 'standard_error', 'coverage_50', 'coverage_90', 'rmse'], ['10', '40'])
    """
    rng = np.random.default_rng(seed)
    curves, noise = sample_curves(num_curves, rng)
    values = np.clip(add_noise(curves, noise, rng), *NOISY)
    scores: dict[str, dict[str, float]] = {}
    for cutoff in cutoffs:
        parts = [
            _scores(
                predictor, curves[i : i + _TOGETHER], values[i : i + _TOGETHER], cutoff
            )
            for i in range(0, num_curves, _TOGETHER)
        ]
        logs, central, squares = map(np.concatenate, zip(*parts, strict=True))
        found = {
            "log_likelihood": logs.mean(),
            "standard_error": logs.mean(axis=1).std() / np.sqrt(num_curves),
            "coverage_50": (central < 0.5).mean(),
            "coverage_90": (central < 0.9).mean(),
            "rmse": np.sqrt(squares.mean()),
        }
        for name, value in found.items():
            scores.setdefault(name, {})[str(cutoff)] = round(float(value), 4)
    return scores


def _scores(
    predictor: Predictor, curves: Any, values: Any, cutoff: int
) -> tuple[Any, Any, Any]:
    """Log-likelihoods, sizes of the smallest central intervals, and squared errors."""
    steps = np.arange(cutoff + 1, NUM_STEPS + 1)
    predicted = predictor.predict(values[:, :cutoff], steps)
    later = values[:, cutoff:]
    return (
        predicted.log_likelihood(later),
        np.abs(2 * predicted.cdf(later) - 1),
        (predicted.median - curves[:, cutoff:]) ** 2,
    )

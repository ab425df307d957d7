"""The naive forecast: the last value, with the spread of a random walk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from symnas.predictors.lc_pfn.normal_mixture import NormalMixture
from symnas.predictors.lc_pfn.normalizer import Normalizer
from symnas.predictors.lc_pfn.observations import observations

SMALLEST_SD = 1e-3  # Of any baseline; else a constant curve has infinite density.
_ALONE = 0.1  # Spread of a step if there is one value only.


class LastValue:
    """Repeats the last value; arguments and result are as those of `LCPFN.predict`.

    Example:
        >>> LastValue().predict([0.2, 0.4, 0.5], steps=[10]).median.round(3)
        array([0.5])
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
            if not len(values):
                raise ValueError(
                    f"`LastValue` needs a value of each curve; {i} has none."
                )
            sd = _ALONE
            if len(values) > 1:
                sd = np.sqrt(np.mean(np.diff(values) ** 2 / np.diff(at)))
            means[i] = values[-1]
            sds[i] = np.maximum(sd * np.sqrt(seen.asked[i] - at[-1]), SMALLEST_SD)
        return predicted(means[..., None], sds[..., None], normalizer, seen.single)


def predicted(
    means: Any, sds: Any, normalizer: Normalizer | None, single: bool
) -> NormalMixture:
    """Of one curve or of several."""
    if single:
        means, sds = means[0], sds[0]
    return NormalMixture(means, sds, normalizer)

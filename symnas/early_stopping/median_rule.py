"""The median stopping rule of Google Vizier [1].

[1] D. Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017,
    section 3.2.2. https://doi.org/10.1145/3097983.3098043
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from symnas.constructors import symbolize
from symnas.curves import Curve, Others
from symnas.early_stopping.rule import Rule


@symbolize
@dataclass(frozen=True)
class MedianRule(Rule):
    """Stops a trial whose best value is below the median of what others had by then.

    What another trial had by then is the mean of all it measured up to that step, as in
    [1]. Those count that got that far. The rule has no model and nothing to choose, and
    keeps about half of the trials; where most are hopeless it is too gentle.

    Args:
      min_trials: how many others must have got to a step before the rule holds there.
      min_step: no trial is stopped before.

    Example:

    >>> import symnas as sn
    >>> def train(example):
    ...     for epoch in range(1, 9):
    ...         yield example * epoch
    >>> result = sn.search(
    ...     sn.oneof([5, 1, 9, 2]), train, "grid", progress=False,
    ...     early_stopping=sn.early_stopping.MedianRule(min_trials=1),
    ... )
    >>> [len(trial.measurements) for trial in result.trials]
    [8, 1, 8, 1]
    """

    min_trials: int = 5
    min_step: int = 1

    def __post_init__(self) -> None:
        for name in ("min_trials", "min_step"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")

    def gives_up(self, curve: Curve, others: Others) -> bool:
        step = curve.last_step
        if step < self.min_step:
            return False
        means = others.each(mean_until, step)
        if len(means) < self.min_trials:
            return False
        return bool(curve.best < np.median(means))


def mean_until(curve: Curve, step: int) -> float:
    """The mean of the values up to a step; NaN if the curve ends before."""
    if curve.last_step < step:
        return math.nan
    values = curve.values[curve.steps <= step]
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan

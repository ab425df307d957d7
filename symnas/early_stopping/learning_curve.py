"""Predictive early stopping: give up what will hardly beat the best [1, 2].

[1] T. Domhan et al., "Speeding Up Automatic Hyperparameter Optimization of Deep Neural
    Networks by Extrapolation of Learning Curves", IJCAI 2015.
[2] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023, section 5.3. https://arxiv.org/abs/2310.20447
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.constructors import symbolize
from symnas.curves import Curve, Others
from symnas.early_stopping.rule import Rule

if TYPE_CHECKING:
    from symnas.trial import Objectives

_MOST_STEPS = 100  # LC-PFN knows curves of so many steps.


@symbolize
@dataclass(frozen=True)
class LearningCurve(Rule):
    """Stops a trial if no later step of it is likely to beat the best of the others.

    A model predicts from the values so far how the curve goes on. The trial stops if at
    every later step the chance to exceed the best value by `min_improvement` is at most
    `delta`. One that is better than all others goes on, so the first is never stopped.

    `SuccessiveHalving() | Patience(3)` needs no model and does better on the curves that
    docs/early_stopping.md measures.

    Args:
      model: 'lc_pfn', or anything with a `predict` like that of `predictors.LCPFN`.
      delta: 0 never stops a trial, 1 always.
      min_improvement: on the normalised scale, from 0 to 1. With 0, as in [2], a best
        trial that has learned nothing lets others go on that may win by a hair.
      horizon: the last step of a whole evaluation. By default the largest one of those
        that came to their own end; before the first has, none is stopped.
      normalizer: how the objective is brought into [0, 1]; not needed for accuracies.
      min_measurements: a trial with fewer is not stopped.

    Example:

    >>> import symnas as sn
    >>> def train(example):  # Accuracies.
    ...     for epoch in range(1, 31):
    ...         yield example * (1 - 0.5 ** epoch)
    >>> result = sn.search(
    ...     sn.oneof([0.8, 0.3, 0.9]), train, "grid", progress=False,
    ...     early_stopping=sn.early_stopping.LearningCurve(),
    ... )
    >>> [trial.stopped_early for trial in result.trials]
    [False, True, False]

    For losses say what the scale is:

    >>> scale = sn.predictors.Normalizer.log_loss(untrained=2.3)
    >>> rule = sn.early_stopping.LearningCurve(normalizer=scale)
    """

    model: Any = "lc_pfn"
    delta: float = 0.05
    min_improvement: float = 0.05
    horizon: int | None = None
    normalizer: Any = None
    min_measurements: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.delta <= 1:
            raise ValueError(f"`delta` must lie between 0 and 1, got {self.delta}.")
        if not 0 <= self.min_improvement < 1:
            raise ValueError(
                "`min_improvement` must lie between 0 and 1, got "
                f"{self.min_improvement}."
            )
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"`horizon` must be at least 1, got {self.horizon}.")
        if self.min_measurements < 1:
            raise ValueError(
                f"`min_measurements` must be at least 1, got {self.min_measurements}."
            )
        if self.model != "lc_pfn" and not hasattr(self.model, "predict"):
            raise ValueError(
                "`model` must be 'lc_pfn' or have a method `predict`, got "
                f"{self.model!r}."
            )

    def check(self, objectives: Objectives) -> None:
        super().check(objectives)
        minimised = objectives.signs[0] < 0
        if self.normalizer is None:
            if minimised:
                raise ValueError(
                    f"`LearningCurve` needs a `normalizer` for the objective "
                    f"'-{objectives.names[0]}', as "
                    "`predictors.Normalizer.log_loss(untrained=2.3)`."
                )
        elif self.normalizer.minimize != minimised:
            sign = "-" if minimised else ""
            raise ValueError(
                f"The objective is '{sign}{objectives.names[0]}', but the `normalizer` has "
                f"minimize={self.normalizer.minimize}."
            )

    def gives_up(self, curve: Curve, others: Others) -> bool:
        curve = Curve(curve.steps, self._normalised(curve.values))
        seen = others.each(best_value)
        horizon = self.horizon or others.each(last_step).max(initial=0)
        best = self._normalised(seen).max(initial=-math.inf)
        if len(curve.steps) < self.min_measurements or curve.best > best:
            return False
        steps, values, later = on_grid(curve, int(horizon))
        if not len(later):
            return False
        predicted = self._model.predict(values, later, observed_at=steps)
        chance = predicted.prob_greater(best + self.min_improvement).max()
        return bool(0 < self.delta >= chance)

    @property
    def _model(self) -> Any:
        return lc_pfn() if self.model == "lc_pfn" else self.model

    def _normalised(self, values: Any) -> Any:
        """Values in [0, 1]; 0, the worst, for what is no number."""
        missing = np.isnan(values)
        if self.normalizer is not None:
            metric = -values if self.normalizer.minimize else values
            return np.where(missing, 0.0, self.normalizer(metric))
        found = np.where(missing, 0.0, values)
        outside = (found < 0) | (found > 1)
        if outside.any():
            raise ValueError(
                "Without a `normalizer`, `LearningCurve` needs values in [0, 1], got "
                f"{found[outside][0]}."
            )
        return found


def on_grid(
    curve: Curve, horizon: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Observed steps, their values, and some later steps, counted from 1 to 100.

    Steps are divided by their common divisor; what is measured every 500 steps is
    measured at 1, 2, 3, ... If more than 100 remain, the last of every few counts. What was
    measured before training, at step 0, does not count.
    """
    began = int(np.searchsorted(curve.steps, 1))
    curve = Curve(curve.steps[began:], curve.values[began:])
    if curve.last_step >= horizon or not len(curve.steps):
        return curve.steps, curve.values, np.empty(0, np.int64)
    unit = math.gcd(horizon, *curve.steps.tolist())
    unit *= math.ceil(horizon / unit / _MOST_STEPS)
    steps = -(-curve.steps // unit)
    last_of_block = np.append(np.diff(steps) > 0, True)
    steps, values = steps[last_of_block], curve.values[last_of_block]
    # The chance changes little from one step to the next.
    later = np.unique(np.minimum(steps[-1] + 4 ** np.arange(4), -(-horizon // unit)))
    return steps, values, later[later > steps[-1]]


@functools.cache
def lc_pfn() -> Any:
    """The shipped network."""
    from symnas.predictors.lc_pfn.predictor import LCPFN

    return LCPFN.load()


def best_value(curve: Curve) -> float:
    return curve.best if curve.best > -math.inf else math.nan


def last_step(curve: Curve) -> float:
    return float(curve.last_step) if curve.whole else math.nan

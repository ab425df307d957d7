"""Successive halving as a rule: at each rung the best 1 / eta go on [1].

[1] L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
    https://arxiv.org/abs/1810.05934
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
class SuccessiveHalving(Rule):
    """Stops a trial at a rung if it is not among the best 1 / `eta` that got there.

    Rungs are the steps `min_step`, `min_step * eta`, `min_step * eta ** 2`, ... A trial is
    compared with those that came there before it, and is never taken up again: the
    stopping variant of ASHA, as in Ray Tune and in Optuna's pruner. For
    algorithms that take up a trial again, see `algorithms.ASHA`.


    Example:

    >>> import symnas as sn
    >>> def train(example):
    ...     for epoch in range(1, 9):
    ...         yield example * epoch
    >>> result = sn.search(
    ...     sn.oneof([5, 1, 9, 2, 7]), train, "grid", progress=False,
    ...     early_stopping=sn.early_stopping.SuccessiveHalving(eta=2),
    ... )
    >>> [len(trial.measurements) for trial in result.trials]
    [8, 1, 8, 1, 2]
    """

    min_step: int = 1
    eta: int = 3

    def __post_init__(self) -> None:
        if self.min_step < 1:
            raise ValueError(f"`min_step` must be at least 1, got {self.min_step}.")
        if self.eta < 2:
            raise ValueError(f"`eta` must be at least 2, got {self.eta}.")

    def gives_up(self, curve: Curve, others: Others) -> bool:
        before = int(curve.steps[-2]) if len(curve.steps) > 1 else 0
        rung = self._rung(curve.last_step)
        if rung is None or rung <= before:
            return False
        rivals = others.each(value_at, rung)
        place = 1 + int((rivals > worst_if_nan(curve.values[-1])).sum())
        return place > max((len(rivals) + 1) // self.eta, 1)

    def _rung(self, step: int) -> int | None:
        """The last rung that a step has reached."""
        if step < self.min_step:
            return None
        rung = self.min_step
        while rung * self.eta <= step:
            rung *= self.eta
        return rung


def value_at(curve: Curve, step: int) -> float:
    """The value of the first measurement at a step or after it; NaN if there is none."""
    at = int(np.searchsorted(curve.steps, step))
    return math.nan if at == len(curve.steps) else worst_if_nan(curve.values[at])


def worst_if_nan(value: float) -> float:
    return -math.inf if math.isnan(value) else float(value)

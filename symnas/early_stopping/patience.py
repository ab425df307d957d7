"""Patience: stop what has not improved for some measurements [1].

[1] L. Prechelt, "Early Stopping - But When?", Neural Networks: Tricks of the Trade, 1998.
    https://doi.org/10.1007/3-540-49430-8_3
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from symnas.constructors import symbolize
from symnas.curves import Curve, Others
from symnas.early_stopping.rule import Rule


@symbolize
@dataclass(frozen=True)
class Patience(Rule):
    """Stops a trial after `patience` measurements without a new own best.

    The rule of most trainers (Keras' `EarlyStopping`). It does not look at other trials,
    so it needs no first ones to compare with, and also stops the best trial where that
    has levelled out. It lets a bad trial go on that still improves.

    Args:
      patience: how many measurements in a row may fail to improve.
      min_improvement: by how much a value must exceed the best one to count.

    Example:

    >>> import symnas as sn
    >>> def train(example):  # Accuracies after each epoch.
    ...     yield from [0.3, 0.5, 0.6, 0.6, 0.59, 0.6, 0.6]
    >>> result = sn.search(
    ...     sn.oneof(["a"]), train, "grid", progress=False,
    ...     early_stopping=sn.early_stopping.Patience(2),
    ... )
    >>> result.best.stopped_early, len(result.best.measurements)
    (True, 5)
    """

    patience: int = 2
    min_improvement: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"`patience` must be at least 1, got {self.patience}.")
        if not 0 <= self.min_improvement < np.inf:
            raise ValueError(
                "`min_improvement` must be a number that is not negative, got "
                f"{self.min_improvement}."
            )

    def gives_up(self, curve: Curve, others: Others) -> bool:
        best, last = -np.inf, -1  # A NaN is no improvement, also as the first.
        for i, value in enumerate(curve.values.tolist()):
            if value > best + self.min_improvement:
                best, last = value, i
        return len(curve.values) - 1 - last >= self.patience

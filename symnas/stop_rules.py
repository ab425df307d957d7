"""When to end a search: callables that take the study and return why, or None."""

from __future__ import annotations

import dataclasses
from typing import Any

from symnas.trial import COMPLETED


@dataclasses.dataclass(frozen=True)
class TargetReached:
    """Ends when a reward of at least `reward` was found.

    Example:

    >>> import symnas as sn
    >>> result = sn.search(
    ...     sn.oneof(range(100)), float, "grid", progress=False,
    ...     stop_rules=[sn.stop_rules.TargetReached(10)],
    ... )
    >>> len(result.trials), result.why_stopped
    (11, 'the target 10 was reached')
    """

    reward: float

    def __call__(self, study: Any) -> str | None:
        if len(study.objectives) > 1:
            raise ValueError("`TargetReached` needs a single objective.")
        target = self.reward * study.objectives.signs[0]
        if study.best_reward < target:
            return None
        return f"the target {self.reward} was reached"


@dataclasses.dataclass(frozen=True)
class Plateau:
    """Ends when the last `patience` completed trials brought no better reward.

    Example:

    >>> import symnas as sn
    >>> result = sn.search(
    ...     sn.oneof(range(100)), lambda x: -abs(x - 5), "grid", progress=False,
    ...     stop_rules=[sn.stop_rules.Plateau(20)],
    ... )
    >>> len(result.trials), result.best.reward
    (26, 0.0)
    """

    patience: int

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"`patience` must be at least 1, got {self.patience}.")

    def __call__(self, study: Any) -> str | None:
        if len(study.objectives) > 1:
            raise ValueError("`Plateau` needs a single objective.")
        if study.num_ended[COMPLETED] - study.completed_at_best < self.patience:
            return None
        return f"{self.patience} trials brought nothing better"

"""What several loops may spend together."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np


class Budget:
    """Evaluations or seconds that the loops of a flow draw from.

    A trial draws one evaluation when it is proposed. One that is evaluated by loops within
    it (`within=`) does not count itself: their trials do. A stored study that goes on has
    spent what its trials have.

    Args:
      evaluations: how many, in all loops together.
      seconds: of wall time, from the first proposal of any loop; studies that go on add
        what their trials took before. What runs when they are over is not interrupted.

    Attributes:
      evaluations_used: how many were drawn so far.

    Example:

    >>> import symnas as sn
    >>> budget = sn.Budget(evaluations=6)
    >>> space = {"a": sn.oneof([1, 2, 3], name="a"), "b": sn.oneof([1, 2, 3, 4], name="b")}
    >>> flow = sn.sample(
    ...     space, "grid", where=lambda value: value.name == "a", budget=budget
    ... )
    >>> for open_b, outer in flow:
    ...     inner = sn.search(open_b, lambda x: x["a"] * x["b"], "grid", within=outer,
    ...                       progress=False)
    ...     outer(inner.best.reward)
    >>> [(trial.reward, trial.partial) for trial in flow.result.trials]
    [(4.0, False), (4.0, True)]
    >>> flow.result.why_stopped
    'the budget of 6 evaluations is used up'
    """

    def __init__(
        self, evaluations: int | None = None, seconds: float | None = None
    ) -> None:
        if evaluations is None and seconds is None:
            raise ValueError("A budget needs `evaluations`, `seconds`, or both.")
        if evaluations is not None and (
            isinstance(evaluations, bool)
            or not isinstance(evaluations, (int, np.integer))
            or evaluations < 0
        ):
            raise ValueError(
                "`evaluations` must be a whole number that is not negative, got "
                f"{evaluations!r}."
            )
        if seconds is not None and not seconds > 0:
            raise ValueError(
                f"`seconds` must be a positive number of seconds, got {seconds!r}."
            )
        self.evaluations = evaluations
        self.seconds = seconds
        self.evaluations_used = 0
        self._seconds_before = 0.0
        self._begun: float | None = None

    @property
    def evaluations_left(self) -> float:
        """How many there are still, infinitely many without a limit."""
        if self.evaluations is None:
            return math.inf
        return max(self.evaluations - self.evaluations_used, 0)

    @property
    def seconds_used(self) -> float:
        begun = self._begun
        return self._seconds_before + (begun and time.perf_counter() - begun or 0.0)

    @property
    def used_up(self) -> str | None:
        """Why nothing more may be proposed, or None."""
        if self._begun is None:
            self._begun = time.perf_counter()
        if self.evaluations_left == 0:
            return f"the budget of {self.evaluations} evaluations is used up"
        if self.seconds is not None and self.seconds_used >= self.seconds:
            return f"the budget of {self.seconds} seconds is used up"
        return None

    def draw(self, evaluations: int) -> None:
        """Counts evaluations; a negative number gives some back."""
        self.evaluations_used += evaluations

    def add_seconds(self, seconds: float) -> None:
        """Counts what was spent before this process."""
        if not math.isnan(seconds):
            self._seconds_before += seconds

    def __repr__(self) -> str:
        limits = {"evaluations": self.evaluations, "seconds": self.seconds}
        given = ", ".join(f"{k}={v}" for k, v in limits.items() if v is not None)
        return f"Budget({given})"


def check_budget(budget: Any) -> None:
    """Raises `TypeError` for anything but a budget or None."""
    if budget is not None and not isinstance(budget, Budget):
        raise TypeError(
            "`budget` must be a `symnas.Budget`, as `sn.Budget(evaluations=100)`, got "
            f"{budget!r}."
        )

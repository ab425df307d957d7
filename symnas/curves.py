"""Learning curves: what trials measured on the way, as arrays."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symnas.trial import COMPLETED, PENDING, Measurement

if TYPE_CHECKING:
    from symnas.study import Study


class Curve(NamedTuple):
    """The measurements of a trial in the order of steps, maximised.

    Attributes:
      steps: (n,), increasing; of several measurements of a step the last one counts.
      values: (n,) of the objective, its sign changed if it is minimised; NaN where it was
        infinite or no number.
      whole: the trial has come to its own end.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    whole: bool = False

    @property
    def best(self) -> float:
        """The largest value, minus infinity if there is none."""
        return float(np.fmax.reduce(self.values, initial=-math.inf))

    @property
    def last_step(self) -> int:
        """The largest step, 0 if there is none."""
        return int(self.steps[-1]) if len(self.steps) else 0


def curve_of(
    measured: Sequence[Measurement], name: str, sign: float, whole: bool
) -> Curve:
    """The curve of one metric."""
    by_step = {m.step: m.metrics[name] for m in measured}
    steps = np.fromiter(by_step, np.int64, len(by_step))
    values = sign * np.fromiter(by_step.values(), np.float64, len(by_step))
    order = steps.argsort()
    values[~np.isfinite(values)] = math.nan
    return Curve(steps[order], values[order], whole)


Statistic = Callable[..., float]


class Curves:
    """Numbers about the curves of a study, each worked out once when its trial has ended.

    So a rule that compares a trial with 10,000 others takes microseconds, not a pass over
    all that they measured.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[Any, ...], _Column] = {}

    def column(
        self, study: Study, last: int, statistic: Statistic, *arguments: Any
    ) -> NDArray[np.float64]:
        """(last,) `statistic(curve, *arguments)` of trials 1 to `last`; NaN if it failed."""
        column = self._columns.setdefault((statistic, *arguments), _Column())
        column.open.extend(range(len(column.values) + 1, last + 1))
        column.values.extend([math.nan] * (last - len(column.values)))
        still_open = []
        for trial_id in column.open:
            status = study.status(trial_id)
            value = math.nan
            if trial_id <= last and status in (PENDING, COMPLETED):
                value = statistic(study.curve(trial_id), *arguments)
            column.values[trial_id - 1] = value
            if trial_id > last or status == PENDING:
                still_open.append(trial_id)
        column.open = still_open
        return np.array(column.values[:last])


class _Column:
    """A number of each trial; that of those in `open` may change."""

    def __init__(self) -> None:
        self.values = array("d")
        self.open: list[int] = []


class Others:
    """The other trials that a decision about one may depend on.

    With `lag` those up to n before it, whatever else is known by now.
    """

    def __init__(self, study: Study, trial_id: int) -> None:
        self._study = study
        self._id = trial_id

    def each(self, statistic: Statistic, *arguments: Any) -> NDArray[np.float64]:
        """(n,) `statistic(curve, *arguments)` of each that has not failed, without NaNs.

        `statistic` is a pure function of the module it stands in, and the arguments are
        hashable: values of trials that have ended are remembered.
        """
        last = self._study.last_seen_by(self._id)
        column = self._study.curves.column(self._study, last, statistic, *arguments)
        if self._id <= last:
            column[self._id - 1] = math.nan
        return column[~np.isnan(column)]

"""When trials began and ended, on one axis."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style

if TYPE_CHECKING:
    from symnas.result import Result

_SHORTEST_PAUSE = 60.0  # Seconds.


@dataclasses.dataclass(frozen=True)
class Clock:
    """Times of the trials of a study, counted from its beginning.

    Attributes:
      begun, ended: (n,) seconds, NaN where not known.
      pauses: seconds that were left out, in which nothing ran.
      ordered: trials are laid one after the other, because only their lengths are known.
    """

    begun: NDArray[np.float64]
    ended: NDArray[np.float64]
    pauses: float = 0.0
    ordered: bool = False

    @property
    def span(self) -> float:
        return float(np.nanmax(self.ended))


def clock(result: Result) -> Clock:
    """The times of the trials that have ended, without long pauses.

    A study that was stopped and resumed a week later would else be all pause.
    """
    begun = result._record.begun()
    seconds = result._record.seconds().astype(float)
    seconds[~(seconds >= 0)] = np.nan
    if not np.isfinite(seconds).any():
        raise style.NothingToDraw("It is not known how long the trials took.")
    known = np.isfinite(begun + seconds)
    if not known.any():
        ended = np.cumsum(np.nan_to_num(seconds))
        ended[np.isnan(seconds)] = np.nan
        return Clock(ended - seconds, ended, ordered=True)
    begun = np.where(known, begun, np.nan)
    begun -= np.nanmin(begun)
    order = np.flatnonzero(known)[np.argsort(begun[known], kind="stable")]
    busy_until = np.maximum.accumulate((begun + seconds)[order])
    gaps = begun[order] - np.concatenate([[0.0], busy_until[:-1]])
    shortest = max(_SHORTEST_PAUSE, float(np.nanmax(seconds)))
    left_out = np.cumsum(np.where(gaps > shortest, gaps, 0.0))
    begun[order] -= left_out
    return Clock(begun, begun + seconds, pauses=float(left_out[-1]))

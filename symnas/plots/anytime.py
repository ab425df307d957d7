"""The best reward over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from symnas.plots import style
from symnas.plots.best_so_far import progress_over
from symnas.plots.clock import clock

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result


def over_time(result: Result) -> go.Figure:
    """The best reward over the time since the search began.

    A trial counts when it ends. Pauses in which nothing ran, as between two runs of a
    study that was resumed, are left out. Where only the length of trials is known, they
    count one after the other.

    Raises:
      ValueError: there is nothing to draw.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, lambda e: e["x"], "random", 9, seed=0, progress=False)
    >>> sn.plots.over_time(result).layout.xaxis.title.text
    'seconds'
    """
    times = clock(result)
    length, unit = style.duration(times.span)
    axis = f"{unit} of evaluations, one after the other" if times.ordered else unit
    if times.pauses:
        axis += f", without {_amount(times.pauses)} of pauses"
    return progress_over(times.ended / length, result, axis)


def _amount(seconds: float) -> str:
    length, unit = style.duration(seconds)
    return f"{seconds / length:.3g} {unit}"

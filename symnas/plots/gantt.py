"""Which trials ran when, and where."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style
from symnas.plots.clock import clock
from symnas.trial import STATUSES

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.plots.clock import Clock
    from symnas.result import Result

_MOST_ROWS = 40
_TOLERANCE = 1e-3  # Seconds by which clocks may be wrong.
_RESOLUTION = 1000  # Parts of the time axis that can be told apart.


def timeline(result: Result) -> go.Figure:
    """A bar for each trial, in rows of trials that ran at different times.

    A worker that ran several at once has several rows. Trials of one status that follow each other without a visible gap are one bar when
    there are thousands.

    Raises:
      ValueError: it is not known when the trials were evaluated.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, lambda e: e["x"], "random", 9, seed=0, progress=False)
    >>> [trace.name for trace in sn.plots.timeline(result).data]
    ['completed']
    """
    import plotly.graph_objects as go

    times = clock(result)
    if times.ordered:
        raise style.NothingToDraw("It is not known when the trials were evaluated.")
    record = result._record
    known = np.isfinite(times.ended)
    lanes = _lanes(times, np.flatnonzero(known), record.workers())
    rows = {lane: row for row, lane in enumerate(list(lanes)[:_MOST_ROWS])}
    length, unit = style.duration(times.span)
    statuses = record.statuses()
    figure = go.Figure()
    for number, status in enumerate(STATUSES):
        x: list[Any] = []
        y: list[Any] = []
        texts: list[Any] = []
        for lane, row in rows.items():
            own = lanes[lane][statuses[lanes[lane]] == number]
            for begun, ended, ids in _bars(times, own):
                x += [begun / length, ended / length, None]
                y += [row, row, None]
                said = f"trial {ids[0]}"
                said += f" and {len(ids) - 1:,} more" if len(ids) > 1 else ""
                took = f"{ended - begun:.4g} s {_said(*lane)}"
                texts += [f"{said}: {status}<br>{took}"] * 2 + [None]
        if x:
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    name=status,
                    mode="lines",
                    line={"color": style.OF_STATUS[status], "width": 14},
                    hovertext=texts,
                    hoverinfo="text",
                )
            )
    taken = float(np.nansum(times.ended - times.begun))
    said = f"At most {len(lanes):,} trial{'s' * (len(lanes) > 1)} ran at once"
    said += f", {taken / times.span:.2g} on average." if times.span else "."
    if len(lanes) > len(rows):
        said += f" The first {len(rows)} rows are drawn."
    style.explained(figure, said, 170 + 26 * len(rows))
    axis = f"{unit} since the beginning"
    figure.update_xaxes(title=axis + (", without pauses" if times.pauses else ""))
    figure.update_yaxes(
        tickvals=list(rows.values()),
        ticktext=[_name(*lane) for lane in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
    )
    return figure


def _lanes(
    times: Clock, known: NDArray[np.int64], workers: Sequence[str]
) -> dict[tuple[str, int], NDArray[np.int64]]:
    """Rows in which no two trials overlap: one or more for each worker, in order."""
    lanes: dict[tuple[str, int], list[int]] = {}
    free: dict[str, list[tuple[float, int]]] = {}  # When each lane ends, as heaps.
    begun, ended = times.begun.tolist(), times.ended.tolist()
    for i in known[np.argsort(times.begun[known], kind="stable")].tolist():
        ends = free.setdefault(workers[i], [])
        if ends and ends[0][0] <= begun[i] + _TOLERANCE:
            lane = heapq.heappop(ends)[1]
        else:
            lane = len(ends)
        heapq.heappush(ends, (ended[i], lane))
        lanes.setdefault((workers[i], lane), []).append(i)
    return {lane: np.array(lanes[lane]) for lane in sorted(lanes)}


def _name(worker: str, lane: int) -> str:
    return f"{style.label(worker, 14)} {lane + 1}".strip()


def _said(worker: str, lane: int) -> str:
    return (
        f"in row {lane + 1} of {style.label(worker)}"
        if worker
        else f"in row {lane + 1}"
    )


def _bars(times: Clock, own: Any) -> list[tuple[float, float, list[int]]]:
    """Begin, end and ids of bars; trials too close to be told apart share one."""
    own = own[np.argsort(times.begun[own], kind="stable")]
    close = times.span / _RESOLUTION if len(own) > _RESOLUTION else 0.0
    bars: list[tuple[float, float, list[int]]] = []
    for i in own.tolist():
        begun, ended = float(times.begun[i]), float(times.ended[i])
        if bars and close and begun - bars[-1][1] < close:
            last = bars[-1]
            last[2].append(i + 1)
            bars[-1] = last[0], max(last[1], ended), last[2]
        else:
            bars.append((begun, ended, [i + 1]))
    return bars

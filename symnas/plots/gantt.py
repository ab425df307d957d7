"""Which trials ran when, and where."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
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
_MOST_BARS = 1000  # Of one status.
_TOLERANCE = 1e-3  # Seconds by which clocks may be wrong.
_RESOLUTION = 1000  # Parts of the time axis that can be told apart.


def timeline(result: Result) -> go.Figure:
    """A bar for each trial, in rows of trials that ran at different times.

    A worker that ran several at once has several rows. Of thousands of trials those of one
    status that follow each other without a visible gap share a bar.

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
    workers = [record.worker(i + 1) for i in range(len(known))]
    lanes = _lanes(times, np.flatnonzero(known), workers)
    rows = {lane: row for row, lane in enumerate(list(lanes)[:_MOST_ROWS])}
    length, unit = style.duration(times.span)
    statuses = record.statuses()
    bars = {
        status: [
            (row, lane, *bar)
            for lane, row in rows.items()
            for bar in _bars(times, lanes[lane], statuses, number)
        ]
        for number, status in enumerate(STATUSES)
    }
    figure, left_out = go.Figure(), 0
    for status, found in bars.items():
        x: list[Any] = []
        y: list[Any] = []
        texts: list[Any] = []
        kept = style.thinned(np.arange(len(found)), _MOST_BARS)
        left_out += len(found) - len(kept)
        for i in kept.tolist():
            row, lane, begun, ended, first, number = found[i]
            # A bar that is thinner than a pixel would not be seen.
            shown = max(ended, begun + times.span / _RESOLUTION)
            x += [begun / length, shown / length, None]
            y += [row, row, None]
            said = f"trial {first}" + (
                f" and {number - 1:,} more" if number > 1 else ""
            )
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
    at_once = float(np.nansum(times.ended - times.begun)) / max(times.span, 1e-9)
    said = f"Trials ran for {at_once:.0%} of the time."
    if at_once > 1:
        said = f"On average {at_once:.2g} trials ran at once."
    if len(lanes) > len(rows):
        said += f" The first {len(rows)} of {len(lanes):,} rows are drawn."
    if left_out:
        said += f" {left_out:,} short bars are not drawn."
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
    workers_first = list(free)
    order = sorted(lanes, key=lambda lane: (workers_first.index(lane[0]), lane[1]))
    return {lane: np.array(lanes[lane]) for lane in order}


def _name(worker: str, lane: int) -> str:
    return f"{style.label(worker, 14)} {lane + 1}".strip()


def _said(worker: str, lane: int) -> str:
    return (
        f"in row {lane + 1} of {style.label(worker)}"
        if worker
        else f"in row {lane + 1}"
    )


def _bars(
    times: Clock, lane: NDArray[np.int64], statuses: NDArray[np.uint8], status: int
) -> Iterator[tuple[float, float, int, int]]:
    """Begin, end, first id and number of trials that stand side by side in a lane.

    Of a few trials each has its bar. Of many those share one whose gaps are too narrow
    to be seen.
    """
    close = times.span / _RESOLUTION if len(lane) > _RESOLUTION else -np.inf
    of_status = statuses[lane] == status
    gaps = times.begun[lane[1:]] - times.ended[lane[:-1]]
    joined = of_status[1:] & of_status[:-1] & (gaps < close)
    first = of_status & ~np.append(False, joined)
    last = of_status & ~np.append(joined, False)
    for i, j in zip(np.flatnonzero(first), np.flatnonzero(last), strict=True):
        begun, ended = float(times.begun[lane[i]]), float(times.ended[lane[j]])
        yield begun, ended, int(lane[i]) + 1, int(j - i) + 1

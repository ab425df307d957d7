"""The reward over one decision at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style
from symnas.plots.coordinates import (
    Coordinate,
    coordinates,
    descriptions,
    genotypes_of,
)
from symnas.trial import COMPLETED

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_PANELS = 12
_MOST_POINTS = 250
_MOST_TICKS = 12


def slices(
    result: Result,
    decisions: Sequence[str] | None = None,
    objective: str | None = None,
) -> go.Figure:
    """The reward over the values of one decision at a time, one panel for each.

    Only trials in which the decision was active are shown. The line of a choice joins
    the medians of all trials with it, drawn or not; the star is the best trial.

    Args:
      decisions: names or paths; by default the first ones. Of many the first 12.
      objective: one of the study's, by default the first.

    Raises:
      ValueError: there is nothing to draw.

    Example:

    >>> import symnas as sn
    >>> space = {"op": sn.oneof(["a", "b"]), "x": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, lambda e: e["x"], "random", 9, seed=0, progress=False)
    >>> figure = sn.plots.slices(result)
    >>> figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text
    ('op', 'x')
    """
    from plotly.subplots import make_subplots

    objective = result.objectives[0] if objective is None else objective
    if objective not in result.objectives:
        raise ValueError(
            f"`objective` must be one of {result.objectives}, got {objective!r}."
        )
    record, number = result._record, result.objectives.index(objective)
    axes = coordinates(result, decisions, _MOST_PANELS)
    done = np.flatnonzero(record.statuses() == COMPLETED)
    if not len(done):
        raise style.NothingToDraw(result._why_none())
    sign = record.objectives.signs[number]
    values = sign * record.rewards()[done, number]
    genotypes = genotypes_of(result, done + 1)
    columns = min(len(axes), 3)
    rows = -(-len(axes) // columns)
    figure = make_subplots(
        rows, columns, shared_yaxes=True, vertical_spacing=0.35 / rows
    )
    low, high, outside = style.cropped(values, sign)
    for i, axis in enumerate(axes):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        active = np.flatnonzero(genotypes[:, axis.column] >= 0)
        x = axis.values(genotypes[active, axis.column])
        for trace in _panel(result, axis, done[active], x, values[active], sign):
            figure.add_trace(trace, **place)
        figure.update_xaxes(title=axis.label, **place)
        figure.update_xaxes(**_x_axis(axis), **place)
    figure.update_yaxes(range=[low, high])
    figure.update_yaxes(title=style.goal(objective, sign), col=1)
    said = "Each panel shows the trials in which its decision was active."
    if outside:
        said += f" {outside:,} that are far worse lie outside the figure."
    style.explained(figure, said, 110 + 240 * rows)
    figure.update_layout(showlegend=False)
    return figure


def _panel(
    result: Result,
    axis: Coordinate,
    trials: NDArray[np.int64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sign: float,
) -> list[Any]:
    import plotly.graph_objects as go

    if not len(trials):
        return [go.Scatter(x=[], y=[])]
    kept = style.thinned(np.arange(len(trials)), _MOST_POINTS)
    best = int(np.argmax(sign * y))
    positions = x[kept]
    if axis.is_choice:
        # Trials with the same candidate lie side by side.
        positions = positions + np.random.default_rng(0).uniform(-0.25, 0.25, len(kept))
    traces = [
        go.Scatter(
            x=positions,
            y=y[kept],
            mode="markers",
            marker={"color": style.MEDIUM, "size": 5, "opacity": 0.6},
            hovertext=descriptions(result, trials[kept] + 1),
            hoverinfo="text",
        )
    ]
    if axis.is_choice:
        found = np.unique(x)
        traces.append(
            go.Scatter(
                x=np.column_stack([found - 0.3, found + 0.3, found * np.nan]).ravel(),
                y=np.repeat([np.median(y[x == value]) for value in found], 3),
                mode="lines",
                line={"color": style.GOOD, "width": 3},
                hovertext=[
                    f"{axis.text(value)}<br>median of {int((x == value).sum()):,} trials"
                    for value in np.repeat(found, 3)
                ],
                hoverinfo="text+y",
            )
        )
    traces.append(
        go.Scatter(
            x=[x[best]],
            y=[y[best]],
            mode="markers",
            marker={"color": style.BAD, "size": 11, "symbol": "star"},
            hovertext=descriptions(result, trials[[best]] + 1),
            hoverinfo="text",
        )
    )
    return traces


def _x_axis(axis: Coordinate) -> dict[str, Any]:
    if axis.is_choice:
        genes = axis.genes(_MOST_TICKS)
        longest = max(4, 48 // len(genes))
        return {
            # Upright labels may overlap, and plotly leaves out what does: few are cut to fit.
            "tickangle": 0 if len(genes) <= 5 else None,
            "tickvals": genes,
            "ticktext": [axis.text(gene, longest) for gene in genes],
            "range": [-0.5, axis.decision.count - 0.5],
            "showgrid": False,
        }
    if axis.is_log:
        decades = np.log10(axis.decision.choices[-1] / axis.decision.choices[0])
        return {
            "type": "log",
            "exponentformat": "power",
            "dtick": 1 if decades >= 2 else "D2",
        }
    return {"nticks": 6}

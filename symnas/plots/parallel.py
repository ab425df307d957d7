"""Whole trials at once: a line for each, through all decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style
from symnas.plots.coordinates import coordinates, genotypes_of
from symnas.trial import COMPLETED

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_AXES = 12
_MOST_OBJECTIVES = 4
_BEHIND_TEXT = "rgba(128,128,128,0.25)"  # On lines, on a light and on a dark page.
_INACTIVE = -0.06  # Where a decision that is not active lies; its scale is [0, 1].


def parallel_coordinates(
    result: Result, decisions: Sequence[str] | None = None, objective: str | None = None
) -> go.Figure:
    """A line for each trial through the decisions it took, from top to bottom.

    The last axes are the objectives. A click on the legend hides the good or the bad ones.
    Lines leave to the left where a decision was not active. Choices are spread a little,
    so that lines with the same candidate can be told apart.

    Args:
      decisions: names or paths; by default the first ones. Of many the first 12.
      objective: one of the study's, by default the first; it says what is good.

    Raises:
      ValueError: there is nothing to draw.

    Example:

    >>> import symnas as sn
    >>> space = {"op": sn.oneof(["a", "b"]), "x": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, lambda e: e["x"], "random", 40, seed=0, progress=False)
    >>> figure = sn.plots.parallel_coordinates(result)
    >>> [trace.name for trace in figure.data if trace.showlegend]
    ['others', 'next 20%', 'best 5%']
    """
    import plotly.graph_objects as go

    objective = result.objectives[0] if objective is None else objective
    if objective not in result.objectives:
        raise ValueError(
            f"`objective` must be one of {result.objectives}, got {objective!r}."
        )
    record, number = result._record, result.objectives.index(objective)
    signs = record.objectives.signs
    axes = coordinates(result, decisions, _MOST_AXES)
    done = np.flatnonzero(record.statuses() == COMPLETED)
    if not len(done):
        raise style.NothingToDraw(result._why_none())
    # The objective that says what is good stands last.
    shown = [i for i in range(len(signs))[:_MOST_OBJECTIVES] if i != number] + [number]
    values = record.rewards() * signs
    ranges = [style.cropped(values[done, i], signs[i])[:2] for i in shown]
    figure, rng, traces = go.Figure(), np.random.default_rng(0), []
    height = len(axes) + len(shown)
    for ids, (name, color, width, opacity) in _groups(result, done, number):
        genotypes = genotypes_of(result, ids)
        unit = result.space.encode(genotypes)
        lines = np.full((len(ids), height + 1), np.nan)  # NaN parts two lines.
        for i, axis in enumerate(axes):
            lines[:, i] = unit[:, axis.column]
            if axis.is_choice:
                spread = 0.3 / axis.decision.count
                lines[:, i] += rng.uniform(-spread, spread, len(ids))
            lines[genotypes[:, axis.column] < 0, i] = _INACTIVE
        for i, (j, (low, high)) in enumerate(
            zip(shown, ranges, strict=True), len(axes)
        ):
            lines[:, i] = ((values[ids - 1, j] - low) / (high - low)).clip(0, 1)
        texts = [
            f"trial {trial_id}: {value:.5g}"
            for trial_id, value in zip(ids, values[ids - 1, number], strict=True)
        ]
        traces.append(
            go.Scatter(
                x=lines.ravel(),
                y=np.tile(np.arange(height + 1.0), len(ids)),
                name=name,
                showlegend=True,
                mode="lines",
                line={"color": color, "width": width},
                opacity=opacity,
                hovertext=np.repeat(texts, height + 1),
                hoverinfo="text",
            )
        )
    figure.add_traces(traces[::-1])  # The best on top.
    for i, axis in enumerate(axes):
        genes = axis.genes(8)
        places = _places(result, axis.column, genes)
        full = [axis.text(gene) for gene in genes]
        # A phone shows some 50 characters side by side.
        short = [axis.text(gene, max(3, 44 // len(genes))) for gene in genes]
        _draw_axis(figure, i, axis.label, places, short, full)
    for i, (j, limits) in enumerate(zip(shown, ranges, strict=True), len(axes)):
        ends = [f"{limit:.3g}" for limit in limits]
        _draw_axis(figure, i, style.label(result.objectives[j], 40), [0, 1], ends, ends)
    said = "Each line is a trial, from its decisions to what came of them."
    if result.space.layout.conditional:
        said += (
            " Where a line leaves to the left, the trial does not have the decision."
        )
    style.explained(figure, said, 120 + 62 * height)
    figure.update_xaxes(visible=False, range=[-0.1, 1.06])
    figure.update_yaxes(visible=False, range=[height - 0.5, -0.5])
    figure.update_layout(margin={"l": 8, "r": 8, "b": 10}, hovermode="closest")
    return figure


def _groups(
    result: Result, done: NDArray[np.int64], number: int
) -> Iterator[tuple[NDArray[np.int64], tuple[str, str, float, float]]]:
    """Ids of trials to be drawn, the best first, and how they look."""
    if len(result.objectives) > 1:
        front = np.array([trial.id for trial in result.pareto_front()])
        yield style.thinned(front, 60), ("Pareto front", style.GOOD, 1.5, 0.8)
        others = style.thinned(np.setdiff1d(done + 1, front), 140)
        if len(others):
            yield others, ("others", style.PLAIN, 1.0, 0.3)
        return
    rewards = result._record.rewards()[done, number]
    ranked, begun = done[np.argsort(-rewards, kind="stable")] + 1, 0
    for share, most, look in _SHARES:
        end = max(round(share * len(ranked)), 1)
        if begun < end:
            yield style.thinned(ranked[begun:end], most), look
        begun = end


_SHARES = (
    (0.05, 25, ("best 5%", style.GOOD, 2.0, 0.9)),
    (0.25, 75, ("next 20%", style.COLORS[1], 1.0, 0.55)),
    (1.0, 100, ("others", style.PLAIN, 1.0, 0.3)),
)


def _places(result: Result, column: int, genes: Any) -> list[float]:
    """Where genes of one column lie in the unit cube."""
    rows = np.full((len(genes), result.space.num_columns), -1.0)
    rows[:, column] = genes
    places: list[float] = result.space.encode(rows)[:, column].tolist()
    return places


def _draw_axis(
    figure: go.Figure,
    row: int,
    name: str,
    places: Sequence[float],
    texts: Sequence[str],
    full: Sequence[str],
) -> None:
    """An axis along x: its name above at the left, its values below."""
    import plotly.graph_objects as go

    line = {"color": "#888", "width": 1}
    figure.add_shape(x0=0, x1=1, y0=row, y1=row, line=line, layer="below")
    figure.add_trace(
        go.Scatter(
            x=list(places),
            y=[row] * len(places),
            mode="markers",
            marker={"color": "#888", "size": 5},
            hovertext=list(full),
            hoverinfo="text",
            showlegend=False,
        )
    )
    for x, text in zip(places, texts, strict=True):
        figure.add_annotation(
            x=x,
            y=row,
            yanchor="top",
            yshift=-4,
            text=text,
            font={"size": 10},
            bgcolor=_BEHIND_TEXT,
            borderpad=1,
            showarrow=False,
        )
    figure.add_annotation(
        x=_INACTIVE,
        xanchor="left",
        y=row,
        yanchor="bottom",
        yshift=4,
        text=f"<b>{name}</b>",
        font={"size": 12},
        bgcolor=_BEHIND_TEXT,
        borderpad=1,
        showarrow=False,
    )

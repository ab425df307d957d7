"""Whole trials at once: a line for each, through all decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symnas.plots import style
from symnas.plots.coordinates import coordinates, descriptions, genotypes_of
from symnas.trial import COMPLETED

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_AXES = 12
_GROUPS = ((0.05, 25, "best 5%"), (0.25, 75, "next 20%"), (1.0, 100, "others"))
_INACTIVE = -0.06  # Where a decision that is not active lies; its scale is [0, 1].


def parallel_coordinates(
    result: Result, decisions: Sequence[str] | None = None, objective: str | None = None
) -> go.Figure:
    """A line for each trial through the decisions it took, from top to bottom.

    The last axis is the objective. A click on the legend hides the good or the bad ones.
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
    axes = coordinates(result, decisions, _MOST_AXES)
    done = np.flatnonzero(record.statuses() == COMPLETED)
    if not len(done):
        raise style.NothingToDraw(result._why_none())
    sign = record.objectives.signs[number]
    rewards = record.rewards()[done, number]
    ranked = done[np.argsort(-rewards, kind="stable")]
    low, high, _ = style.cropped(sign * rewards, sign)
    figure = go.Figure()
    rng, begun, traces = np.random.default_rng(0), 0, []
    for share, most, name in _GROUPS:
        end = max(round(share * len(ranked)), 1)
        ids = style.thinned(ranked[begun:end], most) + 1
        begun = end
        if not len(ids):
            continue
        genotypes = genotypes_of(result, ids)
        unit = result.space.encode(genotypes)
        lines = np.full((len(ids), len(axes) + 2), np.nan)  # NaN parts two lines.
        for i, axis in enumerate(axes):
            lines[:, i] = unit[:, axis.column]
            if axis.is_choice:
                spread = 0.3 / axis.decision.count
                lines[:, i] += rng.uniform(-spread, spread, len(ids))
            lines[genotypes[:, axis.column] < 0, i] = _INACTIVE
        y = sign * record.rewards()[ids - 1, number]
        lines[:, -2] = ((y - low) / (high - low)).clip(0, 1)
        color, width, opacity = _LOOKS[name]
        texts = descriptions(result, ids)
        traces.append(
            go.Scatter(
                x=lines.ravel(),
                y=np.tile(np.arange(len(axes) + 2.0), len(ids)),
                name=name,
                showlegend=True,
                mode="lines",
                line={"color": color, "width": width},
                opacity=opacity,
                hovertext=[t for text in texts for t in [text] * (len(axes) + 2)],
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
    ends = [style.label(float(low), 12), style.label(float(high), 12)]
    _draw_axis(figure, len(axes), style.label(objective, 40), [0.0, 1.0], ends, ends)
    said = "Each line is a trial: the values of its decisions and, at the bottom, its "
    said += f"{style.label(objective)}. Trials far left of a decision do not have it."
    if not result._record.space.layout.conditional:
        said = said.rsplit(" Trials", 1)[0]
    style.explained(figure, said, 150 + 62 * (len(axes) + 1))
    figure.update_xaxes(visible=False, range=[-0.1, 1.06])
    figure.update_yaxes(visible=False, range=[len(axes) + 0.4, -0.45])
    figure.update_layout(margin={"l": 8, "r": 8, "b": 10}, hovermode="closest")
    return figure


_LOOKS = {
    "best 5%": (style.GOOD, 2.0, 0.9),
    "next 20%": (style.COLORS[1], 1.0, 0.55),
    "others": (style.PLAIN, 1.0, 0.3),
}


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

    figure.add_trace(
        go.Scatter(
            x=list(places),
            y=[row] * len(places),
            mode="lines+markers+text",
            line={"color": "#888", "width": 1},
            marker={"color": "#888", "size": 5, "symbol": "line-ns-open"},
            text=list(texts),
            textposition="bottom center",
            textfont={"size": 10},
            hovertext=list(full),
            hoverinfo="text",
            showlegend=False,
            cliponaxis=False,
        )
    )
    figure.add_annotation(
        x=0.0,
        xanchor="left",
        y=row,
        yanchor="bottom",
        yshift=1,
        text=f"<b>{name}</b>",
        font={"size": 12},
        showarrow=False,
    )

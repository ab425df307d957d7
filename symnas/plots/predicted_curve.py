"""How a model predicts that learning curves go on, over what they did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symnas.plots import style

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PER_ROW = 3
_BANDS = {"90 %": (0.05, 0.95, 0.15), "50 %": (0.25, 0.75, 0.25)}  # And opacity.


def predicted_curves(
    model: Any,
    curves: Mapping[str, Sequence[float]],
    observed: int,
    *,
    horizon: int | None = None,
    normalizer: Any = None,
) -> go.Figure:
    """The median and the bands that hold half and nine tenths, one panel per curve.

    Args:
      model: with a `predict` like that of `predictors.LCPFN`.
      curves: by name, the values after steps 1, 2, ...
      observed: how many of them the model sees; the others are drawn to compare with.
      horizon: the last step that is predicted; by default that of the longest curve.
      normalizer: what the metric is, if it is not between 0 and 1 with higher better.

    Example:

    >>> import symnas as sn
    >>> curve = [0.9 - 0.6 / step for step in range(1, 31)]
    >>> model = sn.predictors.LCPFN.load()
    >>> figure = sn.plots.predicted_curves(model, {"a": curve}, observed=5)
    >>> [trace.name for trace in figure.data]
    ['90 %', '50 %', 'median', 'seen', 'not seen']
    """
    from plotly.subplots import make_subplots

    given = {name: np.asarray(values, float) for name, values in curves.items()}
    if not given:
        raise ValueError("There are no `curves` to draw.")
    if observed < 1:
        raise ValueError(f"`observed` must be at least 1, got {observed}.")
    horizon = horizon or max(map(len, given.values()))
    if horizon <= observed:
        raise ValueError(
            f"Nothing is left to predict: `observed` is {observed}, and the last step is "
            f"{horizon}."
        )
    rows = math.ceil(len(given) / _PER_ROW)
    columns = min(len(given), _PER_ROW)
    used = np.arange(rows * columns).reshape(rows, columns) < len(given)
    figure = make_subplots(
        rows,
        columns,
        specs=[[{} if there else None for there in row] for row in used.tolist()],
        subplot_titles=list(given),
        shared_yaxes="all",
        horizontal_spacing=0.03,
        vertical_spacing=0.24 / rows,
    )
    for i, values in enumerate(given.values()):
        for trace in _traces(model, values, observed, horizon, normalizer, i == 0):
            figure.add_trace(trace, i // columns + 1, i % columns + 1)
    style.plain(figure)
    figure.update_xaxes(range=[0, horizon + 1])
    for column in range(columns):
        figure.update_xaxes(
            title="steps", row=int(used[:, column].sum()), col=column + 1
        )
    height = 260 * rows
    figure.update_layout(
        width=max(300 * columns, 560),
        height=height + 130,
        legend={"y": 1 + 35 / height, "yanchor": "bottom", "traceorder": "normal"},
    )
    return figure


def bands(predicted: Any, later: Any, color: str) -> list[go.Scatter]:
    """The bands and the median of what is predicted of one curve at steps (Q,)."""
    import plotly.graph_objects as go

    both = np.concatenate([later, later[::-1]])
    traces = []
    for name, (low, high, opacity) in _BANDS.items():
        low, high = predicted.quantile(np.array([low, high])).T
        traces.append(
            go.Scatter(
                x=both,
                y=np.concatenate([high, low[::-1]]),
                fill="toself",
                fillcolor=style.faded(color, opacity),
                line={"width": 0},
                hoverinfo="skip",
                name=name,
            )
        )
    traces.append(
        go.Scatter(
            x=later,
            y=predicted.median,
            mode="lines",
            line={"color": color, "width": 2},
            name="median",
        )
    )
    return traces


def _traces(
    model: Any,
    values: Any,
    observed: int,
    horizon: int,
    normalizer: Any,
    in_legend: bool,
) -> list[go.Scatter]:
    """Bands, median, and the points that the model saw and did not see."""
    import plotly.graph_objects as go

    steps = np.arange(1, len(values) + 1)
    seen, unseen = (steps <= observed), (steps > observed) & np.isfinite(values)
    given = seen & ~np.isnan(values)
    later = np.arange(observed + 1, horizon + 1)
    predicted = model.predict(
        values[given], later, normalizer=normalizer, observed_at=steps[given]
    )
    traces = bands(predicted, later, style.color(0))
    for name, which, symbol in (
        ("seen", seen, "circle"),
        ("not seen", unseen, "circle-open"),
    ):
        traces.append(
            go.Scatter(
                x=steps[which],
                y=values[which],
                mode="markers",
                marker={"color": style.color(9), "size": 4, "symbol": symbol},
                name=name,
            )
        )
    for trace in traces:
        trace.legendgroup, trace.showlegend = trace.name, in_legend
    return traces

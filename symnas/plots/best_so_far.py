"""The best reward over the trials of one search or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result


def best_so_far(results: Mapping[str, Result | Sequence[Result]]) -> go.Figure:
    """The best reward after each trial; of several results the median and quartiles.

    Args:
      results: by name, one result of a single objective or several, as of many seeds.
        Only as many trials are drawn as the shortest of a name has.

    Raises:
      ValueError: there is nothing to draw.

    Example:

    >>> import symnas as sn
    >>> def searched(algorithm, seed):
    ...     space = {"x": sn.floatv(0.0, 1.0)}
    ...     return sn.search(space, lambda e: e["x"], algorithm, 20, seed=seed,
    ...                      progress=False)
    >>> figure = sn.plots.best_so_far(
    ...     {name: [searched(name, seed) for seed in range(3)] for name in ("tpe", "random")}
    ... )
    >>> [trace.name for trace in figure.data if trace.name]
    ['tpe', 'random']
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for i, (name, given) in enumerate(results.items()):
        several = given if isinstance(given, Sequence) else [given]
        curves = [_curve(result) for result in several]
        length = min(map(len, curves), default=0)
        if not length:
            raise ValueError(f"`{name}` has no trials to draw.")
        best = np.array([curve[:length] for curve in curves])
        trials = np.arange(1, length + 1)
        low, median, high = np.quantile(best, [0.25, 0.5, 0.75], axis=0)
        color = style.color(i)
        if len(several) > 1:
            for bound, fill in ((low, None), (high, "tonexty")):
                figure.add_trace(
                    go.Scatter(
                        x=trials,
                        y=bound,
                        fill=fill,
                        fillcolor=style.faded(color, 0.12),
                        line={"width": 0, "shape": "hv"},
                        mode="lines",
                        hoverinfo="skip",
                        legendgroup=name,
                        showlegend=False,
                    )
                )
        figure.add_trace(
            go.Scatter(
                x=trials,
                y=median,
                name=name,
                mode="lines",
                line={"color": color, "width": 2, "shape": "hv"},
                legendgroup=name,
            )
        )
    style.plain(figure)
    figure.update_xaxes(title="trials")
    figure.update_yaxes(title="best so far")
    figure.update_layout(width=760, height=460, margin_t=30)
    return figure


def _curve(result: Result) -> NDArray[np.float64]:
    """The best reward (n,) after each trial, NaN before the first."""
    if len(result.objectives) > 1:
        raise ValueError(
            f"There is no single best of {len(result.objectives)} objectives."
        )
    rewards = result._record.rewards()[:, 0]
    done = np.where(np.isnan(rewards), -np.inf, rewards)
    best = np.maximum.accumulate(done) if len(done) else done
    signed = best * result._record.objectives.signs[0]
    return np.where(np.isfinite(best), signed, np.nan)

"""The best reward over the trials of one search or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from symnas.plots import style
from symnas.plots.coordinates import descriptions
from symnas.trial import FAILED

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_POINTS = 1000
_MOST_FAILURES = 300


def best_so_far(
    results: Result | Mapping[str, Result | Sequence[Result]],
) -> go.Figure:
    """The best reward after each trial; of several results the median and quartiles.

    Args:
      results: one result, which is drawn with its trials; or by name one result or
        several, as of many seeds. Each has a single objective. Only as many trials are
        drawn as the shortest of a name has.

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

    if not isinstance(results, Mapping):
        ids = np.arange(1, len(results.trials) + 1)
        return progress_over(ids.astype(float), results, "trials")
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


def progress_over(
    positions: NDArray[np.float64], result: Result, axis: str
) -> go.Figure:
    """Trials and the best of them so far, over something that each trial has.

    Args:
      positions: (n,) of all trials; where one is NaN it is not drawn.
      axis: what the positions are.
    """
    import plotly.graph_objects as go

    record = result._record
    if len(result.objectives) > 1:
        raise style.NothingToDraw(
            f"There is no single best of {len(result.objectives)} objectives."
        )
    sign, objective = record.objectives.signs[0], style.label(result.objectives[0])
    rewards, known = record.rewards()[:, 0], np.isfinite(positions)
    order = np.argsort(positions, kind="stable")
    done = order[(np.isfinite(rewards) & known)[order]]
    if not len(done):
        raise style.NothingToDraw(result._why_none())
    best = np.maximum.accumulate(rewards[done])
    # A step at each improvement is the whole curve; of thousands nobody sees each.
    steps = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
    seen = np.linspace(0, len(steps) - 1, min(len(steps), _MOST_POINTS))
    steps = steps[seen.astype(int)]
    improving = done[steps]
    drawn = style.thinned(done, _MOST_POINTS)
    failed = np.flatnonzero((record.statuses() == FAILED) & known)
    rug = style.thinned(failed, _MOST_FAILURES)
    end = np.max(positions[known])
    figure = go.Figure(
        [
            go.Scatter(
                x=positions[drawn],
                y=sign * rewards[drawn],
                name=_counted("trials", len(drawn), len(done)),
                mode="markers",
                marker={"color": style.MEDIUM, "size": 5, "opacity": 0.6},
                hovertext=descriptions(result, drawn + 1),
                hoverinfo="text",
            ),
            go.Scatter(
                x=np.append(positions[improving], end),
                y=sign * np.append(rewards[improving], best[-1]),
                name="best so far",
                mode="lines+markers",
                line={"color": style.GOOD, "width": 2.5, "shape": "hv"},
                marker={"size": [6 if len(steps) <= 100 else 0] * len(steps) + [0]},
                hovertext=descriptions(
                    result, np.append(improving, improving[-1:]) + 1
                ),
                hoverinfo="text",
            ),
        ]
    )
    low, high, outside = style.cropped(sign * rewards[done], sign)
    if len(rug):
        figure.add_trace(
            go.Scatter(
                x=positions[rug],
                y=np.full(len(rug), low),
                name=_counted("failed", len(rug), len(failed)),
                mode="markers",
                marker={"color": style.BAD, "size": 8, "symbol": "line-ns-open"},
                hovertext=[f"trial {i + 1} failed" for i in rug],
                hoverinfo="text",
            )
        )
    trials = (
        f"{len(done):,} completed trials" if len(done) > 1 else "one completed trial"
    )
    said = f"The best {objective} of {trials}, as it was found."
    if outside:
        said += f" {outside:,} that are far worse lie outside the figure."
    style.explained(figure, said, 420)
    figure.update_xaxes(title=axis, rangemode="tozero")
    figure.update_yaxes(title=style.goal(result.objectives[0], sign), range=[low, high])
    return figure


def _counted(what: str, drawn: int, of: int) -> str:
    return what if drawn == of else f"{what} ({drawn:,} of {of:,} drawn)"


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

"""What trials reported on the way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from symnas.plots import style
from symnas.plots.coordinates import descriptions
from symnas.plots.predicted_curve import bands
from symnas.trial import COMPLETED

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_CURVES = 150
_MOST_STEPS = 200
_HIGHLIGHTED = 5
_PREDICTED = 3


def learning_curves(
    result: Result, model: Any = None, normalizer: Any = None
) -> go.Figure:
    """The first objective of each trial over its steps, and where trials were cut.

    A cross ends a curve that an early-stopping policy has cut short, or the algorithm, with
    a smaller budget than it gave to others. The best trials stand out.

    Args:
      model: as `predictors.LCPFN`, which predicts how the best three of those that were
        cut short would have gone on: bands that hold half and nine tenths.
      normalizer: what the metric is, for the model; not needed for accuracies.

    Raises:
      ValueError: no trial has reported anything on the way.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     for epoch in range(5):
    ...         yield example["x"] * epoch
    >>> space = {"x": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, evaluate, "random", 3, seed=0, progress=False)
    >>> figure = sn.plots.learning_curves(result)
    >>> [trace.name for trace in figure.data if trace.showlegend]
    ['best 3']

    Where would trials have ended that were stopped?

    >>> rule = sn.early_stopping.SuccessiveHalving()
    >>> result = sn.search(
    ...     space, evaluate, "random", 6, seed=0, early_stopping=rule, progress=False
    ... )
    >>> figure = result.plot_learning_curves(sn.predictors.LCPFN.load())
    >>> [trace.name for trace in figure.data if trace.showlegend][-3:]
    ['90 %', '50 %', 'median']
    """
    import plotly.graph_objects as go

    record, name = result._record, result.objectives[0]
    sign = record.objectives.signs[0]
    curves: dict[int, tuple[list[int], list[float]]] = {}
    for trial_id, measured in record.having("measurements").items():
        points = sorted(
            (m.step, m.metrics[name])
            for m in measured
            if np.isfinite(m.metrics.get(name, np.nan))
        )
        if points:
            curves[trial_id] = [step for step, _ in points], [y for _, y in points]
    if not curves:
        raise style.NothingToDraw(
            "No trial reported anything on the way: an evaluation that yields its metrics "
            "after each epoch has learning curves."
        )
    ids = np.array(sorted(curves))
    rewards, statuses = record.rewards()[ids - 1, 0], record.statuses()[ids - 1]
    rewards = np.where(statuses == COMPLETED, rewards, -np.inf)
    best = ids[np.argsort(-rewards, kind="stable")][:_HIGHLIGHTED]
    best = np.array(
        [i for i in best if record.statuses()[i - 1] == COMPLETED], dtype=int
    )
    others = style.thinned(np.setdiff1d(ids, best), _MOST_CURVES)
    stopped = record.having("stopped_early")
    budgets = {i: record.budget(i) or math.inf for i in ids.tolist()}
    whole = max(budgets.values())
    cut = np.array(
        [i for i in budgets if i in stopped or budgets[i] < whole], dtype=int
    )
    figure = go.Figure()
    if len(others):
        x: list[float | None] = []
        y: list[float | None] = []
        texts: list[str | None] = []
        for trial_id in others.tolist():
            steps, values = _seen(*curves[trial_id])
            x += [*steps, None]
            y += [*values, None]
            texts += [f"trial {trial_id}"] * len(steps) + [None]
        left = len(ids) - len(best)
        drawn = "" if len(others) == left else f" ({len(others):,} of {left:,} drawn)"
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                name=f"other trials{drawn}",
                # Curves of one step are points.
                mode="lines+markers",
                line={"color": style.PLAIN, "width": 1},
                marker={"size": 2},
                opacity=0.45,
                hovertext=texts,
                hoverinfo="text",
                showlegend=True,
            )
        )
    described = zip(best.tolist(), descriptions(result, best), strict=True)
    for i, (trial_id, text) in enumerate(described):
        steps, values = _seen(*curves[trial_id])
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=values,
                name=f"best {len(best)}",
                legendgroup="best",
                showlegend=i == 0,
                mode="lines+markers",
                line={"color": style.GOOD, "width": 2.5 if i == 0 else 1.5},
                marker={"size": 4},
                hovertext=text,
                hoverinfo="text",
            )
        )
    ends = np.intersect1d(cut, np.concatenate([best, others]))
    if len(ends):
        figure.add_trace(
            go.Scatter(
                x=[curves[i][0][-1] for i in ends.tolist()],
                y=[curves[i][1][-1] for i in ends.tolist()],
                name="cut short",
                mode="markers",
                marker={"color": style.BAD, "size": 7, "symbol": "x-thin-open"},
                hovertext=descriptions(result, ends),
                hoverinfo="text",
            )
        )
    if model is not None:
        last = np.array([curves[i][1][-1] for i in ends.tolist()])
        nearest = ends[np.argsort(-sign * last, kind="stable")][:_PREDICTED]
        figure.add_traces(_predicted(nearest.tolist(), curves, model, normalizer))
    shown = [curves[i][1] for i in [*best.tolist(), *others.tolist()]]
    low, high, outside = style.cropped(np.concatenate(shown), sign)
    said = f"{len(ids):,} trials reported on the way"
    said += f", {len(cut):,} of them were cut short." if len(cut) else "."
    if outside:
        said += f" {outside:,} points that are far worse lie outside the figure."
    style.explained(figure, said, 420)
    figure.update_xaxes(title="step")
    figure.update_yaxes(title=style.goal(name, sign), range=[low, high])
    return figure


def _predicted(
    trial_ids: list[int],
    curves: dict[int, tuple[list[int], list[float]]],
    model: Any,
    normalizer: Any,
) -> list[go.Scatter]:
    """Bands of how trials would have gone on, at steps that others have reached."""
    every = np.unique(np.concatenate([steps for steps, _ in curves.values()]))
    every = every[every >= 1]  # What was measured before training is no step of it.
    unit = int(np.gcd.reduce(every))  # All 500 steps, say.
    traces: list[go.Scatter] = []
    for trial_id in trial_ids:
        steps, values = map(np.array, curves[trial_id])
        later, seen = every[every > steps[-1]], steps >= 1
        if not len(later):
            continue
        predicted = model.predict(
            values[seen],
            later // unit,
            normalizer=normalizer,
            observed_at=steps[seen] // unit,
        )
        for trace in bands(predicted, later, style.BAD):
            trace.legendgroup = trace.name
            trace.showlegend = len(traces) < 3
            traces.append(trace)
    return traces


def _seen(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """A curve with no more points than a figure can show."""
    kept = np.linspace(0, len(steps) - 1, min(len(steps), _MOST_STEPS)).astype(int)
    return [steps[i] for i in kept], [values[i] for i in kept]

"""What several objectives cost each other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from symnas.plots import style
from symnas.plots.coordinates import descriptions
from symnas.trial import COMPLETED

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_POINTS = 1000
_MOST_OF_FRONT = 1000
_MOST_OBJECTIVES = 4


def pareto_front(result: Result) -> go.Figure:
    """The trials that no other one beats in all objectives, among all trials.

    With three or four objectives there is a panel for each pair; a trial of the front
    then need not look like one in each of them. Of more the first four are drawn.

    Raises:
      ValueError: there is one objective only, or nothing to draw.

    Example:

    >>> import symnas as sn
    >>> space = {"width": sn.intv(1, 9), "rate": sn.floatv(0.0, 1.0)}
    >>> def evaluate(e):
    ...     return {"accuracy": e["width"] - e["rate"], "size": e["width"]}
    >>> result = sn.search(space, evaluate, "nsga2", 30, objectives=["accuracy", "-size"],
    ...                    seed=0, progress=False)
    >>> figure = sn.plots.pareto_front(result)
    >>> len(figure.data[-1].x) == len(result.pareto_front())
    True
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    if len(result.objectives) < 2:
        raise style.NothingToDraw("A Pareto front needs at least two objectives.")
    record, signs = result._record, result._record.objectives.signs
    done = np.flatnonzero(record.statuses() == COMPLETED)
    if not len(done):
        raise style.NothingToDraw(result._why_none())
    values = record.rewards() * signs
    front = np.array([trial.id - 1 for trial in result.pareto_front()])
    order = np.argsort(values[front, 0], kind="stable")
    shown = style.thinned(front[order], _MOST_OF_FRONT)
    drawn = style.thinned(np.setdiff1d(done, front), _MOST_POINTS)
    pairs = list(
        itertools.combinations(range(min(len(result.objectives), _MOST_OBJECTIVES)), 2)
    )
    columns = 1 if len(pairs) == 1 else 2
    rows = -(-len(pairs) // columns)
    figure = make_subplots(rows, columns, vertical_spacing=0.12 / rows * 2)
    texts, front_texts = (
        descriptions(result, drawn + 1),
        descriptions(result, shown + 1),
    )
    for i, (first, second) in enumerate(pairs):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        common = {"hoverinfo": "text", "showlegend": i == 0}
        figure.add_trace(
            go.Scatter(
                x=values[drawn, first],
                y=values[drawn, second],
                mode="markers",
                name="other trials",
                legendgroup="other",
                marker={"color": style.PLAIN, "size": 5, "opacity": 0.5},
                hovertext=texts,
                **common,
            ),
            **place,
        )
        # What is reachable ends in a staircase, as no trial lies between two of them.
        lines = {"mode": "lines+markers", "line": _staircase(signs)}
        figure.add_trace(
            go.Scatter(
                x=values[shown, first],
                y=values[shown, second],
                **(lines if len(pairs) == 1 else {"mode": "markers"}),
                name="Pareto front",
                legendgroup="front",
                marker={"color": style.GOOD, "size": 8},
                hovertext=front_texts,
                **common,
            ),
            **place,
        )
        figure.update_xaxes(
            title=style.goal(result.objectives[first], signs[first]), **place
        )
        figure.update_yaxes(
            title=style.goal(result.objectives[second], signs[second]), **place
        )
    said = (
        f"{len(front):,} of {len(done):,} completed trials lie on the Pareto front: no "
        "other trial is as good in all objectives and better in one."
    )
    if len(result.objectives) > _MOST_OBJECTIVES:
        said += f" The first {_MOST_OBJECTIVES} objectives are drawn."
    return style.explained(figure, said, 130 + 330 * rows)


def _staircase(signs: list[float]) -> dict[str, object]:
    # From left to right: first along x where the better y of the next is not reached yet.
    return {"color": style.GOOD, "width": 1.5, "shape": "vh" if signs[0] > 0 else "hv"}

"""Which decisions matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from symnas.importances import Importances, decision_importances
from symnas.plots import style

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.result import Result

_MOST_BARS = 20


def importance(result: Result, objective: str | None = None) -> go.Figure:
    """How much each decision matters for the rank of a reward.

    By permutation in a random forest, on trials that it has not seen; see
    `symnas.importances`.

    Args:
      objective: one of the study's, by default the first.

    Raises:
      ValueError: there are too few trials, or they do not tell what matters.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(0.0, 1.0), "y": sn.floatv(0.0, 1.0)}
    >>> result = sn.search(space, lambda e: 5 * e["x"] + e["y"], "random", 200, seed=0,
    ...                    progress=False)
    >>> figure = sn.plots.importance(result)
    >>> figure.layout.yaxis.ticktext
    ('x', 'y')
    """
    return importance_bars(decision_importances(result, objective))


def importance_bars(importances: Importances) -> go.Figure:
    """The figure of importances that are known."""
    import plotly.graph_objects as go

    objective = style.label(importances.objective)
    known = (
        f"R\u00b2 {importances.score:.2f} on held-out ones of {importances.num_trials:,} "
        "trials"
    )
    if not importances.reliable:
        raise style.NothingToDraw(
            f"These trials do not tell which decisions matter for the {objective}: a random "
            f"forest cannot predict it from them ({known})."
        )
    names = list(importances.shares)[:_MOST_BARS]
    shares = [importances.shares[name] for name in names]
    errors = [importances.errors[name] for name in names]
    sure = [share > 2 * error for share, error in zip(shares, errors, strict=True)]
    figure = go.Figure(
        go.Bar(
            x=[max(share, 0.0) for share in shares],
            y=list(range(len(names))),
            orientation="h",
            marker={"color": [style.GOOD if s else style.PLAIN for s in sure]},
            error_x={"array": errors, "color": "#888", "thickness": 1, "width": 3},
            hovertext=[
                f"{style.label(name)}: {share:.1%} \u00b1 {error:.1%}"
                for name, share, error in zip(names, shares, errors, strict=True)
            ],
            hoverinfo="text",
        )
    )
    left = len(importances.shares) - len(names) + importances.num_left_out
    said = (
        f"How much each decision tells about the ranking by {objective}: permutation "
        f"importance in a random forest ({known})."
    )
    if not all(sure):
        said += " Grey: not to be told from chance."
    if left:
        said += f" {left:,} decisions that matter less are left out."
    style.explained(figure, said, 170 + 26 * len(names))
    figure.update_xaxes(
        title="share of the importance",
        tickformat=".1~%",
        range=[0.0, 1.1 * max(map(sum, zip(shares, errors, strict=True)))],
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[style.label(name, 26) for name in names],
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
    )
    return figure

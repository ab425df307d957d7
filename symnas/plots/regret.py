"""How far searches on a table are from its optimum, over queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from symnas.plots import style

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from symnas.benchmarks import Comparison


def regret(comparison: Comparison) -> go.Figure:
    """Mean regret over queries, with the quartiles as a band; one panel per data set.

    The axis is logarithmic, so a regret of 0 lies on its lower edge.

    Example:

    >>> import symnas as sn
    >>> benchmark = sn.benchmarks.NASBench201.synthetic()  # Invented values.
    >>> algorithms = {"random_search": sn.algorithms.RandomSearch()}
    >>> comparison = sn.benchmarks.compare(benchmark, algorithms, queries=20, seeds=5)
    >>> figure = sn.plots.regret(comparison)
    >>> len(figure.data)
    6
    """
    # Plotly takes a while to import, and a search without figures does not need it.
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    datasets = comparison.datasets
    figure = make_subplots(1, len(datasets), subplot_titles=datasets)
    for panel, dataset in enumerate(datasets, start=1):
        curves = {
            name: comparison.regret(name, dataset) for name in comparison.algorithms
        }
        positive = [
            regret[regret > 0].min(initial=np.inf) for regret in curves.values()
        ]
        lowest = min(1.0, *positive) / 2
        for i, (name, regrets) in enumerate(curves.items()):
            color = style.color(i)
            queries = np.arange(1, regrets.shape[1] + 1)
            low, high = np.quantile(regrets, [0.25, 0.75], axis=0).clip(lowest)
            figure.add_trace(
                go.Scatter(
                    x=np.concatenate([queries, queries[::-1]]),
                    y=np.concatenate([high, low[::-1]]),
                    fill="toself",
                    fillcolor=style.faded(color, 0.12),
                    line={"width": 0},
                    hoverinfo="skip",
                    legendgroup=name,
                    showlegend=False,
                ),
                1,
                panel,
            )
            figure.add_trace(
                go.Scatter(
                    x=queries,
                    y=regrets.mean(axis=0).clip(lowest),
                    name=name,
                    line={"color": color, "width": 2},
                    legendgroup=name,
                    showlegend=panel == 1,
                ),
                1,
                panel,
            )
    seeds = len(next(iter(comparison.queries.values())))
    metric = comparison.benchmark.default_metric.replace("_", " ")
    style.plain(figure)
    figure.update_xaxes(title="queries")
    figure.update_yaxes(type="log", dtick="D2")
    figure.update_yaxes(title=f"regret of the {metric}", col=1)
    figure.update_layout(
        title=f"Mean and quartiles of {seeds} seeds",
        width=380 * len(datasets),
        height=460,
    )
    return figure

"""Bands over curves: what is drawn is what the model predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symnas as sn
from symnas.predictors import Normalizer
from symnas.predictors.lc_pfn.last_value import LastValue

CURVE = [0.2, 0.4, math.nan, 0.6, 0.65, 0.7, 0.72]


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_bands_and_median_are_those_of_the_prediction():
    drawn = traces(sn.plots.predicted_curves(LastValue(), {"a": CURVE}, observed=4))
    predicted = LastValue().predict([0.2, 0.4, 0.6], [5, 6, 7], observed_at=[1, 2, 4])
    assert drawn["median"].x.tolist() == [5, 6, 7]
    assert drawn["median"].y == pytest.approx(predicted.median)
    for name, low, high in (("90 %", 0.05, 0.95), ("50 %", 0.25, 0.75)):
        assert drawn[name].x.tolist() == [5, 6, 7, 7, 6, 5]
        assert drawn[name].y[:3] == pytest.approx(predicted.quantile(high))
        assert drawn[name].y[:2:-1] == pytest.approx(predicted.quantile(low))
    assert drawn["seen"].y[[0, 1, 3]].tolist() == [0.2, 0.4, 0.6]
    assert drawn["not seen"].y.tolist() == [0.65, 0.7, 0.72]


def test_each_curve_has_its_panel_and_the_legend_each_name_once():
    curves = {str(i): np.linspace(0.1, 0.5, 6 + i) for i in range(5)}
    figure = sn.plots.predicted_curves(LastValue(), curves, 3, horizon=20)
    assert [title.text for title in figure.layout.annotations] == list("01234")
    assert sum(bool(trace.showlegend) for trace in figure.data) == 5
    assert len({trace.xaxis for trace in figure.data}) == 5
    assert all(trace.x.max() == 20 for trace in figure.data if trace.name == "median")


def test_losses_are_drawn_as_they_are():
    loss = Normalizer.log_loss(2.3)
    figure = sn.plots.predicted_curves(
        LastValue(), {"a": [2.0, 1.5, 1.2, 1.0]}, 3, normalizer=loss
    )
    assert traces(figure)["median"].y == pytest.approx([1.2])


@pytest.mark.parametrize(
    ("curves", "observed", "message"),
    [
        ({}, 3, "There are no `curves` to draw."),
        ({"a": CURVE}, 0, "`observed` must be at least 1, got 0."),
        ({"a": CURVE}, 7, "`observed` is 7, and the last step is 7."),
    ],
)
def test_what_cannot_be_drawn_is_refused(curves, observed, message):
    with pytest.raises(ValueError, match=message):
        sn.plots.predicted_curves(LastValue(), curves, observed)

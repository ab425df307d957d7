"""The Pareto front among all trials."""

from __future__ import annotations

import numpy as np
import pytest


def test_the_front_is_what_no_other_trial_dominates(study, line):
    values = np.random.default_rng(0).normal(size=(200, 2))
    figure = study(line, list(values), ["a", "-b"]).plot_pareto_front()
    others, front = figure.data
    gains = values * [1, -1]
    dominated = [
        any((other >= gain).all() and (other > gain).any() for other in gains)
        for gain in gains
    ]
    assert {*zip(front.x, front.y, strict=True)} == {
        (a, b) for (a, b), worse in zip(values, dominated, strict=True) if not worse
    }
    assert len(others.x) + len(front.x) == 200
    assert figure.layout.xaxis.title.text == "a (larger is better)"
    assert figure.layout.yaxis.title.text == "b (smaller is better)"


@pytest.mark.parametrize("signs", ["++", "+-", "-+", "--"])
def test_no_trial_lies_beyond_the_staircase(study, line, signs):
    values = np.random.default_rng(1).normal(size=(100, 2))
    names = [f"-{n}" if s == "-" else n for n, s in zip("ab", signs, strict=True)]
    _, front = study(line, list(values), names).plot_pareto_front().data
    x, y = np.asarray(front.x), np.asarray(front.y)
    assert (np.diff(x) >= 0).all()
    corners = {
        "hv": list(zip(x[1:], y[:-1], strict=True)),
        "vh": list(zip(x[:-1], y[1:], strict=True)),
    }[front.line.shape]
    gains = values * [1 if s == "+" else -1 for s in signs]
    for corner in corners:
        corner = np.array(corner) * [1 if s == "+" else -1 for s in signs]
        assert not (gains > corner).all(axis=1).any()


def test_three_objectives_have_a_panel_for_each_pair(study, line):
    values = np.random.default_rng(0).normal(size=(50, 3))
    figure = study(line, list(values), ["a", "b", "-c"]).plot_pareto_front()
    assert len(figure.data) == 6
    assert sum(trace.showlegend for trace in figure.data) == 2


def test_one_objective_has_no_front(study, line):
    with pytest.raises(ValueError, match="at least two objectives"):
        study(line, [1.0]).plot_pareto_front()

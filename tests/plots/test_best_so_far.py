"""Trials and the best of them, over trials and over time."""

from __future__ import annotations

import numpy as np
import pytest

from symnas.plots.clock import clock


def trace(figure, name):
    (found,) = [trace for trace in figure.data if (trace.name or "").startswith(name)]
    return found


def heights(line, positions):
    """The height of a staircase at some positions."""
    at = np.searchsorted(np.asarray(line.x), positions, side="right") - 1
    return np.asarray(line.y)[at]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_staircase_is_the_best_of_all_trials_so_far(study, line, sign):
    rewards = np.random.default_rng(0).normal(size=3000).tolist()
    rewards[10:40] = [None] * 30
    objective = "reward" if sign > 0 else "-reward"
    figure = study(line, rewards, [objective]).plot_best_so_far()
    stairs = trace(figure, "best so far")
    for n in (1, 5, 30, 41, 777, 3000):
        known = [r for r in rewards[:n] if r is not None]
        best = max(known) if sign > 0 else min(known)
        assert heights(stairs, n) == best
    drawn = trace(figure, "trials")
    assert drawn.name == "trials (1,000 of 2,970 drawn)"
    assert all(rewards[int(x) - 1] == y for x, y in zip(drawn.x, drawn.y, strict=True))
    assert list(trace(figure, "failed").x) == list(range(11, 41))


def test_a_staircase_of_many_steps_keeps_its_ends(study, line):
    stairs = trace(study(line, list(range(5000))).plot_best_so_far(), "best so far")
    assert (stairs.x[0], stairs.y[0]) == (1, 0)
    assert (stairs.x[-2], stairs.y[-2]) == (5000, 4999)
    assert len(stairs.x) <= 1001


def test_one_trial_is_drawn_and_none_is_refused(study, line):
    figure = study(line, [0.5]).plot_best_so_far()
    assert list(trace(figure, "best so far").y) == [0.5, 0.5]
    with pytest.raises(ValueError, match="Trial 1 is failed: ValueError: no"):
        study(line, [None, None]).plot_best_so_far()
    with pytest.raises(ValueError, match="no single best of 2 objectives"):
        study(line, [(1.0, 2.0)], ["a", "b"]).plot_best_so_far()


def test_rewards_that_are_far_worse_do_not_flatten_the_rest(study, line):
    figure = study(line, [*np.linspace(0, 1, 50), -1e9]).plot_best_so_far()
    low, high = figure.layout.yaxis.range
    assert -1 < low < 0
    assert 1 < high < 2
    assert "1 that are far worse lie outside" in figure.layout.title.text


def test_over_time_a_trial_counts_when_it_ends(study, line):
    result = study(
        line, [1.0, 3.0, 2.0], begun=[1e9, 1e9 + 1, 1e9 + 2], seconds=[1.5, 9.0, 1.0]
    )
    figure = result.plot_over_time()
    assert sorted(trace(figure, "trials").x) == [1.5, 3.0, 10.0]
    assert list(trace(figure, "best so far").y) == [1.0, 2.0, 3.0, 3.0]


def test_pauses_in_which_nothing_ran_are_left_out(study, line):
    week = 7 * 86400.0
    begun = [1e9, 1e9 + 10, 1e9 + 20 + week, 1e9 + 30 + week]
    times = clock(study(line, [1.0] * 4, begun=begun, seconds=[10.0] * 4))
    np.testing.assert_allclose(times.begun, [0, 10, 20, 30], atol=1e-3)
    np.testing.assert_allclose(times.pauses, week)
    # A trial may well take longer than the pause behind it.
    times = clock(
        study(line, [1.0] * 2, begun=[1e9, 1e9 + 2000], seconds=[1800.0, 9.0])
    )
    assert times.pauses == 0.0


def test_without_beginnings_trials_count_one_after_the_other(study, line):
    result = study(line, [1.0] * 3, begun=[np.nan] * 3, seconds=[2.0, 3.0, 4.0])
    figure = result.plot_over_time()
    assert list(trace(figure, "trials").x) == [2.0, 5.0, 9.0]
    assert "one after the other" in figure.layout.xaxis.title.text


def test_a_tenth_of_rewards_that_diverged_does_not_flatten_the_rest(study, line):
    losses = [*np.linspace(0.0, 1.0, 90), *[1e9] * 10]
    low, high = study(line, losses, ["-loss"]).plot_best_so_far().layout.yaxis.range
    assert low < 0
    assert 1 < high < 2

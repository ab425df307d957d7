"""What trials reported on the way, and when they ran."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import symnas as sn
from symnas.predictors import Normalizer
from symnas.predictors.lc_pfn.last_value import LastValue


def test_curves_are_what_trials_reported_and_crosses_where_they_were_cut():
    def evaluate(example):
        for step in range(1, 6):
            yield example["x"] * step

    def stop(feedback, study):
        return feedback.id % 3 == 0 and len(feedback.measurements) == 2

    result = sn.search(
        {"x": sn.floatv(0.0, 1.0)},
        evaluate,
        "random",
        30,
        seed=0,
        early_stopping=stop,
        progress=False,
    )
    figure = result.plot_learning_curves()
    others, *best, cut = figure.data
    assert [list(t.y) for t in best] == [
        [m.metrics["reward"] for m in t.measurements] for t in result.top(5)
    ]
    parts = np.split(
        np.array(others.y, dtype=float),
        np.flatnonzero(np.isnan(np.array(others.y, dtype=float))),
    )
    assert len(parts) - 1 == 25
    stopped = [t for t in result.trials if t.stopped_early]
    assert sorted(cut.y) == sorted(t.reward for t in stopped)
    assert set(cut.x) == {2}
    assert "10 of them were cut short" in figure.layout.title.text


def test_a_trial_that_had_the_whole_budget_was_not_cut():
    def evaluate(example):
        for step in range(1, 28):
            yield example["x"] * step

    result = sn.search(
        {"x": sn.floatv(0.0, 1.0)},
        evaluate,
        "successive_halving",
        40,
        seed=0,
        progress=False,
    )
    budgets = [trial.budget for trial in result.trials]
    assert len({*budgets}) > 1
    cut = result.plot_learning_curves().data[-1]
    assert cut.name == "cut short"
    assert len(cut.x) == sum(budget < max(budgets) for budget in budgets)


def test_bands_say_how_trials_that_were_cut_might_have_gone_on():
    def stop(feedback, study):
        return feedback.id % 2 == 0 and len(feedback.measurements) == 3

    samples = sn.sample(
        {"x": sn.floatv(0.0, 1.0)},
        "random",
        12,
        seed=0,
        objectives="-loss",
        early_stopping=stop,
    )
    for example, feedback in samples:
        for step in range(0, 2001, 500):
            loss = example["x"] + 2 / (1 + step / 500)
            feedback.add_measurement({"loss": loss}, step=step)
            if feedback.should_stop_early():
                break
        feedback.done()
    result, scale = samples.result, Normalizer.log_loss(untrained=3.0)
    drawn = result.plot_learning_curves(LastValue(), scale).data
    medians = [trace for trace in drawn if trace.name == "median"]
    cut = sorted(t.metrics["loss"] for t in result.trials if t.stopped_early)
    assert [trace.y[-1] for trace in medians] == pytest.approx(cut[:3])
    assert all(list(trace.x) == [1500, 2000] for trace in medians)
    legend = [trace.name for trace in drawn if trace.showlegend]
    assert legend[-3:] == ["90 %", "50 %", "median"]


def test_trials_without_measurements_have_no_curves(study, line):
    with pytest.raises(ValueError, match="No trial reported anything on the way"):
        study(line, [1.0]).plot_learning_curves()


def bars(*traces):
    """Begin, end and row of each bar."""
    for trace in traces:
        for i in range(0, len(trace.x), 3):
            yield trace.x[i], trace.x[i + 1], trace.y[i]


def test_bars_of_one_row_do_not_overlap_and_each_trial_has_one(study, line):
    rng = np.random.default_rng(0)
    begun = (1e9 + np.sort(rng.uniform(0, 100, 200))).tolist()
    seconds = rng.uniform(0.5, 9, 200).tolist()
    workers = [f"worker {i % 2}" for i in range(200)]
    rewards = [None if i % 10 == 0 else 1.0 for i in range(200)]
    figure = study(
        line, rewards, begun=begun, seconds=seconds, workers=workers
    ).plot_timeline()
    found = list(bars(*figure.data))
    drawn = sorted((start, end) for start, end, _ in found)
    expected = [
        (b - begun[0], b - begun[0] + s) for b, s in zip(begun, seconds, strict=True)
    ]
    np.testing.assert_allclose(drawn, sorted(expected), atol=1e-5)
    for row in {row for _, _, row in found}:
        of_row = sorted((start, end) for start, end, other in found if other == row)
        assert all(a[1] <= b[0] + 1e-2 for a, b in itertools.pairwise(of_row))
    labels = figure.layout.yaxis.ticktext
    assert {text.rsplit(" ", 1)[0] for text in labels} == {"worker 0", "worker 1"}
    assert [trace.name for trace in figure.data] == ["completed", "failed"]


def test_of_many_trials_those_side_by_side_share_a_bar(study, line):
    rewards = [None if i % 100 == 50 else 1.0 for i in range(5000)]
    completed, failed = study(line, rewards).plot_timeline().data
    assert len(failed.x) // 3 == 50
    assert len(completed.x) // 3 == 51
    lengths = [end - begun for begun, end, _ in bars(failed)]
    np.testing.assert_allclose(lengths, 5 / 60)  # A thousandth of the axis.


def test_a_study_without_times_has_no_timeline(study, line):
    with pytest.raises(ValueError, match="not known when"):
        study(line, [1.0], begun=[np.nan]).plot_timeline()

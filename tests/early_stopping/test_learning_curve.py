"""Predictive early stopping: what it stops, when, and on which scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import symnas as sn
from symnas.curves import Curve
from symnas.early_stopping import LearningCurve, Patience
from symnas.early_stopping.learning_curve import on_grid
from symnas.predictors import Normalizer
from symnas.predictors.lc_pfn.normal_mixture import NormalMixture
from symnas.predictors.lc_pfn.prior import add_noise, sample_curves

RNG = np.random.default_rng(0)
HEIGHTS, SPEEDS = RNG.uniform(0.2, 0.95, 60), RNG.uniform(2, 15, 60)
STEPS = np.arange(1, 31)
CURVES = HEIGHTS[:, None] * (1 - np.exp(-STEPS / SPEEDS[:, None]))
CURVES = np.clip(CURVES + RNG.normal(0, 0.005, CURVES.shape), 0, 1)


class Oracle:
    """Knows how the curves go on."""

    def __init__(self, curves: Any, unit: int = 1) -> None:
        self.ends = {row[0]: row for row in curves}
        self.unit = unit

    def predict(self, values: Any, steps: Any, observed_at: Any) -> NormalMixture:
        truth = self.ends[values[0]][steps // self.unit - 1]
        return NormalMixture(truth[:, None], np.full((len(truth), 1), 1e-9))


def run(
    rule: Any, curves: Any = CURVES, objective: str = "reward", every: int = 1
) -> sn.Result:
    samples = sn.sample(
        sn.oneof(range(len(curves))),
        "grid",
        early_stopping=rule,
        objectives=(objective,),
    )
    for i, feedback in samples:
        for n, value in enumerate(curves[i], start=1):
            feedback.add_measurement(float(value), step=n * every)
            if feedback.should_stop_early():
                break
        feedback.done()
    return samples.result


def lengths(result: sn.Result) -> list[int]:
    return [len(trial.measurements) for trial in result.trials]


def test_on_curves_of_the_prior_little_is_missed() -> None:
    rng = np.random.default_rng(1)
    curves, noise = sample_curves(30, rng)
    curves = np.clip(add_noise(curves, np.minimum(noise, 0.02), rng), 0, 1)[:, :40]
    found = lengths(run(LearningCurve(), curves))
    assert found[0] == 40
    assert sum(found) < 0.5 * curves.size
    best = max(curves[i, : found[i]].max() for i in range(30))
    assert best > curves.max() - 0.06  # 0.05 more would not have counted.


def test_delta_of_zero_never_stops_and_of_one_at_once() -> None:
    assert lengths(run(LearningCurve(delta=0.0), CURVES[:10])) == [30] * 10
    assert lengths(run(LearningCurve(delta=1.0), CURVES[:10])) == [30] + [2] * 9
    rule = LearningCurve(delta=1.0, min_measurements=4)
    assert lengths(run(rule, CURVES[:10])) == [30] + [4] * 9


def test_who_knows_the_future_stops_only_what_would_not_win() -> None:
    # All later steps are asked for where so few are left.
    curves = np.maximum.accumulate(CURVES, axis=1)
    found = lengths(run(LearningCurve(Oracle(curves), min_improvement=0.0), curves))
    best_before = np.maximum.accumulate(curves[:, -1])
    wins = np.append(True, curves[1:, -1] > best_before[:-1])
    wins[0] = True
    for i in range(60):
        assert found[i] == (30 if wins[i] else 2)


def test_who_leads_goes_on_however_little_there_is_to_gain() -> None:
    leader = np.concatenate([[0.8, 0.8], np.full(28, 0.9)])
    curves = [CURVES[0] * 0.5, leader, leader - 0.001]
    assert lengths(run(LearningCurve(delta=1.0), curves)) == [30, 30, 2]


def test_an_improvement_that_is_too_small_does_not_count() -> None:
    curves = np.array([[0.3, 0.4, 0.5, 0.6], [0.31, 0.41, 0.51, 0.63]])
    oracle = Oracle(curves)
    for minimum, expected in ((0.02, 4), (0.04, 2)):
        rule = LearningCurve(oracle, min_improvement=minimum)
        assert lengths(run(rule, curves)) == [4, expected]


def test_errors_and_accuracies_are_the_same() -> None:
    accuracy = LearningCurve(normalizer=Normalizer.accuracy())
    error = LearningCurve(normalizer=Normalizer.error_rate())
    expected = lengths(run(accuracy, CURVES[:20]))
    assert lengths(run(error, 1 - CURVES[:20], "-error")) == expected
    assert min(expected) < 30


def test_losses_are_normalised() -> None:
    rule = LearningCurve(normalizer=Normalizer.log_loss(2.3))
    losses = 2.3 * (1 - CURVES[:20])
    found = run(rule, losses, "-loss")
    assert min(lengths(found)) < 30
    assert found.best.reward == pytest.approx(losses.min(), abs=0.1)


@pytest.mark.parametrize("every", [10, 500])
def test_steps_are_counted_in_what_they_have_in_common(every: int) -> None:
    rule = LearningCurve(horizon=30 * every)
    expected = lengths(run(LearningCurve(horizon=30), CURVES[:20]))
    assert lengths(run(rule, CURVES[:20], every=every)) == expected


def test_long_curves_are_thinned() -> None:
    steps = np.arange(1, 613)
    curve = Curve(steps, np.linspace(0, 0.5, 612))
    at, values, later = on_grid(curve, 1414)
    assert at.tolist() == list(range(1, 42))  # 15 steps each.
    assert values[:-1].tolist() == curve.values[14::15].tolist()
    assert values[-1] == 0.5
    assert later.tolist() == [42, 45, 57, 95]
    at, _, later = on_grid(Curve(steps[99::100], curve.values[99::100]), 1400)
    assert at.tolist() == [1, 2, 3, 4, 5, 6]
    assert later.tolist() == [7, 10, 14]


def test_nothing_is_asked_after_the_horizon() -> None:
    curves = np.concatenate([CURVES[:3], CURVES[:3] * 0.5])
    samples = sn.sample(sn.oneof(range(6)), "grid", early_stopping=LearningCurve())
    for i, feedback in samples:
        for value in curves[i][: 30 if i else 10]:  # The first ends at step 10.
            feedback.add_measurement(float(value))
            feedback.should_stop_early()
        feedback.done()
    assert samples.result.num_failed == 0


def test_steps_may_begin_at_zero() -> None:
    def epochs(first: int) -> list[int]:
        samples = sn.sample(
            sn.oneof(range(20)), "grid", early_stopping=LearningCurve(horizon=30)
        )
        for i, feedback in samples:
            if first == 0:
                feedback.add_measurement(0.1, step=0)
            for epoch, value in enumerate(CURVES[i], start=1):
                feedback.add_measurement(float(value), step=epoch)
                if epoch > 2 and feedback.should_stop_early():
                    break
            feedback.done()
        return [trial.measurements[-1].step for trial in samples.result.trials]

    assert epochs(0) == epochs(1)


def test_the_horizon_is_that_of_trials_that_ended_by_themselves() -> None:
    """What patience has stopped says nothing about how long a training may last."""
    curve = [0.5, 0.5, 0.5, 0.5]
    worse = [0.1, 0.2, 0.2]
    rule = LearningCurve(delta=1.0) | Patience(3)
    assert lengths(run(rule, [[*curve, 0.5], worse, worse])) == [4, 3, 2]
    rule = LearningCurve(delta=1.0) | Patience(4)
    assert lengths(run(rule, [curve, worse, worse])) == [4, 2, 2]


def test_a_gap_of_nan_is_survived() -> None:
    curves = CURVES[:4].copy()
    curves[3, 1:3] = math.nan
    curves[3, 3:] = 0.99
    result = run(LearningCurve(min_measurements=6), curves)
    assert result.trials[3].reward == 0.99


# --- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": -0.1}, "`delta` must lie between 0 and 1, got -0.1."),
        ({"delta": math.nan}, "`delta` must lie between 0 and 1, got nan."),
        ({"min_improvement": 1.0}, "`min_improvement` must lie .* got 1.0."),
        ({"horizon": 0}, "`horizon` must be at least 1, got 0."),
        ({"min_measurements": 0}, "`min_measurements` must be at least 1, got 0."),
        ({"model": "gp"}, "`model` must be 'lc_pfn' or have .* `predict`, got 'gp'."),
    ],
)
def test_fields_that_make_no_sense_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearningCurve(**arguments)


def test_a_loss_without_a_normalizer_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match=r"needs a `normalizer` for .* '-loss', as"):
        run(LearningCurve(), CURVES, "-loss")
    with pytest.raises(ValueError, match=r"'-loss', but .* has minimize=False\."):
        run(LearningCurve(normalizer=Normalizer.accuracy()), CURVES, "-loss")


def test_values_that_are_no_accuracies_say_so() -> None:
    def train(example: int) -> Any:
        yield from [55.0 + example, 60.0, 65.0]

    result = sn.search(
        sn.oneof(range(3)),
        train,
        "grid",
        early_stopping=LearningCurve(),
        progress=False,
    )
    first = result.trials[0]
    assert first.status == "failed" and len(first.measurements) == 1
    assert str(first.error).endswith("needs values in [0, 1], got 55.0.")

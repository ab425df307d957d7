"""What all early-stopping rules share: they are values, and functions of measurements."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

import symnas as sn
from symnas.curves import Others
from symnas.early_stopping import (
    LearningCurve,
    MedianRule,
    Patience,
    Rule,
    SuccessiveHalving,
)
from symnas.predictors import Normalizer

RULES: list[Rule] = [
    Patience(3, 0.01),
    MedianRule(min_trials=2),
    SuccessiveHalving(eta=2),
    SuccessiveHalving() | Patience(3),
    LearningCurve(delta=0.1),
]


def name(rule: Rule) -> str:
    return type(rule).__name__


def accuracy(example: Any, epoch: int) -> float:
    """A curve that rises, at a speed and to a height that an example decides."""
    noise = math.sin(37.0 * epoch * (1 + example["x"])) / 100
    value = example["x"] * (1 - math.exp(-epoch * example["speed"])) + noise
    return max(value, 0.0)


def train(example: Any) -> Any:
    for epoch in range(1, 13):
        yield accuracy(example, epoch)


def space() -> Any:
    return {"x": sn.floatv(0.1, 0.9), "speed": sn.floatv(0.05, 1.0)}


def searched(rule: Any, evaluate: Any = train, num: int = 30, **options: Any) -> Any:
    options = {"seed": 1, "progress": False, **options}
    return sn.search(space(), evaluate, "random", num, early_stopping=rule, **options)


def lengths(result: sn.Result) -> list[int]:
    return [len(trial.measurements) for trial in result.trials]


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_a_rule_stops_some_trials_and_not_all(rule: Rule) -> None:
    trials = searched(rule).trials
    assert {trial.stopped_early for trial in trials} == {True, False}
    for trial in trials:
        assert trial.status == "completed"
        assert trial.stopped_early or len(trial.measurements) == 12
        assert trial.reward == trial.measurements[-1].metrics["reward"]


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_a_rule_is_a_value(rule: Rule) -> None:
    symbolic = sn.symbolic(rule)
    again = sn.build(sn.from_json(sn.to_json(symbolic)))
    assert again == rule == dataclasses.replace(rule)
    assert hash(again) == hash(rule)
    assert eval(repr(rule), dict(vars(sn.early_stopping))) == rule


def test_a_rule_with_a_scale_is_a_value() -> None:
    rule = LearningCurve(normalizer=Normalizer.log_loss(2.3))
    assert sn.build(sn.from_json(sn.to_json(sn.symbolic(rule)))) == rule


def test_two_rules_stop_what_one_of_them_stops() -> None:
    halving, patience = SuccessiveHalving(eta=2), Patience(2)
    for curve in ([0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.9]):
        samples = sn.sample(space(), num_examples=2, early_stopping=halving | patience)
        for i, (_, feedback) in enumerate(samples):
            for value in curve if i else [0.5] * 2 + [0.6] * 2:
                feedback.add_measurement(value)
                either = (
                    halving(feedback, samples._study),
                    patience(feedback, samples._study),
                )
                assert feedback.should_stop_early() == any(either)
            feedback.done()
    with pytest.raises(TypeError, match="unsupported operand"):
        halving | 3


def test_fields_of_a_rule_can_be_searched() -> None:
    rules = [rule for rule, _ in sn.sample(Patience(sn.oneof([1, 3])), "grid")]
    assert rules == [Patience(1), Patience(3)]


@pytest.mark.parametrize("rule", RULES[:-1], ids=name)
def test_minimising_the_negative_is_the_same(rule: Rule) -> None:
    def lose(example: Any) -> Any:
        for epoch in range(1, 13):
            yield {"loss": -accuracy(example, epoch)}

    assert lengths(searched(rule, lose, objectives=("-loss",))) == lengths(
        searched(rule)
    )


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_measurements_may_be_reported_in_any_order(rule: Rule) -> None:
    """Each before the next question, but the later one first."""

    def run(swap: bool) -> list[int]:
        samples = sn.sample(space(), "random", 30, seed=1, early_stopping=rule)
        for example, feedback in samples:
            for epoch in range(2, 13, 2):
                steps = (epoch, epoch - 1) if swap else (epoch - 1, epoch)
                for step in steps:
                    feedback.add_measurement(accuracy(example, step), step=step)
                if feedback.should_stop_early():
                    break
            feedback.done()
        return lengths(samples.result)

    assert run(True) == run(False)


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_asking_twice_gives_the_same_answer(rule: Rule) -> None:
    for example, feedback in sn.sample(
        space(), "random", 20, seed=1, early_stopping=rule
    ):
        for value in train(example):
            feedback.add_measurement(value)
            answer = feedback.should_stop_early()
            assert feedback.should_stop_early() == answer
            if answer:
                break
        feedback.done()


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_nothing_is_stopped_before_it_was_measured(rule: Rule) -> None:
    _, feedback = next(sn.sample(space(), "random", early_stopping=rule))
    assert not feedback.should_stop_early()


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_a_trial_that_has_diverged_is_stopped(rule: Rule) -> None:
    samples = sn.sample(space(), "random", 12, seed=1, early_stopping=rule)
    for i, (_, feedback) in enumerate(samples):
        for step in range(1, 9):
            value = math.nan if i == 11 else 0.1 * step - 0.001 * i
            feedback.add_measurement(value if step > 1 else 0.001 * i)
            if i == 11 and feedback.should_stop_early():
                break
        feedback.done()
    last = samples.result.trials[-1]
    assert last.stopped_early
    assert last.status == "failed"  # Its result is no number.


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_failed_trials_are_not_compared_with(rule: Rule) -> None:
    def run(fail: bool) -> list[int]:
        samples = sn.sample(space(), "random", 25, seed=1, early_stopping=rule)
        found = []
        for example, feedback in samples:
            if fail and feedback.id % 5 == 0:
                for _ in range(12):
                    feedback.add_measurement(5.0 + feedback.id)
                feedback.fail("broken")
            elif feedback.id % 5 == 0:
                feedback.skip()
            else:
                for value in train(example):
                    feedback.add_measurement(value)
                    if feedback.should_stop_early():
                        break
                feedback.done()
                found.append(len(feedback.measurements))
        return found

    assert run(True) == run(False)


@pytest.mark.parametrize("rule", RULES[1:], ids=name)
def test_with_lag_only_older_trials_count(rule: Rule) -> None:
    """Trial i may see those up to i - 5, however many have ended."""

    class Watched(Rule):
        def gives_up(self, curve: Any, others: Others) -> bool:
            seen = rule.gives_up(curve, others)
            ids.append((others._id, others._study.last_seen_by(others._id)))
            return seen

    ids: list[tuple[int, int]] = []
    searched(Watched(), lag=5)
    assert ids and all(last == max(trial - 5, 0) for trial, last in ids)


def test_remembered_numbers_are_those_of_all_curves() -> None:
    """With trials that end out of order, go on being measured, and fail."""

    def last(curve: Any, scale: float) -> float:
        return scale * float(curve.values[-1]) if len(curve.values) else math.nan

    samples = sn.sample(space(), "random", 8, seed=0)
    feedbacks = [next(samples)[1] for _ in range(8)]
    study = samples._study
    expected: dict[int, float] = {}

    def check() -> None:
        found = Others(study, 1).each(last, 2.0).tolist()
        assert found == [2.0 * expected[i] for i in sorted(expected) if i != 1]

    for turn in range(3):
        for feedback in feedbacks:
            if feedback.id in (3, 5) and turn == 2:
                continue
            feedback.add_measurement(feedback.id + turn / 10)
            expected[feedback.id] = feedback.id + turn / 10
        check()
        if turn == 1:
            feedbacks[4].done()
            feedbacks[2].fail("broken")
            del expected[3]
            check()


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(TypeError, match=r"early_stopping.Patience\(3\).*got 3"):
        searched(3)
    with pytest.raises(TypeError, match="got <class .*Patience'>"):
        searched(Patience)


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_several_objectives_are_refused_before_anything_is_trained(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"needs a single objective, got 2: a, b\."):
        searched(rule, objectives=("a", "-b"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patience(0), "`patience` must be at least 1, got 0."),
        (lambda: Patience(2, -1.0), "`min_improvement` must be .* got -1.0."),
        (lambda: Patience(2, math.nan), "`min_improvement` must be .* got nan."),
        (lambda: MedianRule(min_trials=0), "`min_trials` must be at least 1, got 0."),
        (lambda: MedianRule(min_step=0), "`min_step` must be at least 1, got 0."),
        (lambda: SuccessiveHalving(min_step=0), "`min_step` must be at least 1"),
        (lambda: SuccessiveHalving(eta=1), "`eta` must be at least 2, got 1."),
    ],
)
def test_fields_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

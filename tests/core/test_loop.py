"""Tests of `symnas.sample` and `symnas.search`, and of what they return.

The numbers of defects are those of a list of measured ones of PyGlove 0.4.5, which must
not exist here; each test says what its defect is.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
import time
from typing import Any

import numpy as np
import pyglove as pg
import pytest
import torch

import symnas as sn
from symnas.stop_rules import Plateau, TargetReached


def ten() -> Any:
    return {"x": sn.oneof(range(10))}


def searched(evaluate: Any, space: Any = None, **options: Any) -> sn.Result:
    options = {"algorithm": "grid", "seed": 0, "progress": False, **options}
    return sn.search(ten() if space is None else space, evaluate, **options)


def value(example: Any) -> float:
    return float(example["x"])


class Listed(sn.algorithms.Algorithm):
    """Everything in order, with any number of objectives."""

    supports_multi_objective = True

    def _ask(self, n: int, rng: Any) -> Any:
        rows = list(itertools.islice(self.space.enumerate(), self.num_proposals + n))
        return np.array(rows[self.num_proposals :]).reshape(-1, self.space.num_columns)


# --- results --------------------------------------------------------------------------


def test_the_result_holds_all_trials_and_the_best():
    result = searched(lambda e: -abs(e["x"] - 6))
    assert len(result.trials) == 10
    assert [trial.id for trial in result.trials] == list(range(1, 11))
    assert result.best.id == 7
    assert result.best.reward == 0.0
    assert result.best.decisions == {"x": 6}
    assert result.best.genotype == (6.0,)
    assert result.best_model() == {"x": 6}
    assert result.num_completed == 10
    assert [trial.decisions["x"] for trial in result.top(3)] == [6, 5, 7]
    assert result.why_stopped == "every example was proposed"
    assert [t.id for t in result.trials[2:4]] == [3, 4]
    assert result.trials[-1].id == 10
    assert all(trial.status == "completed" for trial in result.trials)
    assert all(trial.seconds >= 0 for trial in result.trials)


def test_of_equal_trials_the_earliest_is_best():
    assert searched(lambda e: 1.0).best.id == 1
    assert [trial.id for trial in searched(lambda e: 1.0).top(3)] == [1, 2, 3]


def test_an_empty_result_says_why_there_is_no_best():
    result = searched(value, num_examples=0)
    assert len(result.trials) == 0
    assert result.why_stopped == "0 examples were proposed"
    assert result.top(3) == result.pareto_front() == []
    with pytest.raises(ValueError, match="No trial was completed. There are 0 trials"):
        result.best  # noqa: B018
    with pytest.raises(ValueError, match=r"Trial 1 is failed: .*no good"):
        searched(lambda e: 1 / 0 if e["x"] else "no good").best  # noqa: B018


def test_a_trial_that_does_not_exist_raises():
    result = searched(value)
    with pytest.raises(IndexError):
        result.trials[10]
    with pytest.raises(IndexError):
        result.trials[-11]


def test_the_text_of_a_result_shows_the_best():
    result = searched(value)
    assert "best 9 in trial 10" in repr(result)
    assert "9" in str(result)
    assert str(searched(value, num_examples=0))
    two = searched(lambda e: {"a": 1, "b": 2}, objectives=("a", "b"))
    assert str(two)
    assert repr(two)


def test_a_data_frame_has_a_row_for_each_trial():
    frame = searched(lambda e: {"reward": e["x"], "loss": -e["x"]}).to_dataframe()
    assert frame["reward"].tolist() == list(range(10))
    assert frame["loss"].tolist() == [-x for x in range(10)]
    assert frame["x"].tolist() == list(range(10))


def test_num_examples_is_the_total():
    assert len(searched(value, num_examples=4).trials) == 4
    result = searched(value, num_examples=4, algorithm="random")
    assert result.why_stopped == "4 examples were proposed"


def test_metrics_are_recorded_beside_the_objective():
    result = searched(lambda e: {"acc": e["x"], "time": 3}, objectives=("acc",))
    assert result.best.metrics == {"acc": 9.0, "time": 3.0}
    assert result.best.rewards == (9.0,)
    assert result.objectives == ("acc",)


def test_a_minimised_objective_is_given_back_as_it_came():
    result = searched(lambda e: {"loss": e["x"]}, objectives=("-loss",))
    assert result.best.reward == 0.0
    assert result.best.metrics == {"loss": 0.0}
    assert [trial.reward for trial in result.top(3)] == [0.0, 1.0, 2.0]
    assert searched(value, objectives=("-loss",)).best.reward == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_pareto_front_equals_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 8, (60, 3)).astype(float)
    space = {"x": sn.oneof(range(60))}

    def evaluate(example: Any) -> Any:
        if example["x"] % 10 == 3:
            raise ValueError
        return dict(zip("abc", points[example["x"]], strict=True))

    result = searched(evaluate, space, objectives=("a", "-b", "c"), algorithm=Listed())
    signed = points * [1, -1, 1]
    done = [i for i in range(60) if i % 10 != 3]
    expected = [
        i
        for i in done
        if not any(
            (signed[j] >= signed[i]).all() and ((signed[j] > signed[i]).any() or j < i)
            for j in done
            if j != i
        )
    ]
    front = result.pareto_front()
    assert [trial.decisions["x"] for trial in front] == expected
    assert [trial.rewards for trial in front] == [tuple(points[i]) for i in expected]


def test_with_several_objectives_there_is_a_front_and_no_best():
    """Defect 7: `best_trial` of a study with several objectives is always trial 1."""
    result = searched(
        lambda e: (e["x"], -(e["x"] ** 2)), objectives=("a", "b"), algorithm=Listed()
    )
    assert len(result.pareto_front()) == 10
    with pytest.raises(ValueError, match="pareto_front"):
        result.best  # noqa: B018
    with pytest.raises(ValueError, match="use `rewards`"):
        result.trials[0].reward  # noqa: B018


@pytest.mark.parametrize("objectives", [(), ("a", "a"), ("a", "-a"), "", ("-",), (1,)])
def test_objectives_must_be_different_names(objectives):
    with pytest.raises(ValueError, match="`objectives` must be different names"):
        sn.sample(ten(), objectives=objectives)


# --- feedback -------------------------------------------------------------------------


def first(**options: Any) -> tuple[sn.sampling.Samples[Any], Any]:
    samples = sn.sample(ten(), "grid", seed=0, **options)
    _, feedback = next(samples)
    return samples, feedback


def test_feedback_knows_what_is_evaluated():
    samples, feedback = first()
    assert feedback.id == 1
    assert feedback.genotype == [0.0]
    assert feedback.decisions == {"x": 0}
    assert feedback.dna == pg.DNA(0)
    assert sn.build(feedback.symbolic) == {"x": 0}
    assert feedback.seed == samples.result.trials[0].seed


@pytest.mark.parametrize(
    "reward", [1, 1.0, np.float32(1), np.int64(1), torch.tensor(1.0), np.array(1), True]
)
def test_all_numbers_are_rewards(reward):
    samples, feedback = first()
    feedback(reward)
    assert samples.result.best.reward == 1.0


@pytest.mark.parametrize(
    "reward",
    [
        None,
        "1.0",
        [1.0],
        (1, 2),
        1j,
        torch.tensor([1.0, 2.0]),
        object(),
        {"reward": "x"},
    ],
)
def test_what_is_no_number_raises_and_the_trial_stays_open(reward):
    samples, feedback = first()
    with pytest.raises(TypeError, match="must be a number"):
        feedback(reward)
    assert samples.result.trials[0].status == "pending"
    feedback(2.0)
    assert samples.result.best.reward == 2.0


def test_a_missing_objective_raises_and_the_trial_stays_open():
    samples, feedback = first(objectives=("acc",))
    with pytest.raises(ValueError, match="`acc` is not among the metrics"):
        feedback({"loss": 1.0})
    feedback({"acc": 1.0, "loss": 2.0}, metrics={"extra": 3})
    assert samples.result.best.metrics == {"acc": 1.0, "loss": 2.0, "extra": 3.0}


@pytest.mark.parametrize("rewards", [1.0, (1.0,), (1.0, 2.0, 3.0)])
def test_another_number_of_rewards_than_objectives_raises(rewards):
    samples = sn.sample(ten(), Listed(), objectives=("a", "b"))
    _, feedback = next(samples)
    with pytest.raises(ValueError, match="2 objectives are searched"):
        feedback(rewards)
    feedback((1.0, 2.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_fails_the_trial(bad):
    """Defect 8: a first reward of NaN stays best for ever, infinite ones are taken."""
    result = searched(lambda e: bad if e["x"] in (0, 9) else e["x"])
    assert result.best.decisions == {"x": 8}
    assert [trial.status for trial in result.trials][::9] == ["failed", "failed"]
    assert f"`reward` is {bad}" in result.trials[0].error
    assert result.num_failed == 2
    assert result.trials[0].rewards == ()
    assert searched(lambda e: bad).num_failed == 10


def test_a_skipped_trial_has_no_reward():
    """Defect 8: `skip()` stores a reward of 0."""
    samples = sn.sample(ten(), "grid")
    for example, feedback in samples:
        if example["x"] < 9:
            feedback.skip("boring")
        else:
            feedback(-1.0)
    result = samples.result
    assert result.best.id == 10
    assert result.num_skipped == 9
    assert result.trials[0].status == "skipped"
    assert result.trials[0].error == "boring"
    with pytest.raises(
        ValueError, match="Trial 1 has no reward, it is skipped: boring"
    ):
        result.trials[0].reward  # noqa: B018


def test_a_failed_trial_records_why():
    samples, feedback = first()
    feedback.fail("out of memory")
    assert samples.result.trials[0].error == "out of memory"
    assert samples.result.num_failed == 1


@pytest.mark.parametrize("how", ["__call__", "skip", "fail", "done", "add_measurement"])
@pytest.mark.parametrize("before", ["reward", "skip", "end"])
def test_feedback_twice_or_after_the_end_raises(how, before):
    samples, feedback = first()
    if before == "reward":
        feedback(1.0)
    elif before == "skip":
        feedback.skip()
    else:
        samples.close()
    with pytest.raises(ValueError, match="already got feedback|The search has ended"):
        getattr(feedback, how)(*(["why"] if how == "fail" else [1.0]))
    assert len(samples.result.trials) == 1


def test_a_trial_without_feedback_is_not_repeated_and_fails_at_the_end():
    """Defect 15 (issue 133): a forgotten feedback repeats the example for ever."""
    samples = sn.sample(ten(), "grid")
    assert [example["x"] for example, _ in samples] == list(range(10))
    assert [t.status for t in samples.result.trials] == ["failed"] * 10
    assert samples.result.trials[0].error == "no feedback was given"
    assert list(samples) == []


def test_the_measurement_of_the_largest_step_is_final():
    """Defect 9: the one that was added last is."""
    samples, feedback = first()
    for step in (1, 3, 2):
        feedback.add_measurement(10.0 * step, step=step, metrics={"loss": step})
    feedback.done(metadata={"note": "kept"})
    best = samples.result.best
    assert best.reward == 30.0
    assert best.metrics == {"reward": 30.0, "loss": 3.0}
    assert [m.step for m in best.measurements] == [1, 2, 3]
    assert best.metadata == {"note": "kept"}


def test_of_two_measurements_of_one_step_the_later_counts():
    samples, feedback = first()
    feedback.add_measurement(1.0, step=5)
    feedback.add_measurement(2.0, step=5)
    feedback.done()
    assert samples.result.best.reward == 2.0


def test_steps_are_counted_if_not_given():
    samples, feedback = first()
    for reward in (1.0, 5.0, 3.0):
        feedback.add_measurement(reward)
    feedback.done()
    assert [m.step for m in samples.result.best.measurements] == [1, 2, 3]
    assert samples.result.best.reward == 3.0


def test_done_without_measurements_raises():
    _, feedback = first()
    with pytest.raises(ValueError, match="no measurement to end with"):
        feedback.done()


def test_a_last_measurement_of_nan_fails_the_trial():
    samples, feedback = first()
    feedback.add_measurement(1.0)
    feedback.add_measurement(math.nan)
    feedback.done()
    assert samples.result.num_failed == 1
    assert len(samples.result.trials[0].measurements) == 2


def test_the_policy_decides_on_early_stopping():
    asked = []

    def policy(feedback: Any, study: Any) -> bool:
        asked.append(feedback.id)
        return feedback.measurements[-1].metrics["reward"] < 5

    def evaluate(example: Any) -> Any:
        for epoch in range(3):
            yield example["x"] + epoch

    result = searched(evaluate, early_stopping=policy)
    assert [trial.stopped_early for trial in result.trials] == [True] * 5 + [False] * 5
    assert [trial.reward for trial in result.trials] == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert len(asked) == 5 + 5 * 3
    assert [len(trial.measurements) for trial in result.trials] == [1] * 5 + [3] * 5


def test_without_a_policy_nothing_stops_early():
    _, feedback = first()
    feedback.add_measurement(1.0)
    assert not feedback.should_stop_early()


def test_the_loop_can_be_ended_from_inside():
    samples = sn.sample(ten(), "grid")
    for example, feedback in samples:
        feedback(1.0)
        if example["x"] == 3:
            feedback.end_loop()
    assert len(samples.result.trials) == 4
    assert samples.result.why_stopped == "ended by the caller"


def test_metadata_is_kept_with_the_trial():
    samples, feedback = first()
    feedback.set_metadata("a", 1)
    assert feedback.get_metadata("a") == 1
    assert feedback.get_metadata("b", 2) == 2
    feedback(1.0, metadata={"c": 3})
    assert samples.result.best.metadata == {"a": 1, "c": 3}


def test_feedback_may_come_in_any_order():
    samples = sn.sample(ten(), "grid")
    pending = list(itertools.islice(samples, 5))
    for example, feedback in reversed(pending):
        feedback(example["x"])
    assert samples.result.best.id == 5
    assert [trial.reward for trial in samples.result.trials] == [0, 1, 2, 3, 4]


# --- errors in evaluations ------------------------------------------------------------


def test_an_evaluation_that_raises_is_recorded_with_its_traceback():
    def evaluate(example: Any) -> float:
        if example["x"] == 4:
            raise RuntimeError("shapes do not match")
        return value(example)

    result = searched(evaluate)
    failed = result.trials[4]
    assert failed.status == "failed"
    assert failed.error.endswith("RuntimeError: shapes do not match")
    assert "in evaluate" in failed.error
    assert result.num_completed == 9
    assert result.best.id == 10


@pytest.mark.parametrize("outcome", [None, "good", [1, 2], object()])
def test_an_evaluation_that_returns_no_number_is_recorded_as_failed(outcome):
    result = searched(lambda e: outcome, num_examples=2)
    assert result.num_failed == 2
    assert "must be a number" in result.trials[0].error


def test_an_evaluation_that_fails_after_some_steps_keeps_its_measurements():
    def evaluate(example: Any) -> Any:
        yield 1.0
        raise RuntimeError("later")

    result = searched(evaluate, num_examples=1)
    assert result.trials[0].status == "failed"
    assert len(result.trials[0].measurements) == 1


def test_an_evaluation_that_yields_nothing_fails():
    def evaluate(example: Any) -> Any:
        yield from ()

    result = searched(evaluate, num_examples=1)
    assert "no measurement to end with" in result.trials[0].error


def test_ctrl_c_ends_the_search_with_the_result_so_far():
    def evaluate(example: Any) -> float:
        if example["x"] == 4:
            raise KeyboardInterrupt
        return value(example)

    state = random.getstate()
    result = searched(evaluate)
    assert len(result.trials) == 5
    assert result.best.id == 4
    assert result.trials[4].status == "failed"
    assert result.trials[4].error == "interrupted"
    assert result.why_stopped == "interrupted by the user"
    assert random.getstate() == state


def test_system_exit_ends_the_program_but_not_without_the_trials():
    seen = []
    with pytest.raises(SystemExit):
        searched(
            lambda e: sys.exit() if e["x"] == 2 else 1.0,
            callbacks=[lambda trial: seen.append(trial.id)],
        )
    assert seen == [1, 2]


def test_callbacks_get_each_trial_that_has_ended():
    seen = []
    searched(value, callbacks=[lambda trial: seen.append((trial.id, trial.status))])
    assert seen == [(i, "completed") for i in range(1, 11)]


# --- when it ends ---------------------------------------------------------------------


def test_a_timeout_lets_no_further_evaluation_begin():
    result = searched(lambda e: time.sleep(0.02) or 1.0, timeout=0.05)
    assert 1 <= len(result.trials) <= 4
    assert result.why_stopped == "0.05 seconds have passed"


@pytest.mark.parametrize(
    ("objective", "target", "trials"), [("r", 4, 5), ("-r", -6, 7), ("r", 99, 10)]
)
def test_a_target_ends_the_search_when_it_is_reached(objective, target, trials):
    sign = -1 if objective == "-r" else 1
    result = searched(
        lambda e: sign * e["x"],
        objectives=(objective,),
        stop_rules=[TargetReached(target)],
    )
    assert len(result.trials) == trials
    if trials < 10:
        assert result.why_stopped == f"the target {target} was reached"


def test_a_target_is_not_reached_by_what_failed():
    result = searched(lambda e: math.inf, stop_rules=[TargetReached(4)])
    assert len(result.trials) == 10


def test_a_plateau_ends_the_search():
    result = searched(lambda e: min(e["x"], 3), stop_rules=[Plateau(4)])
    assert len(result.trials) == 8
    assert result.why_stopped == "4 trials brought nothing better"
    # Failed trials are no evidence.
    result = searched(lambda e: math.nan if e["x"] else 1.0, stop_rules=[Plateau(2)])
    assert len(result.trials) == 10


@pytest.mark.parametrize("patience", [0, -1])
def test_a_plateau_without_patience_raises(patience):
    with pytest.raises(ValueError, match="`patience` must be at least 1"):
        Plateau(patience)


@pytest.mark.parametrize("rule", [TargetReached(1.0), Plateau(3)])
def test_rules_for_one_objective_raise_with_two(rule):
    with pytest.raises(ValueError, match="needs a single objective"):
        searched(
            lambda e: (1.0, 2.0),
            algorithm=Listed(),
            objectives=("a", "b"),
            stop_rules=[rule],
        )


def test_a_search_that_would_never_end_is_not_begun():
    with pytest.raises(ValueError, match="would never end"):
        searched(value, {"x": sn.floatv(0.0, 1.0)}, algorithm="random")
    with pytest.raises(ValueError, match="would never end"):
        searched(value, algorithm="random", duplicates="allow")


# --- bad arguments --------------------------------------------------------------------


@pytest.mark.parametrize("num_examples", [-1, 1.0, 2.5, True, "3"])
def test_num_examples_must_be_a_whole_number(num_examples):
    with pytest.raises(
        ValueError, match="`num_examples` must be None or a whole number"
    ):
        sn.sample(ten(), "random", num_examples)


def test_numbers_of_numpy_are_whole_numbers():
    assert len(searched(value, num_examples=np.int64(3), seed=np.int32(1)).trials) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "`seed` must not be negative"),
        ({"seed": 1.5}, "`seed` must be None or a whole number"),
        ({"seed": True}, "`seed` must be None or a whole number"),
        ({"duplicates": "never"}, "`duplicates` must be 'avoid' or 'allow'"),
        ({"timeout": 0}, "`timeout` must be a positive number"),
        ({"timeout": math.nan}, "`timeout` must be a positive number"),
        ({"algorithm": 3}, "`algorithm` must be a name"),
        ({"algorithm": None}, "`algorithm` must be a name"),
    ],
)
def test_bad_arguments_raise(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        searched(value, **options)


def test_an_evaluation_that_cannot_be_called_raises():
    with pytest.raises(TypeError, match="`evaluate` must be callable"):
        searched(3)


@pytest.mark.parametrize(
    ("name", "near"),
    [("regularised_evolution", "regularized_evolution"), ("Random", "random")],
)
def test_an_unknown_name_of_an_algorithm_raises_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"no algorithm '{name}'.*'{near}'"):
        sn.sample(ten(), name)


def test_a_class_instead_of_an_algorithm_raises():
    with pytest.raises(TypeError, match="`algorithm` must be a name"):
        sn.sample(ten(), sn.algorithms.RandomSearch)


def test_a_constraint_that_nothing_satisfies_ends_with_an_error():
    with pytest.raises(ValueError, match="refused 100,000 random examples in a row"):
        searched(value, constraint=lambda v: False, algorithm="random")


def test_a_constraint_is_met_by_all_examples():
    result = searched(value, algorithm="random", constraint=lambda v: v["x"] % 3 == 0)
    assert sorted(t.decisions["x"] for t in result.trials) == [0, 3, 6, 9]


def test_a_constraint_on_a_function_sees_what_is_decided_only():
    def make() -> Any:
        if sn.oneof([True, False], name="a"):
            return sn.oneof([1, 2], name="b")
        return sn.oneof([3, 4], name="c")

    samples = sn.sample(make, "random", seed=0, constraint=lambda v: "c" not in v)
    assert sorted(example for example, _ in samples) == [1, 2]


def test_grid_search_keeps_its_order_where_decisions_depend_on_each_other():
    def make() -> Any:
        if sn.oneof([True, False]):
            return 0
        return [sn.oneof([1, 2, 3]) for _ in range(4)]

    examples = [example for example, _ in sn.sample(make, "grid")]
    assert examples[0] == 0
    assert examples[1:] == sorted(examples[1:])
    assert len(examples) == 82


# --- seeds ----------------------------------------------------------------------------


def net() -> Any:
    return sn.nn.Sequential(
        sn.nn.Linear(3, sn.oneof([4, 5, 6], name="w")),
        sn.oneof([sn.nn.ReLU(), sn.nn.Tanh()]),
        sn.nn.Linear(sn.oneof([4, 5, 6], name="w"), 1),
    )


def weights(model: Any) -> Any:
    return [p.detach().numpy().round(7).tolist() for p in model.parameters()]


def test_the_same_seed_gives_the_same_trials_and_initial_weights():
    found = []
    for other in (1, 2):
        torch.manual_seed(other)
        samples = sn.sample(net(), "regularized_evolution", 6, seed=3)
        trials = []
        for model, feedback in samples:
            torch.rand(other)
            trials.append((feedback.genotype, feedback.seed, weights(model)))
            feedback(1.0)
        found.append(trials)
    assert found[0] == found[1]
    assert len({str(w) for _, _, w in found[0]}) == 6


def test_another_seed_gives_other_trials_and_weights():
    first, second = (next(sn.sample(net(), "grid", seed=s)) for s in (0, 1))
    assert first[1].seed != second[1].seed
    assert weights(first[0]) != weights(second[0])


def test_without_a_seed_each_study_is_different_and_says_its_seed():
    results = [searched(value, seed=None, algorithm="random") for _ in range(2)]
    assert results[0].seed != results[1].seed
    again = searched(value, seed=results[0].seed, algorithm="random")
    assert [t.genotype for t in again.trials] == [t.genotype for t in results[0].trials]


def test_the_weights_are_those_of_the_hand_written_model_under_the_trials_seed():
    model, feedback = next(sn.sample(net(), "grid", seed=0))
    torch.manual_seed(feedback.seed)
    expected = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)
    )
    assert weights(model) == weights(expected)


def test_the_best_model_has_the_initial_weights_that_the_trial_had():
    initial = {}

    def evaluate(model: Any) -> float:
        initial[len(initial) + 1] = weights(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        return float(torch.rand(()))

    result = searched(evaluate, net(), algorithm="random", num_examples=5)
    assert weights(result.best_model()) == initial[result.best.id]
    assert weights(result.model(result.trials[2])) == initial[3]


def test_sampling_leaves_the_global_generators_alone():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    samples = sn.sample(net(), "regularized_evolution", 5, seed=0)
    for _, feedback in samples:
        feedback(1.0)
    samples.result.best_model()
    assert random.getstate() == states[0]
    assert all(map(np.array_equal, np.random.get_state(), states[1]))
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_search_seeds_all_generators_and_restores_them():
    def evaluate(example: Any) -> float:
        return random.random() + np.random.random() + float(torch.rand(()))

    found = []
    for other in (1, 2):
        random.seed(other)
        np.random.seed(other)
        torch.manual_seed(other)
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        found.append([t.reward for t in searched(evaluate, algorithm="random").trials])
        assert random.getstate() == states[0]
        assert all(map(np.array_equal, np.random.get_state(), states[1]))
        assert torch.equal(torch.get_rng_state(), states[2])
    assert found[0] == found[1]
    assert len(set(found[0])) == 10


def test_define_by_run_is_reproducible_too():
    def make() -> Any:
        width = sn.oneof([4, 5])
        layers = [torch.nn.Linear(3, width)]
        if sn.oneof([True, False]):
            layers.append(torch.nn.Linear(width, sn.oneof([1, 2, 3])))
        return torch.nn.Sequential(*layers)

    found = [
        [(f.genotype, weights(m)) for m, f in sn.sample(make, "random", 5, seed=1)]
        for _ in range(2)
    ]
    assert found[0] == found[1]


# --- examples that cannot be built ----------------------------------------------------


@sn.symbolize
class Fragile:
    def __init__(self, x: int, at_least: int) -> None:
        if x < at_least:
            raise ValueError(f"{x} is too small")
        self.x = x


def test_an_example_that_cannot_be_built_is_recorded_as_failed():
    seen = []
    samples = sn.sample(Fragile(sn.oneof(range(10)), 4), "grid")
    for example, feedback in samples:
        seen.append(example.x)
        feedback(float(example.x))
    assert seen == [4, 5, 6, 7, 8, 9]
    assert samples.result.num_failed == 4
    assert samples.result.trials[0].error.endswith("ValueError: 0 is too small")


def test_ten_examples_in_a_row_that_cannot_be_built_raise():
    with pytest.raises(
        ValueError, match="None of the first 10 examples could be built"
    ) as info:
        list(sn.sample(Fragile(sn.oneof(range(30)), 20), "grid"))
    assert "9 is too small" in str(info.value.__cause__)
    # Later ones do not, once an example was built.
    space = Fragile(sn.oneof([50, *range(30)]), 20)
    assert len(list(sn.sample(space, "grid"))) == 11


# --- flows ----------------------------------------------------------------------------


def two_levels() -> Any:
    def outer() -> Any:
        return sn.oneof([0, 1, 2], hints="outer")

    def inner() -> Any:
        return sn.oneof([0, 1], hints="inner")

    return {"outer": [outer(), outer()], "inner": [inner(), inner(), inner()]}


def total(example: Any) -> float:
    return float(sum(example["outer"]) + sum(example["inner"]))


def is_outer(hyper_value: Any) -> bool:
    return hyper_value.hints == "outer"


def test_nested_loops_have_the_arithmetic_of_the_flow():
    """Acceptance check 1: 9 outer and 72 inner trials; the mean of the five best of 8
    inner rewards, 3 + 2 + 2 + 2 + 1 above the outer sum, is 2 for (0, 0), 6 for (2, 2)."""
    visited = []
    samples = sn.sample(two_levels(), "grid", where=is_outer)
    rewards = {}
    for arch, outer in samples:
        inner = sn.sample(arch, "grid")
        for example, feedback in inner:
            visited.append((*example["outer"], *example["inner"]))
            feedback(total(example))
        best = [trial.reward for trial in inner.result.top(5)]
        rewards[tuple(outer.decisions.values())] = np.mean(best)
        outer(np.mean(best))
    assert len(samples.result.trials) == 9
    assert len(visited) == len(set(visited)) == 72
    assert rewards[0, 0] == 2.0
    assert rewards[2, 2] == samples.result.best.reward == 6.0
    joint = [
        (*example["outer"], *example["inner"])
        for example, _ in sn.sample(two_levels(), "grid")
    ]
    assert sorted(joint) == sorted(visited)


def test_separate_flows_visit_nine_and_eight():
    outer = searched(
        lambda arch: float(sum(arch["outer"])), two_levels(), where=is_outer
    )
    assert len(outer.trials) == 9
    rest = outer.best_model()
    inner = searched(total, rest)
    assert len(inner.trials) == 8
    assert inner.best_model() == {"outer": [2, 2], "inner": [1, 1, 1]}
    assert inner.best.reward == 7.0


def test_a_search_within_a_search_is_seeded_by_the_outer_trial():
    def evaluate(arch: Any) -> float:
        inner = sn.search(arch, total, "random", 4, seed=0, progress=False)
        return inner.best.reward + float(torch.rand(())) / 100

    results = [
        searched(evaluate, two_levels(), where=is_outer, algorithm="random")
        for _ in range(2)
    ]
    assert [t.reward for t in results[0].trials] == [
        t.reward for t in results[1].trials
    ]


# --- PyGlove's algorithms -------------------------------------------------------------


def five() -> Any:
    return [sn.oneof(range(5)) for _ in range(4)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: pg.geno.Random(seed=1),
        lambda: pg.geno.Sweeping(),
        lambda: pg.evolution.regularized_evolution(
            population_size=10, tournament_size=3, seed=1
        ),
        lambda: pg.evolution.hill_climb(seed=1),
    ],
    ids=["random", "sweeping", "regularized_evolution", "hill_climb"],
)
@pytest.mark.parametrize("name", ["conditional", "many_deep_any", "shared", "traced"])
def test_algorithms_of_pyglove_run_unchanged(toys, make, name):
    space = toys[name].compile()
    rows = []
    samples = sn.sample(space, make(), 30, duplicates="allow")
    for _, feedback in samples:
        rows.append(feedback.genotype)
        feedback(float(sum(feedback.genotype)))
    assert 0 < len(rows) <= 30
    for row in rows:
        assert space.check(row).tolist() == row


def test_sweeping_of_pyglove_visits_everything_once():
    space = [sn.oneof(range(4)) for _ in range(3)]
    examples = [tuple(example) for example, _ in sn.sample(space, pg.geno.Sweeping())]
    assert examples == list(itertools.product(range(4), repeat=3))


@pytest.mark.parametrize("name", ["flat", "traced"])
def test_evolution_of_pyglove_does_not_mind_what_it_has_not_proposed(toys, name):
    """When it proposes nothing new, the loop takes what is left."""
    generator = pg.evolution.regularized_evolution(
        population_size=4, tournament_size=2, seed=1
    )
    rows = []
    for _, feedback in sn.sample(toys[name].make(), generator, seed=0):
        rows.append(tuple(feedback.genotype))
        feedback(float(sum(rows[-1])))
    assert len(set(rows)) == len(rows) == toys[name].size


def test_evolution_of_pyglove_solves_an_easy_problem():
    evolution = pg.evolution.regularized_evolution(
        mutator=pg.evolution.mutators.Uniform(seed=1),
        population_size=20,
        tournament_size=5,
        seed=1,
    )
    result = sn.search(five(), sum, evolution, 100, progress=False)
    assert result.best.reward >= 14


def test_nsga2_of_pyglove_has_two_objectives():
    """Defect 5 among others: here de-duplication works with several objectives."""
    generator = pg.evolution.nsga2(pg.evolution.mutators.Uniform(seed=1), 10, seed=1)
    samples = sn.sample(five(), generator, 40, objectives=("sum", "-first"))
    rows = []
    for example, feedback in samples:
        rows.append(tuple(feedback.genotype))
        feedback({"sum": sum(example), "first": example[0]})
    assert len(set(rows)) == len(rows) == 40
    assert samples.result.pareto_front()
    with pytest.raises(ValueError, match="one objective, got 2"):
        sn.sample(five(), pg.geno.Random(seed=1), objectives=("a", "b"))


def test_a_generator_of_pyglove_that_is_used_again_starts_anew():
    generator = pg.geno.Random(seed=1)
    first = [f.genotype for _, f in sn.sample(five(), generator, 3)]
    assert [f.genotype for _, f in sn.sample(five(), generator, 3)] == first


# --- PyGlove's defects, as far as no test above has them -------------------------------


def evolution(population_size: int = 10) -> Any:
    return sn.algorithms.RegularizedEvolution(
        population_size=population_size, tournament_size=3
    )


def proposals(algorithm: Any, space: Any, n: int, seed: int = 0) -> list[Any]:
    samples = sn.sample(space, algorithm, n, seed=seed)
    rows = []
    for _, feedback in samples:
        rows.append(feedback.genotype)
        feedback(float(sum(feedback.genotype)))
    return rows


def test_defect_1_the_seed_of_evolution_covers_its_mutator():
    random.seed(1)
    one = proposals(evolution(), five(), 60)
    random.seed(2)
    assert proposals(evolution(), five(), 60) == one
    assert proposals(evolution(), five(), 60, seed=1) != one


@pytest.mark.parametrize("duplicates", ["avoid", "allow"])
def test_defect_2_a_child_is_never_equal_to_its_parent(duplicates):
    algorithm = sn.algorithms.RegularizedEvolution(population_size=1, tournament_size=1)
    space = [sn.oneof(range(5)), sn.manyof(3, range(5))]
    samples = sn.sample(space, algorithm, 60, seed=0, duplicates=duplicates)
    rows = []
    for _, feedback in samples:
        rows.append(feedback.genotype)
        feedback(1.0)  # The last one alone is alive, so it is the parent of the next.
    for parent, child in itertools.pairwise(rows):
        first_changed = parent[0] != child[0]
        assert first_changed != (parent[1:] != child[1:])


def test_defect_3_floats_on_a_logarithmic_scale_are_drawn_on_it():
    space = {"rate": sn.floatv(1e-4, 1.0, "log")}
    result = searched(lambda e: e["rate"], space, algorithm="random", num_examples=500)
    median = np.median([trial.reward for trial in result.trials])
    assert 0.005 < median < 0.02


def test_defect_6_children_are_bred_after_the_first_proposals_whatever_is_outstanding():
    """With 30 trials outstanding, the first 30 and more of PyGlove's are random."""
    space = [sn.oneof(range(50)) for _ in range(6)]
    samples = sn.sample(space, evolution(10), 40, seed=0)
    rows, told = [], None
    for _, feedback in samples:
        rows.append(feedback.genotype)
        if told is None:
            told = feedback.genotype
            feedback(1.0)  # All others stay outstanding.
    for child in rows[10:]:
        assert sum(a != b for a, b in zip(child, told, strict=True)) == 1
    assert all(
        sum(a != b for a, b in zip(row, told, strict=True)) > 1 for row in rows[1:10]
    )


def test_defect_14_a_trial_costs_microseconds():
    space = [sn.oneof(range(5)) for _ in range(6)]
    start = time.process_time()
    result = sn.search(space, sum, evolution(), 2000, seed=0, progress=False)
    assert time.process_time() - start < 1.0  # PyGlove needs 40 seconds.
    assert len(result.trials) == 2000


def test_defect_15_branches_that_depend_on_a_decision_may_hold_further_ones():
    def make() -> Any:
        if sn.oneof([True, False]):
            return sn.oneof(["a", "b"])
        return sn.oneof(["c", "d", "e"])

    examples = [example for example, _ in sn.sample(make, "random", seed=0)]
    assert sorted(examples) == ["a", "b", "c", "d", "e"]


def test_a_compiled_space_is_searched_as_it_was_compiled():
    source = sn.symbolic({"a": sn.oneof([1, 2], name="a"), "b": sn.oneof([3, 4])})
    outer = sn.SearchSpace(source, where=lambda value: value.name == "a")
    samples = sn.sample(outer, "grid")
    assert samples.result.space is outer
    assert len(list(samples)) == 2
    narrowed = sn.sample(outer, "grid", constraint=lambda values: values["a"] == 1)
    assert len(list(narrowed)) == 1

"""Loops within trials: what they visit, what they may spend, and what is recorded."""

from __future__ import annotations

import statistics
import time

import pytest

import symnas as sn


def space():
    """Two outer decisions of three, three inner ones of two."""
    outer = {name: sn.oneof([0, 1, 2], name=name) for name in "ab"}
    return outer | {name: sn.oneof([0, 1], name=name) for name in "cde"}


def is_outer(value) -> bool:
    return value.name in ("a", "b")


def total(example) -> float:
    return float(sum(example.values()))


def mean_of_best(result: sn.Result, n: int = 5) -> float:
    return statistics.fmean(trial.reward for trial in result.top(n))


def search(space, algorithm="grid", *arguments, **options):
    return sn.search(space, total, algorithm, *arguments, progress=False, **options)


# --- the four flows of PyGlove's paper ----------------------------------------------------


def test_a_factorized_flow_visits_what_the_joint_one_does():
    """PyGlove's section 4; figures by hand: pyglove.md, acceptance check 1."""
    flow = sn.sample(space(), "grid", where=is_outer)
    visited = []
    for half_open, outer in flow:
        inner = search(half_open, within=outer)
        visited += [{**outer.decisions, **t.decisions} for t in inner.trials]
        outer(mean_of_best(inner))
    rewards = {
        tuple(trial.decisions.values()): trial.reward for trial in flow.result.trials
    }
    assert len(rewards) == 9 and len(visited) == 72
    assert rewards[0, 0] == 2.0 and rewards[2, 2] == 6.0
    joint = [trial.decisions for trial in search(space()).trials]
    assert sorted(visited, key=repr) == sorted(joint, key=repr)


def test_a_separate_flow_visits_one_part_after_the_other():
    first = sn.sample(space(), "grid", where=is_outer)
    for half_open, outer in first:
        # The default is what the grid begins with.
        outer(search(half_open, "grid", 1, within=outer).best.reward)
    best = first.result.best_model()
    second = search(best)
    assert (len(first.result.trials), len(second.trials)) == (9, 8)
    assert first.result.best.decisions == {"a": 2, "b": 2}
    assert second.best.reward == 7.0


def test_a_hybrid_flow_goes_on_with_the_best_outer_choice():
    budget = sn.Budget(evaluations=24)
    flow = sn.sample(space(), "random", where=is_outer, seed=0, budget=budget)
    for half_open, outer in flow:
        outer(search(half_open, within=outer).best.reward)
    assert budget.evaluations_used == 24 and len(flow.result.trials) == 3
    rest = search(flow.result.best_model(), budget=sn.Budget(evaluations=6))
    assert len(rest.trials) == 6
    assert rest.why_stopped == "the budget of 6 evaluations is used up"


def test_loops_nest_three_deep():
    budget = sn.Budget(evaluations=11)
    flow = sn.sample(space(), "grid", where=lambda v: v.name == "a", budget=budget)
    for without_a, outer in flow:
        middle = sn.sample(
            without_a, "grid", where=lambda v: v.name == "b", within=outer
        )
        for rest, between in middle:
            between(search(rest, within=between).best.reward)
        outer(middle.result.best.reward)
    (only,) = flow.result.trials
    assert only.metadata["inner"] == {"evaluations": 11, "partial": True}
    (middle_result,) = flow.result.inner(only)
    assert [t.partial for t in middle_result.trials] == [False, True]
    assert (
        only.reward == 3.0
    )  # With b = 0, since c, d and e were not all tried with b = 1.


def test_an_algorithm_is_a_space_of_its_own_settings():
    settings = sn.algorithms.RegularizedEvolution(
        population_size=sn.oneof([4, 16]), tournament_size=sn.intv(2, 3)
    )
    flow = sn.sample(settings, "grid")
    seen = []
    for algorithm, outer in flow:
        seen.append((algorithm.population_size, algorithm.tournament_size))
        outer(search(space(), algorithm, 40, within=outer).best.reward)
    assert seen == [(4, 2), (4, 3), (16, 2), (16, 3)]
    assert all(t.metadata["inner"]["evaluations"] == 40 for t in flow.result.trials)


# --- budgets ------------------------------------------------------------------------------


def test_a_budget_that_ends_within_a_trial_leaves_it_partial_and_recorded():
    budget = sn.Budget(evaluations=20)
    flow = sn.sample(space(), "grid", where=is_outer, budget=budget)
    for half_open, outer in flow:
        outer(search(half_open, within=outer).best.reward)
    trials = list(flow.result.trials)
    assert [t.metadata["inner"]["evaluations"] for t in trials] == [8, 8, 4]
    assert [t.partial for t in trials] == [False, False, True]
    assert all(t.status == "completed" for t in trials)
    assert budget.evaluations_used == 20 and budget.evaluations_left == 0


def test_a_budget_that_ends_with_a_trial_leaves_none_partial():
    budget = sn.Budget(evaluations=16)
    flow = sn.sample(space(), "grid", where=is_outer, budget=budget)
    for half_open, outer in flow:
        outer(search(half_open, within=outer).best.reward)
    assert [t.partial for t in flow.result.trials] == [False, False]


def test_loops_one_after_the_other_share_a_budget():
    budget = sn.Budget(evaluations=10)
    first = search(space(), "random", 7, budget=budget)
    second = search(space(), "random", 7, budget=budget)
    third = search(space(), "random", 7, budget=budget)
    assert [len(r.trials) for r in (first, second, third)] == [7, 3, 0]


def test_an_inner_loop_can_have_less_than_the_outer_one():
    budget = sn.Budget(evaluations=10)
    flow = sn.sample(space(), "grid", where=is_outer, budget=budget)
    for half_open, outer in flow:
        inner = search(half_open, within=outer, budget=sn.Budget(evaluations=3))
        outer(inner.best.reward)
    inner = [t.metadata["inner"]["evaluations"] for t in flow.result.trials]
    assert inner == [3, 3, 3, 1]


def test_seconds_end_all_loops():
    budget = sn.Budget(seconds=0.3)
    flow = sn.sample(
        space(), "random", where=is_outer, duplicates="allow", budget=budget
    )
    begun = time.monotonic()
    for half_open, outer in flow:
        inner = sn.search(
            half_open,
            lambda x: time.sleep(0.01) or 1.0,
            duplicates="allow",
            within=outer,
            progress=False,
        )
        outer(inner.best.reward)
    assert 0.3 <= time.monotonic() - begun < 3.0
    assert [t.partial for t in flow.result.trials] == [True]
    assert flow.result.why_stopped == "the budget of 0.3 seconds is used up"


def test_a_trial_that_evaluates_itself_counts_once():
    budget = sn.Budget(evaluations=4)
    for i, (_, outer) in enumerate(sn.sample(space(), "random", budget=budget)):
        if i % 2:
            outer.fail("an evaluation as well")
        else:
            outer(1.0)
    assert i == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "evaluations"),
        ({"evaluations": -1}, "-1"),
        ({"evaluations": 2.5}, "2.5"),
        ({"evaluations": True}, "True"),
        ({"seconds": 0}, "0"),
        ({"seconds": float("nan")}, "nan"),
    ],
)
def test_budgets_that_cannot_be_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        sn.Budget(**options)


def test_a_number_is_no_budget():
    with pytest.raises(TypeError, match=r"sn.Budget\(evaluations=100\)"):
        sn.sample(space(), budget=100)


# --- what goes wrong ----------------------------------------------------------------------


def broken(example):
    raise RuntimeError(f"no data for {example['a']}")


def test_an_inner_search_without_success_fails_its_trial_and_says_why():
    def evaluate(half_open):
        inner = sn.search(
            half_open, broken if half_open["a"] else total, progress=False
        )
        return inner.best.reward

    flow = sn.search(space(), evaluate, "grid", where=is_outer, progress=False)
    assert (flow.num_completed, flow.num_failed) == (3, 6)
    error = flow.trials[8].error
    assert "No trial was completed" in error and "no data for 2" in error


def test_ctrl_c_in_an_inner_search_ends_the_outer_one():
    def interrupted(example):
        raise KeyboardInterrupt

    flow = sn.sample(space(), "grid", where=is_outer)
    half_open, outer = next(flow)
    with pytest.raises(KeyboardInterrupt):
        sn.search(half_open, interrupted, within=outer, progress=False)
    result = sn.search(
        space(),
        lambda half_open: sn.search(
            half_open, interrupted, within=outer, progress=False
        ),
        where=is_outer,
        progress=False,
    )
    assert result.why_stopped == "interrupted by the user"


def test_an_inner_loop_that_is_left_is_closed_with_its_trial():
    flow = sn.sample(space(), "grid", 1, where=is_outer)
    for half_open, outer in flow:
        samples = sn.sample(half_open, "grid", within=outer)
        for example, feedback in samples:
            if feedback.id == 3:
                break
            feedback(total(example))
        outer(samples.result.best.reward)
    (inner,) = flow.result.inner(flow.result.best)
    assert [t.status for t in inner.trials] == ["completed", "completed", "failed"]


def test_a_loop_within_what_is_no_trial_is_refused():
    with pytest.raises(TypeError, match="`within` must be the feedback"):
        sn.sample(space(), within="outer")
    flow = sn.sample(space(), "grid", 1, where=is_outer)
    half_open, outer = next(flow)
    outer(1.0)
    with pytest.raises(ValueError, match="already got feedback"):
        sn.sample(half_open, within=outer)


# --- repetition ---------------------------------------------------------------------------


def test_a_seed_fixes_all_loops():
    def visited(seed):
        flow = sn.sample(space(), "random", 4, where=is_outer, seed=seed)
        for half_open, outer in flow:
            first = search(half_open, "random", 3, within=outer)
            second = search(half_open, "random", 3, within=outer)
            assert first.seed != second.seed
            outer(first.best.reward)
        inner = [r for t in flow.result.trials for r in flow.result.inner(t)]
        return [t.genotype for r in inner for t in r.trials]

    assert visited(3) == visited(3) != visited(4)

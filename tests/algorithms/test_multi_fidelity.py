"""Successive halving, Hyperband, ASHA and BOHB: what is compared when, and at what cost."""

import itertools

import numpy as np
import pytest

import symnas as sn
from symnas.multi_fidelity import hyperband_bracket, ladder


def curve(example):
    for step in range(1, 300):
        yield float(example["x"]) + step * 1e-6


def searched(algorithm, num_examples, **options):
    space = {"x": sn.oneof(range(100_000))}
    return sn.search(
        space, curve, algorithm, num_examples, seed=0, progress=False, **options
    )


@pytest.mark.parametrize(
    ("smallest", "largest", "eta", "budgets"),
    [
        (1, 81, 3, [1, 3, 9, 27, 81]),
        (1, 243, 3, [1, 3, 9, 27, 81, 243]),  # log(243) / log(3) is below 5 in floats.
        (1, 1000, 10, [1, 10, 100, 1000]),
        (12, 200, 3, [22, 66, 200]),  # 200 / 9 rounded down, and 7 is below 12.
        (5, 5, 3, [5]),
    ],
)
def test_budgets_are_counted_in_whole_numbers(smallest, largest, eta, budgets):
    assert ladder(smallest, largest, eta) == budgets


# Table 1 of the Hyperband paper for "ceil"; HpBandSter for "floor".
@pytest.mark.parametrize(
    ("rule", "sizes"), [("floor", [81, 27, 9, 6, 5]), ("ceil", [81, 34, 15, 8, 5])]
)
def test_brackets_for_81_have_the_published_sizes(rule, sizes):
    budgets = ladder(1, 81, 3)
    brackets = [hyperband_bracket(i, budgets, 3, rule) for i in range(5)]
    assert [bracket[0].size for bracket in brackets] == sizes
    assert [bracket[0].budget for bracket in brackets] == budgets
    if rule == "floor":
        for bracket in brackets:
            assert sum(rung.size * rung.budget for rung in bracket) <= 405


def test_a_rung_keeps_the_best_of_the_one_below():
    halving = sn.algorithms.SuccessiveHalving(27, max_budget=27)
    trials = searched(halving, 27 + 9 + 3 + 1).trials
    rungs = [
        [trial for trial in trials if trial.budget == budget]
        for budget in (1, 3, 9, 27)
    ]
    assert [len(rung) for rung in rungs] == [27, 9, 3, 1]
    for below, rung in itertools.pairwise(rungs):
        best = sorted(below, key=lambda trial: -trial.reward)[: len(rung)]
        assert [t.genotype for t in rung] == [t.genotype for t in best]
    for trial in trials:
        assert trial.measurements[-1].step == trial.budget
        assert not trial.stopped_early  # That is what a policy does.


def test_failed_examples_do_not_hold_a_rung_up():
    space = {"x": sn.oneof(range(100_000))}
    samples = sn.sample(
        space, sn.algorithms.SuccessiveHalving(9, max_budget=9), 30, seed=0
    )
    for example, feedback in samples:
        if feedback.budget == 1 and feedback.id <= 8:
            feedback.fail("no")
        else:
            feedback(float(example["x"]))
    budgets = [trial.budget for trial in samples.result.trials]
    # One is left of nine, and goes on alone; then the next bracket begins.
    assert budgets[:12] == [1] * 9 + [3, 9, 1]


def test_workers_that_would_wait_begin_the_next_bracket():
    space = {"x": sn.oneof(range(100_000))}
    samples = sn.sample(space, sn.algorithms.SuccessiveHalving(3, max_budget=3), seed=0)
    first = [next(samples)[1] for _ in range(4)]
    assert [feedback.budget for feedback in first] == [1, 1, 1, 1]
    for reward, feedback in enumerate(first[:3]):
        feedback(float(reward))
    _, following = next(samples)
    assert following.budget == 3
    assert following.genotype == first[2].genotype


def test_asha_promotes_what_can_be_promoted():
    """Rewards that grow: each is the best of its rung when it arrives."""
    algorithm = sn.algorithms.ASHA(max_budget=16, eta=4)
    samples = sn.sample({"x": sn.floatv(0.0, 1.0)}, algorithm, 40, seed=0)
    budgets = []
    for _, feedback in samples:
        budgets.append(feedback.budget)
        feedback(float(feedback.id))
    # By hand: every fourth result at 1 allows a promotion, every fourth of those at 4.
    assert budgets[:11] == [1, 1, 1, 1, 4, 1, 1, 1, 1, 4, 1]
    assert budgets.index(16) == budgets.index(4) + 16


@pytest.mark.parametrize("workers", [1, 5])
def test_asha_never_promotes_more_than_its_share_nor_twice(workers):
    rng = np.random.default_rng(0)
    algorithm = sn.algorithms.ASHA(max_budget=64, eta=4)
    samples = sn.sample({"x": sn.floatv(0.0, 1.0)}, algorithm, 400, seed=0)
    waiting, proposed, ended = [], [], {1: 0, 4: 0, 16: 0, 64: 0}
    for _, feedback in samples:
        proposed.append((feedback.budget, *feedback.genotype))
        waiting.append(feedback)
        for below, budget in ((1, 4), (4, 16), (16, 64)):
            promoted = sum(entry[0] == budget for entry in proposed)
            assert promoted <= ended[below] // 4
        if len(waiting) >= workers:
            done = waiting.pop(int(rng.integers(len(waiting))))
            if rng.random() < 0.1:
                done.skip()
            else:
                done(float(rng.random()))
            ended[done.budget] += 1
    assert len(set(proposed)) == len(proposed)


def test_bohb_that_knows_too_little_equals_hyperband():
    space = {"x": sn.floatv(0.0, 1.0), "y": sn.oneof(range(50))}
    found = []
    for algorithm in (
        sn.algorithms.Hyperband(max_budget=27),
        sn.algorithms.BOHB(max_budget=27, random_fraction=1.0),
    ):
        rows = []
        for example, feedback in sn.sample(space, algorithm, 5, seed=0):
            rows.append((feedback.budget, *feedback.genotype))
            feedback(example["x"])
        found.append(rows)
    assert found[0] == found[1]


def test_bohb_learns_where_rewards_are_good():
    space = {"x": sn.floatv(0.0, 1.0), "y": sn.oneof(["a", "b", "c"])}
    distance = {"random": [], "bohb": []}
    for name, algorithm in (
        ("random", sn.algorithms.Hyperband),
        ("bohb", sn.algorithms.BOHB),
    ):
        for seed in range(5):
            samples = sn.sample(space, algorithm(max_budget=9), 120, seed=seed)
            for example, feedback in samples:
                feedback(-abs(example["x"] - 0.7) - (example["y"] != "b"))
            late = samples.result.trials[60:]
            distance[name] += [-t.reward for t in late if t.budget == 1]
    assert np.mean(distance["bohb"]) < 0.7 * np.mean(distance["random"])


def test_an_evaluation_that_reports_nothing_is_told_what_to_do():
    result = sn.search(
        sn.oneof(range(9)), float, "hyperband", 3, seed=0, progress=False
    )
    assert result.num_failed == 3
    assert "`yield` a result after each step" in result.trials[0].error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_budget": 0}, "between 1 and `max_budget` \\(27\\), got 0"),
        ({"min_budget": 28}, "got 28"),
        ({"eta": 1}, "`eta` must be at least 2, got 1"),
    ],
)
@pytest.mark.parametrize("kind", ["SuccessiveHalving", "Hyperband", "ASHA", "BOHB"])
def test_budgets_out_of_order_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(sn.algorithms, kind)(**{"max_budget": 27, **options})

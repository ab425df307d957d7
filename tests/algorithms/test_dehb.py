"""DEHB: which examples a bracket evaluates, and what later ones are made of."""

from __future__ import annotations

import itertools

import pytest
from scipy.stats import mannwhitneyu

import symnas as sn
from symnas.algorithms import DEHB, dehb

FLOATS = {f"x{i}": sn.floatv(0.0, 1.0) for i in range(4)}


def distance(x):
    return -sum((value - 0.3) ** 2 for value in x.values())


def curve(example):
    for step in range(1, 28):
        yield distance(example) - 0.1 / step


def searched(num_examples, space=FLOATS, seed=0, **options):
    algorithm = DEHB(max_budget=27, **options)
    return sn.search(space, curve, algorithm, num_examples, seed=seed, progress=False)


# Budgets 1, 3, 9, 27. By hand: floor(4 / (s + 1)) 3^s and ceil(4 * 3^s / (s + 1)).
@pytest.mark.parametrize(
    ("rule", "brackets"),
    [
        ("floor", [[27, 9, 3, 1], [9, 3, 1], [6, 2], [4]]),
        ("ceil", [[27, 9, 3, 1], [12, 4, 1], [6, 2], [4]]),
    ],
)
def test_brackets_for_27_are_those_computed_by_hand(rule, brackets):
    budgets = [1, 3, 9, 27]
    expected = []
    for sizes in brackets:
        for budget, size in zip(budgets[-len(sizes) :], sizes, strict=True):
            expected += [budget] * size
    result = searched(len(expected), bracket_size=rule)
    assert [trial.budget for trial in result.trials] == expected


def test_each_budget_has_a_population_as_large_as_its_largest_rung():
    algorithm = DEHB(max_budget=27)
    algorithm.setup(sn.SearchSpace(FLOATS), 0)
    sizes = {b: len(p.vectors) for b, p in algorithm._populations.items()}
    assert sizes == {1: 27, 3: 9, 9: 6, 27: 4}


def test_in_the_first_round_only_the_best_of_the_rung_below_go_on():
    trials = searched(27 + 9 + 3 + 1).trials
    rungs = [[t for t in trials if t.budget == budget] for budget in (1, 3, 9, 27)]
    for below, rung in itertools.pairwise(rungs):
        best = sorted(below, key=lambda trial: -trial.reward)[: len(rung)]
        assert [t.genotype for t in rung] == [t.genotype for t in best]


def test_parents_of_later_mutants_are_the_best_at_the_next_smaller_budget(monkeypatch):
    drawn = []
    whole = dehb.mutated

    def spied(strategy, factor, vectors, current, best):
        drawn.append(vectors)
        return whole(strategy, factor, vectors, current, best)

    monkeypatch.setattr(dehb, "mutated", spied)
    algorithm = DEHB(max_budget=27)
    samples = sn.sample(FLOATS, algorithm, 40 + 13 + 8 + 4 + 27 + 9, seed=0)
    for example, feedback in samples:
        if feedback.id == 40 + 13 + 8 + 4 + 27:
            drawn.clear()
        feedback(distance(example))
    assert len(drawn) == 9  # The second rung of the fifth bracket.
    parents = {tuple(vector) for vectors in drawn for vector in vectors}
    below = algorithm._populations[1]
    assert parents <= {tuple(vector) for vector in below.best(9)}
    assert len(parents) > 3


def test_with_few_parents_others_of_any_budget_help(monkeypatch):
    """Three go on to 9, one to 27: a mutant needs three parents."""
    drawn = []
    whole = dehb.mutated
    monkeypatch.setattr(
        dehb, "mutated", lambda *given: drawn.append(given[2]) or whole(*given)
    )
    searched(65 + 40)
    (last,) = drawn[-1:]  # At 27, with the best one at 9 alone as a parent.
    assert len({tuple(vector) for vector in last}) == 3


def test_a_search_in_which_all_fails_goes_on():
    samples = sn.sample(FLOATS, DEHB(max_budget=9), 60, seed=0)
    for _, feedback in samples:
        feedback.fail("no")
    assert len(samples.result.trials) == 60


def test_it_finds_more_than_hyperband():
    """Ten seeds each, as many evaluations."""
    found = {DEHB: [], sn.algorithms.Hyperband: []}
    for kind, seed in itertools.product(found, range(10)):
        algorithm = kind(max_budget=27)
        result = sn.search(FLOATS, curve, algorithm, 400, seed=seed, progress=False)
        found[kind].append(distance(result.best.decisions))
    better = mannwhitneyu(*found.values(), alternative="greater")
    assert better.pvalue < 0.01


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_budget": 0}, "max_budget"),
        ({"eta": 1}, "eta"),
        ({"bracket_size": "round"}, "'round'"),
        ({"mutation_factor": 0.0}, "mutation_factor"),
        ({"mutation_factor": 2.5}, "2.5"),
        ({"crossover_probability": -0.1}, "-0.1"),
    ],
)
def test_settings_that_cannot_be_used_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        DEHB(**options)

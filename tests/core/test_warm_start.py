"""Searches that begin with what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

import symnas as sn

SPACE = [sn.oneof(range(4)) for _ in range(4)]


@pytest.fixture(scope="module")
def earlier() -> sn.Result:
    return sn.search(SPACE, sum, "random", 40, seed=1, progress=False)


def test_known_examples_are_not_proposed_again(earlier):
    known = {trial.genotype for trial in earlier.trials}
    result = sn.search(
        SPACE, sum, "random", 256 - 40, seed=1, warm_start=earlier, progress=False
    )
    assert len(result.trials) == 216
    assert known.isdisjoint({trial.genotype for trial in result.trials})
    more = sn.search(SPACE, sum, "random", seed=1, warm_start=earlier, progress=False)
    assert len(more.trials) == 216


@pytest.mark.parametrize(
    "algorithm",
    [
        "regularized_evolution(population_size=30, tournament_size=10)",
        "nsga2(population_size=30)",
        "tpe",
        "bayesian_optimization",
        "local_search",
    ],
)
def test_it_goes_on_from_the_best_that_is_known(earlier, algorithm):
    """The first proposals are better than random ones, which have 9 in the mean."""
    space = [sn.oneof(range(4)) for _ in range(6)]
    known = sn.search(space, sum, "random", 60, seed=1, progress=False)

    def first(**options) -> float:
        return float(
            np.mean(
                [
                    trial.reward
                    for seed in range(20)
                    for trial in sn.search(
                        space, sum, algorithm, 5, seed=seed, progress=False, **options
                    ).trials
                ]
            )
        )

    assert first(warm_start=known) > 11
    assert first() < 10


def test_results_trials_and_arrays_are_the_same(earlier):
    trials = list(earlier.trials)
    arrays = (
        np.array([trial.genotype for trial in trials]),
        np.array([trial.reward for trial in trials]),
    )
    found = [
        sn.search(SPACE, sum, "tpe", 10, seed=0, warm_start=known, progress=False)
        for known in (earlier, trials, arrays)
    ]
    genotypes = [[trial.genotype for trial in result.trials] for result in found]
    assert genotypes[0] == genotypes[1] == genotypes[2]


def test_failed_trials_are_left_out():
    def evaluate(example):
        if example[0] == 0:
            raise ValueError("no")
        return sum(example)

    failed = sn.search(SPACE, evaluate, "random", 30, seed=0, progress=False)
    assert failed.num_failed
    algorithm = sn.algorithms.TPE()
    sn.search(SPACE, sum, algorithm, 1, warm_start=failed, seed=0, progress=False)
    assert len(algorithm.history) == 31 - failed.num_failed


def test_minimised_objectives_keep_their_sign():
    space = {"x": sn.oneof(range(9))}
    options = {"objectives": ["-loss"], "seed": 0, "progress": False}
    earlier = sn.search(space, lambda e: {"loss": e["x"]}, "random", 5, **options)
    algorithm = sn.algorithms.TPE()
    sn.search(
        space, lambda e: {"loss": e["x"]}, algorithm, 1, warm_start=earlier, **options
    )
    told = algorithm.history
    assert (told.rewards == -told.genotypes[:, 0]).all()


def test_a_stored_study_goes_on_with_the_same_and_refuses_others(earlier, tmp_path):
    options = {"seed": 0, "storage": tmp_path / "s.db", "name": "a", "progress": False}
    known = list(earlier.trials)[:20]
    whole = sn.search(SPACE, sum, "tpe", 30, seed=0, warm_start=known, progress=False)
    sn.search(SPACE, sum, "tpe", 12, warm_start=known, **options)
    resumed = sn.search(SPACE, sum, "tpe", 30, warm_start=known, **options)
    assert [t.genotype for t in resumed.trials] == [t.genotype for t in whole.trials]
    with pytest.raises(ValueError, match="20 known results"):
        sn.search(SPACE, sum, "tpe", 40, **options)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (([[0, 0, 0, 9]], [1.0]), "not one of this space"),
        (([[0, 0]], [1.0]), "not one of this space"),
        (([[0, 0, 0, 0]], [1.0, 2.0]), "1 genotypes and 2 rewards"),
        (([[0, 0, 0, 0]], [math.nan]), "the reward .nan.. Leave out what failed"),
        (([[0, 0, 0, 0]], [[1.0, 2.0]]), "2 rewards for each genotype.* 1 objectives"),
        (3, "must be a result, trials, or a pair.*got int"),
        ([1, 2, 3], "must be a result, trials, or a pair.*got list"),
        (np.zeros((2, 4)), "must be a result, trials, or a pair.*got ndarray"),
    ],
)
def test_bad_input_is_named(known, message):
    with pytest.raises(ValueError, match=message):
        sn.sample(SPACE, "random", 3, warm_start=known)


def test_trials_of_another_space_are_refused(earlier):
    with pytest.raises(ValueError, match="not one of this space"):
        sn.sample([sn.oneof([1, 2])], "random", warm_start=earlier)

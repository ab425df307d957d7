"""NSGA-II: selection, variation, and fronts on tables."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from scipy.stats import chisquare, mannwhitneyu

import symnas as sn
from symnas import pareto
from symnas.algorithms import NSGA2

FLAT = [sn.oneof(range(5)) for _ in range(6)]
NUMBERS = {
    "x": sn.floatv(0.0, 1.0),
    "y": sn.floatv(1e-3, 1.0, "log"),
    "n": sn.intv(0, 9),
}


def bound(space, num_objectives=2, **options) -> NSGA2:
    algorithm = NSGA2(**options)
    algorithm.setup(sn.SearchSpace(space), 0, num_objectives)
    return algorithm


def told(algorithm: NSGA2, rewards: np.ndarray) -> np.ndarray:
    """Tells rewards (n, m) of random genotypes, one by one; returns those."""
    rows = algorithm.space.random(np.random.default_rng(1), len(rewards))
    for row, reward in zip(rows, rewards, strict=True):
        number = algorithm.proposed(row)
        algorithm.told(number, reward.tolist())
    return rows


def slow_survivors(rewards: np.ndarray, size: int) -> set[int]:
    """Whole fronts, and of the last one those that are least crowded, by definition."""
    ranks = pareto.non_dominated_ranks(rewards)
    chosen: list[int] = []
    for rank in range(ranks.max() + 1):
        front = np.flatnonzero(ranks == rank)
        if len(chosen) + len(front) <= size:
            chosen += front.tolist()
            continue
        distances = pareto.crowding_distances(rewards[front])
        order = sorted(range(len(front)), key=lambda i: (-distances[i], front[i]))
        chosen += front[order][: size - len(chosen)].tolist()
        break
    return set(chosen)


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_the_best_of_parents_and_children_survive(num_objectives):
    rewards = np.random.default_rng(0).normal(size=(40, num_objectives))
    algorithm = bound([sn.floatv(0.0, 1.0)] * 3, num_objectives, population_size=10)
    rows = told(algorithm, rewards)
    alive = list(range(10))
    for start in range(10, 40, 10):
        both = [*alive, *range(start, start + 10)]
        alive = [both[i] for i in sorted(slow_survivors(rewards[both], 10))]
    assert {tuple(row) for row in algorithm._population} == {
        tuple(rows[i]) for i in alive
    }


def test_one_objective_keeps_the_best_of_all():
    """Acceptance check: an elitist genetic algorithm."""
    rewards = np.random.default_rng(0).normal(size=(60, 1))
    algorithm = bound([sn.floatv(0.0, 1.0)], 1, population_size=10)
    rows = told(algorithm, rewards)
    best = np.argsort(-rewards[:, 0])[:10]
    assert algorithm._population.tolist() == rows[best].tolist()


def test_batches_and_single_results_give_the_same_population():
    rewards = np.random.default_rng(0).normal(size=(35, 2))
    one, other = bound(FLAT, population_size=10), bound(FLAT, population_size=10)
    rows = told(one, rewards)
    other.tell(rows, rewards)
    assert one._population.tolist() == other._population.tolist()
    assert one.ask(1).tolist() != [] and other.num_feedbacks == 35


def test_parents_win_tournaments_of_two():
    """The i-th best of P wins with probability (2 (P - i) - 1) / P^2."""
    algorithm = bound(FLAT, 1, population_size=5, crossover_probability=0.0)
    rewards = np.arange(5, 0, -1.0)[:, None]
    rows = told(algorithm, rewards)
    assert len({tuple(row) for row in rows}) == 5
    algorithm._mutates = lambda rng, n: np.zeros((n, 6), bool)
    children = algorithm._ask(20_000, np.random.default_rng(0))
    counts = collections.Counter(map(tuple, children.tolist()))
    found = [counts[tuple(row)] for row in rows.tolist()]
    expected = np.array([9, 7, 5, 3, 1]) / 25 * 20_000
    assert sum(found) == 20_000
    assert chisquare(found, expected).pvalue > 0.001


def test_choices_are_drawn_anew_with_one_decision_in_the_mean():
    algorithm = bound(FLAT, population_size=2, crossover_probability=0.0)
    told(algorithm, np.array([[1.0, 1.0], [0.0, 0.0]]))
    parent = algorithm._population[0]
    algorithm._population = np.array([parent, parent])
    children = algorithm._ask(30_000, np.random.default_rng(0))
    changed = (children != parent).sum(axis=0)
    # With probability 1/6 drawn anew, and then with 4/5 another one.
    assert changed / 30_000 == pytest.approx(np.full(6, 4 / 30), abs=0.01)


def test_children_of_floats_keep_the_mean_of_their_parents():
    """Simulated binary crossover spreads around the middle of both [2]."""
    algorithm = bound([sn.floatv(0.0, 1.0)], population_size=2)
    told(algorithm, np.array([[1.0, 0.0], [0.0, 1.0]]))
    algorithm._population = np.array([[0.4], [0.6]])
    algorithm._mutates = lambda rng, n: np.zeros((n, 1), bool)
    children = algorithm._ask(20_000, np.random.default_rng(0))
    # The better one wins three of four tournaments.
    assert children.mean() == pytest.approx(0.45, abs=0.002)
    assert 0.3 < children.min() < 0.4 and 0.6 < children.max() < 0.7


def test_polynomial_mutation_stays_close_and_inside():
    algorithm = bound(
        [sn.floatv(0.0, 1.0)], population_size=2, crossover_probability=0.0
    )
    told(algorithm, np.array([[1.0, 0.0], [0.0, 1.0]]))
    for place in (0.0, 0.3, 1.0):
        algorithm._population = np.array([[place], [place]])
        children = algorithm._ask(10_000, np.random.default_rng(0))
        assert children.min() >= 0 and children.max() <= 1
        assert np.median(np.abs(children - place)) < 0.1
        assert len(np.unique(children)) > 1000


def test_several_workers_get_children_of_what_is_known():
    algorithm = bound(FLAT, population_size=10)
    rows = algorithm.ask(10)  # None of them has been told.
    early = algorithm.ask(5)
    assert len(np.unique(np.vstack([rows, early]), axis=0)) == 15
    algorithm.tell(rows[:2], [[1.0, 2.0], [2.0, 1.0]])
    children = algorithm.ask(50)
    shared = (children[:, None] == rows[:2]).sum(axis=2).max(axis=1)
    assert (shared >= 3).mean() > 0.5  # Most genes are those of the two.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1}, "`population_size` must be at least 2, got 1"),
        ({"crossover_probability": 1.5}, "between 0 and 1, got 1.5"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        NSGA2(**options)


def test_numbers_approach_a_known_front():
    """Of (x^2, (x - 2)^2), with the optimum wherever 0 <= x <= 2 (Schaffer)."""
    space = {"x": sn.floatv(-10.0, 10.0), "n": sn.intv(0, 20)}
    result = sn.search(
        space,
        lambda v: {"a": v["x"] ** 2 + v["n"], "b": (v["x"] - 2) ** 2 + v["n"]},
        NSGA2(population_size=20),
        400,
        seed=0,
        objectives=["-a", "-b"],
        progress=False,
    )
    rewards = -np.array([t.rewards for t in result.pareto_front()])
    # The whole front covers 13.33 of the square below (4, 4).
    assert pareto.hypervolume(rewards, (-4, -4)) > 13.0


@pytest.mark.slow
@pytest.mark.parametrize("device", ["edgegpu_latency", "raspi4_latency"])
def test_fronts_of_a_real_table_are_larger_than_random_ones(nb201, data, device):
    """The specification measured .9971 of the hypervolume against .9877 on CIFAR-100."""
    latencies = sn.benchmarks.HWNASBench.load(data / "nb201" / "hw_nas_bench.npz")
    space = latencies.space
    rows = np.array(list(space.enumerate()))
    accuracy = nb201[tuple(rows.astype(int).T)][:, 2]
    latency = latencies.query_many(rows, "cifar100", device)
    table = np.stack([accuracy, -latency], axis=1)
    by_row = dict(zip(map(tuple, rows.tolist()), table, strict=True))
    reference = table.min(axis=0)

    def volume(algorithm, seed):
        algorithm.setup(space, seed, 2)
        for _ in range(500):
            (row,) = algorithm.draw(1)
            number = algorithm.proposed(row)
            algorithm.told(number, by_row[tuple(row.tolist())].tolist())
        return pareto.hypervolume(algorithm.history.rewards, reference)

    found = [volume(NSGA2.nas_bench_201(), seed) for seed in range(20)]
    random = [volume(NSGA2(population_size=500), seed) for seed in range(20)]
    assert mannwhitneyu(found, random, alternative="greater").pvalue < 1e-3
    assert np.mean(found) > 0.99 * pareto.hypervolume(table, reference)

"""REINFORCE: the gradient, the baseline, the policy, and what it finds."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

import symnas as sn
from symnas.algorithms import Reinforce

# Measured for this project with another implementation, 300 to 500 seeds.
PUBLISHED = {0.1: (93.98, 72.07, 45.62), 0.01: (93.81, 71.38, 44.98)}


def bound(space: object, **options: float) -> Reinforce:
    algorithm = Reinforce(**options)
    algorithm.setup(sn.SearchSpace(space), 0)
    return algorithm


def log_probability(algorithm: Reinforce, genotype: np.ndarray) -> float:
    """Slot by slot, with nothing but what is allowed: slow and obvious."""
    total = 0.0
    for decision in algorithm.space.decisions:
        picks: list[int] = []
        for column in decision.columns:
            gene = int(genotype[column])
            if gene < 0:
                continue
            start = algorithm._starts[column]
            left = decision.slots - len(picks) - 1
            odds = {}
            for i in range(decision.count):
                fits = not (decision.distinct and i in picks)
                if decision.sorted and picks:
                    fits &= i >= max(picks)
                if decision.sorted and decision.distinct:
                    fits &= decision.count - 1 - i >= left
                if fits or decision.slots == 1:
                    odds[i] = np.exp(algorithm._logits[start + i])
            total += np.log(odds[gene] / sum(odds.values()))
            picks.append(gene)
    return float(total)


@pytest.mark.parametrize(
    "name", ["flat", "conditional", "many_distinct", "many_sorted", "many_any_sorted",
             "permutation", "many_deep_any", "tied_with_decisions"],
)  # fmt: skip
def test_the_gradient_is_that_of_the_log_probability(toys, name):
    algorithm = Reinforce()
    algorithm.setup(toys[name].compile(), 0)
    rng = np.random.default_rng(0)
    algorithm._logits += rng.normal(size=len(algorithm._logits))
    algorithm._policy = algorithm._softmax()
    for genotype in algorithm.space.random(rng, 5):
        options, active = np.maximum(genotype, 0).astype(int), genotype >= 0
        gradient = algorithm._gradient(options, active)
        for i, expected in enumerate(gradient):
            step = np.zeros_like(gradient)
            step[i] = 1e-5
            algorithm._logits += step
            above = log_probability(algorithm, genotype)
            algorithm._logits -= 2 * step
            below = log_probability(algorithm, genotype)
            algorithm._logits += step
            assert (above - below) / 2e-5 == pytest.approx(expected, abs=1e-8)


def test_the_probabilities_of_all_examples_sum_to_one(toys):
    for name in ("conditional", "many_sorted", "many_any_sorted", "many_deep_distinct"):
        algorithm = Reinforce()
        algorithm.setup(toys[name].compile(), 0)
        algorithm._logits += np.random.default_rng(0).normal(
            size=len(algorithm._logits)
        )
        logs = [log_probability(algorithm, row) for row in algorithm.space.enumerate()]
        assert np.exp(logs).sum() == pytest.approx(1.0)


def test_the_expected_gradient_of_one_binary_decision():
    """With rewards 1 and 0, p(1 - p), times 0.9 for the reward in its own baseline."""
    algorithm = bound([sn.oneof([0, 1])])
    algorithm._logits += [0.3, -0.4]
    algorithm._policy = p = algorithm._softmax()
    seen = []
    for option in (0, 1):
        clone = bound([sn.oneof([0, 1])])
        clone._logits, clone._policy = algorithm._logits.copy(), p
        clone._step, clone._baseline = 10**6, 0.25  # Long after the beginning.
        clone._ascend = seen.append
        clone.tell([[option]], [float(option)])
    expected = p[0] * seen[0] + p[1] * seen[1]
    assert expected == pytest.approx([-0.9 * p[0] * p[1], 0.9 * p[0] * p[1]], rel=1e-12)


def test_the_baseline_is_a_moving_average_without_bias():
    algorithm = bound([sn.oneof([0, 1])])
    rewards = [3.0, -1.0, 7.0, 7.5, 0.0]
    for i, reward in enumerate(rewards, 1):
        algorithm.tell([[0]], [reward])
        weights = 0.9 ** np.arange(i)[::-1]
        expected = np.average(rewards[:i], weights=weights)
        assert algorithm._baseline == pytest.approx(expected, rel=1e-12)


def test_constant_rewards_leave_the_policy_as_it_is():
    algorithm = bound([sn.oneof(range(5)) for _ in range(6)])
    for _ in range(50):
        algorithm.tell(algorithm.ask(1), [0.7])
    assert (algorithm._logits == 0).all()


def test_a_step_is_one_of_adam():
    """Algorithm 1 of https://arxiv.org/abs/1412.6980, written as there."""
    algorithm = bound([sn.oneof(range(5))])
    rng = np.random.default_rng(0)
    theta, m, v = np.zeros(5), np.zeros(5), np.zeros(5)
    for t in range(1, 31):
        gradient = rng.normal(size=5)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        theta = theta + 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
        algorithm._step = t
        algorithm._ascend(gradient)
    assert algorithm._logits == pytest.approx(theta, rel=1e-12)


def test_the_scale_of_rewards_does_not_matter():
    found = []
    for scale, shift in ((1.0, 0.0), (100.0, 0.0), (1.0, 50.0)):
        algorithm = bound([sn.oneof(range(5)) for _ in range(6)])
        for _ in range(100):
            genotypes = algorithm.ask(1)
            algorithm.tell(genotypes, [scale * genotypes.sum() + shift])
        found.append(algorithm._logits)
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    assert found[2] == pytest.approx(found[0], abs=1e-5)


def test_the_entropy_falls_when_one_example_is_best():
    entropies = []
    for seed in range(10):
        algorithm = Reinforce()
        algorithm.setup(sn.SearchSpace([sn.oneof(range(3)) for _ in range(3)]), seed)
        for _ in range(300):
            genotypes = algorithm.ask(1)
            algorithm.tell(genotypes, [float((genotypes == 1).all())])
        p = algorithm._policy
        entropies.append(-(p * np.log(p)).sum())
    assert np.mean(entropies) < 0.5 * 3 * np.log(3)


@pytest.mark.parametrize("name", ["many_distinct", "many_sorted", "many_any",
                                  "many_any_sorted", "permutation"])  # fmt: skip
def test_all_examples_are_equally_likely_at_first(toys, name):
    algorithm = Reinforce()
    algorithm.setup(toys[name].compile(), 0)
    counts = collections.Counter(map(tuple, algorithm.ask(4000).tolist()))
    assert len(counts) == toys[name].size
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_proposals_follow_the_policy():
    algorithm = bound([sn.oneof(range(3)), sn.oneof(range(2))])
    algorithm._logits += [0.0, 1.0, -1.0, 0.5, 0.0]
    p = algorithm._policy = algorithm._softmax()
    rows = algorithm.ask(5000)
    cells = list(itertools.product(range(3), range(2)))
    counts = [int((rows == cell).all(axis=1).sum()) for cell in cells]
    expected = [5000 * p[a] * p[3 + b] for a, b in cells]
    assert chisquare(counts, expected).pvalue > 0.001


def test_numbers_are_drawn_from_equal_parts_of_their_scale():
    space = [sn.floatv(1e-4, 1.0, "log"), sn.intv(1, 10**6, log=True), sn.intv(0, 3)]
    algorithm = bound(space, resolution=5)
    assert algorithm._counts.tolist() == [5, 5, 4]
    genotypes = algorithm.ask(2000)
    for column, points in enumerate(algorithm.space.encode(genotypes).T[:2]):
        assert kstest(points, "uniform").pvalue > 0.001, column
    algorithm._logits[:5] = [0, 0, 9, 0, 0]
    algorithm._policy = algorithm._softmax()
    inside = (algorithm.ask(1000)[:, 0] * 5).astype(int) == 2
    assert inside.mean() > 0.99


def test_bad_settings_are_refused():
    with pytest.raises(
        ValueError, match=r"`learning_rate` must be positive, got -0\.1"
    ):
        Reinforce(learning_rate=-0.1)
    with pytest.raises(ValueError, match="`resolution` must be at least 1, got 0"):
        Reinforce(resolution=0)


# --- NAS-Bench-201 --------------------------------------------------------------------


def test_the_setting_of_the_benchmark_has_a_name():
    assert Reinforce.nas_bench_201() == Reinforce(learning_rate=0.01)


@pytest.mark.parametrize("learning_rate", [0.1, 0.01])
def test_it_finds_about_what_is_published(search_nb201, learning_rate):
    found = search_nb201(lambda: Reinforce(learning_rate), seeds=40)
    # About four standard errors of 40 seeds.
    difference = np.abs(found.tests.mean(axis=0) - PUBLISHED[learning_rate])
    assert (difference < (0.25, 0.75, 0.8)).all()


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.1, 0.01])
def test_it_finds_what_is_published(search_nb201, learning_rate):
    found = search_nb201(lambda: Reinforce(learning_rate), seeds=200)
    difference = np.abs(found.tests.mean(axis=0) - PUBLISHED[learning_rate])
    assert (difference < (0.10, 0.35, 0.40)).all()

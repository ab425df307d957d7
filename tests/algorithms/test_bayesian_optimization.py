"""Bayesian optimization: the process, the acquisition, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

import symnas as sn
from symnas.algorithms import BayesianOptimization
from symnas.algorithms.bayesian_optimization import _Posterior

MIXED = {
    "x": sn.floatv(-2.0, 2.0),
    "n": sn.intv(1, 9),
    "op": sn.oneof(["a", "b", sn.oneof(["c", "d"])]),
}


def bound(space, **options) -> BayesianOptimization:
    algorithm = BayesianOptimization(**options)
    algorithm.setup(sn.SearchSpace(space), 0)
    return algorithm


def told(space, n: int, **options) -> BayesianOptimization:
    algorithm = bound(space, **options)
    rng = np.random.default_rng(0)
    rows = algorithm.space.random(rng, n)
    algorithm.tell(rows, np.exp(rng.normal(size=n)))
    return algorithm


def test_the_posterior_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    points, targets, others = rng.random((30, 4)), rng.random(30), rng.random((9, 4))
    kernel = ConstantKernel(1.3) * Matern(0.7, nu=2.5)
    peer = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None)
    peer.fit(points, targets)
    posterior = _Posterior(kernel, 0.01, points, targets)
    found, expected = posterior.predict(others), peer.predict(others, return_std=True)
    assert found[0] == pytest.approx(expected[0], abs=1e-9)
    assert found[1] == pytest.approx(expected[1], abs=1e-9)
    assert posterior.best == pytest.approx(peer.predict(points).max(), abs=1e-9)


def test_the_improvement_is_the_integral_that_defines_it():
    algorithm = told(MIXED, 20)
    rows = algorithm.space.random(np.random.default_rng(1), 5)
    posterior = algorithm._fitted()
    means, deviations = posterior.predict(algorithm._points(rows))
    for mean, deviation, found in zip(
        means, deviations, algorithm._improvement(rows), strict=True
    ):
        density = stats.norm(mean, deviation).pdf
        expected, _ = integrate.quad(
            lambda y, density=density: (y - posterior.best) * density(y),
            posterior.best,
            mean + 12 * deviation,
        )
        assert found == pytest.approx(expected, abs=1e-7)


def test_examples_that_differ_in_a_choice_are_one_apart():
    algorithm = bound([sn.oneof(range(3)), sn.oneof(range(4)), sn.floatv(0.0, 1.0)])
    points = algorithm._points(
        np.array([[0, 0, 0.2], [1, 0, 0.2], [1, 3, 0.2], [0, 0, 0.7]])
    )
    distances = np.linalg.norm(points - points[0], axis=1)
    assert distances == pytest.approx([0, 1, np.sqrt(2), 0.5])


def test_the_scale_of_rewards_does_not_matter():
    rows = bound(MIXED).space.random(np.random.default_rng(0), 25)
    rewards = np.random.default_rng(1).normal(size=25)
    asked = []
    for transformed in (rewards, 1e6 * rewards - 3, np.exp(20 * rewards)):
        algorithm = bound(MIXED)
        algorithm.tell(rows, transformed)
        asked.append(algorithm.ask(1).tolist())
    assert asked[0] == asked[1] == asked[2]


def test_the_kernel_is_fitted_at_fixed_numbers_of_results():
    """Whether results come alone or in batches."""
    rows = bound(MIXED).space.random(np.random.default_rng(0), 40)
    rewards = rows.sum(axis=1)
    one, other = bound(MIXED), bound(MIXED)
    one.tell(rows, rewards)
    for row, reward in zip(rows, rewards, strict=True):
        other.tell(row, [reward])
    assert one._num_fitted == other._num_fitted == 40
    assert one._kernel == other._kernel and one._noise == other._noise


def test_workers_get_different_examples():
    algorithm = told(MIXED, 30)
    rows = np.vstack([algorithm.ask(1) for _ in range(8)])
    assert len(np.unique(rows, axis=0)) == 8


def test_what_is_evaluated_lowers_the_uncertainty_there():
    algorithm = told(MIXED, 30)
    row = algorithm.space.random(np.random.default_rng(5), 1)
    points = algorithm._points(row)
    mean, deviation = algorithm._fitted().predict(points)
    algorithm.proposed(row[0])
    later_mean, later_deviation = algorithm._fitted().predict(points)
    assert later_deviation < deviation
    assert later_mean == pytest.approx(mean, abs=1e-6)


def test_known_examples_are_not_proposed():
    algorithm = told([sn.oneof(range(4)), sn.oneof(range(4))], 14)
    known = {tuple(row) for row in algorithm.history.genotypes.tolist()}
    assert len(known) < 16
    for _ in range(16 - len(known)):
        (row,) = algorithm.ask(1).tolist()
        assert tuple(row) not in known
        known.add(tuple(row))


def test_many_results_are_thinned_out():
    algorithm = told(MIXED, 1000)
    points, targets = algorithm._data(1000)
    assert 200 < len(points) <= 400
    best = algorithm.history.genotypes[algorithm.history.rewards.argmax()]
    nearest = algorithm._points(best[None])[0]
    assert (points[targets.argmax()] == nearest).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_startup": 1}, "`num_startup` must be at least 2, got 1"),
        ({"num_candidates": 0}, "`num_candidates` must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BayesianOptimization(**options)


@pytest.mark.parametrize("seed", range(3))
def test_an_optimum_among_floats_is_approached(seed):
    space = {"x": sn.floatv(-5.0, 10.0), "y": sn.floatv(0.0, 15.0)}

    def branin(p):
        x, y = p["x"], p["y"]
        valley = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
        return -(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)

    result = sn.search(
        space, branin, BayesianOptimization(), 60, seed=seed, progress=False
    )
    assert result.best.reward > -0.6  # The optimum is -0.398.

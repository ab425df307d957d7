"""Bins with half-normal tails, and mixtures of normal distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.stats import norm

from symnas.predictors import BinnedDistribution, Normalizer
from symnas.predictors.lc_pfn.bins import bin_masses, prior_borders
from symnas.predictors.lc_pfn.normal_mixture import NormalMixture

LEVELS = np.linspace(0.001, 0.999, 999)


def binned(normalizer=None):
    rng = np.random.default_rng(0)
    borders = np.sort(rng.normal(0.5, 0.3, 21))
    masses = rng.dirichlet(np.ones(20), size=(2, 3))
    masses[0, 0, [0, -1]] += 0.3  # Heavy tails.
    masses /= masses.sum(axis=-1, keepdims=True)
    return BinnedDistribution(masses, borders, normalizer)


def mixture(normalizer=None):
    rng = np.random.default_rng(0)
    means, sds = rng.normal(0.5, 0.2, (2, 3, 4)), rng.uniform(0.02, 0.1, (2, 3, 4))
    return NormalMixture(means, sds, normalizer)


@pytest.mark.parametrize("make", [binned, mixture])
def test_the_density_integrates_to_one(make):
    predicted = make()
    ends = binned().borders  # Where a density of bins jumps.
    y = np.sort(np.concatenate([np.linspace(-5, 6, 2001), ends, np.nextafter(ends, 9)]))
    density = np.exp([predicted.log_likelihood(value) for value in y])
    assert trapezoid(density, y, axis=0) == pytest.approx(np.ones((2, 3)), abs=1e-4)


@pytest.mark.parametrize("make", [binned, mixture])
def test_cdf_undoes_quantile_in_the_tails_too(make):
    predicted = make()
    values = predicted.quantile(LEVELS)
    assert values.shape == (2, 3, 999)
    assert (np.diff(values, axis=-1) >= 0).all()
    for j in [*range(0, 999, 37), 998]:
        assert predicted.cdf(values[..., j]) == pytest.approx(
            np.full((2, 3), LEVELS[j]), abs=1e-5
        )
    assert predicted.median == pytest.approx(predicted.quantile(0.5))


@pytest.mark.parametrize("make", [binned, mixture])
def test_moments_are_those_of_samples(make):
    predicted = make()
    samples = predicted.sample(5_000, np.random.default_rng(1))
    assert samples.shape == (5_000, 2, 3)
    error = samples.std(axis=0).max() / math.sqrt(5_000)
    assert predicted.mean == pytest.approx(samples.mean(axis=0), abs=4 * error)
    assert predicted.std == pytest.approx(samples.std(axis=0), rel=0.06)


@pytest.mark.parametrize("make", [binned, mixture])
def test_a_metric_that_is_minimised_turns_everything_round(make):
    plain, loss = make(), make(Normalizer.log_loss(2.0))
    metric = np.array([0.3, 1.0, 2.5])
    below = 1 - plain.cdf(loss.normalizer(metric))
    assert loss.cdf(metric) == pytest.approx(below)
    assert loss.prob_greater(metric) == pytest.approx(1 - below)
    expected = loss.normalizer.inverse(plain.quantile(0.6))
    assert loss.quantile(0.4) == pytest.approx(expected)
    assert (loss.cdf(np.inf) == 1).all()
    assert (loss.cdf(-0.1) == 0).all()


@pytest.mark.parametrize("make", [binned, mixture])
def test_the_density_of_a_metric_is_the_slope_of_its_cdf(make):
    loss = make(Normalizer.log_loss(2.0))
    for y in (0.3, 0.9, 1.7):
        slope = (loss.cdf(y + 1e-7) - loss.cdf(y - 1e-7)) / 2e-7
        assert np.exp(loss.log_likelihood(y)) == pytest.approx(slope, rel=1e-3)


def test_the_mean_of_a_metric_is_that_of_samples_and_infinite_if_its_bound_is_reached():
    error_rate = mixture(Normalizer.error_rate())
    samples = error_rate.sample(5_000, np.random.default_rng(0))
    assert error_rate.mean == pytest.approx(samples.mean(axis=0), abs=0.02)
    assert error_rate.std == pytest.approx(samples.std(axis=0), rel=0.06)
    loss = NormalMixture(
        np.zeros((1, 1)), np.full((1, 1), 0.1), Normalizer.log_loss(1.0)
    )
    assert loss.mean == loss.std == np.inf


def test_half_of_an_outer_bin_lies_inside_it():
    predicted = binned()
    left, right = predicted.borders[[0, -1]]
    first, last = predicted.masses[..., 0], predicted.masses[..., -1]
    assert predicted.cdf(left) == pytest.approx(first / 2)
    assert predicted.prob_greater(right) == pytest.approx(last / 2)


def test_even_masses_have_the_density_of_their_bin():
    borders = np.cumsum([0.0, 0.1, 0.2, 0.3, 0.4])
    predicted = BinnedDistribution(np.full((1, 4), 0.25), borders)
    # NLL is ln K + ln width of the bin.
    assert -predicted.log_likelihood(0.2) == pytest.approx(math.log(4) + math.log(0.2))
    assert -predicted.log_likelihood(0.5) == pytest.approx(math.log(4) + math.log(0.3))


def test_a_value_on_a_border_belongs_to_the_bin_below():
    predicted = BinnedDistribution(np.array([[0.1, 0.2, 0.3, 0.4]]), np.arange(5.0))
    assert np.exp(predicted.log_likelihood(2.0)) == pytest.approx(0.2)


def test_one_mixture_component_is_a_normal_distribution():
    predicted = NormalMixture(np.array([[0.4]]), np.array([[0.1]]))
    assert predicted.log_likelihood(0.55) == pytest.approx(norm(0.4, 0.1).logpdf(0.55))
    assert predicted.quantile(0.9) == pytest.approx(norm(0.4, 0.1).ppf(0.9))


def test_borders_make_bins_equally_likely():
    borders = prior_borders(10, seed=3, num_curves=2_000)
    assert len(borders) == 11
    assert (borders.diff() > 0).all()
    # The median of the prior's values, from 200,000 curves of another program.
    assert borders[5].item() == pytest.approx(0.612, abs=0.02)
    masses = bin_masses(torch.tensor([0.3, 2.0]), torch.tensor([0.1, 9.0]), borders)
    assert masses.sum(dim=1).tolist() == pytest.approx([1, 1])
    inner = borders[1:-1].numpy()
    assert masses[0, 1:-1].numpy() == pytest.approx(
        np.diff(norm(0.3, 0.1).cdf(inner)), abs=1e-6
    )


@pytest.mark.parametrize("q", [0.0, 1.0, [0.5, -1.0]])
def test_levels_outside_of_0_and_1_are_refused(q):
    with pytest.raises(ValueError, match="`q` must lie between 0 and 1, got"):
        binned().quantile(q)

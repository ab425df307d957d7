"""Last value, power law, and MCMC over the prior of LC-PFN."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from symnas.predictors import Normalizer
from symnas.predictors.lc_pfn.last_value import SMALLEST_SD, LastValue
from symnas.predictors.lc_pfn.mcmc import MCMC, log_posterior
from symnas.predictors.lc_pfn.power_law import PowerLaw
from symnas.predictors.lc_pfn.prior import (
    allowed,
    curve_values,
    draw_parameters,
)

STEPS = np.arange(1, 101)


def test_the_last_value_spreads_like_a_random_walk():
    predicted = LastValue().predict([0.2, 0.5, 0.4], [4, 12])
    step = np.sqrt((0.3**2 + 0.1**2) / 2)
    assert predicted.mean == pytest.approx([0.4, 0.4])
    assert predicted.std == pytest.approx([step, 3 * step])
    assert LastValue().predict([0.2] * 9, 20).std == pytest.approx([SMALLEST_SD])
    with pytest.raises(ValueError, match="`LastValue` needs a value of each curve; 1"):
        LastValue().predict([[0.2], []], 9)


def test_a_power_law_is_found_again():
    curves = [0.9 - 0.6 * STEPS**-0.5, 0.2 + 0.3 * STEPS**-1.5]
    predicted = PowerLaw().predict([curve[:20] for curve in curves], [50, 100])
    expected = np.array([curve[[49, 99]] for curve in curves])
    assert predicted.median == pytest.approx(expected, abs=0.005)


def test_a_power_law_of_few_or_constant_values():
    few = PowerLaw().predict([0.2, 0.5, 0.4], [12])
    assert few.std == pytest.approx(LastValue().predict([0.2, 0.5, 0.4], [12]).std)
    constant = PowerLaw().predict([0.3] * 10, [50])
    assert constant.median == pytest.approx([0.3])
    assert constant.std == pytest.approx([SMALLEST_SD])


@pytest.mark.parametrize("kind", [LastValue, PowerLaw])
def test_a_loss_is_predicted_on_its_own_scale(kind):
    losses = 0.5 + 1.5 / STEPS[:20]
    predicted = kind().predict(losses, [40], Normalizer.log_loss(2.3))
    assert predicted.median == pytest.approx([0.55], abs=0.06)


class TestMCMC:
    def test_it_agrees_with_weighted_draws_from_the_prior(self):
        """Importance sampling needs no chain; after one value most draws have weight."""
        at, values = np.array([5]), np.array([0.45])
        theta = draw_parameters(60_000, np.random.default_rng(0))
        curves = curve_values(theta)
        theta, curves = theta[allowed(curves)], curves[allowed(curves)]
        logs = norm(curves[:, 4], np.exp(theta[:, -1])).logpdf(values)
        weights = np.exp(logs - logsumexp(logs))
        assert 1 / (weights**2).sum() > 400  # As many independent draws.
        mean = weights @ curves[:, 79]
        std = np.sqrt(weights @ (curves[:, 79] - mean) ** 2)
        chains = MCMC(num_samples=400, num_walkers=60, burn_in=100)
        predicted = chains.predict(values, [80], observed_at=at)
        assert predicted.means.mean() == pytest.approx(mean, abs=0.3 * std)
        assert predicted.means.std() == pytest.approx(std, rel=0.25)
        noise = np.log(predicted.sds).mean()
        assert noise == pytest.approx(weights @ theta[:, -1], abs=0.4)

    def test_nothing_outside_of_the_prior_is_possible(self):
        theta = draw_parameters(2000, np.random.default_rng(0))
        at, values = np.array([1, 2]), np.array([0.3, 0.4])
        possible = allowed(curve_values(theta))
        found = np.isfinite(log_posterior(theta, at, values))
        assert np.array_equal(found, possible)
        outside = theta[possible][:5]
        outside[:, 0] = 1.5  # A weight above 1.
        assert not np.isfinite(log_posterior(outside, at, values)).any()

    def test_a_seed_gives_the_same_and_100_steps_are_all(self):
        chains = MCMC(num_samples=5, num_walkers=30, burn_in=5)
        first, second = (chains.predict([0.2, 0.4], [9]) for _ in range(2))
        assert np.array_equal(first.means, second.means)
        assert first.means.shape == (1, 150)
        thinned = MCMC(num_samples=40, num_walkers=30, burn_in=0, num_kept=100)
        assert thinned.predict([0.2, 0.4], [9]).means.shape == (1, 120)
        with pytest.raises(ValueError, match="`MCMC` knows 100 steps, got 101"):
            chains.predict([0.2, 0.4], 101)

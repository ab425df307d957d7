"""The prior of LC-PFN: what 200,000 draws of an independent implementation gave."""

from __future__ import annotations

import math

import numpy as np
import pytest

from symnas.predictors.lc_pfn import prior


@pytest.fixture(scope="module")
def drawn():
    return prior.sample_curves(40_000, np.random.default_rng(0))


def test_a_fifth_of_the_proposals_is_allowed():
    theta = prior.draw_parameters(40_000, np.random.default_rng(0))
    curves = prior.curve_values(theta)
    assert prior.allowed(curves).mean() == pytest.approx(0.206, abs=0.006)
    assert (curves[:, -1] > curves[:, 0]).mean() == pytest.approx(0.334, abs=0.007)
    inside = ((curves >= 0) & (curves <= 1)).all(axis=1)
    assert inside.mean() == pytest.approx(0.450, abs=0.0075)


def test_curves_stay_inside_and_end_higher(drawn):
    curves, noise = drawn
    assert curves.shape == (40_000, 100)
    assert curves.min() >= 0
    assert curves.max() <= 1
    assert (curves[:, -1] > curves[:, 0]).all()
    assert np.log(noise).mean() == pytest.approx(-4, abs=0.015)
    assert np.log(noise).std() == pytest.approx(1, abs=0.011)


def test_means_and_spread_are_as_measured(drawn):
    curves, _ = drawn
    means = curves[:, [0, 4, 49, 99]].mean(axis=0)
    assert means == pytest.approx([0.418, 0.560, 0.606, 0.611], abs=3 * 0.227 / 200)
    assert curves[:, [0, 99]].std(axis=0) == pytest.approx([0.2265, 0.2265], abs=0.003)
    monotone = (np.diff(curves, axis=1) >= 0).all(axis=1).mean()
    assert monotone == pytest.approx(0.51, abs=3 * 0.5 / 200 + 0.005)
    changes = [
        np.median(np.abs(curves[:, -1] - curves[:, t - 1])) for t in (10, 20, 40)
    ]
    assert changes == pytest.approx([0.031, 0.018, 0.008], abs=0.0012)


def test_noise_takes_a_tenth_of_the_curves_out_of_the_range(drawn):
    values = prior.add_noise(*drawn, np.random.default_rng(1))
    outside = (values < 0) | (values > 1)
    assert outside.mean() == pytest.approx(0.0106, abs=0.0012)
    assert outside.any(axis=1).mean() == pytest.approx(0.102, abs=3 * 0.303 / 200)
    quantiles = np.quantile(values, [0.01, 0.5, 0.99])
    assert quantiles == pytest.approx([0.094, 0.612, 1.143], rel=0.15)
    assert quantiles[1] == pytest.approx(0.612, abs=0.006)


def test_a_seed_gives_the_same_bytes():
    first, second = (
        prior.sample_curves(50, np.random.default_rng(5)) for _ in range(2)
    )
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_values_are_those_of_the_formulas():
    theta = prior.draw_parameters(3, np.random.default_rng(2))
    for row, curve in zip(theta, prior.curve_values(theta), strict=True):
        w1, w2, w3, c, a, top, bottom, c2, a2, alpha, k, d, _ = row.tolist()
        for t in (1, 2, 57, 100):
            pow3 = c - a * t ** -math.exp(alpha)
            rise = math.exp(-math.exp(k) * t ** math.exp(d))
            janoschek = top - (top - bottom) * rise
            ilog2 = c2 - a2 / math.log(t + 1)
            expected = w1 * pow3 + w2 * janoschek + w3 * ilog2
            assert curve[t - 1] == pytest.approx(expected, abs=1e-12)


def test_the_hash_tells_priors_apart(monkeypatch):
    before = prior.prior_hash()
    assert prior.prior_hash() == before
    monkeypatch.setattr(prior, "SD", prior.SD * 2)
    assert prior.prior_hash() != before

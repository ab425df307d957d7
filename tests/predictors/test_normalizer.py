"""Metrics of any range as values in [0, 1]."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from symnas.predictors import Normalizer

ALL = [
    Normalizer.accuracy(),
    Normalizer.error_rate(),
    Normalizer.log_loss(0.7),
    Normalizer((-math.inf, math.inf), (-1, 1)),
    Normalizer((0, 100), (50, 95)),
    Normalizer((0, math.inf), (1.68, 10), minimize=True),
]


def test_accuracy_and_error_rate_keep_their_ends_and_their_middle():
    assert Normalizer.accuracy()([0, 0.5, 1]) == pytest.approx([0, 0.5, 1])
    assert Normalizer.error_rate()([0, 0.5, 1]) == pytest.approx([1, 0.5, 0])


def test_the_best_loss_is_1_and_an_infinite_one_0():
    assert Normalizer.log_loss(3.0)([0, math.inf]) == pytest.approx([1, 0])


def test_without_hard_bounds_it_is_the_logistic_function():
    x = np.linspace(-5, 5, 11)
    assert ALL[3](x) == pytest.approx(expit(x))


@pytest.mark.parametrize("normalizer", ALL)
def test_there_and_back(normalizer):
    low, high = normalizer.soft
    x = np.linspace(
        max(low - 2, normalizer.hard[0]), min(high + 2, normalizer.hard[1]), 99
    )
    assert normalizer.inverse(normalizer(x)) == pytest.approx(x, abs=1e-6)


@pytest.mark.parametrize("normalizer", ALL)
def test_better_is_higher_and_the_slope_is_its_derivative(normalizer):
    low, high = normalizer.soft
    x = np.linspace(low, high, 20)[1:-1]
    change = (normalizer(x + 1e-6) - normalizer(x - 1e-6)) / 2e-6
    assert ((change < 0) == normalizer.minimize).all()
    assert np.exp(normalizer.log_slope(x)) == pytest.approx(np.abs(change), rel=1e-5)


@pytest.mark.parametrize("normalizer", ALL)
def test_values_out_of_range_give_the_hard_bounds(normalizer):
    ends = normalizer.inverse([-0.5, 1.5])
    assert sorted(ends) == sorted(normalizer.hard)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 1), (1, 0)), r"`soft` must be two finite numbers, .* got \(1, 0\)"),
        (((0, 1), (0, math.inf)), "`soft` must be two finite numbers"),
        (((0, 1), (0, math.nan)), "`soft` must be two finite numbers"),
        (((0.5, 1), (0, 1)), r"`hard` must enclose `soft` \(0, 1\), got \(0.5, 1\)"),
        (((math.nan, 1), (0, 1)), "`hard` must enclose"),
    ],
)
def test_bounds_in_the_wrong_order_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Normalizer(*arguments)

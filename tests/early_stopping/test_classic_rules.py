"""Patience, the median rule and successive halving, on curves written out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import symnas as sn
from symnas.early_stopping import MedianRule, Patience, SuccessiveHalving

NAN = math.nan


def run(rule: Any, curves: Sequence[Sequence[float]], every: int = 1) -> list[int]:
    """How many measurements each curve is given."""
    samples = sn.sample(sn.oneof(range(len(curves))), "grid", early_stopping=rule)
    found = []
    for i, feedback in samples:
        for n, value in enumerate(curves[i], start=1):
            feedback.add_measurement(value, step=n * every)
            if feedback.should_stop_early():
                break
        found.append(n)
        feedback.done()
    return found


# --- patience ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "stops_after"),
    [
        ([1, 2, 3, 4, 5, 6], 6),
        ([1, 2, 2, 2, 5, 6], 4),
        ([1, 2, 1, 3, 2, 2], 6),
        ([3, 2, 1, 4, 5, 6], 3),
        ([1, NAN, NAN, 4, 5, 6], 3),
        ([NAN, NAN, 3, 4, 5, 6], 2),
        ([-math.inf, 1, 2, 3, 4, 5], 6),
    ],
)
def test_patience_counts_measurements_without_a_new_best(curve, stops_after):
    assert run(Patience(2), [curve]) == [stops_after]
    assert run(Patience(2), [curve], every=10) == [stops_after]


def test_small_improvements_do_not_count_for_patience():
    # They add up until they count.
    assert run(Patience(2, 5), [[50, 54, 58, 62, 66, 70, 74]]) == [7]
    assert run(Patience(2, 5), [[50, 52, 55, 90, 90, 90, 90]]) == [3]


# --- the median rule --------------------------------------------------------------------


def test_the_median_rule_compares_the_best_with_running_means():
    others = [[1, 3, 5], [2, 4, 6], [5, 9, 9]]  # Means by step 2: 2, 3, 7.
    rule = MedianRule(min_trials=3)
    assert run(rule, [*others, [1, 9, 9]])[-1] == 1  # The median at step 1 is 2.
    assert run(rule, [*others, [2, 2, 9]])[-1] == 2
    assert run(rule, [*others, [2, 3, 9]])[-1] == 3  # Strictly below only.
    assert run(rule, [*others, [3, 1, 9]])[-1] == 3  # The best so far.


def test_the_median_rule_waits_for_others():
    curves = [[0.9, 0.9]] * 3 + [[0.1, 0.1]] * 2
    assert run(MedianRule(min_trials=4), curves) == [2, 2, 2, 2, 1]
    assert run(MedianRule(min_trials=3, min_step=2), curves) == [2] * 5
    assert run(MedianRule(min_trials=5), curves) == [2] * 5


def test_the_median_rule_counts_only_who_got_as_far():
    short = [[0.9]] * 5
    assert run(MedianRule(min_trials=1), [*short, [0.9, 0.1, 0.1]])[-1] == 3


def test_the_median_rule_leaves_out_what_is_no_number():
    others = [[NAN, 4], [2, NAN, 4], [NAN, NAN, 5]]  # Means by step 2: 4, 2, none.
    rule = MedianRule(min_trials=2)
    assert run(rule, [*others, [1, 3, 3]])[-1] == 3
    assert run(rule, [*others, [1, 2, 3]])[-1] == 2
    assert run(rule, [*others, [NAN, 3, NAN]])[-1] == 3


# --- successive halving -----------------------------------------------------------------


def ranked_naively(curves, eta, rungs):
    """The same rule, written with lists."""
    reached: dict[int, list[float]] = {rung: [] for rung in rungs}
    lengths = []
    for curve in curves:
        length = len(curve)
        for rung in rungs:
            if rung > len(curve):
                break
            reached[rung].append(curve[rung - 1])
            best = sorted(reached[rung], reverse=True)
            if curve[rung - 1] < best[max(len(best) // eta, 1) - 1]:
                length = rung
                break
        lengths.append(length)
    return lengths


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_successive_halving_keeps_the_best_of_each_rung(eta):
    rng = np.random.default_rng(eta)
    curves = np.sort(rng.integers(0, 20, (80, 16)), axis=1).tolist()
    rungs = [eta**k for k in range(5) if eta**k <= 16]
    expected = ranked_naively(curves, eta, rungs)
    assert run(SuccessiveHalving(eta=eta), curves) == expected
    rungs = [3 * eta**k for k in range(5) if 3 * eta**k <= 16]
    rule = SuccessiveHalving(min_step=3, eta=eta)
    assert run(rule, curves) == ranked_naively(curves, eta, rungs)


def test_successive_halving_takes_the_first_measurement_after_a_rung():
    rule = SuccessiveHalving(min_step=3, eta=3)
    # Measured at 2, 4, 6, 8, 10: rungs 3 and 9 are seen at 4 and 10.
    assert run(rule, [[5, 5, 5, 5, 5], [5, 4, 5, 5, 5]], every=2) == [5, 2]
    assert run(rule, [[5, 5, 5, 5, 5], [5, 5, 4, 4, 4, 9]], every=2) == [5, 5]


def test_successive_halving_takes_what_is_no_number_for_the_worst():
    assert run(SuccessiveHalving(), [[1.0] * 3, [NAN] * 3, [0.5] * 3]) == [3, 1, 1]
    assert run(SuccessiveHalving(), [[NAN] * 3, [0.5] * 3]) == [3, 3]

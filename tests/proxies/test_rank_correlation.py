"""Combining and judging scores, compared with slow versions and with a public table."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from symnas.proxies import RankSum, Vote, correlation
from symnas.spaces import nas_bench_201

DATA = Path(
    os.environ.get("SYMNAS_DATA", Path(__file__).parents[3] / "shared" / "data")
)


def test_a_rank_sum_counts_undefined_scores_below_all_others():
    scores = np.array([[3.0, 1.0], [np.nan, 2.0], [1.0, 3.0]])
    expected = np.log(3 / 3) + np.log(1 / 3), np.log(1 / 3) + np.log(2 / 3)
    found = RankSum()(scores)
    assert found[:2] == pytest.approx(expected)
    assert found.argmax() == 2  # Ranks 2 and 3.


def test_votes_are_pairwise_majorities():
    scores = np.random.default_rng(0).integers(0, 5, (20, 3)).astype(float)
    votes = Vote()(scores)
    for i, own in enumerate(scores):
        expected = 0.0
        for j, other in enumerate(scores):
            balance = (own > other).sum() - (own < other).sum()
            expected += (j != i) * {1: 1.0, 0: 0.5, -1: 0.0}[int(np.sign(balance))]
        assert votes[i] == expected


def test_the_best_of_n_is_the_mean_over_all_subsets():
    rng = np.random.default_rng(0)
    scores, truth = rng.permutation(9).astype(float), rng.random(9)
    scores[4] = np.nan
    subsets = itertools.combinations(range(9), 3)
    ranked = np.where(np.isnan(scores), -1, scores)
    picks = [truth[max(subset, key=lambda i: ranked[i])] for subset in subsets]
    found = correlation(scores, truth, num_candidates=3).best_of
    assert found == pytest.approx(np.mean(picks))
    assert correlation(scores, truth).best_of == truth[ranked.argmax()]


def test_the_partial_correlation_is_that_of_residual_ranks():
    rng = np.random.default_rng(0)
    given = rng.random(200)
    scores, truth = given + rng.random(200), given + rng.random(200)
    left = []
    for values in (scores, truth):
        design = np.column_stack([np.ones(200), rankdata(given)])
        ranks = rankdata(values)
        left.append(ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0])
    expected = np.corrcoef(*left)[0, 1]
    assert correlation(scores, truth, given).partial == pytest.approx(expected)


def test_undefined_scores_are_counted_and_left_out():
    scores = np.r_[np.arange(10.0), np.full(30, np.nan)]
    found = correlation(scores, np.r_[np.arange(10.0), np.zeros(30)])
    assert (found.coverage, found.num_distinct) == (0.25, 10)
    assert (found.spearman, *found.interval) == pytest.approx((1.0, 1.0, 1.0))
    nothing = correlation([np.nan] * 4, [1.0, 2.0, 3.0, 4.0])
    assert nothing.coverage == 0
    assert np.isnan(nothing.spearman)
    assert nothing.best_of == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("scores", "accuracies", "message"),
    [
        ([1.0], [1.0, 2.0], r"must be \(n,\) both, got \(1,\) and \(2,\)"),
        ([1.0, 2.0], [1.0, np.nan], "`accuracies` must be finite"),
        ([1.0, -np.inf], [1.0, 2.0], "`scores` must be finite, or NaN"),
    ],
)
def test_bad_input_is_named(scores, accuracies, message):
    with pytest.raises(ValueError, match=message):
        correlation(scores, accuracies)
    with pytest.raises(ValueError, match=r"must be \(networks, proxies\)"):
        RankSum()([1.0, 2.0])


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    """Public scores and accuracies of the 9,445 cells without dead operations."""
    path = DATA / "zc_suite/nb201_cifar10_zc13.csv.gz"
    if not path.exists():
        pytest.skip(f"needs public scores, and there is no {path}")
    with gzip.open(DATA / "nb201/nb201.csv.gz", "rt") as file:
        truth = [float(row["c10v_test_s888"]) for row in csv.DictReader(file)]
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    columns = {
        name: np.array([float(row[name]) for row in rows])
        for name in rows[0]
        if not name.startswith("net")
    }
    cells = [nas_bench_201.operations_of(row["net_str"]) for row in rows]
    columns["convolutions"] = np.array(
        [sum("conv" in name for name in cell) for cell in cells], dtype=float
    )
    columns["accuracy"] = np.array([truth[nas_bench_201.index_of(c)] for c in cells])
    for values in columns.values():
        values[values == -1e8] = np.nan  # What one cell has in the place of a score.
    return columns


# Specification, table 4.3: rho and tau with the validation accuracy on CIFAR-10.
@pytest.mark.parametrize(
    ("name", "rho", "tau"),
    [
        ("params", 0.747, 0.568),
        ("flops", 0.714, 0.519),
        ("plain", -0.367, -0.244),
        ("l2_norm", 0.720, 0.527),
        ("grad_norm", 0.550, 0.399),
        ("snip", 0.552, 0.400),
        ("grasp", 0.491, 0.340),
        ("fisher", 0.501, 0.360),
        ("synflow", 0.732, 0.536),
        ("jacov", 0.818, 0.632),
        ("epe_nas", 0.787, 0.589),
        ("nwot", 0.792, 0.603),
        ("zen", 0.100, 0.096),  # .101 with the sentinel of one cell.
        ("convolutions", 0.740, 0.599),
    ],
)
def test_public_scores_correlate_as_published(published, name, rho, tau):
    found = correlation(published[name], published["accuracy"])
    assert found.num_networks == 9_445
    assert found.spearman == pytest.approx(rho, abs=6e-4)
    assert found.kendall == pytest.approx(tau, abs=6e-4)


def test_two_free_proxies_together(published):
    """Specification, table 4.3: .905 / .728."""
    both = RankSum()(np.column_stack([published["jacov"], published["params"]]))
    found = correlation(both, published["accuracy"], published["params"])
    assert found.spearman == pytest.approx(0.905, abs=6e-4)
    assert found.kendall == pytest.approx(0.728, abs=6e-4)

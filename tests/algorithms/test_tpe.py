"""TPE: the densities, what is proposed by them, and what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import symnas as sn
from symnas.algorithms import TPE, RandomSearch
from symnas.algorithms.tpe import _Density, _weights, _widths, num_good

# Independent decisions: measured for this project with another implementation.
PUBLISHED = 93.92, 71.88, 45.44


def bound(space: object, **options: object) -> TPE:
    algorithm = TPE(**options)
    algorithm.setup(sn.SearchSpace(space), 0)
    return algorithm


def density(
    space: sn.SearchSpace, genotypes: np.ndarray, multivariate: bool, prior: float = 1.0
) -> _Density:
    algorithm = TPE()
    algorithm.setup(space, 0)
    return _Density(space.layout, algorithm._placed(genotypes), prior, multivariate)


# --- the parts ------------------------------------------------------------------------


def test_a_tenth_is_good_and_at_most_25():
    assert [num_good(n) for n in (0, 1, 10, 11, 100, 250, 1000)] == [
        0, 1, 1, 2, 10, 25, 25,
    ]  # fmt: skip


def test_old_results_weigh_less():
    assert _weights(np.ones((25, 1), bool)).ravel().tolist() == [1.0] * 25
    expected = [*np.linspace(1 / 30, 1, 5), *[1.0] * 25]
    assert _weights(np.ones((30, 1), bool)).ravel() == pytest.approx(expected)
    # In each column among those that are used.
    used = np.ones((33, 1), bool)
    used[[0, 10, 20]] = False
    weights = _weights(used).ravel()
    assert weights[used.ravel()] == pytest.approx(expected)
    assert weights[~used.ravel()].tolist() == [0, 0, 0]
    assert _weights(np.ones((26, 1), bool))[0, 0] == 1 / 26


def test_kernels_are_as_wide_as_the_distance_to_the_farther_neighbour():
    places = np.array([0.5, 0.1, 0.9, 0.2, -1.0])
    # Inside the farther neighbour, outside the only one, at least 1 / (4 + 2).
    assert _widths(places) == pytest.approx([0.4, 1 / 6, 0.4, 0.3, 1.0])
    # One alone reaches to the farther end; what is inactive is as wide as the scale.
    assert _widths(np.array([-1.0, 0.2, -1.0])).tolist() == [1.0, 0.8, 1.0]
    many = np.append(np.linspace(0, 1, 500), -1.0)
    assert _widths(many)[:-1] == pytest.approx(np.full(500, 0.01))


def test_kernels_of_choices_equal_a_hand_calculation():
    """Three times candidate 2 of 4 and a prior of weight 1: a = 1/4 for each candidate.

    A kernel gives 2 the share (1 + 1/4) / (1 + 4/4) = 5/8 and the others 1/8; the prior
    gives each 1/4. All four weigh 1/4: 3/4 * 5/8 + 1/16 = 17/32 and 3/32 + 2/32 = 5/32.
    """
    space = sn.SearchSpace([sn.oneof(range(4))])
    for multivariate in (False, True):
        parzen = density(space, np.full((3, 1), 2.0), multivariate)
        logs = parzen.log(np.arange(4.0)[:, None])[:, 0]
        expected = np.array([5, 5, 17, 5]) / 32
        assert np.exp(logs) == pytest.approx(expected, rel=1e-6)


def slow_mixture(genotypes: np.ndarray, counts: list[int], at: np.ndarray) -> float:
    """The product kernels, one by one."""
    n = len(genotypes)
    total = math.prod(1 / count for count in counts)  # The prior.
    for row in genotypes:
        kernel = 1.0
        for gene, count, value in zip(row, counts, at, strict=True):
            if value >= 0:
                a = 1 / (n + 1)
                kernel *= (
                    ((gene == value) + a) / (1 + count * a) if gene >= 0 else 1 / count
                )
        total += kernel
    return total / (n + 1)


def test_products_equal_a_slow_sum():
    rng = np.random.default_rng(0)
    counts = [2, 5, 3]
    space = sn.SearchSpace([sn.oneof(range(count)) for count in counts])
    genotypes = space.random(rng, 12)
    parzen = density(space, genotypes, multivariate=True)
    for row in space.enumerate():
        expected = slow_mixture(genotypes, counts, row)
        assert np.exp(parzen.log(row[None])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("multivariate", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: sn.intv(0, 6),
        lambda: sn.intv(1, 40, log=True),
        lambda: sn.floatv(0.0, 1.0),
        lambda: sn.floatv(1e-4, 1.0, "log"),
        lambda: sn.oneof(range(7)),
    ],
)
def test_densities_sum_to_one_and_are_what_is_drawn(make, multivariate):
    rng = np.random.default_rng(0)
    space = sn.SearchSpace([make()])
    parzen = density(space, space.random(rng, 8), multivariate)
    draws = parzen.sample(4000, rng)[:, 0]
    if space.decisions[0].kind == "float":
        points = (np.arange(2000) + 0.5) / 2000
        values = np.exp(parzen.log(points[:, None])[:, 0])
        cumulative = np.append(0.0, values.cumsum() / 2000)
        assert cumulative[-1] == pytest.approx(1.0, abs=1e-3)
        edges = np.linspace(0, 1, 2001)
        test = stats.kstest(draws, lambda x: np.interp(x, edges, cumulative))
    else:
        genes = np.arange(space.decisions[0].count, dtype=float)
        expected = np.exp(parzen.log(genes[:, None])[:, 0])
        assert expected.sum() == pytest.approx(1.0, rel=1e-5)
        counts = [(draws == gene).sum() for gene in genes]
        test = stats.chisquare(counts, 4000 * expected / expected.sum())
    assert test.pvalue > 0.001


def test_joint_draws_follow_the_product_kernels():
    rng = np.random.default_rng(0)
    space = sn.SearchSpace([sn.oneof(range(3)), sn.intv(0, 2)])
    parzen = density(space, np.array([[0.0, 2.0], [2.0, 0.0]]), multivariate=True)
    cells = np.array(list(space.enumerate()))
    expected = np.exp(parzen.log(cells)[:, 0])
    assert expected.sum() == pytest.approx(1.0, rel=1e-5)
    draws = parzen.sample(5000, rng)
    counts = [(draws == cell).all(axis=1).sum() for cell in cells]
    assert stats.chisquare(counts, 5000 * expected / expected.sum()).pvalue > 0.001


def test_independent_densities_know_only_examples_in_which_a_decision_was_active():
    space = sn.SearchSpace([sn.oneof([{"x": sn.oneof(range(3))}, "none"])])
    with_others = np.array([[0.0, 2.0], [1.0, -1.0], [0.0, 2.0], [1.0, -1.0]])
    alone = with_others[[0, 2]]
    at = np.array([[0.0, 0.0], [0.0, 2.0]])
    for inner in (density(space, with_others, False), density(space, alone, False)):
        # a = 1/3: two kernels of (1 + 1/3) / 2 = 2/3 and 1/6, and the prior's 1/3.
        expected = [(2 / 6 + 1 / 3) / 3, (2 * 2 / 3 + 1 / 3) / 3]
        assert np.exp(inner.log(at)[:, 1]) == pytest.approx(expected, rel=1e-6)


def test_ints_of_a_huge_range_have_a_density():
    space = sn.SearchSpace([sn.intv(0, 10**12), sn.intv(1, 10**9, log=True)])
    genotypes = space.random(np.random.default_rng(0), 50)
    for multivariate in (False, True):
        assert np.isfinite(density(space, genotypes, multivariate).log(genotypes)).all()


# --- proposals ------------------------------------------------------------------------


def test_it_begins_like_random_search(toy):
    space = toy.compile()
    ours, random = TPE(), RandomSearch()
    ours.setup(space, 3)
    random.setup(space, 3)
    for _ in range(10):
        expected = random.ask(1)
        assert np.array_equal(ours.ask(1), expected)
        ours.tell(expected, [expected.sum()])


def test_it_begins_uniformly_on_the_scale_of_a_decision():
    space = sn.SearchSpace([sn.floatv(1e-6, 1.0, "log")])
    algorithm = TPE(num_startup=500)
    algorithm.setup(space, 0)
    values = [space.values(algorithm.ask(1)[0])["[0]"] for _ in range(500)]
    positions = 1 + np.log10(values) / 6
    assert stats.kstest(positions, "uniform").pvalue > 0.001


@pytest.mark.parametrize("multivariate", [False, True])
def test_proposals_are_like_good_examples(multivariate):
    space = [sn.oneof(range(4)), sn.floatv(0.0, 1.0), sn.permutate(["a", "b", "c"])]
    algorithm = bound(space, multivariate=multivariate)

    def rewards(genotypes: np.ndarray) -> np.ndarray:
        right = (genotypes[:, [0, 3]] == [1, 2]).sum(axis=1)
        return right - 2.0 * np.abs(genotypes[:, 1] - 0.3)

    genotypes = algorithm.space.random(np.random.default_rng(0), 200)
    algorithm.tell(genotypes, rewards(genotypes))
    proposals = algorithm.ask(50)
    assert rewards(proposals).mean() > np.quantile(rewards(genotypes), 0.9)


def test_dependent_decisions_are_learnt_by_joint_densities_only():
    space = sn.SearchSpace([sn.oneof(range(4)), sn.oneof(range(4))])
    genotypes = np.repeat(np.arange(4.0)[:, None], 2, axis=1)
    at = np.array([[1.0, 1.0], [1.0, 2.0]])
    same, different = density(space, genotypes, True).log(at)[:, 0]
    assert same - different > 0.5
    same, different = density(space, genotypes, False).log(at).sum(axis=1)
    assert same == pytest.approx(different)


def test_further_attempts_are_ever_more_at_random():
    algorithm = bound([sn.oneof(range(5)) for _ in range(6)])
    genotypes = algorithm.space.random(np.random.default_rng(0), 100)
    algorithm.tell(genotypes, genotypes.sum(axis=1))
    first = {tuple(algorithm.draw(1)[0]) for _ in range(20)}
    later = {tuple(algorithm.draw(1, attempt)[0]) for attempt in range(1, 21)}
    assert len(first) == 1
    assert len(later) > 10


def test_the_liar_keeps_workers_apart():
    different = {}
    for liar in (False, True):
        algorithm = bound([sn.oneof(range(5)) for _ in range(4)], constant_liar=liar)
        genotypes = algorithm.space.random(np.random.default_rng(0), 60)
        algorithm.tell(genotypes, genotypes.sum(axis=1))
        for _ in range(40):
            algorithm.proposed(algorithm.draw(1)[0])
        different[liar] = len({tuple(row) for row in algorithm.pending})
    assert different[True] > different[False]


def test_bad_settings_are_refused():
    for name, value in (("num_startup", 0), ("num_candidates", 0)):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
            TPE(**{name: value})
    with pytest.raises(ValueError, match=r"`prior_weight` must be positive, got 0\.0"):
        TPE(prior_weight=0.0)


# --- NAS-Bench-201 --------------------------------------------------------------------


def test_it_finds_about_what_is_published(search_nb201):
    found = search_nb201(lambda: TPE(multivariate=False), seeds=40)
    # About four standard errors of 40 seeds.
    difference = np.abs(found.tests.mean(axis=0) - PUBLISHED)
    assert (difference < (0.3, 0.85, 0.9)).all()


@pytest.mark.slow
def test_it_finds_what_is_published_and_beats_random_search(search_nb201):
    random = search_nb201(RandomSearch, seeds=200)
    independent = search_nb201(lambda: TPE(multivariate=False), seeds=200)
    difference = np.abs(independent.tests.mean(axis=0) - PUBLISHED)
    assert (difference < (0.10, 0.35, 0.40)).all()
    joint = search_nb201(TPE, seeds=200)
    for better, worse in ((independent, random), (joint, random), (joint, independent)):
        for ours, others in zip(better.tests.T, worse.tests.T, strict=True):
            test = stats.mannwhitneyu(ours, others, alternative="greater")
            assert test.pvalue < 0.01

"""Differential evolution: operators in closed form, replacement, and what it finds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

import symnas as sn
from symnas.algorithms import DifferentialEvolution
from symnas.algorithms.differential_evolution import (
    STRATEGIES,
    _Trial,
    crossed,
    mutated,
)

FLOATS = [sn.floatv(0.0, 1.0) for _ in range(6)]
CHOICES = [sn.oneof(range(5)) for _ in range(6)]


def bound(space, **options) -> DifferentialEvolution:
    algorithm = DifferentialEvolution(**options)
    algorithm.setup(sn.SearchSpace(space), 0)
    return algorithm


def filled(space=FLOATS, **options) -> DifferentialEvolution:
    """With a first generation, of which member 3 is the best."""
    algorithm = bound(space, **{"population_size": 8, **options})
    rewards = np.array([0.0, 1, 2, 9, 3, 4, 5, 6])
    for reward in rewards:
        (genotype,) = algorithm.draw(1)
        number = algorithm.proposed(genotype)
        algorithm.told(number, [reward])
    return algorithm


def trial(algorithm: DifferentialEvolution, seed: int = 0) -> _Trial:
    return algorithm._point(algorithm.num_proposals, np.random.default_rng(seed))


# --- operators --------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
def test_mutants_are_those_of_the_table(name):
    algorithm = filled(strategy=name, mutation_factor=0.5)
    x, f, c, b = algorithm._vectors, 0.5, 2, 3
    formulas = {
        "rand1": lambda r: x[r[0]] + f * (x[r[1]] - x[r[2]]),
        "rand2": lambda r: x[r[0]] + f * (x[r[1]] - x[r[2]]) + f * (x[r[3]] - x[r[4]]),
        "best1": lambda r: x[b] + f * (x[r[0]] - x[r[1]]),
        "best2": lambda r: x[b] + f * (x[r[0]] - x[r[1]]) + f * (x[r[2]] - x[r[3]]),
        "currenttobest1": lambda r: x[c] + f * (x[b] - x[c]) + f * (x[r[0]] - x[r[1]]),
        "randtobest1": lambda r: (
            x[r[0]] + f * (x[b] - x[r[0]]) + f * (x[r[1]] - x[r[2]])
        ),
        "rand2dir": lambda r: x[r[0]] + f / 2 * (x[r[0]] - x[r[1]] - x[r[2]]),
    }
    others = [i for i in range(8) if i != c]
    for drawn in itertools.permutations(others, STRATEGIES[name].num_drawn):
        mutant = mutated(STRATEGIES[name], f, x[list(drawn)], x[c], x[b])
        assert mutant == pytest.approx(formulas[name](drawn), abs=1e-12)


def test_members_are_drawn_without_the_target_and_none_twice():
    """Mutants of one coordinate each: which members gave them can be told."""
    algorithm = filled(crossover_probability=1.0, mutation_factor=1e-3, repair="clip")
    target = algorithm.num_proposals % 8
    seen = set()
    for seed in range(200):
        vector = trial(algorithm, seed).vector
        triples = itertools.permutations(range(8), 3)
        x = algorithm._vectors
        found = [
            r
            for r in triples
            if np.allclose(x[r[0]] + 1e-3 * (x[r[1]] - x[r[2]]), vector, atol=1e-12)
        ]
        seen.update(itertools.chain(*found))
        assert len(found) <= 1  # None if a coordinate was clipped.
    assert seen == set(range(8)) - {target}


def test_without_crossover_exactly_one_coordinate_changes():
    for crossover in ("bin", "exp"):
        algorithm = filled(crossover_probability=0.0, crossover=crossover)
        for seed in range(20):
            vector, target = trial(algorithm, seed)
            assert (vector != algorithm._vectors[target]).sum() == 1


def test_with_full_crossover_all_come_from_the_mutant():
    for crossover in ("bin", "exp"):
        algorithm = filled(
            crossover_probability=1.0, crossover=crossover, repair="clip",
            mutation_factor=1e-12,
        )  # fmt: skip
        for seed in range(20):
            vector, target = trial(algorithm, seed)
            others = np.delete(algorithm._vectors, target, axis=0)
            assert np.abs(others - vector).max(axis=1).min() < 1e-9


def test_exponential_crossover_takes_one_run_that_wraps():
    lengths = []
    for seed in range(2000):
        taken = crossed(6, 0.7, "exp", np.random.default_rng(seed))
        starts = taken & ~np.roll(taken, 1)
        assert taken.all() or starts.sum() == 1
        lengths.append(taken.sum())
    # A geometric distribution, cut off at six coordinates.
    expected = sum(0.7**i for i in range(6))
    assert np.mean(lengths) == pytest.approx(expected, abs=0.1)


def test_what_leaves_the_cube_is_redrawn_or_clipped():
    for repair in ("random", "clip"):
        algorithm = filled(
            repair=repair, mutation_factor=2.0, crossover_probability=1.0
        )
        vectors = np.array([trial(algorithm, seed).vector for seed in range(200)])
        assert vectors.min() >= 0 and vectors.max() <= 1
        on_side = ((vectors == 0) | (vectors == 1)).mean()
        assert on_side > 0.2 if repair == "clip" else on_side == 0


@pytest.mark.parametrize(
    ("coordinate", "index"),
    [(0.0, 0), (0.2, 1), (0.399999, 1), (0.6, 3), (0.8, 4), (1.0, 4)],
)
def test_candidates_are_equal_bins(coordinate, index):
    """Acceptance check of the specification."""
    algorithm = bound([sn.oneof(range(5))])
    assert algorithm._decode(np.array([[coordinate]]))[0, 0] == index


def test_candidates_come_back_from_their_vector():
    for count in (2, 3, 5, 7, 49, 100, 643, 1000):
        algorithm = bound([sn.oneof(range(count))])
        genes = np.arange(count, dtype=float)[:, None]
        vectors = algorithm.space.encode(genes)
        assert (algorithm._decode(vectors) == genes).all()


def test_integers_are_rounded_or_lie_in_bins():
    vectors = np.linspace(0, 1, 40_001)[:, None]
    rounded = bound([sn.intv(1, 5)])._decode(vectors)[:, 0]
    shares = np.bincount(rounded.astype(int)) / len(vectors)
    assert shares == pytest.approx([1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8], abs=1e-3)
    bins = bound([sn.intv(1, 5)], integers="bins")._decode(vectors)[:, 0]
    assert np.bincount(bins.astype(int)) / len(vectors) == pytest.approx(0.2, abs=1e-3)


# --- replacement ------------------------------------------------------------------------


def test_a_generation_is_built_from_the_last_one():
    algorithm = filled()
    before = algorithm._vectors.copy()
    for reward in (100.0, 100.0, 100.0):
        (genotype,) = algorithm.draw(1)
        algorithm.told(algorithm.proposed(genotype), [reward])
        assert (algorithm._vectors == before).all()
    for _ in range(5):
        (genotype,) = algorithm.draw(1)
        algorithm.told(algorithm.proposed(genotype), [-1.0])
    changed = (algorithm._vectors != before).any(axis=1)
    assert changed.tolist() == [True] * 3 + [False] * 5
    assert algorithm._fitness.tolist() == [100, 100, 100, 9, 3, 4, 5, 6]


def test_equal_rewards_replace_their_target():
    algorithm = filled(replacement="immediate")
    (genotype,) = algorithm.draw(1)
    vector = algorithm._drawn[1].vector
    algorithm.told(algorithm.proposed(genotype), [0.0])
    assert (algorithm._vectors[0] == vector).all()


@pytest.mark.parametrize("replacement", ["immediate", "worst", "random"])
def test_others_replace_at_once(replacement):
    algorithm = filled(replacement=replacement)
    for _ in range(3):  # To targets 0, 1 and 2.
        (genotype,) = algorithm.draw(1)
        drawn = algorithm._drawn[1]
        before = algorithm._vectors.copy()
        worst = algorithm._fitness.argmin()
        algorithm.told(algorithm.proposed(genotype), [50.0])
        (changed,) = np.flatnonzero((algorithm._vectors != before).any(axis=1))
        assert changed == (worst if replacement == "worst" else drawn.target)
    assert (algorithm._fitness == 50).sum() >= 2


def test_vectors_are_never_rounded_and_stay_in_the_cube():
    algorithm = filled(CHOICES)
    rng = np.random.default_rng(0)
    best = -math.inf
    for _ in range(80):
        (genotype,) = algorithm.draw(1)
        algorithm.told(algorithm.proposed(genotype), [rng.random()])
        assert algorithm._fitness.max() >= best
        best = algorithm._fitness.max()
    vectors = algorithm._vectors
    assert vectors.min() >= 0 and vectors.max() <= 1
    centres = algorithm.space.encode(algorithm._decode(vectors))
    assert (np.abs(vectors - centres) > 1e-6).any()


def test_what_is_not_active_is_kept_in_the_vector():
    space = sn.oneof([[sn.floatv(0.0, 1.0), sn.floatv(0.0, 1.0)], "nothing"])
    algorithm = bound(space, population_size=8)
    for _ in range(8):
        (genotype,) = algorithm.draw(1)
        algorithm.told(algorithm.proposed(genotype), [genotype[0]])
    inactive = algorithm._decode(algorithm._vectors)[:, 1] < 0
    assert inactive.any()
    assert (algorithm._vectors[inactive][:, 1:] > 0).all()


def test_failed_trials_leave_their_target_as_it_is():
    algorithm = filled()
    before = algorithm._vectors.copy()
    for _ in range(8):
        (genotype,) = algorithm.draw(1)
        algorithm.dropped(algorithm.proposed(genotype))
    assert (algorithm._vectors == before).all()
    assert not algorithm._points and algorithm._num_over == 16


def test_known_trials_of_another_study_take_the_place_of_the_worst():
    algorithm = filled()
    known = np.full((1, 6), 0.25)
    algorithm.tell(known, [7.0])
    algorithm._advance()
    assert algorithm._vectors[0].tolist() == [0.25] * 6
    assert sorted(algorithm._fitness) == [1, 2, 3, 4, 5, 6, 7, 9]


def test_a_study_that_is_resumed_has_the_same_vectors(tmp_path):
    """Also those of trials that were redrawn, because they were known."""

    def run(name: str, stops: list[int]) -> np.ndarray:
        for stop in stops:
            algorithm = DifferentialEvolution(population_size=6)
            samples = sn.sample(
                CHOICES[:3], algorithm, 60, seed=0, storage=tmp_path / "s.db", name=name
            )
            for example, feedback in samples:
                feedback(float(sum(example)))
                if feedback.id == stop:
                    break
        return algorithm._vectors

    assert (run("whole", [60]) == run("interrupted", [7, 20, 41, 60])).all()


# --- what it finds ----------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_a_sphere_is_descended(seeds):
    """Acceptance check: 20 of 20 seeds below 1e-3 of the first best."""
    space = [sn.floatv(-5.0, 5.0) for _ in range(10)]
    for seed in range(seeds):
        algorithm = DifferentialEvolution()
        algorithm.setup(sn.SearchSpace(space), seed)
        losses = []
        for _ in range(20 * 101):
            (genotype,) = algorithm.draw(1)
            losses.append(((genotype * 10 - 5) ** 2).sum())
            algorithm.told(algorithm.proposed(genotype), [-losses[-1]])
        assert min(losses) < 1e-3 * min(losses[:20])


@pytest.mark.slow
@pytest.mark.parametrize(("column", "least"), [(1, 97), (2, 97), (3, 85)])
def test_the_optimum_of_nas_bench_201_is_found(search_nb201, nb201, column, least):
    """Acceptance check: 1,000 queries of the test accuracy after 200 epochs."""
    found = search_nb201(DifferentialEvolution, 100, 1000, column)
    assert (found.signal[:, -1] == nb201[..., column].max()).sum() >= least


@pytest.mark.slow
def test_nas_bench_201_as_measured(search_nb201):
    """Acceptance check: 110 queries of the validation accuracy after 12 epochs."""
    tests = search_nb201(DifferentialEvolution, 200).tests.mean(axis=0)
    assert tests == pytest.approx([93.85, 71.55, 45.18], abs=0.40)
    assert abs(tests[0] - 93.85) < 0.10 and abs(tests[1] - 71.55) < 0.35


@pytest.mark.slow
def test_a_space_of_which_half_is_inactive_is_searched_better_than_by_chance(
    half_inactive,
):
    found = half_inactive(DifferentialEvolution)
    chance = half_inactive(sn.algorithms.RandomSearch)
    assert mannwhitneyu(found, chance, alternative="greater").pvalue < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 3}, "at least 4 for the strategy 'rand1', got 3"),
        ({"population_size": 5, "strategy": "rand2"}, "at least 6.*'rand2', got 5"),
        ({"mutation_factor": 0.0}, "above 0 and at most 2, got 0.0"),
        ({"mutation_factor": 2.5}, "above 0 and at most 2, got 2.5"),
        ({"crossover_probability": -0.1}, "between 0 and 1, got -0.1"),
        ({"strategy": "rand3"}, "`strategy` must be one of.*got 'rand3'"),
        ({"crossover": "uniform"}, "`crossover` must be one of"),
        ({"replacement": "none"}, "`replacement` must be one of"),
        ({"repair": "wrap"}, "`repair` must be one of"),
        ({"integers": "floor"}, "`integers` must be one of"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DifferentialEvolution(**options)

"""Fronts, crowding and hypervolume against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import symnas as sn
from symnas import pareto


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


def peeled(points: np.ndarray) -> list[int]:
    """Ranks, front by front, as slow as the definition."""
    ranks = [-1] * len(points)
    left = set(range(len(points)))
    for rank in itertools.count():
        if not left:
            return ranks
        front = {
            i for i in left if not any(dominates(points[j], points[i]) for j in left)
        }
        for i in front:
            ranks[i] = rank
        left -= front


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "few ties"])
def test_ranks_are_those_of_the_definition(num_objectives, levels):
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.integers(levels, size=(30, num_objectives)).astype(float)
        assert pareto.non_dominated_ranks(points).tolist() == peeled(points)


def test_crowding_of_a_small_front():
    """Acceptance check of the specification."""
    distances = pareto.crowding_distances([(0, 3), (1, 1), (3, 0)])
    assert distances.tolist() == [math.inf, 2, math.inf]


def test_crowding_without_a_range_is_zero():
    assert pareto.crowding_distances([(1, 1)] * 3).tolist() == [0, 0, 0]
    assert pareto.crowding_distances([(1, 1)]).tolist() == [0]
    assert pareto.crowding_distances(np.empty((0, 2))).tolist() == []
    assert pareto.crowding_distances([(0, 5), (1, 5), (4, 5)]).tolist() == [
        math.inf,
        1,
        math.inf,
    ]


def test_hypervolume_of_two_points():
    """Acceptance check of the specification, which minimises."""
    minimised, reference = np.array([(1, 2), (2, 1)]), np.array((3, 3))
    assert pareto.hypervolume(-minimised, -reference) == 3


def test_the_hypervolume_is_what_counting_cells_gives():
    rng = np.random.default_rng(0)
    for num_objectives in (1, 2, 3, 4):
        for _ in range(10):
            points = rng.integers(0, 6, size=(8, num_objectives))
            cells = np.array(list(np.ndindex((6,) * num_objectives)))
            covered = (cells[:, None] < points).all(axis=2).any(axis=1).sum()
            found = pareto.hypervolume(points, np.zeros(num_objectives))
            assert found == pytest.approx(covered)


def test_what_does_not_exceed_the_reference_adds_nothing():
    assert pareto.hypervolume([(5, -1), (0, 9), (-3, -3)], (0, 0)) == 0
    assert pareto.hypervolume(np.empty((0, 2)), (0, 0)) == 0
    assert pareto.hypervolume([(2, 2), (2, 2), (1, 1)], (0, 0)) == 4


@pytest.mark.parametrize(
    "call", [pareto.non_dominated_ranks, pareto.crowding_distances]
)
def test_bad_rewards_are_named(call):
    with pytest.raises(ValueError, match="same number of objectives"):
        call([(1, 2), (1, 2, 3)])
    with pytest.raises(ValueError, match="nan.*in row 1"):
        call([(1.0, 2.0), (math.nan, 2.0)])
    with pytest.raises(ValueError, match=r"\(n, m\)"):
        call([1.0, 2.0])


def test_a_reference_of_another_length_is_refused():
    with pytest.raises(ValueError, match="each of 2 objectives"):
        pareto.hypervolume([(1, 2)], (0, 0, 0))


def test_the_hypervolume_of_a_study_is_in_the_signs_of_its_objectives():
    space = sn.oneof([(1, 2), (2, 1), (5, 5)])
    result = sn.search(
        space,
        lambda pair: {"cost": pair[0], "gain": -pair[1]},
        "grid",
        objectives=["-cost", "gain"],
        progress=False,
    )
    assert result.hypervolume([3, -3]) == 3
    with pytest.raises(ValueError, match="each objective.*got"):
        result.hypervolume([3])

"""SWAP-NAS's evolution: cycles, who enters and who leaves."""

from __future__ import annotations

import numpy as np
import pytest

import symnas as sn
from symnas.algorithms import SwapNAS

SPACE = sn.SearchSpace([sn.oneof(range(9)) for _ in range(5)])


def bound(**options) -> SwapNAS:
    algorithm = SwapNAS(
        **{"population_size": 4, "tournament_size": 4, "num_mutants": 3} | options
    )
    algorithm.setup(SPACE, seed=0)
    return algorithm


def step(algorithm: SwapNAS, reward: float) -> np.ndarray:
    (genotype,) = algorithm.draw(1)
    algorithm.told(algorithm.proposed(genotype), [reward])
    return genotype


def differing(one: np.ndarray, other: np.ndarray) -> int:
    return int((one != other).sum())


def test_a_cycle_replaces_the_worst_member_by_its_best_child():
    algorithm = bound()
    first = [step(algorithm, reward) for reward in (1.0, 4.0, 3.0, 2.0)]
    child = step(algorithm, 0.5)
    assert set(np.flatnonzero(child != first[1])) <= set(
        np.flatnonzero(first[1] != first[2])
    )
    mutants = [step(algorithm, reward) for reward in (2.5, 2.9, 2.8)]
    assert [differing(mutant, first[1]) for mutant in mutants] == [1, 1, 1]
    assert sorted(algorithm._fitness) == [2.0, 2.9, 3.0, 4.0]
    assert (algorithm._members == mutants[1]).all(axis=1).any()
    assert not algorithm._cycles


def test_a_better_child_of_two_is_the_parent_of_the_mutants():
    algorithm = bound()
    for reward in (1.0, 4.0, 3.0, 2.0):
        step(algorithm, reward)
    child = step(algorithm, 5.0)
    assert [differing(step(algorithm, 0.0), child) for _ in range(3)] == [1, 1, 1]
    assert sorted(algorithm._fitness) == [2.0, 3.0, 4.0, 5.0]


def test_without_crossover_all_are_mutants_of_one_member():
    algorithm = bound(crossover=False)
    first = [step(algorithm, reward) for reward in (1.0, 4.0, 3.0, 2.0)]
    assert [differing(step(algorithm, 0.0), first[1]) for _ in range(3)] == [1, 1, 1]
    # The best of them enters, however bad, and is then the worst: it leaves at once.
    assert sorted(algorithm._fitness) == [1.0, 2.0, 3.0, 4.0]


def test_children_that_fail_do_not_hold_up_their_cycle():
    algorithm = bound()
    for reward in (1.0, 4.0, 3.0, 2.0):
        step(algorithm, reward)
    numbers = [algorithm.proposed(algorithm.draw(1)[0]) for _ in range(4)]
    algorithm.told(numbers[2], [3.5])
    for number in (0, 1, 3):
        algorithm.dropped(numbers[number])
    assert sorted(algorithm._fitness) == [2.0, 3.0, 3.5, 4.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tournament_size": 9}, r"`population_size` \(4\), got 9"),
        ({"num_mutants": 0}, "`num_mutants` must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        bound(**options)

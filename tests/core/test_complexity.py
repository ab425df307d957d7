"""Work is counted in function calls, which do not depend on the machine."""

import sys

import numpy as np
import pytest

import symnas as sn


class Calls:
    """Counts the calls of Python and C functions made inside a `with` block."""

    def __enter__(self):
        self.count = 0
        sys.setprofile(self._count)
        return self

    def _count(self, frame, event, argument):
        self.count += event in ("call", "c_call")

    def __exit__(self, *error):
        sys.setprofile(None)


def calls_of_trials(algorithm, at, space):
    """The median number of calls of 21 trials, beginning after `at` others."""
    samples = sn.sample(space, algorithm, at + 21, seed=0)
    counts = []
    for i in range(at + 21):
        if i < at:
            _, feedback = next(samples)
            feedback((i * 7919 % 1000) / 1000)
            continue
        with Calls() as calls:
            _, feedback = next(samples)
            feedback((i * 7919 % 1000) / 1000)
        counts.append(calls.count)
    return sorted(counts)[10]


@pytest.mark.parametrize("algorithm", ["random_search", "regularized_evolution"])
def test_a_late_trial_does_no_more_work_than_an_early_one(algorithm):
    space = sn.SearchSpace([sn.oneof(range(5)) for _ in range(30)])
    early = calls_of_trials(algorithm, 200, space)
    late = calls_of_trials(algorithm, 20_000, space)
    assert late <= early * 1.05


@pytest.mark.parametrize("algorithm", ["random_search", "regularized_evolution"])
def test_a_trial_makes_few_calls(algorithm):
    # 100 calls are about 10 us; a symbolic tree per trial would take thousands.
    space = sn.SearchSpace({f"x{i}": sn.oneof(range(5)) for i in range(6)})
    assert calls_of_trials(algorithm, 200, space) < 120


def test_compiling_is_linear_in_the_number_of_decisions():
    def calls(size):
        source = sn.symbolic({f"x{i}": sn.oneof([1, 2, 3]) for i in range(size)})
        with Calls() as counted:
            sn.SearchSpace(source)
        return counted.count

    assert calls(2_000) < 2.1 * calls(1_000)


def test_compiling_is_linear_in_depth():
    def calls(depth):
        value = sn.oneof([0, 1])
        for _ in range(depth - 1):
            value = sn.oneof([0, {"inner": value}])
        with Calls() as counted:
            sn.SearchSpace(value)
        return counted.count

    assert calls(400) < 2.1 * calls(200)


def test_making_a_symbolic_object_is_linear_in_its_size():
    def calls(size):
        with Calls() as counted:
            sn.symbolic([sn.oneof([1, 2, 3]) for _ in range(size)])
        return counted.count

    assert calls(2_000) < 2.1 * calls(1_000)


def test_building_visits_only_what_is_active():
    def calls(blocks):
        options = [
            {f"p{i}": sn.oneof([1, 2]) for i in range(10)} for _ in range(blocks)
        ]
        space = sn.SearchSpace(sn.oneof(options))
        row = space.random(np.random.default_rng(0), 1)[0].tolist()
        space.realize(row)
        with Calls() as counted:
            space.realize(row)
        return counted.count

    assert calls(200) <= calls(2) * 1.05

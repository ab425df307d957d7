"""Stored flows: inner studies beside their outer trial, killed and gone on with."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
import storage_workers as workers
from storage_workers import NAMED, flow, is_first

import symnas as sn


def last(results: Any) -> sn.Result:
    """Runs a flow to its end."""
    *_, result = results
    return result


def described(result: sn.Result) -> list[Any]:
    """Without the names that only stored studies have."""
    found = []
    for trial in result.trials:
        inner = {k: v for k, v in trial.metadata["inner"].items() if k != "studies"}
        found.append((trial.id, trial.status, trial.genotype, trial.rewards, inner))
    return found


def test_inner_studies_are_kept_beside_their_trial(storage):
    result = last(flow(storage, 17))
    assert [t.metadata["inner"] for t in sn.load_study(storage, "flow").trials] == [
        {"evaluations": 7, "partial": False, "studies": ["flow/1"]},
        {"evaluations": 7, "partial": False, "studies": ["flow/2"]},
        {"evaluations": 3, "partial": True, "studies": ["flow/3"]},
    ]
    names = [study.name for study in sn.list_studies(storage)]
    assert names == ["flow", "flow/1", "flow/2", "flow/3"]
    loaded = sn.load_study(storage, "flow/2")
    (inner,) = result.inner(result.trials[1])
    assert [t.genotype for t in loaded.trials] == [t.genotype for t in inner.trials]
    assert described(result) == described(last(flow(None, 17)))


def test_a_larger_budget_goes_on_with_the_flow(storage):
    """What was spent counts; the trial that was partial stays as it is."""
    last(flow(storage, 17))
    trials = last(flow(storage, 30)).trials
    evaluations = [t.metadata["inner"]["evaluations"] for t in trials]
    assert evaluations == [7, 7, 3, 7, 6]
    assert [t.partial for t in trials] == [False, False, True, False, True]


def test_a_flow_that_is_left_within_an_inner_loop_goes_on_there(storage):
    for i, _ in enumerate(flow(storage, 40)):
        if i == 16:
            break
    assert described(last(flow(storage, 40))) == described(last(flow(None, 40)))


@pytest.mark.parametrize("times", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_kills_change_nothing(processes, sqlite, times):
    rng = random.Random(times)
    evaluations = 10 * times
    for i in range(times):
        child = processes.start(workers.run_flow, sqlite, evaluations)
        child.hear()
        if i % 2:
            child.hear()  # After its first evaluation, and otherwise maybe before.
        time.sleep(rng.uniform(0.0, 0.15))
        child.kill()
    done = len(sn.load_study(sqlite, "flow").trials)
    assert done > 1
    found = last(flow(sqlite, evaluations))
    expected = last(flow(None, evaluations))
    assert described(found) == described(expected)
    for trial in expected.trials:
        loaded = sn.load_study(sqlite, f"flow/{trial.id}")
        (inner,) = expected.inner(trial)
        assert [(t.genotype, t.rewards) for t in loaded.trials] == [
            (t.genotype, t.rewards) for t in inner.trials
        ]


def test_processes_share_a_flow_and_its_budget(processes, storage):
    children = [processes.start(workers.run_flow, storage, 100) for _ in range(3)]
    for child in children:
        child.process.join(120)
        assert child.process.exitcode == 0
    trials = sn.load_study(storage, "flow").trials
    used = sum(t.metadata["inner"]["evaluations"] for t in trials)
    assert all(t.status == "completed" for t in trials)
    # Each process knows what others have finished, and counts one for what they run.
    assert 100 <= used <= 100 + 2 * 6


def test_inner_searches_with_workers(sqlite):
    budget = sn.Budget(evaluations=10)
    outer_loop = sn.sample(
        NAMED,
        "random",
        where=is_first,
        seed=0,
        budget=budget,
        name="flow",
        storage=sqlite,
    )
    for half_open, outer in outer_loop:
        inner = sn.search(
            half_open,
            workers.total,
            "random",
            6,
            workers=2,
            within=outer,
            progress=False,
        )
        outer(inner.best.reward)
    trials = sn.load_study(sqlite, "flow").trials
    assert [t.metadata["inner"]["evaluations"] for t in trials] == [6, 4]
    assert len(sn.load_study(sqlite, "flow/2").trials) == 4


def test_outer_searches_with_workers_whose_evaluations_search(sqlite):
    result = sn.search(
        NAMED,
        workers.best_of_five,
        "random",
        6,
        where=is_first,
        seed=0,
        workers=2,
        name="flow",
        storage=sqlite,
        progress=False,
    )
    assert result.num_completed == 6


def test_two_loops_of_a_trial_need_names(storage):
    outer_loop = sn.sample(
        NAMED, "random", 1, where=is_first, name="flow", storage=storage
    )
    for half_open, outer in outer_loop:
        for example, feedback in sn.sample(half_open, "random", 2, within=outer):
            feedback(float(example["a"]))
        with pytest.raises(ValueError, match="Give each of its loops another `name`"):
            sn.sample(half_open, "random", 2, within=outer)
        for example, feedback in sn.sample(
            half_open, "random", 2, within=outer, name="again"
        ):
            feedback(float(example["a"]))
        outer(1.0)
    (trial,) = outer_loop.result.trials
    assert trial.metadata["inner"]["studies"] == ["flow/1", "flow/1/again"]


def test_deleting_a_flow_deletes_what_is_within_it(storage):
    last(flow(storage, 9))
    others = "flow/", "flow/x", "flow2/1", "flo"
    for name in others:
        sn.sample(NAMED, "random", 1, name=name, storage=storage).close()
    sn.delete_study(storage, "flow")
    assert {study.name for study in sn.list_studies(storage)} == set(others)


@pytest.mark.parametrize("own", [3, {"evaluations": "many", "partial": 1}, {}])
def test_metadata_of_that_name_is_the_users(storage, own):
    for i in (1, 2):
        samples = sn.sample(NAMED, "random", i, name="plain", storage=storage)
        for _, feedback in samples:
            feedback(1.0, metadata={"inner": own})
    trials = samples.result.trials
    assert [(t.metadata["inner"], t.partial) for t in trials] == [(own, False)] * 2

"""Several loops that work on one study."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import time
import warnings
from typing import Any

import pytest
import storage_workers as workers
from storage_workers import finish, in_steps, sample

import symnas as sn
from symnas.storage import stored_study


def described(result: sn.Result) -> list[Any]:
    return [
        (t.id, t.status, t.genotype, t.rewards, t.measurements, t.metadata)
        for t in result.trials
    ]


def without_storage(num_examples: int, **options: Any) -> list[Any]:
    options = {"storage": None, "name": None, **options}
    return described(finish(sample(num_examples=num_examples, **options)))


def replayed(storage: str, **options: Any) -> Any:
    """The algorithm of a study as it is after an interruption."""
    samples = sample(storage, 0, **options)
    algorithm = samples._study.algorithm
    samples.close()
    return algorithm


def join(children: list[Any]) -> None:
    for child in children:
        child.join()


# --- without lag ------------------------------------------------------------------------


def test_eight_processes_make_400_trials_and_lose_none(processes, sqlite):
    """Issue 4: 8 processes x 50 trials, 400 distinct ids, no lost reward."""
    make_many_trials(processes, sqlite, 8, 50)


def test_three_processes_share_a_study_on_a_server(processes, postgresql):
    make_many_trials(processes, postgresql, 3, 30)


@pytest.mark.slow
def test_many_rounds_of_eight_processes(processes, storage):
    for round_ in range(10):
        make_many_trials(processes, storage, 8, 50, name=f"round {round_}")


def make_many_trials(
    processes: Any, storage: str, n: int, own: int, **options: Any
) -> None:
    """They begin at the same time, with a store that is not there and no seed."""
    options = {"seed": None, **options}
    barrier = processes.context.Barrier(n)
    arguments = (barrier, storage, n * own, own, options)
    started = [processes.start(workers.run_some, *arguments) for _ in range(n)]
    answers = [child.hear() for child in started]
    join(started)
    done = dict(pair for pairs, _, _ in answers for pair in pairs)
    assert sorted(done) == list(range(1, n * own + 1))
    assert sum(len(pairs) for pairs, _, _ in answers) == n * own
    assert all(own <= told <= n * own for _, told, _ in answers)
    result = sn.load_study(storage, options.get("name", "study"))
    assert {seed for _, _, seed in answers} == {result.seed}
    assert [t.status for t in result.trials] == ["completed"] * n * own
    assert {t.id: t.reward for t in result.trials} == done
    assert all(len(t.measurements) == 2 for t in result.trials)
    assert len({t.genotype for t in result.trials}) == n * own
    history = replayed(storage, **options).history
    assert len(history) == n * own
    assert sorted(history.rewards) == sorted(done.values())


def test_a_study_of_several_is_resumed_in_the_recorded_order(processes, sqlite):
    """The state of the algorithm follows the order in which trials have ended."""
    started = [
        processes.start(workers.run_to_the_end, sqlite, 60, {}, 0.002) for _ in range(3)
    ]
    join(started)
    with contextlib.closing(sqlite3.connect(sqlite)) as connection:
        query = "SELECT id FROM symnas_trials ORDER BY end_number"
        order = [row[0] for row in connection.execute(query)]
    assert sorted(order) == list(range(1, 61)) != order
    result = sn.load_study(sqlite, "study")
    history = replayed(sqlite).history
    assert history.rewards.tolist() == [result.trials[i - 1].reward for i in order]
    expected = [list(result.trials[i - 1].genotype) for i in order]
    assert history.genotypes.tolist() == expected
    # Two that go on from here make the same proposals.
    copies = []
    for i in range(2):
        copy = sqlite.replace("studies", f"copy{i}")
        shutil.copy(sqlite, copy)
        copies.append(described(finish(sample(copy, 80)))[60:])
    assert copies[0] == copies[1]
    assert len(copies[0]) == 20


def test_what_one_worker_reports_the_other_one_sees_once(make_worker, storage):
    """Measurements interleave; each is there once, for the worker that made it too."""
    space = {"x": sn.oneof(range(10))}
    options: dict[str, Any] = {"seed": 0, "name": "a", "storage": storage}
    first, second = (make_worker(space, "grid", 4, **options) for _ in range(2))
    (_, one), (_, two) = first.next(), second.next()
    for step in range(1, 4):
        first.do(one.add_measurement, float(step))
        second.do(two.add_measurement, 10.0 * step)
    assert [m.step for m in one.measurements] == [1, 2, 3]
    assert [m.metrics["reward"] for m in two.measurements] == [10, 20, 30]
    first.do(one.done)
    second.do(two.done)
    for worker in (first, second):
        _, feedback = worker.next()
        worker.do(feedback, 1.0)
    expected = [(1, 3), (2, 3), (3, 0), (4, 0)]
    for worker in (first, second):
        worker.do(list, worker.samples)
        trials = worker.samples.result.trials
        assert [(t.id, len(t.measurements)) for t in trials] == expected
    trials = sn.load_study(storage, "a").trials
    assert [(t.id, len(t.measurements)) for t in trials] == expected


def test_early_stopping_looks_at_the_trials_of_others(make_worker, storage):
    def policy(feedback: Any, study: Any) -> bool:
        seen = [t for t in study.seen_by(feedback.id) if t.measurements]
        return any(t.measurements[0].metrics["reward"] > 5 for t in seen)

    options: dict[str, Any] = {"name": "a", "storage": storage}
    first, second = (
        make_worker(sn.oneof(range(9)), "grid", 4, early_stopping=policy, **options)
        for _ in range(2)
    )
    (_, one), (_, two) = first.next(), second.next()
    first.do(one.add_measurement, 1.0)
    assert not first.do(one.should_stop_early)
    second.do(two.add_measurement, 10.0)
    assert first.do(one.should_stop_early)


def test_a_worker_that_ends_early_leaves_the_trials_of_others_pending(
    make_worker, storage
):
    options: dict[str, Any] = {"name": "a", "storage": storage}
    first, second = (
        make_worker(sn.oneof(range(9)), "grid", 9, **options) for _ in range(2)
    )
    (_, one), (_, two) = first.next(), second.next()
    second.do(two.end_loop)
    second.do(two, 1.0)
    with pytest.raises(StopIteration):
        second.next()
    assert [t.status for t in second.samples.result.trials] == ["pending", "completed"]
    first.do(one, 1.0)
    with pytest.raises(StopIteration):
        first.next()
    assert [t.reward for t in sn.load_study(storage, "a").trials] == [1.0, 1.0]


def test_a_trial_is_not_given_up_while_it_is_unknown_who_lives(
    processes, make_worker, short_leases, sqlite
):
    """The loop has to wait for a lease to end, and has a trial itself."""
    children = []
    for number, place in enumerate(("elsewhere", None), 1):
        children.append(processes.start(workers.hold, sqlite, 5.0, place))
        assert children[-1].hear() == number
    for child in children:
        child.kill()
    own = make_worker(workers.SPACE, **evolution(sqlite))
    _, two = own.next()
    _, one = own.next()
    assert (one.id, two.id) == (1, 2)
    own.do(two, 2.0)
    own.do(one, 1.0)
    assert [t.reward for t in own.samples.result.trials] == [1.0, 2.0]


def evolution(storage: str, num_examples: int = 6) -> dict[str, Any]:
    algorithm = sn.algorithms.RegularizedEvolution(
        population_size=10, tournament_size=3
    )
    options = {"algorithm": algorithm, "num_examples": num_examples}
    return {**options, "seed": 5, "name": "study", "storage": storage}


# --- with lag ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 4])
def test_with_lag_any_number_of_processes_make_the_same_trials(
    processes, storage, number
):
    """Issue 4: the same trials with 1 or 8 workers."""
    expected = without_storage(40, lag=4)
    arguments = (storage, 40, {"lag": 4}, 0.002)
    started = [
        processes.start(workers.run_to_the_end, *arguments) for _ in range(number)
    ]
    join(started)
    assert described(sn.load_study(storage, "study")) == expected


def test_so_they_do_if_some_are_killed_in_the_middle(processes, storage):
    expected = without_storage(60, lag=4)
    arguments = (storage, 60, {"lag": 4}, 0.002)
    rng = random.Random(0)
    started = [processes.start(workers.run_to_the_end, *arguments) for _ in range(3)]
    for _ in range(4):
        time.sleep(rng.uniform(0.02, 0.1))
        started.pop(0).kill()
        started.append(processes.start(workers.run_to_the_end, *arguments))
    join(started)
    assert described(sn.load_study(storage, "study")) == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 8])
def test_with_lag_many_kills_change_nothing(processes, storage, number):
    total = 400
    expected = without_storage(total, lag=8)
    arguments = (storage, total, {"lag": 8}, 0.002)
    rng = random.Random(1)
    started = [
        processes.start(workers.run_to_the_end, *arguments) for _ in range(number)
    ]
    for _ in range(60):
        time.sleep(rng.uniform(0.0, 0.15))
        started.pop(0).kill()
        started.append(processes.start(workers.run_to_the_end, *arguments))
    join(started)
    assert described(sn.load_study(storage, "study")) == expected


def test_with_lag_a_loop_waits_for_what_others_owe(make_worker, storage):
    options = {**evolution(storage, 20), "lag": 2}
    first, second = (
        make_worker(workers.SPACE, **{**options, **evolution(storage, 20)})
        for _ in range(2)
    )
    (_, one), (_, two) = first.next(), second.next()
    second.do(in_steps, two)
    waiting = second.begin(next, second.samples)  # Proposal 3 sees the result of 1.
    time.sleep(0.3)
    assert not waiting.done()
    first.do(in_steps, one)
    assert waiting.result(60)[1].id == 3
    first.close()
    second.do(in_steps, waiting.result()[1])
    assert described(second.do(finish, second.samples)) == without_storage(20, lag=2)


def test_a_loop_that_waits_for_others_keeps_its_own_trials(make_worker, storage):
    """Only what it alone can end is ended, since nobody would wait for it in vain."""
    options = {**evolution(storage, 20), "lag": 2}
    first = make_worker(workers.SPACE, **options)
    _, one = first.next()
    second = make_worker(workers.SPACE, **{**options, **evolution(storage, 20)})
    _, two = second.next()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        waiting = second.begin(next, second.samples)
        time.sleep(0.3)
        assert not waiting.done()
        first.do(in_steps, one)
        _, three = waiting.result(60)
    assert three.id == 3
    assert second.samples.result.trials[1].status == "pending"
    second.do(in_steps, two)
    assert second.samples.result.trials[1].status == "completed"


# --- taking over ------------------------------------------------------------------------


def test_opening_a_study_again_in_a_thread_takes_over_from_the_first(storage):
    """As a notebook cell that is interrupted and run again does."""
    first = sample(storage, 6)
    _, one = next(first)
    one.add_measurement(-1.0)
    second = sample(storage, 6)
    _, again = next(second)
    assert again.id == one.id == 1
    assert again.measurements == []
    with pytest.warns(UserWarning, match="Trial 1 of 'study' was taken over"):
        one(1e9, metrics={"late": 1.0})
    in_steps(again)
    assert described(finish(second)) == without_storage(6)
    assert described(sn.load_study(storage, "study")) == without_storage(6)


@pytest.mark.parametrize("how", ["reward", "steps", "fail", "skip"])
def test_a_late_worker_is_refused_politely_whatever_it_does(make_worker, storage, how):
    """Also when it has heard by then that its trial has ended."""

    def policy(feedback: Any, study: Any) -> bool:
        return False

    options = {**evolution(storage, 8), "early_stopping": policy}
    late = make_worker(workers.SPACE, **options)
    (_, one), (_, two) = late.next(), late.next()
    late.do(one.add_measurement, -5.0, step=1)
    late.samples._study._journal.release(late.samples._study._worker)
    other = make_worker(workers.SPACE, **{**options, **evolution(storage, 8)})
    for _ in range(2):
        _, feedback = other.next()
        other.do(in_steps, feedback)
    with pytest.warns(UserWarning, match="Trial 2 of 'study' was taken over"):
        late.do(two, 7.0)  # It hears of the end of both.
    assert late.samples.result.trials[0].status == "completed"
    late.do(one.add_measurement, 1e9, step=2)
    assert late.do(one.should_stop_early)
    ends: dict[str, Any] = {
        "reward": lambda: one({"reward": 1e9, "late": 1.0}, metadata={"late": 1}),
        "steps": one.done,
        "fail": lambda: one.fail("late"),
        "skip": lambda: one.skip("late"),
    }
    with pytest.warns(UserWarning, match="Trial 1 of 'study' was taken over"):
        late.do(ends[how])
    expected = without_storage(8)
    assert described(late.do(finish, late.samples)) == expected
    assert described(sn.load_study(storage, "study")) == expected


def test_what_an_attempt_reported_is_void_for_all_once_it_was_taken_over(
    make_worker, storage
):
    options: dict[str, Any] = {"name": "a", "storage": storage}
    space = sn.oneof(range(9))
    late, watcher = (make_worker(space, "grid", 4, **options) for _ in range(2))
    _, one = late.next()
    late.do(one.add_measurement, -5.0, step=1)
    _, two = watcher.next()
    watcher.do(two.add_measurement, 1.0)
    watcher.do(two.should_stop_early)
    assert len(watcher.samples.result.trials[0].measurements) == 1
    late.samples._study._journal.release(late.samples._study._worker)
    other = make_worker(space, "grid", 4, **options)
    _, again = other.next()
    assert again.id == 1
    other.do(again.fail, "as well")
    watcher.do(two.done)
    trial = watcher.samples.result.trials[0]
    assert (trial.status, trial.error, trial.measurements) == ("failed", "as well", ())
    late_trial = sn.load_study(storage, "a").trials[0]
    assert late_trial.measurements == ()


def test_a_worker_that_is_taken_over_from_does_not_write_into_the_new_attempt(
    make_worker, storage
):
    options: dict[str, Any] = {"name": "a", "storage": storage}
    space = sn.oneof(range(9))
    late = make_worker(space, "grid", 3, **options)
    _, one = late.next()
    late.samples._study._journal.release(late.samples._study._worker)
    other = make_worker(space, "grid", 3, **options)
    _, again = other.next()
    other.do(again.add_measurement, 2.0, step=1)
    for step in (1, 2):
        late.do(one.add_measurement, -5.0, step=step)
    other.do(again.add_measurement, 3.0, step=2)
    other.do(again.done)
    with pytest.warns(UserWarning, match="taken over"):
        late.do(one, 9.0)
    late.do(list, late.samples)
    for result in (
        late.samples.result,
        other.samples.result,
        sn.load_study(storage, "a"),
    ):
        trial = result.trials[0]
        assert [m.metrics["reward"] for m in trial.measurements] == [2.0, 3.0]
        assert trial.reward == 3.0


def test_closed_studies_are_not_held(sqlite):
    before = dict(stored_study._holders)
    finish(sample(sqlite, 3))
    assert stored_study._holders == before


# --- forks ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["next", "feedback", "measure", "look"])
def test_a_fork_that_uses_the_study_of_its_parent_is_told_so(processes, storage, how):
    child = processes.start(workers.use_after_fork, storage, how)
    kind, text = child.hear()
    assert kind == "StorageError"
    assert "opened by another process" in text
    assert "Open it again here" in text
    assert child.hear() is None
    child.join()
    assert described(sn.load_study(storage, "study")) == without_storage(20)


def test_a_fork_may_open_it_again_and_takes_nothing_from_its_parent(processes, storage):
    child = processes.start(workers.use_after_fork, storage, "open")
    assert child.hear() == [2, 3, 4]
    assert child.hear() is None
    child.join()
    result = sn.load_study(storage, "study")
    assert [t.status for t in result.trials] == ["completed"] * 20


def test_a_fork_that_drops_the_study_of_its_parent_harms_nothing(processes, storage):
    child = processes.start(workers.use_after_fork, storage, "delete")
    assert child.hear() is None
    child.join()
    assert described(sn.load_study(storage, "study")) == without_storage(20)


# --- deleting ---------------------------------------------------------------------------


def test_a_study_that_is_deleted_while_it_runs_ends_with_a_clear_error(
    processes, storage
):
    child = processes.start(workers.delete_while_running, storage)
    child.hear()
    sn.delete_study(storage, "study")
    child.say()
    assert "The study was deleted while it was running" in child.hear()
    child.join()
    assert sn.list_studies(storage) == []


def test_a_study_that_was_deleted_is_not_confused_with_its_successor(storage):
    """SQLite would give a new row the number of the deleted one."""
    samples = sample(storage, 9)
    _, feedback = next(samples)
    sn.delete_study(storage, "study")
    other = sn.sample(sn.oneof([1, 2]), "grid", name="study", storage=storage)
    with pytest.raises(sn.StorageError, match="deleted while it was running"):
        feedback(1.0)
    with pytest.raises(sn.StorageError, match="deleted while it was running"):
        feedback.add_measurement(1.0)
    with pytest.raises(sn.StorageError, match="deleted while it was running"):
        next(samples)
    for _, feedback in other:
        feedback(1.0)
    assert len(sn.load_study(storage, "study").trials) == 2


def test_deleting_leaves_nothing(sqlite):
    samples = sample(sqlite, 5)
    in_steps(next(samples)[1])
    next(samples)
    sn.delete_study(sqlite, "study")
    with pytest.raises(sn.StorageError, match="deleted"):
        samples._study._journal.beat()  # As its thread does all the time.
    samples._study.abandon("the test is over")
    with contextlib.closing(sqlite3.connect(sqlite)) as connection:
        for table in ("studies", "trials", "measurements", "workers"):
            query = f"SELECT count(*) FROM symnas_{table}"
            assert connection.execute(query).fetchone() == (0,)

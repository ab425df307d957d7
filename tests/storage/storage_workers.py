"""What tests run in processes of their own; the functions must be found by import."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import symnas as sn
from symnas.storage import leases

SPACE = {name: sn.oneof(range(10)) for name in "abcdef"}


def sample(storage: str, num_examples: int | None, **options: Any) -> Any:
    """A study whose proposals depend on all results and on their order."""
    algorithm = sn.algorithms.RegularizedEvolution(
        population_size=10, tournament_size=3
    )
    options = {"seed": 5, "name": "study", "storage": storage, **options}
    return sn.sample(SPACE, algorithm, num_examples, **options)


def reward_of(feedback: Any) -> float:
    genes = enumerate(feedback.genotype)
    return sum(g * math.sqrt(2 + i) for i, g in genes) + feedback.seed % 1000 / 1e6


def in_steps(feedback: Any) -> None:
    """Two results on the way, and metadata."""
    for step in (1, 2):
        feedback.add_measurement(reward_of(feedback) - step, step=step)
    feedback(reward_of(feedback), metadata={"seed": feedback.seed})


def finish(samples: Any) -> sn.Result:
    for _, feedback in samples:
        in_steps(feedback)
    return samples.result


def is_first(value: Any) -> bool:
    return value.name in ("a", "b", "c")


NAMED = {name: sn.oneof(range(10), name=name) for name in "abcdef"}


def flow(storage: str | None, evaluations: int, pause: float = 0.0) -> Any:
    """A flow of two levels under one budget; yields its result after each evaluation."""
    options = {} if storage is None else {"name": "flow", "storage": storage}
    outer_loop = sn.sample(
        NAMED,
        sn.algorithms.RegularizedEvolution(population_size=5, tournament_size=2),
        seed=5,
        where=is_first,
        budget=sn.Budget(evaluations=evaluations),
        **options,
    )
    for half_open, outer in outer_loop:
        inner = sn.sample(half_open, "regularized_evolution", 7, within=outer)
        for _, feedback in inner:
            time.sleep(pause)
            feedback(reward_of(feedback) + sum(outer.genotype))
            yield outer_loop.result
        outer(inner.result.best.reward)
    yield outer_loop.result


def run_flow(pipe: Any, storage: str, evaluations: int) -> None:
    pipe.send(None)
    for i, _ in enumerate(flow(storage, evaluations, 0.002)):
        if not i:
            pipe.send(None)


def total(example: Any) -> float:
    return float(sum(example.values()))


def best_of_five(half_open: Any) -> float:
    found = sn.search(half_open, total, "random", 5, seed=0, progress=False)
    return found.best.reward


def short_leases(seconds: float) -> None:
    leases.BEAT_SECONDS = seconds / 8
    leases.LEASE_SECONDS = seconds


# --- the targets of processes -----------------------------------------------------------


def run(pipe: Any, storage: str, options: dict[str, Any]) -> None:
    """Says that it is there, opens the study, and works until it is killed."""
    pipe.send(None)
    for _, feedback in sample(storage, None, **options):
        if pipe is not None:
            pipe.send(feedback.id)
            pipe = None
        in_steps(feedback)
        time.sleep(0.001)


def run_to_the_end(
    pipe: Any,
    storage: str,
    num_examples: int,
    options: dict[str, Any],
    seconds: float = 0.0,
) -> None:
    for _, feedback in sample(storage, num_examples, **options):
        # Longer ones overtake each other.
        time.sleep(seconds * (1 + feedback.seed % 3))
        in_steps(feedback)


def run_some(
    pipe: Any, start: Any, storage: str, total: int, own: int, options: Any
) -> None:
    """Runs `own` of `total` trials, and says which, and what the algorithm was told."""
    start.wait(60)
    samples = sample(storage, total, **options)
    done = []
    for _, feedback in itertools.islice(samples, own):
        in_steps(feedback)
        done.append((feedback.id, reward_of(feedback)))
    told = len(samples._study.algorithm.history)
    pipe.send((done, told, samples.result.seed))
    samples.close()


def begin_and_hang(pipe: Any, storage: str, lease: float) -> None:
    """Takes a trial, says so, is stopped by someone, and comes back late."""
    short_leases(lease)
    samples = sample(storage, 6)
    _, feedback = next(samples)
    feedback.add_measurement(-1.0, step=1)
    pipe.send(feedback.id)
    pipe.recv()  # It is stopped here.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        feedback.set_metadata("late", True)
        feedback(1e9, metrics={"late": 1.0})
    rest = [f.id for _, f in samples if not in_steps(f)]
    first = samples.result.trials[feedback.id - 1]
    pipe.send(([str(w.message) for w in caught], rest, first))


def hold(pipe: Any, storage: str, lease: float, place: str | None) -> None:
    """Takes a trial and keeps it until it is killed, perhaps on another machine."""
    short_leases(lease)
    if place is not None:
        leases._place = lambda: place
    samples = sample(storage, None)
    _, feedback = next(samples)
    pipe.send(feedback.id)
    time.sleep(600)


def run_slowly(pipe: Any, storage: str, lease: float, jumps: bool) -> None:
    """Spends three leases on each trial."""
    short_leases(lease)
    if jumps:
        days = itertools.cycle((1.0, -1.0, 365.0, -20000.0))
        real = time.time
        time.time = lambda: real() + 86400.0 * next(days)
    pipe.send(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _, feedback in sample(storage, 4):
            time.sleep(3 * lease)
            in_steps(feedback)


def use_after_fork(pipe: Any, storage: str, how: str) -> None:
    """Forks while a study is open, and uses it, or opens it again, in the fork."""
    samples = sample(storage, 20)
    _, feedback = next(samples)
    process = os.fork()
    if process == 0:
        try:
            if how == "next":
                next(samples)
            elif how == "feedback":
                feedback(1.0)
            elif how == "measure":
                feedback.add_measurement(1.0)
            elif how == "look":
                samples._study._journal.look()
            elif how == "delete":
                samples._study.abandon("dropped in the fork")
                feedback = samples = None
            else:
                again = sample(storage, 20)
                pipe.send([f.id for _, f in itertools.islice(again, 3)])
                again._study.abandon("the test is over")
        except BaseException as error:
            pipe.send((type(error).__name__, str(error)))
        os._exit(0)
    os.waitpid(process, 0)
    pipe.send(None)
    in_steps(feedback)
    finish(samples)


def delete_while_running(pipe: Any, storage: str) -> None:
    try:
        for number, (_, feedback) in enumerate(sample(storage, None)):
            if number == 5:
                pipe.send(None)
                pipe.recv()
            in_steps(feedback)
    except sn.StorageError as error:
        pipe.send(str(error))


def fill_the_disk(pipe: Any, storage: str, limit: int | None) -> None:
    """Runs until there is no space; tells the results that it was sure of."""
    if limit is not None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sure = []
    try:
        for _, feedback in sample(storage, None):
            feedback(reward_of(feedback), metadata={"text": "x" * 3000})
            sure.append(feedback.id)
    except sn.StorageError as error:
        pipe.send((str(error), sure))


def read_as_nobody(pipe: Any, storage: str) -> None:
    """Loads, lists and tries to write as a user who owns nothing."""
    with tempfile.TemporaryDirectory() as folder:  # Imports all that is needed.
        finish(sample(f"{folder}/studies.db", 2))
    os.setgid(65534)
    os.setuid(65534)
    found: list[Any] = []
    for function in (
        lambda: [t.rewards for t in sn.load_study(storage, "study").trials],
        lambda: [s.name for s in sn.list_studies(storage)],
        lambda: sample(storage, 100),
        lambda: sn.delete_study(storage, "study"),
    ):
        try:
            found.append(function())
        except sn.StorageError as error:
            found.append(f"StorageError: {error}")
        except BaseException as error:
            found.append(repr(error))
    pipe.send(found)


def make_database(pipe: Any, path: str) -> None:
    """A study of 12 trials in one file, and in a folder beside it as it was before."""
    samples = sample(path, 12)
    for _, feedback in samples:
        in_steps(feedback)
        if feedback.id == 11:
            break
    logged = Path(path).with_name("logged")
    logged.mkdir()
    for file in Path(path).parent.glob("studies.db*"):
        shutil.copy(file, logged)
    finish(samples)
    pipe.send(None)


def leave_unburied(pipe: Any, storage: str) -> None:
    """Starts a worker, and does not notice that it dies."""
    worker = os.fork()
    if worker == 0:
        hold(pipe, storage, 60.0, None)
    pipe.recv()
    os.kill(worker, signal.SIGKILL)
    pipe.send(None)
    time.sleep(600)


def load(pipe: Any, storage: str) -> None:
    """What a store holds, and what was imported to load it."""
    result = sn.load_study(storage, "study")
    shown = str([*result.trials, result, sn.list_studies(storage)])
    pipe.send((shown, set(sys.modules)))

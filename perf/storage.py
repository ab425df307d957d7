"""What does a stored study cost: a trial, eight processes at once, opening a large one?"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import interleaved, report, seconds
from toy_spaces import OURS, six

import symnas as sn

try:
    import optuna
except ImportError:
    optuna = None

TRIALS = 1000
PEER_TRIALS = 50
PROCESSES = 8


def ours(storage: str | None, algorithm: str = "random") -> float:
    """Microseconds per trial of a new study."""
    space = sn.SearchSpace(six(OURS))
    rng = random.Random(0)
    options: dict[str, Any] = {}
    if storage is not None:
        options = {
            "storage": storage,
            "name": f"study {rng.getrandbits(64)} {time.time()}",
        }
    samples = sn.sample(space, algorithm, TRIALS, seed=0, duplicates="allow", **options)

    def loop() -> None:
        for _, feedback in samples:
            feedback(rng.random())

    return seconds(loop) / TRIALS * 1e6


def with_optuna(storage: Any) -> float:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=storage, sampler=sampler)
    rng = random.Random(0)

    def objective(trial: Any) -> float:
        for i in range(6):
            trial.suggest_categorical(f"x{i}", list(range(5)))
        return rng.random()

    return (
        seconds(lambda: study.optimize(objective, n_trials=PEER_TRIALS))
        / PEER_TRIALS
        * 1e6
    )


def together(processes: int, trials: int) -> float:
    """Microseconds per trial when processes share one study, from the first to the last."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "studies.db")
        barrier = context.Barrier(processes)
        times = context.Queue()
        workers = [
            context.Process(
                target=_share, args=(path, processes * trials, barrier, times)
            )
            for _ in range(processes)
        ]
        for worker in workers:
            worker.start()
        spans = [times.get() for _ in workers]
        for worker in workers:
            worker.join()
        done = len(sn.load_study(path, "shared").trials)
        assert done == processes * trials
    first, last = min(a for a, _ in spans), max(b for _, b in spans)
    return (last - first) / done * 1e6


def _share(path: str, total: int, barrier: Any, times: Any) -> None:
    space = sn.SearchSpace(six(OURS))
    rng = random.Random(os.getpid())
    samples = sn.sample(
        space, "random", total, seed=0, duplicates="allow", storage=path, name="shared"
    )
    barrier.wait()
    begun = time.time()
    for _, feedback in samples:
        feedback(rng.random())
    times.put((begun, time.time()))


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ours.db")
        contenders: dict[str, Any] = {
            "symnas, in memory": lambda: ours(None),
            "symnas, SQLite": lambda: ours(path),
            "symnas, SQLite, evolution": lambda: ours(path, "regularized_evolution"),
        }
        if "SYMNAS_TEST_POSTGRESQL" in os.environ:
            server = os.environ["SYMNAS_TEST_POSTGRESQL"]
            contenders["symnas, PostgreSQL"] = lambda: ours(server)
        if optuna is not None:
            theirs = f"sqlite:///{folder}/optuna.db"
            log = os.path.join(folder, "optuna.log")
            contenders["Optuna, SQLite"] = lambda: with_optuna(theirs)
            contenders["Optuna, journal file"] = lambda: with_optuna(
                optuna.storages.JournalStorage(
                    optuna.storages.journal.JournalFileBackend(log)
                )
            )
        figures = interleaved(contenders, 3 if quick else 5)
        base = figures["symnas, SQLite"]
        report(
            "one trial of a stored study, 6 choices of 5, random search",
            ["storage", "us per trial", "x symnas on SQLite"],
            [[name, us, us / base] for name, us in figures.items()],
            f"{TRIALS} trials of ours, {PEER_TRIALS} of peers, whose cost grows with them.",
        )

        report(
            "processes that share one study on SQLite",
            ["processes", "us per trial"],
            [[n, together(n, 50 if quick else 250)] for n in (1, 2, PROCESSES)],
            "Wall time from the first claim to the last result, over all trials.",
        )

        large = 10_000 if quick else 100_000
        space = sn.SearchSpace(six(OURS))
        options: dict[str, Any] = {
            "seed": 0,
            "duplicates": "allow",
            "storage": path,
            "name": "large",
        }
        for example, feedback in sn.sample(space, "random", large, **options):
            feedback(float(sum(example.values())))
        size = Path(path).stat().st_size
        report(
            f"opening a study of {large:,} trials",
            ["", "seconds"],
            [
                [
                    "to read: sn.load_study",
                    seconds(lambda: sn.load_study(path, "large")),
                ],
                [
                    "to go on: sn.sample",
                    seconds(lambda: sn.sample(space, "random", large, **options)),
                ],
            ],
            f"The file has {size / large:.0f} bytes per trial.",
        )


if __name__ == "__main__":
    main()

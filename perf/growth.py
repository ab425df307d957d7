"""Does a trial cost more, in time or memory, when there were many before it?"""

from __future__ import annotations

import gc
import random
import resource
import sys
import time
import tracemalloc
from typing import Any

from measure import report

import symnas as sn

MARKS = (100, 1_000, 10_000, 100_000, 1_000_000)
WINDOW = 0.1  # Of the trials before a mark, over which time is taken.


def hundreds(choices: int) -> sn.SearchSpace:
    """A space too large to be used up."""
    return sn.SearchSpace({f"x{i}": sn.oneof(range(100)) for i in range(choices)})


def run(algorithm: Any, last: int) -> list[list[Any]]:
    """Microseconds per trial before each mark, and what the study holds there."""
    space = hundreds(6)
    kept = 8 * (space.num_columns + 1)
    rng = random.Random(0)
    rows = []
    samples = sn.sample(space, algorithm, last, seed=0)
    marks = [mark for mark in MARKS if mark <= last]
    start = before = 0.0
    gc.collect()
    before = _resident()
    for done, (_, feedback) in enumerate(samples, 1):
        feedback(rng.random())
        for mark in marks:
            if done == int(mark * (1 - WINDOW)):
                start = time.perf_counter()
            if done == mark:
                us = (time.perf_counter() - start) / (mark * WINDOW) * 1e6
                grown = (_resident() - before) / mark
                rows.append([f"{mark:,}", us, grown if mark >= 10_000 else None, kept])
    return rows


def _resident() -> float:
    """Bytes that the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def held(trials: int, choices: int) -> float:
    """Bytes that a finished trial takes beyond genotype and reward, by tracemalloc."""
    space = hundreds(choices)
    tracemalloc.start()
    samples = sn.sample(space, "random", trials, seed=0)
    for _, feedback in samples:
        feedback(0.5)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / trials - 8 * (space.num_columns + 1)


def main() -> None:
    last = 100_000 if "--quick" in sys.argv else 1_000_000
    columns = [
        "trial",
        "us per trial",
        "bytes per trial",
        "of them genotype and reward",
    ]
    report("random search, 6 choices of 100", columns, run("random", last))
    evolution = sn.algorithms.RegularizedEvolution(100, 10)
    report(
        "regularized evolution, 6 choices of 100", columns, run(evolution, last // 10)
    )
    report(
        "memory of 100,000 finished trials, traced",
        ["space", "bytes per trial beyond one genotype and reward"],
        [[f"{n} choices of 100", held(100_000, n)] for n in (6, 60)],
    )


if __name__ == "__main__":
    main()

"""What does every algorithm find on NAS-Bench-201 when it sees the test accuracy itself?

    python perf/nas_bench_201.py [algorithms]

The oracle protocol of L2NAS's paper: the best after 500 and 1,000 queries, duplicates
allowed, mean and standard deviation over the seeds. The other protocol, 110 queries of a
short training, is what `symnas compare` prints. The table must be there; see
`symnas data list`.
"""

from __future__ import annotations

import sys
from typing import Any

from measure import report

import symnas as sn
from symnas.algorithm_text import algorithm_from_text

ALGORITHMS = (
    "random_search",
    "regularized_evolution.nas_bench_201",
    "reinforce",
    "local_search",
    "tpe",
    "differential_evolution",
    "nsga2",
    "l2nas",
)
DATASETS = {"cifar10": "C10", "cifar100": "C100", "ImageNet16-120": "IN16"}
SEEDS = {"l2nas": 10}  # As many as were published; it takes half a minute for each.
DEFAULT_SEEDS = 50
MARKS = (500, 1000)


def row(benchmark: Any, name: str) -> list[Any]:
    seeds = SEEDS.get(name, DEFAULT_SEEDS)
    figures: list[Any] = []
    seconds = 0.0
    for dataset in DATASETS:
        comparison = sn.benchmarks.compare(
            benchmark,
            {name: algorithm_from_text(name)},
            dataset,
            queries=max(MARKS),
            seeds=seeds,
            metric="test_accuracy",
            budget=200,
        )
        best = comparison.values(name, dataset)
        for mark in MARKS:
            at = best[:, mark - 1]
            figures.append(f"{at.mean():.2f}±{at.std(ddof=1):.2f}")
        seconds += comparison.seconds[name]
    return [name, seeds, *figures, seconds / seeds / len(DATASETS)]


def main() -> None:
    benchmark = sn.benchmarks.NASBench201.load()
    names = [f"{short}, {mark}" for short in DATASETS.values() for mark in MARKS]
    report(
        "NAS-Bench-201, the test accuracy as signal",
        ["algorithm", "seeds", *names, "seconds per run"],
        [row(benchmark, name) for name in sys.argv[1:] or ALGORITHMS],
    )


if __name__ == "__main__":
    main()

"""Algorithms side by side on a table: many seeds, with their regret over queries."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from symnas.algorithm import Algorithm
from symnas.benchmarks.benchmark import Benchmark
from symnas.sampling import sample

_SEEDS_PER_TASK = 5


@dataclasses.dataclass(frozen=True)
class Score:
    """What one algorithm has found on one data set, over all seeds; see `compare`.

    Attributes:
      mean, std: of the reported metric of the best architecture by the signal.
      published: mean and standard deviation in the paper of the benchmark, if it has
        the algorithm.
      p_value: of the one-sided Wilcoxon signed-rank test, seed by seed, that it is better
        than random search; None for random search itself.

    Example:

    >>> import symnas as sn
    >>> benchmark = sn.benchmarks.NASBench201.synthetic()  # Invented values.
    >>> algorithms = {"random_search": sn.algorithms.RandomSearch()}
    >>> score = sn.benchmarks.compare(benchmark, algorithms, seeds=5).scores()[0]
    >>> score.dataset, score.published
    ('cifar10', (93.7, 0.36))
    """

    algorithm: str
    dataset: str
    mean: float
    std: float
    published: tuple[float, float] | None
    p_value: float | None


class Comparison:
    """Runs of algorithms on a table; `compare` makes it.

    Attributes:
      queries: (seeds, queries) indices of architectures in the order in which they were
        asked for, by algorithm.
      seconds: that the runs of each algorithm took together.

    Example:

    >>> import symnas as sn
    >>> benchmark = sn.benchmarks.NASBench201.synthetic()  # Invented values.
    >>> algorithms = {"random_search": sn.algorithms.RandomSearch()}
    >>> comparison = sn.benchmarks.compare(benchmark, algorithms, queries=20, seeds=5)
    >>> comparison.regret("random_search", "cifar10").shape
    (5, 20)
    """

    def __init__(
        self,
        benchmark: Benchmark,
        signal: NDArray[np.float64],
        queries: Mapping[str, NDArray[np.int64]],
        seconds: Mapping[str, float],
    ) -> None:
        self.benchmark = benchmark
        self.queries = dict(queries)
        self.seconds = dict(seconds)
        self._signal = signal
        self.datasets = benchmark.reported_datasets

    @property
    def algorithms(self) -> list[str]:
        return list(self.queries)

    def incumbents(self, algorithm: str) -> NDArray[np.int64]:
        """After each query, the index (seeds, queries) of the best so far by the signal."""
        asked = self.queries[algorithm]
        values = self._signal[asked]
        better = values > np.maximum.accumulate(
            np.pad(values, ((0, 0), (1, 0)), constant_values=-np.inf)[:, :-1], axis=1
        )
        last = np.where(better, np.arange(asked.shape[1]), 0)
        return np.take_along_axis(asked, np.maximum.accumulate(last, axis=1), axis=1)

    def values(self, algorithm: str, dataset: str) -> NDArray[np.float64]:
        """What is reported of the incumbents (seeds, queries)."""
        everything = self.benchmark.query_many(np.arange(len(self.benchmark)), dataset)
        return everything[self.incumbents(algorithm)]

    def regret(self, algorithm: str, dataset: str) -> NDArray[np.float64]:
        """How far the incumbents (seeds, queries) are from the best of the table."""
        found: NDArray[np.float64] = self.benchmark.regret(
            self.values(algorithm, dataset), dataset
        )
        return found

    def scores(self) -> list[Score]:
        """A score for each algorithm and data set."""
        return [
            self._score(algorithm, dataset)
            for algorithm in self.algorithms
            for dataset in self.datasets
        ]

    def _score(self, algorithm: str, dataset: str) -> Score:
        final = self.values(algorithm, dataset)[:, -1]
        p_value = None
        if algorithm != _RANDOM and _RANDOM in self.queries:
            more = final - self.values(_RANDOM, dataset)[:, -1]
            p_value = (
                float(scipy.stats.wilcoxon(more, alternative="greater").pvalue)
                if more.any()
                else 1.0
            )
        published = self.benchmark.published.get(algorithm, {}).get(dataset)
        return Score(
            algorithm,
            dataset,
            float(final.mean()),
            float(final.std(ddof=1)) if len(final) > 1 else 0.0,
            published,
            p_value,
        )


_RANDOM = "random_search"


def compare(
    benchmark: Benchmark,
    algorithms: Mapping[str, Algorithm],
    dataset: str = "cifar10",
    *,
    queries: int = 110,
    seeds: int = 200,
    metric: str | None = None,
    budget: int | None = None,
    duplicates: str = "allow",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Runs algorithms with many seeds on a table.

    What a search sees is the signal: by default the validation accuracy after a short
    training, as in the paper of NAS-Bench-201, where 110 queries stand for its budget
    of 12,000 seconds. What is reported is the test accuracy after the long training of
    the architecture that the signal says is best.

    Args:
      algorithms: by name; 'random_search' is what the others are tested against.
      dataset: whose signal the searches see.
      queries: of each run. Asking again for what is known counts.
      seeds: runs of each algorithm, with the seeds 0 to seeds - 1.
      metric, budget: of the signal, as `Benchmark.evaluator` has them.
      duplicates: 'allow', as in papers, or 'avoid'.
      workers: processes. Results do not depend on it. A script that asks for several
        needs `if __name__ == "__main__":`.
      progress: is called with the number of finished and of all runs.

    Raises:
      ValueError: an algorithm ends evaluations early, so queries differ in what they cost.

    Example:

    >>> import symnas as sn
    >>> algorithms = {
    ...     "random_search": sn.algorithms.RandomSearch(),
    ...     "local_search": sn.algorithms.LocalSearch(),
    ... }
    >>> benchmark = sn.benchmarks.NASBench201.synthetic()  # Invented values.
    >>> comparison = sn.benchmarks.compare(benchmark, algorithms, seeds=20)
    >>> local_search = comparison.scores()[3]
    >>> local_search.dataset, local_search.p_value < 0.01
    ('cifar10', True)
    """
    if queries < 1 or seeds < 1:
        raise ValueError(
            f"`queries` and `seeds` must be at least 1, got {queries} and {seeds}."
        )
    evaluator = benchmark.evaluator(dataset, metric, budget=budget)
    signal = benchmark.query_many(
        np.arange(len(benchmark)),
        benchmark._search_dataset(dataset, evaluator.metrics[0]),
        evaluator.metrics[0],
        budget=evaluator.budget,
    )
    run = functools.partial(
        _run, benchmark, evaluator._sign * signal, queries, duplicates
    )
    tasks = [
        (name, algorithm, range(first, min(first + _SEEDS_PER_TASK, seeds)))
        for first in range(0, seeds, _SEEDS_PER_TASK)
        for name, algorithm in algorithms.items()
    ]
    found: dict[str, list[NDArray[np.int64]]] = {name: [] for name in algorithms}
    seconds = dict.fromkeys(algorithms, 0.0)
    done = 0
    for (name, _, part), (asked, took) in zip(
        tasks, _mapped(run, tasks, workers), strict=True
    ):
        found[name].append(asked)
        seconds[name] += took
        done += len(part)
        if progress is not None:
            progress(done, seeds * len(algorithms))
    stacked = {name: np.vstack(parts) for name, parts in found.items()}
    return Comparison(benchmark, evaluator._sign * signal, stacked, seconds)


def _mapped(run: Callable[..., Any], tasks: Sequence[Any], workers: int) -> Any:
    """The results of `run` on all tasks, in order, as they come."""
    arguments = list(zip(*((a, seeds) for _, a, seeds in tasks), strict=True))
    if workers == 1:
        yield from map(run, *arguments)
        return
    # A fork would copy locks of threads that do not exist in it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        try:
            yield from pool.map(run, *arguments)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run(
    benchmark: Benchmark,
    signal: NDArray[np.float64],
    queries: int,
    duplicates: str,
    algorithm: Algorithm,
    seeds: range,
) -> tuple[NDArray[np.int64], float]:
    """The queries (seeds, queries) of some runs, and the seconds that they took."""
    begun = time.perf_counter()
    asked = np.empty((len(seeds), queries), dtype=np.int64)
    rewards = signal.tolist()
    for row, seed in zip(asked, seeds, strict=True):
        number = 0
        for example, feedback in sample(
            benchmark.space,
            algorithm.clone(),
            queries,
            seed=seed,
            duplicates=duplicates,
        ):
            if feedback.budget is not None:
                raise ValueError(
                    f"{type(algorithm).__name__} ends evaluations early, so its queries "
                    "cost less than those of others. Compare algorithms that do not."
                )
            index = benchmark.index(example)
            row[number] = index
            number += 1
            feedback(rewards[index])
        row[number:] = row[number - 1]  # It has seen all there is.
    return asked, time.perf_counter() - begun

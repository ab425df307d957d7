"""From an architecture of a table to its reward, for `symnas.search`."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.benchmarks.table import Seed, drawn, less_is_better

if TYPE_CHECKING:
    from symnas.benchmarks.benchmark import Benchmark


class Evaluator:
    """Looks up the reward of an architecture; `Benchmark.evaluator` makes it.

    Example:

    >>> import symnas as sn
    >>> from symnas.benchmarks import NASBench201
    >>> benchmark = NASBench201.synthetic()  # Invented values.
    >>> result = sn.search(
    ...     benchmark.space, benchmark.evaluator("cifar10"), "random", 50, seed=0,
    ...     progress=False,
    ... )
    >>> result.num_failed
    0
    """

    def __init__(
        self,
        benchmark: Benchmark,
        dataset: str,
        metric: str | Sequence[str] | None,
        budget: int | None,
        epoch: int | None,
        seed: Seed,
        curve: bool,
    ) -> None:
        self.benchmark = benchmark
        self.dataset, self.seed, self.curve = dataset, seed, curve
        self.budget = benchmark.search_budget if budget is None else budget
        self.epoch = epoch
        metric = benchmark.search_metric if metric is None else metric
        self.metrics = (metric,) if isinstance(metric, str) else tuple(metric)
        self._single = isinstance(metric, str)
        self._sign = -1.0 if self._single and less_is_better(self.metrics[0]) else 1.0
        if curve and not self._single:
            raise ValueError("`curve` needs a single `metric`.")
        self._columns = [self._column(name, epoch) for name in self.metrics]
        if curve:
            self._column(self.metrics[0], 1)  # An error here, and not in each trial.
        # Indexing a list takes a third of the time that indexing an array takes.
        self._values = (
            (self._sign * self._columns[0]).tolist()
            if self._single and not curve and seed != "random"
            else None
        )

    def _column(self, metric: str, epoch: int | None) -> NDArray[np.float64]:
        dataset = self.benchmark._search_dataset(self.dataset, metric)
        return self.benchmark._column(dataset, metric, self.budget, epoch, self.seed)

    def __call__(self, architecture: Any) -> Any:
        index = self.benchmark.index(architecture)
        if self._values is not None:
            value = self._values[index]
            if math.isnan(value):
                raise self._missing(index, self.metrics[0])
            return value
        if self.curve:
            return self._yielded(index)
        values = {
            name: self._value(column, index, name)
            for name, column in zip(self.metrics, self._columns, strict=True)
        }
        return self._sign * values[self.metrics[0]] if self._single else values

    def _value(self, column: NDArray[np.float64], index: int, metric: str) -> float:
        value = drawn(column[:, index]) if column.ndim == 2 else float(column[index])
        if math.isnan(value):
            raise self._missing(index, metric)
        return value

    def _yielded(self, index: int) -> Generator[float]:
        last = self.budget if self.epoch is None else self.epoch
        trial = None  # The same one for all epochs.
        for epoch in range(1, last + 1):
            values = self._column(self.metrics[0], epoch)[..., index]
            if values.ndim:
                if trial is None:
                    there = np.flatnonzero(~np.isnan(values))
                    trial = int(random.choice(there)) if len(there) else 0
                values = values[trial]
            if np.isnan(values):
                raise self._missing(index, self.metrics[0])
            yield self._sign * float(values)

    def _missing(self, index: int, metric: str) -> ValueError:
        dataset = self.benchmark._search_dataset(self.dataset, metric)
        return self.benchmark._no_value(index, dataset, metric, self.budget, self.seed)

    def __reduce__(self) -> Any:
        metric = self.metrics[0] if self._single else self.metrics
        options = (self.budget, self.epoch, self.seed, self.curve)
        return Evaluator, (self.benchmark, self.dataset, metric, *options)

    def __repr__(self) -> str:
        return (
            f"<Evaluator: {', '.join(self.metrics)} on '{self.dataset}' of "
            f"{self.benchmark!r}>"
        )

"""What all tabular benchmarks have in common: questions, searches, a simulated clock."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from symnas.benchmarks import locations, table_file
from symnas.benchmarks.evaluator import Evaluator
from symnas.benchmarks.simulation import Simulation
from symnas.benchmarks.table import (
    Indices,
    Seed,
    Table,
    check_complete,
    check_range,
    drawn,
    less_is_better,
)
from symnas.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Optimum:
    """The best architecture of a table; `Benchmark.optimum` gives it.

    Example:

    >>> from symnas.benchmarks import NASBench201
    >>> best = NASBench201.synthetic().optimum("cifar10")  # Invented values.
    >>> best.value == NASBench201.synthetic().query(best.architecture)
    True
    """

    value: float
    index: int
    architecture: Any


class Benchmark:
    """A table of architectures that others have trained, instead of training.

    An architecture is an example of `space`, a string, or an index. All questions take
    the same arguments:

    - `dataset`, as 'cifar10';
    - `metric`, as 'test_accuracy'. Accuracies are in percent, times in seconds;
    - `budget`: epochs of the training run, of which there may be several, each with a
      learning rate that falls to 0 within it;
    - `epoch`: after how many epochs of that run, from 1 to `budget`, by default all;
    - `seed`: of one trial; None for the mean over the trials; 'random' for a trial drawn
      with Python's `random`, which `symnas.search` seeds for each evaluation.

    What is asked for and not there is an error that says what there is.

    Example:

    >>> import symnas as sn
    >>> benchmark = sn.benchmarks.NASBench201.synthetic()  # Invented values.
    >>> isinstance(benchmark, sn.benchmarks.Benchmark), len(benchmark)
    (True, 15625)
    """

    kind: ClassVar[str]
    default_metric: ClassVar[str] = "test_accuracy"
    default_budget: ClassVar[int] = 0
    search_metric: ClassVar[str] = "valid_accuracy"
    search_budget: ClassVar[int] = 0
    # Mean and standard deviation of what is reported, by algorithm and data set.
    published: ClassVar[dict[str, dict[str, tuple[float, float]]]] = {}
    _may_be_missing: ClassVar[frozenset[str]] = frozenset()  # Metrics.
    _validation_counts: ClassVar[bool] = False  # On the simulated clock.

    def __init__(self, table: Table) -> None:
        if table.kind != self.kind:
            raise ValueError(
                f"{type(self).__name__} needs a table of the kind '{self.kind}', got "
                f"'{table.kind}'."
            )
        self.table = table
        self._path: Path | None = None
        self._columns: dict[tuple[Any, ...], NDArray[np.float64]] = {}

    # --- files ------------------------------------------------------------------------

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        partial: bool = False,
    ) -> Self:
        """Opens a table.

        Args:
          path: a file that `convert` or `symnas data import` has made, which opens at
            once; or anything that those take, which is read anew each time. By default
            what is found in the folder that `SYMNAS_DATA` names, then in the user's cache.
          partial: accepts a source that lacks architectures.

        Raises:
          FileNotFoundError: there is none; the error says which file is wanted and where
            its authors publish it.
          ValueError: the file is damaged, incomplete, or something else.
        """
        file = locations.find(cls.kind) if path is None else Path(path)
        if not file.exists():
            raise FileNotFoundError(locations.missing(cls.kind, file))
        if table_file.is_table_file(file):
            benchmark = cls(table_file.open_table(file))
        else:
            benchmark = cls(cls._read_checked(file, partial, True))
        benchmark._path = file.absolute()
        return benchmark

    @classmethod
    def convert(
        cls,
        source: str | os.PathLike[str],
        path: str | os.PathLike[str] | None = None,
        *,
        partial: bool = False,
        curves: bool = True,
    ) -> Path:
        """Reads a published file, and writes what `load` opens at once.

        Args:
          source: the file or folder, as its authors publish it, or a csv.
          path: where to write; by default where `load` looks.
          partial: accepts a source that lacks architectures.
          curves: keeps the values after all epochs, and not after the last one alone.

        Returns:
          The path that was written.
        """
        file = Path(source)
        if not file.exists():
            raise FileNotFoundError(locations.missing(cls.kind, file))
        target = Path(path) if path is not None else locations.target(cls.kind)
        table_file.write(cls._read_checked(file, partial, curves), target)
        return target

    @classmethod
    def _read_checked(cls, path: Path, partial: bool, curves: bool) -> Table:
        locations.check_published(path)
        table = cls._read(path, partial, curves)
        cls(table).verify(partial=partial)
        return table

    @classmethod
    def _read(cls, path: Path, partial: bool, curves: bool) -> Table:
        """The table of a published file or folder."""
        raise NotImplementedError

    def verify(self, *, partial: bool = False) -> list[str]:
        """Checks all values, and those that are known from publications.

        Returns:
          What was checked, in words.

        Raises:
          ValueError: something is wrong; the error names it.
        """
        checked = []
        if self._path is not None and table_file.is_table_file(self._path):
            table_file.open_table(self._path, check=True)
            checked.append("the checksums of its file")
        for series in self.table.series:
            check_range(series)
        if not partial:
            check_complete(self.table, self._may_be_missing)
        checked.append(f"{len(self.table.series)} series, complete and in range")
        return checked

    # --- questions ----------------------------------------------------------------

    def __len__(self) -> int:
        """The number of architectures."""
        return self.table.size

    def index(self, architecture: Any) -> int:
        """The index of an architecture in the table."""
        raise NotImplementedError

    def indices(self, architectures: Sequence[Any] | ArrayLike) -> Indices:
        """The indices (n,) of many architectures.

        Args:
          architectures: an array of indices (n,), an array of genotypes (n, d) of
            `space`, or a sequence of architectures.
        """
        if not isinstance(architectures, np.ndarray):
            items: Sequence[Any] = architectures  # type: ignore[assignment]
            return np.array([self.index(item) for item in items], dtype=np.int64)
        if architectures.ndim == 2:
            return self._indices_of_genotypes(architectures)
        if architectures.ndim != 1 or architectures.dtype.kind not in "iu":
            raise ValueError(
                "`architectures` must be indices (n,) or genotypes (n, d), got an array "
                f"of {architectures.dtype} with the shape {architectures.shape}."
            )
        outside = (architectures < 0) | (architectures >= len(self))
        if outside.any():
            self._check_index(int(architectures[outside][0]))
        return architectures

    def _indices_of_genotypes(self, genotypes: NDArray[Any]) -> Indices:
        return self.indices([self.space.build(row) for row in genotypes])

    def _check_index(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise ValueError(
                f"An index of this table lies between 0 and {len(self) - 1}, got {index}."
            )
        return index

    def architecture(self, index: int) -> Any:
        """The architecture with an index, as `optimum` gives it."""
        raise NotImplementedError

    def network(self, index: int, **options: Any) -> nn.Module:
        """The untrained network of an architecture.

        Args:
          options: of its class in `symnas.spaces`, as `num_classes`.
        """
        raise NotImplementedError

    def query(
        self,
        architecture: Any,
        dataset: str = "cifar10",
        metric: str | None = None,
        *,
        budget: int | None = None,
        epoch: int | None = None,
        seed: Seed = None,
    ) -> float:
        """One value of one architecture.

        The arguments are explained at the class. By default it is what papers report.

        Raises:
          ValueError: the table does not have it; the error says what it has.
        """
        index = self.index(architecture)
        column = self._column(dataset, metric, budget, epoch, seed)
        value = drawn(column[:, index]) if column.ndim == 2 else float(column[index])
        if math.isnan(value):
            raise self._no_value(index, dataset, metric, budget, seed)
        return value

    def query_many(
        self,
        architectures: Sequence[Any] | ArrayLike,
        dataset: str = "cifar10",
        metric: str | None = None,
        *,
        budget: int | None = None,
        epoch: int | None = None,
        seed: Seed = None,
    ) -> NDArray[np.float64]:
        """The values (n,) of many architectures, in one indexing.

        Args:
          architectures: an array of indices (n,), an array of genotypes (n, d) of
            `space`, or a sequence of architectures.
        """
        indices = self.indices(architectures)
        column = self._column(dataset, metric, budget, epoch, seed)
        if column.ndim == 2:
            values = np.array([drawn(trials) for trials in column[:, indices].T])
        else:
            values = column[indices]
        if np.isnan(values).any():
            index = int(indices[np.isnan(values)][0])
            raise self._no_value(index, dataset, metric, budget, seed)
        return values

    def _column(
        self,
        dataset: str,
        metric: str | None,
        budget: int | None,
        epoch: int | None,
        seed: Seed,
    ) -> NDArray[np.float64]:
        key = (dataset, metric, budget, epoch, seed)
        try:
            return self._columns[key]
        except (KeyError, TypeError):  # What cannot be hashed is refused below.
            pass
        metric = self.default_metric if metric is None else metric
        budget = self.default_budget if budget is None else budget
        self._check_question(dataset, metric, budget)
        column = self.table.column(dataset, metric, budget, epoch, seed)
        self._columns[key] = column
        return column

    def _check_question(self, dataset: str, metric: str, budget: int) -> None:
        """Explains what the table cannot have."""

    def _no_value(
        self,
        index: int,
        dataset: str,
        metric: str | None,
        budget: int | None,
        seed: Seed,
    ) -> ValueError:
        metric = self.default_metric if metric is None else metric
        budget = self.default_budget if budget is None else budget
        series = self.table.find(dataset, metric, budget, seed)
        trials = [
            s
            for s, values in zip(
                series.seeds, series.values[:, -1, index], strict=False
            )
            if not np.isnan(values)
        ]
        there = f"; it has seeds {trials}" if trials else ""
        asked = f" with `seed={seed!r}`" if seed is not None else ""
        return ValueError(
            f"This table has no {series.title} of architecture {index}{asked}{there}."
        )

    # --- the best -------------------------------------------------------------------

    def optimum(
        self,
        dataset: str = "cifar10",
        metric: str | None = None,
        *,
        budget: int | None = None,
        epoch: int | None = None,
    ) -> Optimum:
        """The best value of the table, and the architecture that has it.

        The smallest one of what costs, as a latency, else the largest one. Of equal ones
        the first.
        """
        column = self._column(dataset, metric, budget, epoch, None)
        cost = less_is_better(metric or self.default_metric)
        index = int(np.nanargmin(column) if cost else np.nanargmax(column))
        return Optimum(float(column[index]), index, self.architecture(index))

    def regret(
        self,
        value: Any,
        dataset: str = "cifar10",
        metric: str | None = None,
        *,
        budget: int | None = None,
        epoch: int | None = None,
    ) -> Any:
        """How much worse than the optimum a value is, or an array of values; 0 at best."""
        best = self.optimum(dataset, metric, budget=budget, epoch=epoch).value
        distance = np.subtract(value, best)
        sign = 1 if less_is_better(metric or self.default_metric) else -1
        distance = sign * distance + 0.0
        return distance if np.ndim(value) else float(distance)

    @property
    def reported_datasets(self) -> list[str]:
        """The data sets of which the table has what papers report."""
        reported = self.default_metric, self.default_budget
        return list(
            dict.fromkeys(
                s.dataset for s in self.table.series if (s.metric, s.budget) == reported
            )
        )

    # --- searches -----------------------------------------------------------------

    @property
    def space(self) -> SearchSpace:
        """The search space of the table: its examples are what `query` takes."""
        raise NotImplementedError

    def evaluator(
        self,
        dataset: str = "cifar10",
        metric: str | Sequence[str] | None = None,
        *,
        budget: int | None = None,
        epoch: int | None = None,
        seed: Seed = None,
        curve: bool = False,
    ) -> Evaluator:
        """A function from an architecture to its reward, for `symnas.search`.

        By default it is what the searches of papers see: a validation accuracy.

        Args:
          metric: what is the reward, with its sign changed if it is a cost. Of several
            metrics the evaluation returns a dict, with their own signs.
          curve: yields the value after each epoch, from the first one to `epoch`, for
            algorithms that stop early.
        """
        return Evaluator(self, dataset, metric, budget, epoch, seed, curve)

    def simulate(
        self,
        dataset: str = "cifar10",
        seconds: float = np.inf,
        *,
        crossing: Literal["drop", "keep"] = "drop",
        metric: str | None = None,
        budget: int | None = None,
        seed: Seed = None,
    ) -> Simulation:
        """An evaluator with a clock that shows what its evaluations would have taken.

        Args:
          seconds: after which the clock stops; searches of NAS-Bench-201's paper had
            12,000.
          crossing: what happens to the evaluation that would end after that. 'drop': it
            does not count, as in NAS-Bench-201's paper. 'keep': it counts in full, and is
            the last, as in NATS-Bench.
        """
        return Simulation(self, dataset, seconds, crossing, metric, budget, seed)

    def _search_dataset(self, dataset: str, metric: str) -> str:
        """Where searches look, when they are told a data set."""
        return dataset

    # --- other ------------------------------------------------------------------------

    def __reduce__(self) -> Any:
        if self._path is not None and table_file.is_table_file(self._path):
            return _load, (type(self), self._path)
        return type(self), (self.table,)

    def __repr__(self) -> str:
        source = f" from {self.table.source}" if self.table.source else ""
        return f"<{type(self).__name__}: {len(self):,} architectures{source}>"


def _load(cls: type[Benchmark], path: Path) -> Benchmark:
    return cls.load(path)

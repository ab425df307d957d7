"""Measurements of many architectures, as arrays with named axes.

Shapes: S seeds, E epochs, A architectures.
"""

from __future__ import annotations

import dataclasses
import difflib
import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.floating[Any]]
Indices: TypeAlias = NDArray[np.integer[Any]]
Seed: TypeAlias = int | Literal["random"] | None

# Less is better of what ends like this.
_COSTS = ("loss", "seconds", "latency", "energy", "flops", "params")


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """One quantity, measured of all architectures.

    Attributes:
      metric: what was measured, as 'test_accuracy'.
      dataset: what was trained on.
      budget: epochs of the training run; 0 for what does not depend on it.
      values: (S, E, A), NaN where there is no trial; S is 1 for means, E is 1 for what
        is the same after every epoch.
      seeds: (S,) of the trials; empty if `values` are means over trials.
      epochs: (E,) numbers of epochs after which it was measured; empty if it is the
        same after every epoch.
      per_epoch: `values` are of one epoch, and add up over the epochs of a run.
    """

    metric: str
    dataset: str
    budget: int
    values: Values
    seeds: tuple[int, ...] = ()
    epochs: tuple[int, ...] = ()
    per_epoch: bool = False

    def __post_init__(self) -> None:
        shape = (max(1, len(self.seeds)), max(1, len(self.epochs)))
        if self.values.ndim != 3 or self.values.shape[:2] != shape:
            raise ValueError(
                f"`values` of {self.title} must have the shape {(*shape, 'A')}, "
                f"got {self.values.shape}."
            )

    @property
    def title(self) -> str:
        budget = f" after {self.budget} epochs" if self.budget else ""
        return f"`{self.metric}` on '{self.dataset}'{budget}"

    def at(self, epoch: int | None) -> Values:
        """The values (S, A) after an epoch, by default the last one."""
        if epoch is None:
            epoch = self.budget
        elif not isinstance(epoch, (int, np.integer)) or isinstance(epoch, bool):
            raise TypeError(f"`epoch` must be an integer, got {epoch!r}.")
        elif self.budget and not 1 <= epoch <= self.budget:
            raise ValueError(
                f"`epoch` must lie between 1 and {self.budget}, the last one of a run "
                f"with `budget={self.budget}`, got {epoch}."
            )
        if not self.epochs:
            return self.values[:, 0] * (epoch if self.per_epoch else 1)
        if epoch not in self.epochs:
            raise ValueError(
                f"{self.title} was measured after epochs {_listed(self.epochs)} alone, "
                f"got `epoch={epoch}`."
            )
        return self.values[:, self.epochs.index(epoch)]


class Table:
    """All series of one benchmark.

    Args:
      kind: the benchmark it belongs to, as 'nas_bench_201'.
      series: what was measured.
      names: (A,) strings that identify the architectures, where their order does not.
      source: what it was made of, in words.
    """

    def __init__(
        self,
        kind: str,
        series: Sequence[Series],
        names: NDArray[np.bytes_] | None = None,
        source: str = "",
    ) -> None:
        if not series:
            raise ValueError("A table needs at least one series.")
        self.kind, self.series, self.source = kind, list(series), source
        self.names = names
        self.size = series[0].values.shape[2]
        lengths = {s.values.shape[2] for s in series}
        if len(lengths | ({len(names)} if names is not None else set())) > 1:
            raise ValueError("The series of a table must have the same length.")
        self.datasets = tuple(dict.fromkeys(s.dataset for s in series))
        self.metrics = tuple(dict.fromkeys(s.metric for s in series))

    def find(self, dataset: str, metric: str, budget: int, seed: Seed = None) -> Series:
        """The series of a question, or a `ValueError` that says what there is."""
        _known("dataset", dataset, self.datasets)
        _known("metric", metric, self.metrics)
        found = [s for s in self.series if (s.metric, s.dataset) == (metric, dataset)]
        if not found:
            others = [s.dataset for s in self.series if s.metric == metric]
            raise ValueError(
                f"This table has no `{metric}` on '{dataset}'; it has it on "
                f"{_quoted(dict.fromkeys(others))}."
            )
        for_budget = [s for s in found if s.budget in (0, budget)]
        if not for_budget:
            budgets = sorted({s.budget for s in found})
            raise ValueError(
                f"This table has `{metric}` on '{dataset}' with "
                f"{' or '.join(f'`budget={b}`' for b in budgets)}, got `budget={budget}`."
            )
        means_first = sorted(for_budget, key=lambda s: bool(s.seeds) == (seed is None))
        return means_first[0]

    def column(
        self, dataset: str, metric: str, budget: int, epoch: int | None, seed: Seed
    ) -> NDArray[np.float64]:
        """The values (A,) of all architectures; (S, A) if `seed` is 'random'.

        NaN where there is no trial.
        """
        series = self.find(dataset, metric, budget, seed)
        values = np.asarray(series.at(epoch), dtype=np.float64)
        if seed is None:
            return _mean(values)
        if seed == "random":
            return values
        if series.epochs == () and not series.seeds:
            return values[0]  # A cost, which is the same for all seeds.
        if seed not in series.seeds:
            there = f"seeds {_listed(series.seeds)}" if series.seeds else "means alone"
            raise ValueError(f"{series.title} has {there}, got `seed={seed!r}`.")
        return values[series.seeds.index(seed)]


def less_is_better(metric: str) -> bool:
    """Whether a metric is a cost: a loss, a time, an energy, a size."""
    return metric.endswith(_COSTS)


def drawn(trials: NDArray[np.float64]) -> float:
    """One of the trials (S,) that there are; NaN if there is none."""
    there = trials[~np.isnan(trials)]
    return float(there[random.randrange(len(there))]) if len(there) else float("nan")


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean (A,) over the trials (S, A) that there are."""
    if len(values) == 1:
        return values[0]
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0.0).sum(axis=0) / present.sum(axis=0)


def _known(what: str, value: object, known: Sequence[str]) -> None:
    if isinstance(value, str) and value in known:
        return
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(value).lower(), lower, n=2, cutoff=0.4)
    hint = f" Did you mean {' or '.join(repr(lower[name]) for name in near)}?"
    raise ValueError(
        f"Unknown `{what}` {value!r}.{hint if near else ''} "
        f"This table has {_quoted(known)}."
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) > 6 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def check_range(series: Series) -> None:
    """Refuses NaN, infinities, and what lies outside of a metric's range.

    A trial may be missing as a whole.
    """
    is_accuracy = series.metric.endswith("accuracy")
    high = 100.0 if is_accuracy else np.finfo(float).max
    for trial, values in enumerate(series.values):
        absent = np.isnan(values).all(axis=0)  # (A,)
        bad = ~((values >= 0) & (values <= high)) & ~absent
        if bad.any():
            epoch, index = np.argwhere(bad)[0]
            seed = f", seed {series.seeds[trial]}" if series.seeds else ""
            raise ValueError(
                f"{series.title}, architecture {index}{seed}: values must lie in "
                f"{'[0, 100]' if is_accuracy else '[0, inf)'}, got "
                f"{values[epoch, index]}."
            )


def check_complete(table: Table, may_be_missing: Collection[str] = ()) -> None:
    """Refuses a table in which an architecture has no trial at all of something."""
    there: dict[tuple[str, str, int], NDArray[np.bool_]] = {}
    for series in table.series:
        found = ~np.isnan(series.values).all(axis=(0, 1))  # (A,)
        key = series.metric, series.dataset, series.budget
        there[key] = there.get(key, np.zeros(table.size, dtype=bool)) | found
    for series in table.series:
        found = there[series.metric, series.dataset, series.budget]
        if series.metric not in may_be_missing and not found.all():
            raise ValueError(
                f"{series.title}: architecture {int(found.argmin())} has no value."
            )

"""NAS-Bench-101 as a table [1].

[1] C. Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
    ICML 2019. https://arxiv.org/abs/1902.09635, https://github.com/google-research/nasbench
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from symnas.benchmarks import csv_table, locations, tfrecord
from symnas.benchmarks.benchmark import Benchmark
from symnas.benchmarks.table import Series, Table
from symnas.primitives import oneof
from symnas.space import SearchSpace
from symnas.spaces import nas_bench_101 as cells

_OPERATIONS = {"c1": "conv1x1-bn-relu", "c3": "conv3x3-bn-relu", "mp": "maxpool3x3"}
_HASH_LENGTH = 32

# What columns of published csv tables hold; the second kind has one of the three trials.
COLUMNS: dict[str, list[csv_table.Meaning]] = {
    **{f"val{i + 1}_acc": [("valid_accuracy", "cifar10", 108, i)] for i in range(3)},
    **{f"test{i + 1}_acc": [("test_accuracy", "cifar10", 108, i)] for i in range(3)},
    **{
        f"cifar_acc_{e}": [("test_accuracy", "cifar10", e, None)] for e in (12, 36, 108)
    },
}

# One training: what was measured after half of the epochs and after all.
Trial: TypeAlias = tuple[Sequence[float], Sequence[float]]
_METRICS = ("train_seconds", "train_accuracy", "valid_accuracy", "test_accuracy")


class NASBench101(Benchmark):
    """The table of NAS-Bench-101: up to 423,624 cells on CIFAR-10.

    Metrics are `train_`, `valid_` and `test_accuracy` in percent (the authors' files
    have fractions), `train_seconds` up to an epoch, and `params` in millions. `budget` is
    4, 12, 36 or 108 epochs, by default 108; `epoch` is `budget` or half of it; `seed` is
    the number of one of the three trials, 0 to 2. The simulated clock counts training
    alone, as the authors' does.

    `load` and `convert` read the authors' `nasbench_only108.tfrecord` and
    `nasbench_full.tfrecord`, and csv tables with a column `cell` ("100...: op op ...") or
    columns `adj` and `ops`, and accuracies as fractions in columns as in
    `nas_bench_101.COLUMNS`. A csv may hold any part of the cells.

    An architecture is a dict or pair of `adjacency` and `operations`, a network of
    `symnas.spaces.NASBench101`, a string "101 maxpool3x3" with the bits of the adjacency
    above the diagonal, the hash of the authors, or an index. Isomorphic cells are one.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from symnas.benchmarks import NASBench101
    >>> text = '''adj,ops,val1_acc,test1_acc
    ... 101,c3,0.91,0.90
    ... 101,mp,0.81,0.80
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "cells.csv")
    ...     _ = path.write_text(text)
    ...     benchmark = NASBench101.load(path)
    >>> benchmark.query(([1, 0, 1], ["conv3x3-bn-relu"]))
    90.0
    >>> benchmark.optimum().architecture
    '101 conv3x3-bn-relu'
    """

    kind = "nas_bench_101"
    default_budget = 108
    search_budget = 108

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        if table.names is None:
            raise ValueError("A table of NASBench101 needs the names of its cells.")
        # Names begin with the hash, and are sorted.
        self._hashes = table.names.astype(f"S{_HASH_LENGTH}")
        self._indices: dict[Any, int] = {}

    @classmethod
    def _read(cls, path: Path, partial: bool, curves: bool) -> Table:
        if path.name.endswith(".tfrecord"):
            return _read_tfrecord(path, partial)
        return _read_csv(path, partial)

    def index(self, architecture: Any) -> int:
        if isinstance(architecture, Mapping):
            architecture = architecture["adjacency"], architecture["operations"]
        if isinstance(architecture, tuple):
            try:
                key = tuple(architecture[0]), tuple(architecture[1])
                return self._indices[key]
            except (KeyError, TypeError):
                return self._remembered(architecture)
        if isinstance(architecture, (int, np.integer)):
            return self._check_index(int(architecture))
        if isinstance(architecture, str):
            if len(architecture) == _HASH_LENGTH and " " not in architecture:
                return self._place(architecture, architecture)
            bits, *names = architecture.split()
            return self.index((_bits(bits), names))
        graph = getattr(architecture, "graph", None)
        if isinstance(graph, cells.Graph):
            return self.index((graph.matrix, graph.operations))
        raise TypeError(
            "An architecture of NASBench101 is an adjacency and operations, a string, a "
            f"hash, an index or a network, got {architecture!r}."
        )

    def _remembered(self, architecture: tuple[Any, ...]) -> int:
        """Hashing takes a tenth of a millisecond, so it is done once for each cell."""
        adjacency, operations = architecture
        index = self._place(cells.graph_hash(adjacency, operations), architecture)
        if isinstance(adjacency, (list, tuple)):
            rows = map(_hashable, adjacency)
            self._indices[tuple(rows), tuple(operations)] = index
        return index

    def _place(self, text: str, architecture: Any) -> int:
        wanted = text.encode(errors="replace")
        index = int(np.searchsorted(self._hashes, np.bytes_(wanted)))
        if index == len(self) or self._hashes[index] != wanted:
            raise ValueError(
                f"This table of {len(self):,} cells does not have {architecture!r}."
            )
        return index

    def architecture(self, index: int) -> str:
        """The string of the architecture with an index."""
        assert self.table.names is not None
        name = self.table.names[self._check_index(index)]
        return bytes(name).decode()[_HASH_LENGTH + 1 :]

    def network(self, index: int, **options: Any) -> nn.Module:
        bits, *operations = self.architecture(index).split()
        return cells.NASBench101(_bits(bits), operations, **options)

    @functools.cached_property
    def space(self) -> SearchSpace:
        """Adjacency and operations, if the table is complete; else a choice of a cell."""
        if len(self) < cells.NUM_CELLS:
            names = [self.architecture(i) for i in range(len(self))]
            return SearchSpace(oneof(names, name="cell"))
        adjacency = [oneof([0, 1], name=f"{i}->{j}") for i, j in cells.EDGES]
        operations = [
            oneof(cells.OPERATIONS, name=f"op{i}")
            for i in range(1, cells.MAX_VERTICES - 1)
        ]
        space = {"adjacency": adjacency, "operations": operations}
        return SearchSpace(space, cells.NASBench101.constraint)


def _hashable(row: Any) -> Any:
    return tuple(row) if isinstance(row, list) else row


def _bits(text: str) -> list[int]:
    if set(text) - {"0", "1"}:
        raise ValueError(f"An adjacency is written as bits, got {text[:200]!r}.")
    return [int(bit) for bit in text]


def _read_csv(path: Path, partial: bool) -> Table:
    header, body = csv_table.rows(path)
    columns = csv_table.meanings(path, header, COLUMNS)
    texts = list(body)
    places = {name: i for i, name in enumerate(header)}
    if not {"cell"} & places.keys() and not {"adj", "ops"} <= places.keys():
        raise ValueError(
            f"{path} says nothing about edges: it needs a column `cell`, or `adj` and "
            "`ops`."
        )
    names = []
    for line, row in enumerate(texts, 1):
        if "cell" in places:
            bits, *operations = row[places["cell"]].split()
        else:
            bits = row[places["adj"]]
            operations = row[places["ops"]].split("|")
        try:
            names.append(_name(bits, [_OPERATIONS.get(o, o) for o in operations]))
        except ValueError as error:
            raise ValueError(f"{path}, row {line}: {error}") from None
    if not names:
        raise ValueError(f"{path} has no rows.")
    values = {
        place: _percent(
            csv_table.numbers(path, header[place], [r[place] for r in texts])
        )
        for place in columns
    }
    order = _unique(path, names, [] if partial else list(values.values()))
    kept = {place: column[order] for place, column in values.items()}
    series = csv_table.series_of(columns, kept)
    sorted_names = np.array([names[i].encode() for i in order])
    return Table("nas_bench_101", series, sorted_names, path.name)


def _percent(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the digits that conversion adds."""
    return np.round(100 * fractions, 8)


def _name(bits: str, operations: Sequence[str]) -> str:
    text = cells.graph_hash(_bits(bits), operations)
    return f"{text} {' '.join([bits, *operations])}"


def _unique(
    path: Path, names: Sequence[str], columns: Sequence[NDArray[np.float64]]
) -> list[int]:
    """The rows in the order of their hashes, one for each class of isomorphic cells."""
    order: list[int] = []
    for row in sorted(range(len(names)), key=lambda i: (names[i][:_HASH_LENGTH], i)):
        if order and names[order[-1]][:_HASH_LENGTH] == names[row][:_HASH_LENGTH]:
            if any(column[order[-1]] != column[row] for column in columns):
                raise ValueError(
                    f"{path}, rows {order[-1] + 1} and {row + 1} are isomorphic cells with "
                    "different values. With `partial=True` the first one counts."
                )
            continue
        order.append(row)
    return order


# --- the authors' files -----------------------------------------------------------


def _read_tfrecord(path: Path, partial: bool) -> Table:
    """Records are JSON: [hash, epochs, adjacency, operations, metrics in base 64]."""
    trials: dict[str, dict[int, list[Trial]]] = {}
    names: dict[str, str] = {}
    params: dict[str, float] = {}
    published = locations.check_published(path)
    for number, record in enumerate(tfrecord.records(path, check=not published)):
        title = f"{path}, record {number}"
        try:
            key, epochs, adjacency, operations, metrics = json.loads(record)
            params[key], trial = _read_metrics(base64.b64decode(metrics, validate=True))
            if key not in names:
                names[key] = _official_name(key, adjacency, operations)
            trials.setdefault(key, {}).setdefault(int(epochs), []).append(trial)
        except (
            TypeError,
            ValueError,
            KeyError,
            AttributeError,
            binascii.Error,
            RecursionError,
        ) as error:
            raise ValueError(
                f"{title} is no record of NAS-Bench-101: {error}."
            ) from None
    if not trials or (not partial and len(trials) != cells.NUM_CELLS):
        raise ValueError(
            f"{path} has {len(trials):,} of {cells.NUM_CELLS:,} cells. Is it truncated? A "
            "part of the table is accepted with `partial=True`."
        )
    keys = sorted(trials)
    series = []
    for budget in sorted({b for of_cell in trials.values() for b in of_cell}):
        series += _series(path, budget, [trials[key].get(budget, []) for key in keys])
    sizes = np.array([params[key] for key in keys])[None, None] / 1e6
    series.append(Series("params", "cifar10", 0, sizes))
    sorted_names = np.array([names[key].encode() for key in keys])
    return Table("nas_bench_101", series, sorted_names, path.name)


def _official_name(key: str, adjacency: str, operations: str) -> str:
    """The authors write the whole matrix as bits, and all operations."""
    names = operations.split(",")[1:-1]
    size = math.isqrt(len(adjacency))
    if size * size != len(adjacency) or size != len(names) + 2 or len(key) != 32:
        raise ValueError(f"a matrix {adjacency!r} for {operations!r}")
    above = "".join(
        adjacency[i * size + j] for i in range(size) for j in range(i + 1, size)
    )
    return f"{key} {' '.join([above, *names])}"


def _read_metrics(message: bytes) -> tuple[float, Trial]:
    """Parameters and a trial, of the message `ModelMetrics` of [1]."""
    evaluations: list[list[float]] = []
    params = math.nan
    for number, value in tfrecord.fields(message):
        if number == 1 and isinstance(value, bytes):
            found = dict(tfrecord.fields(value))
            evaluations.append([float(found[i]) for i in (2, 3, 4, 5)])
        elif number == 2:
            params = float(value)
    # At the start, after half of the epochs, and at the end.
    _, half, end = evaluations
    return params, (half, end)


def _series(path: Path, budget: int, trials: Iterable[list[Trial]]) -> list[Series]:
    """The series of one budget, of the trials of each cell."""
    cells_of = list(trials)
    count = max(map(len, cells_of))
    values = np.full((count, 2, len(_METRICS), len(cells_of)), np.nan)
    for cell, of_cell in enumerate(cells_of):
        for i, trial in enumerate(of_cell):
            values[i, :, :, cell] = trial
    return [
        Series(
            metric,
            "cifar10",
            budget,
            _percent(values[:, :, m])
            if metric.endswith("accuracy")
            else values[:, :, m],
            tuple(range(count)),
            (budget // 2, budget),
        )
        for m, metric in enumerate(_METRICS)
    ]

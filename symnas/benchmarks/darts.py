"""Tables of architectures in the space of DARTS."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from symnas.benchmarks import csv_table
from symnas.benchmarks.benchmark import Benchmark
from symnas.benchmarks.table import Series, Table
from symnas.primitives import oneof
from symnas.space import SearchSpace
from symnas.spaces import darts


class DARTSTable(Benchmark):
    """Trained architectures of the DARTS space, as a csv lists them.

    A csv without a header has two columns, a genotype and its validation accuracy on
    CIFAR-10 in percent. A csv with one has a column `genotype`, and others named as
    'test_accuracy|cifar10|600'.

    An architecture is a genotype, as text or as a `darts.Genotype`, or an index. The space
    is a choice of one row, because a table has a small part of the 10^18 architectures.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from symnas.benchmarks import DARTSTable
    >>> from symnas.spaces import darts
    >>> edges = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    >>> genotype = darts.Genotype(edges, range(2, 6), edges, range(2, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "darts.csv")
    ...     _ = path.write_text(f'"{genotype}",93.5')
    ...     benchmark = DARTSTable.load(path)
    >>> benchmark.query(genotype)
    93.5
    """

    kind = "darts"
    default_metric = "valid_accuracy"

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        if table.names is None:
            raise ValueError("A table of DARTS needs genotypes.")
        budgets = [series.budget for series in table.series]
        self.default_budget = self.search_budget = max(budgets)  # type: ignore[misc]

    @classmethod
    def _read(cls, path: Path, partial: bool, curves: bool) -> Table:
        header, body = csv_table.rows(path)
        if "genotype" in header:
            columns = csv_table.meanings(path, header, {})
            place, texts = header.index("genotype"), list(body)
        elif len(header) == 2:
            meaning: csv_table.Meaning = ("valid_accuracy", "cifar10", 200, None)
            columns, place, texts = {1: [meaning]}, 0, [header, *body]
        else:
            raise ValueError(f"{path} has no column `genotype`, got {header}.")
        names: dict[str, int] = {}
        for line, row in enumerate(texts, 1):
            try:
                name = _text(row[place])
            except ValueError as error:
                raise ValueError(f"{path}, row {line}: {error}") from None
            if name in names:
                raise ValueError(f"{path}, row {line}: this genotype is there twice.")
            names[name] = line
        values = {
            at: csv_table.numbers(path, header[at], [row[at] for row in texts])
            for at in columns
        }
        found = np.array([name.encode() for name in names])
        series: list[Series] = csv_table.series_of(columns, values)
        return Table(cls.kind, series, found, path.name)

    def index(self, architecture: Any) -> int:
        if isinstance(architecture, (int, np.integer)):
            return self._check_index(int(architecture))
        known = self._by_text
        if isinstance(architecture, str) and architecture in known:
            return known[architecture]
        text = _text(str(architecture))
        if text not in known:
            raise ValueError(
                f"This table of {len(self):,} architectures does not have {text}."
            )
        return known[text]

    @functools.cached_property
    def _by_text(self) -> dict[str, int]:
        return {self.architecture(i): i for i in range(len(self))}

    def architecture(self, index: int) -> str:
        """The genotype with an index, as text."""
        assert self.table.names is not None
        return bytes(self.table.names[self._check_index(index)]).decode()

    def network(self, index: int, **options: Any) -> nn.Module:
        return darts.DARTS(self.architecture(index), **options)

    @functools.cached_property
    def space(self) -> SearchSpace:
        """The choice of a genotype of the table."""
        return SearchSpace(oneof(list(self._by_text), name="genotype"))


def _text(text: str) -> str:
    """A genotype in one way of writing."""
    genotype = darts.parse(text)
    nodes = {name: list(getattr(genotype, name)) for name in genotype._fields}
    return str(darts.Genotype(**nodes))

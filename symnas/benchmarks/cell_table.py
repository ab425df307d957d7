"""Tables whose rows are the cells of NAS-Bench-201, in the order of the benchmark."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from symnas.benchmarks.benchmark import Benchmark
from symnas.benchmarks.table import Indices, Table
from symnas.space import SearchSpace
from symnas.spaces import nas_bench_201 as cells


class CellTable(Benchmark):
    """What such tables share.

    An architecture is a list of six operations, a network of `symnas.spaces.NASBench201`,
    a string, an index, or a genotype (6,) of `space`.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        if len(self) != cells.NUM_ARCHITECTURES:
            raise ValueError(
                f"A table of {type(self).__name__} has {cells.NUM_ARCHITECTURES} rows, "
                f"got {len(self)}."
            )

    def index(self, architecture: Any) -> int:
        if type(architecture) is int and 0 <= architecture < len(self):
            return architecture
        try:  # A list of operations, as `space` has them, in half a microsecond.
            return _index_by_operations()[tuple(architecture)]
        except (KeyError, TypeError):
            pass
        if isinstance(architecture, np.ndarray) and architecture.ndim == 1:
            return int(cells.indices_of(architecture[None])[0])
        return cells.index_of(architecture)

    def _indices_of_genotypes(self, genotypes: NDArray[Any]) -> Indices:
        return cells.indices_of(genotypes)

    def architecture(self, index: int) -> str:
        """The string of the architecture with an index."""
        return cells.string_at(index)

    def network(self, index: int, **options: Any) -> nn.Module:
        return cells.NASBench201(self.architecture(index), **options)

    @functools.cached_property
    def space(self) -> SearchSpace:
        """Six choices of an operation; an example is a list of their names."""
        return SearchSpace(cells.operations_space())


@functools.cache
def _index_by_operations() -> dict[tuple[str, ...], int]:
    ids = cells.operation_ids().tolist()
    names = cells.OPERATIONS
    return {tuple(names[i] for i in row): index for index, row in enumerate(ids)}

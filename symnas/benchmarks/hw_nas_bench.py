"""HW-NAS-Bench: latency and energy of the cells of NAS-Bench-201 on six devices [1].

[1] C. Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark",
    ICLR 2021. https://openreview.net/pdf?id=_0kaDkv3dVf
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.benchmarks import arrays_file, restricted_pickle
from symnas.benchmarks.cell_table import CellTable
from symnas.benchmarks.table import Series, Table
from symnas.spaces import nas_bench_201 as cells

_SHORT = {"c10": "cifar10", "c100": "cifar100", "in16": "ImageNet16-120"}
METRICS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
)
_NOT_MEASURED = -1

# Architecture 0 on CIFAR-10, from the authors' README.
_ANCHORS = {
    "edgegpu_latency": 5.807418537139893,
    "edgegpu_energy": 24.226614330768584,
    "raspi4_latency": 10.481976820010459,
    "edgetpu_latency": 0.9571811309997429,
    "pixel3_latency": 3.60585,
    "eyeriss_latency": 3.64562,
    "eyeriss_energy": 0.6872827645,
    "fpga_latency": 2.57296,
    "fpga_energy": 18.01072,
}


class HWNASBench(CellTable):
    """What the cells of NAS-Bench-201 cost on devices: milliseconds and millijoules.

    Metrics are `METRICS` of this module, as 'edgegpu_latency', the default, or
    'fpga_energy'; less is better. Data sets are 'cifar10', 'cifar100' and
    'ImageNet16-120'. 'edgetpu_latency' was not measured of all cells; for the others it
    is an error.

    `load` and `convert` read the authors' `HW-NAS-Bench-v1_0.pickle`, by a reader that
    can make numbers, text and containers and nothing else, and files of `numpy.savez` with
    `columns` (C,) and `c10`, `c100`, `in16` (15625, C).

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from symnas.benchmarks import HWNASBench
    >>> values = np.arange(1.0, 15_626.0)[:, None]  # Invented.
    >>> arrays = {name: values for name in ("c10", "c100", "in16")}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "costs.npz")
    ...     np.savez(path, columns=["fpga_energy"], **arrays)
    ...     benchmark = HWNASBench.load(path)
    >>> benchmark.query(1462, "cifar100", "fpga_energy")
    1463.0
    >>> benchmark.optimum("cifar10", "fpga_energy").index
    0
    """

    kind = "hw_nas_bench"
    default_metric = search_metric = "edgegpu_latency"
    _may_be_missing = frozenset({"edgetpu_latency"})

    @classmethod
    def _read(cls, path: Path, partial: bool, curves: bool) -> Table:
        read = _read_arrays if path.suffix == ".npz" else _read_pickle
        series = []
        for dataset, columns in read(path).items():
            for metric, values in columns.items():
                values = np.where(values == _NOT_MEASURED, np.nan, values)
                series.append(Series(metric, dataset, 0, values[None, None]))
        return Table(cls.kind, series, source=path.name)

    def verify(self, *, partial: bool = False) -> list[str]:
        checked = super().verify(partial=partial)
        if "HW-NAS-Bench" in self.table.source:
            for metric, value in _ANCHORS.items():
                found = self.query(0, "cifar10", metric)
                if abs(found - value) > 1e-5 * value:
                    raise ValueError(
                        f"`{metric}` of architecture 0 on 'cifar10' must be {value}, got "
                        f"{found}."
                    )
            checked.append("architecture 0, as its authors print it")
        return checked


Columns = dict[str, dict[str, NDArray[np.float64]]]


def _read_arrays(path: Path) -> Columns:
    names, *datasets = arrays_file.read(path, "columns", *_SHORT)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"{path}: `columns` must be names, got {names.dtype}.")
    result: Columns = {}
    for dataset, values in zip(_SHORT.values(), datasets, strict=True):
        columns = arrays_file.rows_by_index(path, values, cells.NUM_ARCHITECTURES)
        if len(columns) != len(names):
            raise ValueError(f"{path} has {len(names)} names, {len(columns)} columns.")
        result[dataset] = dict(zip(map(str, names), columns, strict=True))
    return result


def _read_pickle(path: Path) -> Columns:
    with open(path, "rb") as file:
        content: Any = restricted_pickle.load(file, str(path))
    result: Columns = {}
    try:
        for dataset in _SHORT.values():
            columns = content["nasbench201"][dataset]
            result[dataset] = {metric: _numbers(columns[metric]) for metric in METRICS}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not what the authors' file is: {type(error).__name__}: {error}."
        ) from None
    return result


def _numbers(column: Any) -> NDArray[np.float64]:
    if isinstance(column, restricted_pickle.Array):
        column = column.values
    values = np.asarray(column, dtype=np.float64)
    if values.shape != (cells.NUM_ARCHITECTURES,):
        raise ValueError(f"a column has the shape {values.shape}")
    return values

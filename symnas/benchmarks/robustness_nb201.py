"""How the networks of NAS-Bench-201 stand attacks [1].

[1] S. Jung, J. Lukasik and M. Keuper, "Neural Architecture Design and Robustness: A
    Dataset", ICLR 2023. https://openreview.net/forum?id=p8coElqiSDw
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from symnas.benchmarks import arrays_file
from symnas.benchmarks.cell_table import CellTable
from symnas.benchmarks.table import Series, Table
from symnas.spaces import nas_bench_201 as cells

_COLUMN = re.compile(r"(aa_apgd-ce|aa_square|fgsm|pgd)@Linf_eps-(\d+\.\d+)")
_SHORT = {"aa_apgd-ce": "apgd", "aa_square": "square"}


class RobustnessNB201(CellTable):
    """Accuracy on CIFAR-10 under attacks whose largest change of a pixel is bounded.

    The networks were trained as usual, not against attacks. Metrics are named
    '<attack>_<eps>_accuracy', in percent, as 'pgd_1.0_accuracy', the default: attacks
    are 'apgd', 'square', 'fgsm' and 'pgd', and eps is in units of 1/255.

    `load` and `convert` read files of `numpy.savez` with `arch_index` (15625,), `columns`
    (C,) as 'pgd@Linf_eps-1.0', and `acc_x10` (15625, C), ten times the accuracy.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from symnas.benchmarks import RobustnessNB201
    >>> values = np.full((15_625, 1), 475)  # Invented.
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "robustness.npz")
    ...     np.savez(path, columns=["pgd@Linf_eps-1.0"], acc_x10=values,
    ...              arch_index=np.arange(15_625))
    ...     benchmark = RobustnessNB201.load(path)
    >>> benchmark.query(1462, metric="pgd_1.0_accuracy")
    47.5
    """

    kind = "robustness_nb201"
    default_metric = search_metric = "pgd_1.0_accuracy"

    @classmethod
    def _read(cls, path: Path, partial: bool, curves: bool) -> Table:
        names = ("arch_index", "columns", "acc_x10")
        index, columns, values = arrays_file.read(path, *names)
        if not np.array_equal(index, np.arange(cells.NUM_ARCHITECTURES)):
            raise ValueError(
                f"{path}: `arch_index` must be 0 to {cells.NUM_ARCHITECTURES - 1} in this "
                "order, without gaps and repetitions."
            )
        by_column = arrays_file.rows_by_index(path, values, cells.NUM_ARCHITECTURES)
        if columns.shape != (len(by_column),):
            raise ValueError(
                f"{path} has {len(by_column)} columns and {columns.shape} names."
            )
        series = []
        for name, numbers in zip(columns.tolist(), by_column, strict=True):
            metric = _metric(path, name)
            series.append(Series(metric, "cifar10", 0, numbers[None, None] / 10))
        return Table(cls.kind, series, source=path.name)


def _metric(path: Path, column: object) -> str:
    match = _COLUMN.fullmatch(str(column))
    if match is None:
        raise ValueError(
            f"{path}: a column is named as 'pgd@Linf_eps-1.0', got {column!r}."
        )
    attack, eps = match.groups()
    return f"{_SHORT.get(attack, attack)}_{eps}_accuracy"

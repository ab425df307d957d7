"""NAS-Bench-201 and the topology space of NATS-Bench as a table [1, 2].

[1] X. Dong and Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
    Architecture Search", ICLR 2020. https://arxiv.org/abs/2001.00326
[2] X. Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and
    Size", TPAMI 2021. https://arxiv.org/abs/2009.00437
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.benchmarks import csv_table, nats_archive
from symnas.benchmarks.cell_table import CellTable
from symnas.benchmarks.table import Series, Table
from symnas.spaces import nas_bench_201 as cells

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
BUDGETS = (12, 200)

# What columns of published csv tables hold: metric, data set, budget, seed. The trials of
# release 1.1 in the same table (`c10_test_v11_*`) differ from those of the others.
COLUMNS: dict[str, list[tuple[str, str, int, int | None]]] = {
    "c10_test": [("test_accuracy", "cifar10", 200, None)],
    "c100_test": [("test_accuracy", "cifar100", 200, None)],
    "in16_test": [("test_accuracy", "ImageNet16-120", 200, None)],
    "c10_valid_e12": [("valid_accuracy", "cifar10-valid", 12, None)],
    "c10_test_e12": [("test_accuracy", "cifar10", 12, None)],
    "c100_valid_e12": [("valid_accuracy", "cifar100", 12, None)],
    "c100_test_e12": [("test_accuracy", "cifar100", 12, None)],
    "in16_valid_e12": [("valid_accuracy", "ImageNet16-120", 12, None)],
    "in16_test_e12": [("test_accuracy", "ImageNet16-120", 12, None)],
    "c10v_test_s888": [("test_accuracy", "cifar10-valid", 200, 888)],
    "in16_test_s888": [("test_accuracy", "ImageNet16-120", 200, 888)],
    "c10_train": [("train_accuracy", "cifar10", 200, 777)],
    "flops_M": [("flops", name, 0, None) for name in DATASETS[:2]],
    "params_M": [("params", name, 0, None) for name in DATASETS[:2]],
}

# Test accuracy of the cell whose operations are all 'skip_connect' (the row DARTS of table
# 5 in [1]), and of those in which no path leads to the output.
_ALL_SKIP = 1835
_ANCHORS = {
    "cifar10": (54.30, 10.0),
    "cifar100": (15.61, 1.0),
    "ImageNet16-120": (16.32, 0.83),
}
# Table 5 of [1]: test accuracy after 200 epochs of what 500 searches on 'cifar10' with
# 12,000 simulated seconds have found.
_PUBLISHED = {
    "random_search": {
        "cifar10": (93.70, 0.36),
        "cifar100": (71.04, 1.07),
        "ImageNet16-120": (44.57, 1.25),
    },
    "regularized_evolution": {
        "cifar10": (93.92, 0.30),
        "cifar100": (71.84, 0.99),
        "ImageNet16-120": (45.54, 1.03),
    },
    "reinforce": {
        "cifar10": (93.85, 0.37),
        "cifar100": (71.71, 1.09),
        "ImageNet16-120": (45.24, 1.18),
    },
    "bohb": {
        "cifar10": (93.61, 0.52),
        "cifar100": (70.85, 1.28),
        "ImageNet16-120": (44.42, 1.49),
    },
}
_INVENTED = "invented values"

_IMAGES = {  # Classes and image size.
    "cifar10-valid": (10, 32),
    "cifar10": (10, 32),
    "cifar100": (100, 32),
    "ImageNet16-120": (120, 16),
}


class NASBench201(CellTable):
    """The table of NAS-Bench-201: 15,625 cells, three data sets, two training budgets.

    Data sets are 'cifar10-valid' (trained on half of CIFAR-10's training images,
    validated on the other half), 'cifar10' (trained on all, so it has no validation),
    'cifar100' and 'ImageNet16-120'. An `evaluator` or `simulate` for 'cifar10' takes
    validation from 'cifar10-valid', as the authors do.

    Metrics are `train_`, `valid_`, `test_` and `valtest_` `accuracy` (in percent) and
    `loss`; `train_seconds` up to an epoch, `valid_seconds` of one pass over the
    validation data; `flops` (multiply-adds) and `params`, both in millions; `latency` in
    seconds for a batch of 256. `valtest` is validation and test together. A csv has a few
    of them only, and an official archive all.

    `budget` is 12 or 200 epochs, what the authors call `hp`; questions take 200 by
    default, and searches 12. `epoch` is their `iepoch + 1`. A question gives the mean
    over trials by default, which is their `is_random=False`.

    `load` and `convert` read: the folder or tar of NATS-Bench (`NATS-tss-v1_0-3ffb9-simple`)
    or its single file; the single file of NAS-Bench-201 (`NAS-Bench-201-v1_1-096897.pth`);
    a csv, as it is or compressed by gzip, with `arch_index`, `arch_str` or both, and
    columns named as in `nas_bench_201.COLUMNS` or as
    'test_accuracy|cifar10|200' or 'test_accuracy|cifar10|200|777' with a seed. Pickles are
    read by a reader that can make numbers, text and containers, and nothing else.

    An architecture is a list of six operations, a network of `symnas.spaces.NASBench201`,
    a string, an index, or a genotype (6,) of `space`.

    Example:

    >>> from symnas.benchmarks import NASBench201
    >>> benchmark = NASBench201.synthetic()  # Invented values; see `load` for real ones.
    >>> value = benchmark.query(["nor_conv_3x3"] * 6, "cifar10", "test_accuracy")
    >>> value == benchmark.query(1462)  # The same cell by its index.
    True
    >>> benchmark.query_many(range(3), "cifar100", "valid_accuracy", budget=12).shape
    (3,)
    >>> benchmark.regret(benchmark.optimum("cifar10").value, "cifar10")
    0.0
    """

    kind = "nas_bench_201"
    default_budget = 200
    search_budget = 12
    published = _PUBLISHED
    _validation_counts = True

    @classmethod
    def synthetic(cls, seed: int = 0) -> NASBench201:
        """A table of invented values, for examples and tests without any file.

        It has all cells, curves and times, and values that a search can climb. They are
        not results, and say nothing about an algorithm.

        Example:

        >>> from symnas.benchmarks import NASBench201
        >>> NASBench201.synthetic()
        <NASBench201: 15,625 architectures from invented values>
        """
        return cls(_invented(seed))

    @staticmethod
    def cifar10_split() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The indices (25000,) of the training and the validation images of 'cifar10-valid'.

        Both are halves of the 50,000 training images of CIFAR-10, in ascending order.

        Example:

        >>> from symnas.benchmarks import NASBench201
        >>> train, valid = NASBench201.cifar10_split()
        >>> train[111], valid[111]
        (np.int64(203), np.int64(242))
        """
        images = list(range(50_000))
        random.Random(1021).shuffle(images)  # As in the authors' code.
        halves = np.sort(np.array(images).reshape(2, -1), axis=1)
        return halves[0], halves[1]

    @classmethod
    def _read(cls, path: Path, partial: bool, curves: bool) -> Table:
        if path.is_dir() or path.name.endswith((".tar", ".pbz2", ".pth")):
            return nats_archive.read(path, partial, curves)
        return csv_table.read_indexed(
            path,
            cls.kind,
            COLUMNS,
            cells.NUM_ARCHITECTURES,
            cells.index_of,
            cells.string_at,
            partial,
        )

    def _search_dataset(self, dataset: str, metric: str) -> str:
        validated = metric.startswith("valid")
        return "cifar10-valid" if dataset == "cifar10" and validated else dataset

    def _check_question(self, dataset: str, metric: str, budget: int) -> None:
        if budget not in BUDGETS:
            raise ValueError(
                f"`budget` must be 12 or 200, the epochs of a training run of "
                f"NAS-Bench-201, got {budget!r}."
            )
        if dataset == "cifar10" and metric.startswith("valid"):
            raise ValueError(
                f"There is no `{metric}` on 'cifar10': its networks were trained on all "
                "50,000 images. Ask for 'cifar10-valid'."
            )

    @property
    def reported_datasets(self) -> list[str]:
        # Papers report networks that were trained on all images.
        there = super().reported_datasets
        return [dataset for dataset in _ANCHORS if dataset in there]

    def verify(self, *, partial: bool = False) -> list[str]:
        checked = super().verify(partial=partial)
        for series in self.table.series:
            if series.metric in ("flops", "params"):
                expected = _closed_form(series.metric, series.dataset)
                wrong = np.abs(series.values - expected) > 1e-4
                if wrong.any():
                    index = int(np.argwhere(wrong)[0, -1])
                    raise ValueError(
                        f"{series.title}: architecture {index} has "
                        f"{series.values[..., index].flat[0]}, and its cell, "
                        f"{self.architecture(index)}, {expected[index]}. Are the rows in "
                        "the order of the benchmark?"
                    )
                checked.append(f"{series.title} of each cell")
        if not partial and self.table.source != _INVENTED:
            checked += [
                self._verify_anchors(dataset) for dataset in self.reported_datasets
            ]
        return checked

    def _verify_anchors(self, dataset: str) -> str:
        all_skip, chance = _ANCHORS[dataset]
        values = self.query_many(np.arange(len(self)), dataset, "test_accuracy")
        expected = {_ALL_SKIP: all_skip, **dict.fromkeys(_dead_cells(), chance)}
        for index, value in expected.items():
            if abs(values[index] - value) > 0.1:
                raise ValueError(
                    f"Architecture {index}, {self.architecture(index)}, has a test "
                    f"accuracy of {value} on '{dataset}', and this table says "
                    f"{values[index]}. Are the rows in the order of the benchmark?"
                )
        return f"test accuracy on '{dataset}' of {len(expected)} cells that are known"


def _closed_form(metric: str, dataset: str) -> NDArray[np.float64]:
    """Parameters or multiply-adds of all cells, in millions.

    They are linear in the numbers of convolutions, so three cells give them all.
    """
    num_classes, size = _IMAGES[dataset]

    def exact(kernel: str) -> float:
        cell = [kernel] + ["none"] * 5
        if metric == "params":
            return cells.num_parameters(cell, num_classes) / 1e6
        return cells.num_multiply_adds(cell, num_classes, size) / 1e6

    base = exact("none")
    steps = [exact(operation) - base for operation in cells.OPERATIONS]
    return base + np.array(steps)[cells.operation_ids()].sum(axis=1)


def _dead_cells() -> list[int]:
    """The 341 cells whose output does not depend on their input."""
    alive: dict[int, Any] = {0: True}  # By node: (A,) whether it is reached.
    for (source, node), ids in zip(cells.EDGES, cells.operation_ids().T, strict=True):
        # Edges into a node come after all those into its sources.
        reached = alive[source] & (ids != cells.OPERATIONS.index("none"))
        alive[node] = alive.get(node, False) | reached
    return np.flatnonzero(~alive[cells.NUM_NODES - 1]).tolist()


def _invented(seed: int) -> Table:
    """Values that grow with the operations of a cell, plus noise."""
    rng = np.random.default_rng(seed)
    ids = cells.operation_ids()
    gain = rng.random((len(cells.EDGES), len(cells.OPERATIONS)))
    score = gain[np.arange(len(cells.EDGES)), ids].sum(axis=1)
    noise = rng.normal(size=len(ids))
    quality = 60 + 30 * (score - score.min()) / np.ptp(score) + 0.5 * noise
    quality = np.clip(quality, 10, 95)
    series = []
    for dataset in DATASETS:
        epochs = np.arange(1, 13)
        curve = quality[None] * (0.6 + 0.2 * epochs / 12)[:, None]  # (E, A)
        sets = ("test",) if dataset == "cifar10" else ("valid", "test")
        for name in sets:
            metric = f"{name}_accuracy"
            ends = quality[None, None]
            series.append(Series(metric, dataset, 200, ends, epochs=(200,)))
            series.append(
                Series(metric, dataset, 12, curve[None], epochs=tuple(range(1, 13)))
            )
        costs = {"flops": "flops", "params": "params"}
        for metric in costs:
            values = _closed_form(metric, dataset)[None, None]
            series.append(Series(metric, dataset, 0, values))
        times = (4 + _closed_form("flops", dataset) / 15)[None, None]
        for budget in BUDGETS:
            args = (dataset, budget)
            series.append(Series("train_seconds", *args, times, per_epoch=True))
            series.append(Series("valid_seconds", *args, times / 4))
    return Table("nas_bench_201", series, source=_INVENTED)

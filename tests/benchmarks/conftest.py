"""A few official values, made archives around them, and the real tables if they are there."""

from __future__ import annotations

import bz2
import collections
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symnas.benchmarks import NASBench201
from symnas.spaces import nas_bench_201 as cells

# The last values of three official records (D-X-Y/NATS-Bench, MIT licence), which lie in
# that repository for its own tests: {index: {(budget, data set, seed): values}}.
OFFICIAL: dict[int, dict[tuple[int, str, int], dict[str, float]]] = {
    0: {
        (12, "cifar10-valid", 777): {
            "train": 63.92, "x-valid": 62.712, "ori-test": 62.82,
            "seconds": 7.221092998981476, "pass": 2.5489792369660877,
        },
        (12, "cifar10-valid", 111): {
            "train": 64.972, "x-valid": 64.016, "ori-test": 63.66,
            "seconds": 7.221092998981476, "pass": 2.5489792369660877,
        },
        (200, "cifar10", 777): {"train": 90.446, "ori-test": 85.62, "seconds": 14.4},
        (200, "cifar10", 888): {"train": 90.74, "ori-test": 86.18, "seconds": 14.4},
        (200, "cifar10", 999): {"train": 90.82, "ori-test": 85.79, "seconds": 14.4},
        (200, "cifar100", 777): {
            "train": 57.578, "x-valid": 51.88, "x-test": 51.98, "ori-test": 51.93,
            "seconds": 14.4,
        },
    },
    11: {
        (12, "cifar10-valid", 777): {
            "train": 64.44, "x-valid": 63.976, "ori-test": 64.54,
            "seconds": 12.462056795756022, "pass": 4.151251713434855,
        },
        (12, "cifar10-valid", 111): {
            "train": 62.452, "x-valid": 62.58, "ori-test": 62.48,
            "seconds": 12.462056795756022, "pass": 4.151251713434855,
        },
        (200, "cifar10", 777): {"train": 99.584, "ori-test": 91.79, "seconds": 24.9},
        (200, "cifar10", 888): {"train": 99.642, "ori-test": 91.76, "seconds": 24.9},
        (200, "cifar10", 999): {"train": 99.416, "ori-test": 91.2, "seconds": 24.9},
        (200, "cifar100", 777): {
            "train": 96.096, "x-valid": 67.72, "x-test": 66.86, "ori-test": 67.29,
            "seconds": 24.9,
        },
    },
    284: {
        (12, "cifar10-valid", 777): {
            "train": 75.54, "x-valid": 74.044, "ori-test": 74.09,
            "seconds": 4.875794370969136, "pass": 2.389493485291799,
        },
        (12, "cifar10-valid", 111): {
            "train": 73.084, "x-valid": 71.708, "ori-test": 70.73,
            "seconds": 4.875794370969136, "pass": 2.389493485291799,
        },
        (200, "cifar10", 777): {"train": 94.568, "ori-test": 88.73, "seconds": 9.75},
        (200, "cifar10", 888): {"train": 94.772, "ori-test": 88.55, "seconds": 9.75},
        (200, "cifar10", 999): {"train": 94.728, "ori-test": 89.09, "seconds": 9.75},
        (200, "cifar100", 777): {
            "train": 71.594, "x-valid": 62.06, "x-test": 63.0, "ori-test": 62.53,
            "seconds": 9.75,
        },
    },
}  # fmt: skip
SYNTHETIC = range(1000, 1030)  # Rows that are invented: they have no source.


def _data(name: str) -> Path:
    """A file of the real data, or a skip with the reason."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("SYMNAS_DATA") or beside)
    path = folder / name
    if not path.exists():
        pytest.skip(
            f"needs {name}: there is none in {folder}; name its folder by SYMNAS_DATA"
        )
    return path


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    return _data


@pytest.fixture(scope="session")
def real() -> NASBench201:
    """The real table."""
    return NASBench201.load(_data("nb201/nb201.csv.gz"))


@pytest.fixture(scope="session")
def invented() -> NASBench201:
    """A full table of invented values."""
    return NASBench201.synthetic()


def synthetic_values(index: int) -> dict[tuple[int, str, int], dict[str, float]]:
    """Invented values, in the form of official ones."""
    base = 50 + (index % 30)
    return {
        (12, "cifar10-valid", 777): {
            "train": base + 1, "x-valid": base, "ori-test": base - 1,
            "seconds": 5.0, "pass": 2.0,
        },
        (200, "cifar10", 777): {"train": base + 12, "ori-test": base + 10, "seconds": 9.0},
    }  # fmt: skip


def make_trial(
    index: int, dataset: str, budget: int, values: Mapping[str, float]
) -> dict[str, Any]:
    """A trial as the authors' archives hold it, with a made curve to its last value."""
    num_classes = 100 if dataset == "cifar100" else 10

    def curve(last: float) -> list[np.float64]:
        return [np.float64(last * ((e + 1) / budget)) for e in range(budget)]

    sets = [key for key in values if key in ("x-valid", "x-test", "ori-test")]
    accuracies, losses, times = {}, {}, {}
    for key in sets:
        # The authors' 200-epoch runs were evaluated on some sets at the end alone.
        epochs = [budget - 1] if key == "x-test" else range(budget)
        for e in epochs:
            accuracies[f"{key}@{e}"] = curve(values[key])[e]
            losses[f"{key}@{e}"] = 2.0 - e / budget
        for e in range(budget):
            times[f"{key}@{e}"] = values.get("pass", 1.0)
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "train_acc1es": collections.OrderedDict(enumerate(curve(values["train"]))),
        "train_acc5es": None,
        "train_losses": collections.OrderedDict(enumerate([1.5] * budget)),
        "train_times": collections.OrderedDict(enumerate([values["seconds"]] * budget)),
        "arch_config": {"channel": 16, "num_cells": 5, "class_num": 10},
        "params": cells.num_parameters(index, num_classes) / 1e6,
        "flop": np.float64(cells.num_multiply_adds(index, num_classes) / 1e6),
        "seed": 777,
        "epochs": budget,
        "latency": [0.0139],
        "eval_names": sets,
        "eval_acc1es": accuracies,
        "eval_losses": losses,
        "eval_times": times,
    }


def make_record(
    index: int, values: Mapping[tuple[int, str, int], Mapping[str, float]]
) -> dict[str, Any]:
    """One architecture as the authors' archives hold it."""
    record: dict[str, Any] = {}
    for (budget, dataset, seed), numbers in values.items():
        results = record.setdefault(
            str(budget),
            {
                "arch_index": index,
                "arch_str": cells.string_at(index),
                "all_results": {},
                "dataset_seed": {},
                "clear_net_done": True,
            },
        )
        results["all_results"][dataset, seed] = make_trial(
            index, dataset, budget, numbers
        )
        results["dataset_seed"].setdefault(dataset, []).append(seed)
    return record


@pytest.fixture(scope="session")
def mini() -> dict[int, dict[tuple[int, str, int], dict[str, float]]]:
    """A few dozen rows: three official ones and some that are invented."""
    return {**OFFICIAL, **{index: synthetic_values(index) for index in SYNTHETIC}}


@pytest.fixture(scope="session")
def records(mini: Any) -> dict[int, dict[str, Any]]:
    return {index: make_record(index, values) for index, values in mini.items()}


@pytest.fixture(scope="session")
def strings() -> list[str]:
    return [cells.string_at(i) for i in range(cells.NUM_ARCHITECTURES)]


def packed(content: Any, protocol: int = 4) -> bytes:
    return bz2.compress(pickle.dumps(content, protocol=protocol), 1)


@pytest.fixture(scope="session")
def pack() -> Callable[..., bytes]:
    return packed


@pytest.fixture(scope="session")
def archive(
    tmp_path_factory: pytest.TempPathFactory, records: Any, strings: list[str]
) -> Path:
    """A folder as NATS-Bench publishes it, with the rows of the miniature table."""
    folder = tmp_path_factory.mktemp("NATS-tss-v1_0-3ffb9-simple")
    meta = {"meta_archs": strings, "arch2infos": {}, "evaluated_indexes": set(records)}
    (folder / "meta.pickle.pbz2").write_bytes(packed(meta))
    for index, record in records.items():
        (folder / f"{index:06d}.pickle.pbz2").write_bytes(packed(record))
    return folder


@pytest.fixture(scope="session")
def mini_table(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    """The miniature table, converted."""
    path = tmp_path_factory.mktemp("mini") / "nas_bench_201.table"
    return NASBench201.convert(archive, path, partial=True, curves=False)

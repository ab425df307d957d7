"""NAS-Bench-201 as published, and searches on it in the protocol of its table."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import symnas as sn

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
COLUMNS = ["c10_valid_e12", "c10_test", "c100_test", "in16_test"]


class Found(NamedTuple):
    """What searches have found, one for each seed.

    Attributes:
      signal: (seeds, queries) the best signal after each query.
      tests: (seeds, 3) test accuracies after 200 epochs of the last best, on CIFAR-10,
        CIFAR-100 and ImageNet16-120.
    """

    signal: NDArray[np.float64]
    tests: NDArray[np.float64]


Search = Callable[..., Found]


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(os.environ.get("SYMNAS_DATA", DATA))


@pytest.fixture(scope="session")
def nb201(data: Path) -> NDArray[np.float64]:
    """The table, by the operations of six edges and COLUMNS: (5, 5, 5, 5, 5, 5, 4)."""
    path = data / "nb201" / "nb201.csv.gz"
    if not path.exists():
        pytest.skip(f"needs the table of NAS-Bench-201, and there is no {path}")
    table = np.full((5,) * 6 + (len(COLUMNS),), np.nan)
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            edges = row["arch_str"].replace("+", "").split("|")
            cell = tuple(OPERATIONS.index(e.split("~")[0]) for e in edges if e)
            table[cell] = [float(row[column]) for column in COLUMNS]
    assert not np.isnan(table).any()
    return table


@pytest.fixture(scope="session")
def search_nb201(nb201: NDArray[np.float64]) -> Search:
    """Searches by one column of the table, duplicates allowed as in the papers.

    110 queries of the validation accuracy after 12 epochs stand for 12,000 seconds.
    """
    space = sn.SearchSpace([sn.oneof(OPERATIONS) for _ in range(6)])

    def search(
        make: Callable[[], Any], seeds: int, queries: int = 110, column: int = 0
    ) -> Found:
        signals, tests = np.empty((seeds, queries)), np.empty((seeds, 3))
        for seed in range(seeds):
            algorithm = make()
            algorithm.setup(space, seed)
            seen = np.empty((queries, len(COLUMNS)))
            for i in range(queries):
                (genotype,) = algorithm.draw(1)
                number = algorithm.proposed(genotype)
                seen[i] = nb201[tuple(genotype.astype(int))]
                algorithm.told(number, [seen[i, column]])
            signals[seed] = np.maximum.accumulate(seen[:, column])
            tests[seed] = seen[seen[:, column].argmax(), 1:]
        return Found(signals, tests)

    return search


@pytest.fixture(scope="session")
def half_inactive() -> Callable[..., list[float]]:
    """The best of some examples, for 50 seeds, where one of two blocks is there.

    A choice counts if it is the right one of five, which differs from block to block.
    """

    def best(make: Callable[[], Any], num_examples: int = 200) -> list[float]:
        found = []
        for seed in range(50):
            blocks = [
                [
                    block,
                    *(sn.oneof(range(5)) for _ in range(6)),
                    sn.floatv(0.0, 1.0),
                ]
                for block in range(2)
            ]
            right = np.random.default_rng(seed).integers(5, size=(2, 6)).tolist()
            samples = sn.sample(sn.oneof(blocks), make(), num_examples, seed=seed)
            for (block, *choices, x), feedback in samples:
                counts = map(int.__eq__, choices, right[block])
                feedback(sum(counts) - (x - 0.3) ** 2)
            found.append(samples.result.best.reward)
        return found

    return best

"""Tables of NAS-Bench-201 as csv: what is read, and what is refused."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symnas.benchmarks import NASBench201
from symnas.benchmarks.nas_bench_201 import _dead_cells
from symnas.spaces import nas_bench_201 as cells

HEADER = [
    "arch_index",
    "arch_str",
    "c10_test",
    "c10_valid_e12",
    "test_accuracy|cifar10|200|888",
]


@pytest.fixture(scope="module")
def rows(strings: list[str]) -> list[list[str]]:
    """A full table of invented accuracies, except where anchors know them."""
    table = NASBench201.synthetic()
    accuracy = table.query_many(range(len(table)))
    accuracy[_dead_cells()] = 10.0
    accuracy[1835] = 54.30
    return [
        [str(i), strings[i], f"{a:.4f}", f"{0.9 * a:.4f}", "" if i % 3 else f"{a:.4f}"]
        for i, a in enumerate(accuracy)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: list[list[str]], header: list[str] = HEADER) -> Path:
        path = tmp_path / "table.csv"
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        path.write_text(text.getvalue())
        return path

    return write


def changed(rows: list[list[str]], row: int, column: int, text: str) -> list[list[str]]:
    copy = [*rows]
    copy[row] = [*copy[row]]
    copy[row][column] = text
    return copy


def test_rows_may_come_in_any_order(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    table = NASBench201.load(write(rows[::-1]))
    assert table.query(7) == float(rows[7][2])
    assert table.query(6, seed=888) == float(rows[6][4])
    with pytest.raises(ValueError, match="architecture 7"):
        table.query(7, seed=888)


def test_some_trial_of_each_architecture_is_needed(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    path = write(rows, [*HEADER[:-1], "c10v_test_s888"])
    with pytest.raises(ValueError, match="architecture 1 has no value"):
        NASBench201.load(path)


@pytest.mark.parametrize("key", ["arch_index", "arch_str"])
def test_one_of_index_and_string_is_enough(
    rows: list[list[str]], write: Callable[..., Path], key: str
) -> None:
    place = HEADER.index(key)
    path = write([[row[place], row[2]] for row in rows], [key, "c10_test"])
    assert NASBench201.load(path).query(7) == float(rows[7][2])


def test_columns_may_be_spelled_out(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    names = ["arch_str"] + [f"test_accuracy|cifar100|200|{seed}" for seed in (5, 9)]
    path = write([[row[1], "40", "50"] for row in rows[:30]], names)
    table = NASBench201.load(path, partial=True)
    assert table.query(7, "cifar100", seed=9) == 50
    assert table.query(7, "cifar100") == 45
    with pytest.raises(ValueError, match="seeds 5, 9, got `seed=7`"):
        table.query(7, "cifar100", seed=7)


def test_compressed_and_with_a_byte_order_mark(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    path = write(rows[:30])
    marked = b"\xef\xbb\xbf" + path.read_bytes()
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(marked))
    table = NASBench201.load(path.with_suffix(".csv.gz"), partial=True)
    assert table.query(7) == float(rows[7][2])


def test_missing_rows_are_refused(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match=r"lacks 2 of 15,625 architectures: 4, 15624"):
        NASBench201.load(write([*rows[:4], *rows[5:-1]]))
    with pytest.raises(ValueError, match=r"lacks 15,625 of"):
        NASBench201.load(write([]), partial=True)


def test_duplicate_rows_are_refused(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match="row 15626: architecture 4 is there twice"):
        NASBench201.load(write([*rows, rows[4]]))


BAD_CELLS = [
    (2, "nan", r"row 8: `c10_test` must be a number, got 'nan'"),
    (2, "", r"row 8: `c10_test` must be a number, got ''"),
    (2, "high", r"row 8: `c10_test` must be a number, got 'high'"),
    (4, "NaN", r"row 8: `test_accuracy.cifar10.200.888` must be a number, got 'NaN'"),
    (2, "100.1", r"architecture 7: values must lie in \[0, 100\], got 100.1"),
    (3, "-0.5", r"architecture 7: values must lie in \[0, 100\], got -0.5"),
    (2, "inf", r"architecture 7: .* got inf"),
    (0, "15625", r"row 8: `arch_index` must lie between 0 and 15624, got '15625'"),
    (0, "-1", r"row 8: `arch_index` must"),
    (0, "7.0", r"row 8: `arch_index` must"),
    (0, "9", r"row 8: .* is architecture 7 of the benchmark, got `arch_index` 9"),
    (1, "|conv~0|", r"row 8: A cell of NASBench201 has 3 nodes"),
]


@pytest.mark.parametrize(("column", "text", "message"), BAD_CELLS)
def test_bad_cells_are_refused(
    rows: list[list[str]],
    write: Callable[..., Path],
    column: int,
    text: str,
    message: str,
) -> None:
    path = write(changed(rows[:30], 7, column, text))
    with pytest.raises(ValueError, match=message):
        NASBench201.load(path, partial=True)


def test_another_order_is_seen_by_the_strings(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    moved = [[str(i), *row[1:]] for i, row in enumerate([*rows[1:], rows[0]])]
    with pytest.raises(
        ValueError, match="row 1: .* is architecture 1 .* another order"
    ):
        NASBench201.load(write(moved))


def test_another_order_is_seen_by_known_accuracies(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    moved = [[str(i), row[2]] for i, row in enumerate([*rows[1:], rows[0]])]
    path = write(moved, ["arch_index", "c10_test"])
    with pytest.raises(ValueError, match="Are the rows in the order of the benchmark?"):
        NASBench201.load(path)


@pytest.mark.parametrize("name", ["flops_M", "params_M"])
def test_another_order_is_seen_by_sizes(write: Callable[..., Path], name: str) -> None:
    sizes = NASBench201.synthetic().query_many(
        range(15_625), "cifar10", name.removesuffix("_M")
    )
    path = write([[str(i), str(s)] for i, s in enumerate(sizes)], ["arch_index", name])
    assert "of each cell" in str(NASBench201.load(path).verify())
    sizes[[3, 4]] = sizes[[4, 3]]
    path = write([[str(i), str(s)] for i, s in enumerate(sizes)], ["arch_index", name])
    with pytest.raises(
        ValueError, match="architecture 3 has .* order of the benchmark"
    ):
        NASBench201.load(path)


def test_unknown_columns_are_refused(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    with pytest.raises(
        ValueError, match="no column that is known. It has 'arch_index, x'"
    ):
        NASBench201.load(write([["0", "1"]], ["arch_index", "x"]))
    with pytest.raises(ValueError, match="needs a column `arch_index` or `arch_str`"):
        NASBench201.load(write([["0"]], ["c10_test"]))
    with pytest.raises(ValueError, match=r"must be named metric\|dataset\|budget"):
        NASBench201.load(write([["0", "1"]], ["arch_index", "a|b|c"]))


def test_damaged_files_are_refused(
    rows: list[list[str]], write: Callable[..., Path]
) -> None:
    path = write(rows)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match="needs 5 values, got .* truncated"):
        NASBench201.load(path)
    path.write_bytes(gzip.compress(whole, 1)[:-5000])
    with pytest.raises(ValueError, match="damaged or no csv"):
        NASBench201.load(path)
    path.write_bytes(b"\x80\x04\x95")
    with pytest.raises(ValueError, match="damaged or no csv"):
        NASBench201.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="no column that is known"):
        NASBench201.load(path)


def test_a_small_table_serves_a_search(rows: Any, write: Callable[..., Path]) -> None:
    table = NASBench201.load(write(rows[:40]), partial=True)
    assert np.isnan(table.table.series[0].values).sum() == 15_625 - 40
    assert table.optimum().index < 40
    assert table.evaluator("cifar10")(cells.string_at(3)) == float(rows[3][3])

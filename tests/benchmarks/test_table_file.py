"""Converted tables: the same numbers, opened at once, and damage that is seen."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symnas.benchmarks import NASBench201, table_file
from symnas.benchmarks.table import Series, Table


@pytest.fixture
def table() -> Table:
    rng = np.random.default_rng(0)
    curve = rng.random((2, 3, 5)).astype(np.float32)
    series = [
        Series("valid_accuracy", "cifar10", 3, curve, (7, 8), (1, 2, 3)),
        Series("train_seconds", "cifar10", 3, rng.random((1, 1, 5)), per_epoch=True),
    ]
    return Table("made", series, np.array([b"a", b"bc", b"", b"d", b"e"]), "a test")


@pytest.fixture
def path(table: Table, tmp_path: Path) -> Path:
    path = tmp_path / "new" / "made.table"
    table_file.write(table, path)
    return path


def test_what_is_written_is_read(table: Table, path: Path) -> None:
    opened = table_file.open_table(path, check=True)
    assert (opened.kind, opened.source, opened.size) == ("made", "a test", 5)
    assert opened.names is not None and opened.names.tolist() == table.names.tolist()  # type: ignore[union-attr]
    for one, other in zip(opened.series, table.series, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.values.dtype == other.values.dtype
        assert not one.values.flags.writeable
        assert (one.metric, one.seeds, one.epochs, one.per_epoch) == (
            other.metric,
            other.seeds,
            other.epochs,
            other.per_epoch,
        )
    assert [file.name for file in path.parent.iterdir()] == ["made.table"]


def test_writing_twice_gives_the_same_bytes(table: Table, path: Path) -> None:
    first = path.read_bytes()
    table_file.write(table, path)
    assert path.read_bytes() == first


def test_a_failed_write_leaves_what_was_there(
    table: Table, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        table_file.write(table, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["made.table"]


def test_every_changed_byte_is_seen(path: Path) -> None:
    whole = path.read_bytes()
    header = json.loads(whole[56 : whole.rindex(b"}") + 1])
    begin = -(-(56 + len(json.dumps(header))) // 64) * 64
    filled = [range(56 + len(json.dumps(header)))]
    for entry in [*header["series"], header["names"]]:
        first = begin + entry["offset"]
        filled.append(range(first, first + table_file._num_bytes(entry)))
    for position in [p for positions in filled for p in positions]:
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged|no table|not a table"):
            table_file.open_table(path)


def test_every_truncation_is_seen(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole) - 64, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged|not a table"):
            table_file.open_table(path)


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The file with another header, whose checksum is right."""
    whole = path.read_bytes()
    end = whole.rindex(b"}") + 1
    header = json.loads(whole[56:end])
    change(header)
    text = json.dumps(header).encode()
    head = table_file.MAGIC + len(text).to_bytes(8, "little")
    head += hashlib.sha256(text).digest() + text
    rest = whole[-(-end // 64) * 64 :]
    path.write_bytes(head + bytes(-len(head) % 64) + rest)


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "beyond the end": lambda h: h["series"][0].update(offset=1 << 40),
    "before the begin": lambda h: h["series"][0].update(offset=-64),
    "huge": lambda h: h["series"][0].update(shape=[1 << 40, 1 << 40, 5]),
    "negative": lambda h: h["series"][0].update(shape=[-2, 3, -5]),
    "objects": lambda h: h["series"][0].update(type="|O"),
    "structure": lambda h: h["series"][0].update(type="f8,f8"),
    "no type": lambda h: h["series"][0].update(type=None),
    "shape": lambda h: h["series"][0].update(shape=[3, 2, 5]),
    "epochs": lambda h: h["series"][0].update(epochs=[1]),
    "seeds": lambda h: h["series"][0].update(seeds="seven"),
    "lengths": lambda h: h["names"].update(shape=[4]),
    "no series": lambda h: h.update(series=[]),
    "missing": lambda h: h.pop("kind"),
    "list": lambda h: h.update(series={"a": 1}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_headers_are_refused(name: str, path: Path) -> None:
    rewritten(path, HEADERS[name])
    with pytest.raises(ValueError, match="damaged"):
        table_file.open_table(path)


def test_a_table_of_another_benchmark_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="of the kind 'nas_bench_201', got 'made'"):
        NASBench201.load(path)


def test_a_large_table_opens_at_once_and_is_checked_on_demand(tmp_path: Path) -> None:
    values = np.full((1, 400, 15_625), 50, dtype=np.float32)  # 25 MB
    epochs = tuple(range(1, 401))
    series = Series("valid_accuracy", "cifar100", 400, values, (), epochs)
    path = tmp_path / "large.table"
    table_file.write(Table("nas_bench_201", [series]), path)
    begin = time.perf_counter()
    benchmark = NASBench201.load(path)
    assert time.perf_counter() - begin < 0.1
    with open(path, "r+b") as file:
        file.seek(-1000, 2)
        file.write(b"\xff")
    with pytest.raises(ValueError, match="values do not match their checksum"):
        benchmark.verify()

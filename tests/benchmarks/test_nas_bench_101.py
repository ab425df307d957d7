"""NAS-Bench-101: csv tables, the authors' format on a made file, isomorphic cells."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symnas as sn
from symnas.benchmarks import NASBench101, locations, tfrecord
from symnas.spaces import nas_bench_101 as cells

# --- a writer of the authors' format, for the tests --------------------------------


def crc32c(data: bytes) -> int:
    """Bit by bit, as the definition has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(value: int) -> bytes:
    result = b""
    while value >= 0x80:
        result += bytes([value & 0x7F | 0x80])
        value >>= 7
    return result + bytes([value])


def evaluation(epoch: float, seconds: float, *accuracies: float) -> bytes:
    values = (epoch, seconds, *accuracies)
    message = b"".join(
        bytes([(number << 3) | 1]) + struct.pack("<d", value)
        for number, value in enumerate(values, 1)
    )
    path = b"checkpoint"
    return message + bytes([6 << 3 | 2]) + varint(len(path)) + path


def metrics(params: int, budget: int, end: float) -> bytes:
    """Made values: valid = end, test = end - 0.01, half of the epochs has 0.9 of it."""
    evaluations = [
        evaluation(0.0, 0.0, 0.1, 0.1, 0.1),
        evaluation(budget / 2, 400.0, 0.9, 0.9 * end, 0.9 * end - 0.01),
        evaluation(budget, 800.0, 1.0, end, end - 0.01),
    ]
    message = b"".join(b"\x0a" + varint(len(e)) + e for e in evaluations)
    return message + b"\x10" + varint(params) + b"\x19" + struct.pack("<d", 900.0)


CELLS = [
    ("010001000", ["conv3x3-bn-relu"]),
    ("010001000", ["maxpool3x3"]),
    ("0100001000010000", ["conv1x1-bn-relu", "conv3x3-bn-relu"]),
]


def record(cell: int, budget: int, end: float) -> bytes:
    matrix, inner = CELLS[cell]
    size = len(inner) + 2
    rows = [[int(b) for b in matrix[i * size : (i + 1) * size]] for i in range(size)]
    key = cells.graph_hash(rows, inner)
    operations = ",".join(["input", *inner, "output"])
    encoded = base64.encodebytes(metrics(1_000_000 * (cell + 1), budget, end))
    return json.dumps(
        [key, budget, matrix, operations, encoded.decode().replace("\n", "")]
    ).encode()


@pytest.fixture
def records() -> list[bytes]:
    return [
        record(cell, 108, 0.9 + 0.01 * cell + 0.001 * trial)
        for trial in range(3)
        for cell in range(3)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[bytes]], Path]:
    def write(records: list[bytes]) -> Path:
        path = tmp_path / "made.tfrecord"
        path.write_bytes(b"".join(map(framed, records)))
        return path

    return write


def test_the_checksum_is_crc32c() -> None:
    # The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
    assert crc32c(b"123456789") == 0xE3069283
    for data in (b"", b"123456789", bytes(range(256))):
        assert struct.pack("<I", tfrecord._masked_crc(data)) == masked(data)


def test_the_authors_format_is_read(records: list[bytes], write: Any) -> None:
    table = NASBench101.load(write(records), partial=True)
    cell = ([1, 0, 1], ["conv3x3-bn-relu"])
    assert len(table) == 3
    assert table.query(cell, metric="valid_accuracy") == pytest.approx(90.1)
    assert table.query(cell) == pytest.approx(89.1)
    assert table.query(cell, seed=2) == pytest.approx(89.2)
    assert table.query(cell, metric="valid_accuracy", epoch=54) == pytest.approx(81.09)
    assert table.query(cell, metric="train_seconds") == 800.0
    assert table.query(cell, metric="train_seconds", epoch=54) == 400.0
    assert table.query(cell, metric="params") == 1.0
    with pytest.raises(ValueError, match="after epochs 54, 108 alone"):
        table.query(cell, epoch=53)
    with pytest.raises(ValueError, match="with `budget=108`, got `budget=36`"):
        table.query(cell, budget=36)
    simulation = table.simulate(seconds=2_000.0)
    simulation(cell), simulation(0)
    assert simulation.elapsed == 1600.0
    assert table.optimum().architecture == "100101 conv1x1-bn-relu conv3x3-bn-relu"


def test_several_budgets_are_read(records: list[bytes], write: Any) -> None:
    table = NASBench101.load(write([*records, record(0, 36, 0.8)]), partial=True)
    assert table.query("101 conv3x3-bn-relu", budget=36) == pytest.approx(79.0)
    with pytest.raises(ValueError, match="no `test_accuracy` on 'cifar10' after 36"):
        table.query("101 maxpool3x3", budget=36)


def test_conversion_keeps_all(records: list[bytes], write: Any, tmp_path: Path) -> None:
    path = write(records)
    target = NASBench101.convert(path, tmp_path / "t.table", partial=True)
    table, opened = NASBench101.load(path, partial=True), NASBench101.load(target)
    assert opened.optimum() == table.optimum()
    assert opened.query("101 maxpool3x3") == table.query("101 maxpool3x3")


def test_damaged_files_are_refused(records: list[bytes], write: Any) -> None:
    path = write(records)
    with pytest.raises(ValueError, match=r"has 3 of 423,624 cells. Is it truncated\?"):
        NASBench101.load(path)
    whole = path.read_bytes()
    for cut in (1, 5, len(framed(records[-1])) - 3):
        path.write_bytes(whole[:-cut])
        with pytest.raises(ValueError, match="record 8: the file is truncated"):
            NASBench101.load(path, partial=True)
    for position, message in ((3, "no TFRecord"), (100, "its checksum is another")):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"record 0.*{message}"):
            NASBench101.load(path, partial=True)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="has 0 of"):
        NASBench101.load(path, partial=True)


def _edited(position: int, value: Any) -> bytes:
    fields = json.loads(record(0, 108, 0.9))
    fields[position] = value
    return json.dumps(fields).encode()


BAD_RECORDS = {
    "no json": b"{",
    "deep": b"[" * 100_000,
    "fields": b"[1, 2, 3]",
    "matrix": _edited(2, "0100"),
    "operations": _edited(3, "input,output"),
    "base 64": _edited(4, "%%%"),
    "message": _edited(4, base64.b64encode(b"\x0a\x7f").decode()),
    "wire type": _edited(4, base64.b64encode(b"\x0b").decode()),
    "varint": _edited(4, base64.b64encode(b"\xff" * 20).decode()),
    "evaluations": _edited(4, base64.b64encode(b"\x10\x01").decode()),
    "hash": _edited(0, 5),
    "epochs": _edited(1, "many"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_records_are_refused(name: str, write: Any) -> None:
    with pytest.raises(ValueError, match="record 0 is no record of NAS-Bench-101"):
        NASBench101.load(write([BAD_RECORDS[name]]), partial=True)


def test_a_file_with_the_published_name_must_be_the_published_file(
    records: list[bytes], write: Any
) -> None:
    path = write(records)
    target = path.rename(path.with_name("nasbench_only108.tfrecord"))
    with pytest.raises(ValueError, match="not the published file: its sha256 is"):
        NASBench101.load(target, partial=True)
    assert "4c39c3936e36" in locations.missing("nas_bench_101")


# --- csv -----------------------------------------------------------------------------

CSV = """adj,ops,val1_acc,val2_acc,test1_acc,test2_acc
101,c3,0.91,0.92,0.90,0.91
100101,c3|mp,0.81,0.82,0.80,0.81
110111,c1|mp,0.71,0.72,0.70,0.71
"""


@pytest.fixture
def table(tmp_path: Path) -> NASBench101:
    path = tmp_path / "cells.csv"
    path.write_text(CSV)
    return NASBench101.load(path)


def test_all_forms_of_a_cell_are_the_same(table: NASBench101) -> None:
    matrix = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    inner = ["conv3x3-bn-relu", "maxpool3x3"]
    forms: list[Any] = [
        (matrix, inner),
        (np.array(matrix), inner),
        (matrix, ["input", *inner, "output"]),
        {"adjacency": [1, 0, 0, 1, 0, 1], "operations": inner},
        # With a vertex that leads nowhere.
        ([1, 0, 1, 0, 1, 0, 0, 0, 1, 0], [*inner, "maxpool3x3"]),
        "100101 conv3x3-bn-relu maxpool3x3",
        cells.graph_hash(matrix, inner),
        sn.spaces.NASBench101(
            matrix, inner, channels=2, num_stacks=1, cells_per_stack=1
        ),
    ]
    found = {table.index(form) for form in forms}
    assert len(found) == 1 and table.query(forms[0]) == pytest.approx(80.5)
    assert table.query(found.pop()) == pytest.approx(80.5)
    for _ in range(2):  # The second time from memory.
        assert table.query((tuple(map(tuple, matrix)), tuple(inner))) == 80.5


BAD_CELLS: list[tuple[Any, str]] = [
    ("101 maxpool3x3", "does not have"),
    ("0" * 32, "does not have"),
    ("101 conv", "must be one of"),
    ("1x1 maxpool3x3", "as bits"),
    ("10 maxpool3x3", "3 x 3 or a list of 3 bits"),
    (([0, 0, 1], ["maxpool3x3"]), "no path"),
    (3, "between 0 and 2, got 3"),
    (-1, "got -1"),
]


@pytest.mark.parametrize(("cell", "message"), BAD_CELLS)
def test_bad_cells_are_refused(table: NASBench101, cell: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table.query(cell)


def test_what_is_no_cell_is_refused(table: NASBench101) -> None:
    with pytest.raises(TypeError, match="An architecture of NASBench101"):
        table.query(1.5)


def test_isomorphic_rows_are_one(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    # The two branches of a cell, in either order.
    path.write_text("adj,ops,test1_acc\n110011,c1|c3,0.9\n110011,c3|c1,0.9\n")
    assert len(NASBench101.load(path)) == 1
    path.write_text("adj,ops,test1_acc\n110011,c1|c3,0.9\n110011,c3|c1,0.8\n")
    with pytest.raises(ValueError, match="rows 1 and 2 are isomorphic"):
        NASBench101.load(path)
    assert NASBench101.load(path, partial=True).query(0) == 90.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adj,ops,test1_acc\n101,c3,nan\n", "must be a number"),
        ("adj,ops,test1_acc\n101,c3,1.2\n", r"\[0, 100\], got 120.0"),
        ("adj,ops,test1_acc\n101,c9,0.9\n", "row 1: `operations"),
        ("adj,ops,test1_acc\n1011,c3,0.9\n", "row 1: With 1 operations"),
        ("adj,ops,test1_acc\n001,c3,0.9\n", "row 1: .*no path"),
        ("ops,test1_acc\nc3,0.9\n", "says nothing about edges"),
        ("adj,ops,x\n101,c3,0.9\n", "no column that is known"),
        ("adj,ops,test1_acc\n", "has no rows"),
    ],
)
def test_bad_csv_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        NASBench101.load(path)


def test_a_part_of_the_table_is_searched_row_by_row(table: NASBench101) -> None:
    evaluate = table.evaluator()
    result = sn.search(table.space, evaluate, "grid", 10, progress=False)
    assert len(result.trials) == 3 and result.best.reward == pytest.approx(91.5)


def test_the_real_part_of_the_table(data: Callable[[str], Path]) -> None:
    table = NASBench101.load(data("nb101/nb1shot1_space2_nb101_3609.csv.gz"))
    assert len(table) == 3258
    assert table.optimum().value == pytest.approx(93.91, abs=0.005)
    names = [table.architecture(i) for i in range(0, 3258, 100)]
    assert table.indices(names).tolist() == list(range(0, 3258, 100))
    few = NASBench101.load(data("nb101/akashjorss_nb101_143.csv"), partial=True)
    assert few.query(few.architecture(0), budget=12) < few.query(0, budget=108)
    with pytest.raises(ValueError, match="says nothing about edges"):
        NASBench101.load(data("nb101/nb1shot1_space1_noadj_2487.csv.gz"))

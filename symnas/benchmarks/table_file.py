"""Tables on disk: a header in JSON, then plain arrays that are mapped into memory.

    magic | length of the header, 8 bytes | its sha256, 32 bytes | header | arrays

Each array begins at a multiple of 64 bytes, and its sha256 stands in the header.
Reading executes nothing: a file holds numbers and text.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.benchmarks.table import Series, Table

MAGIC = b"symnas table 1\n\0"
_ALIGNMENT = 64
_MOST_HEADER = 1 << 24
_CHECKED_WHEN_OPENED = 1 << 24  # Bytes of arrays; larger files are checked on demand.
_TYPES = {"<f4", "<f8"}


def is_table_file(path: Path) -> bool:
    """Whether a file begins as tables do."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def write(table: Table, path: Path) -> None:
    """Writes a table, or nothing at all if it fails on the way."""
    arrays = [np.ascontiguousarray(s.values) for s in table.series]
    if table.names is not None:
        arrays.append(np.ascontiguousarray(table.names))
    entries: list[dict[str, Any]] = []
    offset = 0
    for array in arrays:
        entries.append(
            {
                "offset": offset,
                "type": array.dtype.str,
                "shape": list(array.shape),
                "sha256": hashlib.sha256(array.data).hexdigest(),
            }
        )
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = {
        "kind": table.kind,
        "source": table.source,
        "series": [
            {
                "metric": s.metric,
                "dataset": s.dataset,
                "budget": s.budget,
                "seeds": list(s.seeds),
                "epochs": list(s.epochs),
                "per_epoch": s.per_epoch,
                **entry,
            }
            for s, entry in zip(table.series, entries, strict=False)
        ],
        "names": entries[-1] if table.names is not None else None,
    }
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "xb") as file:
            file.write(MAGIC + len(text).to_bytes(8, "little"))
            file.write(hashlib.sha256(text).digest() + text)
            begin = _after_header(len(text))
            for array, entry in zip(arrays, entries, strict=True):
                file.seek(begin + entry["offset"])
                file.write(array.data)
            file.truncate(begin + offset)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_table(path: Path, check: bool = False) -> Table:
    """The table of a file, with its arrays mapped into memory.

    Args:
      path: of a file that `write` has made.
      check: compares the checksums of a large file as well, which reads all of it.

    Raises:
      ValueError: it is no such file, or it is damaged.
    """
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path} is not a table of symnas.")
        length = int.from_bytes(file.read(8), "little")
        digest = file.read(32)
        if length > _MOST_HEADER:
            raise ValueError(f"{path} is damaged: its header is too long.")
        text = file.read(length)
    if hashlib.sha256(text).digest() != digest:
        raise ValueError(f"{path} is damaged: its header does not match its checksum.")
    begin = _after_header(length)
    size = path.stat().st_size
    try:
        header = json.loads(text)
        entries = [*header["series"], *filter(None, [header["names"]])]
        ends = [begin + e["offset"] + _num_bytes(e) for e in entries]
        if min(e["offset"] for e in entries) < 0 or max(ends) > size:
            raise ValueError(f"it ends after {size} bytes")
        data = np.memmap(path, dtype=np.uint8, mode="r")
        arrays = [_array(data, begin, entry) for entry in entries]
        series = [
            Series(
                str(e["metric"]),
                str(e["dataset"]),
                int(e["budget"]),
                array,
                tuple(map(int, e["seeds"])),
                tuple(map(int, e["epochs"])),
                bool(e["per_epoch"]),
            )
            for e, array in zip(header["series"], arrays, strict=False)
        ]
        names = arrays[-1] if header["names"] else None
        table = Table(str(header["kind"]), series, names, str(header["source"]))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if check or size <= _CHECKED_WHEN_OPENED:
        for array, entry in zip(arrays, entries, strict=True):
            if hashlib.sha256(array.data).hexdigest() != entry["sha256"]:
                raise ValueError(
                    f"{path} is damaged: its values do not match their checksum. "
                    "Import the table again."
                )
    return table


def _after_header(length: int) -> int:
    begin = len(MAGIC) + 8 + 32 + length
    return -(-begin // _ALIGNMENT) * _ALIGNMENT


def _num_bytes(entry: dict[str, Any]) -> int:
    kind, shape = entry["type"], entry["shape"]
    is_text = kind[:2] == "|S" and kind[2:].isdecimal() and len(kind) < 8
    if kind not in _TYPES and not is_text:
        raise ValueError(f"arrays cannot have the type {kind!r}")
    if not all(type(n) is int and n >= 0 for n in [*shape, entry["offset"]]):
        raise ValueError(f"no array has the shape {shape!r}")
    return math.prod(shape) * np.dtype(kind).itemsize


def _array(data: NDArray[np.uint8], begin: int, entry: dict[str, Any]) -> Any:
    first = begin + entry["offset"]
    raw = np.asarray(data[first : first + _num_bytes(entry)])
    return raw.view(entry["type"]).reshape(entry["shape"])

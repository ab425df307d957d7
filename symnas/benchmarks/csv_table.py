"""Tables as csv, plain or compressed by gzip."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.benchmarks.table import Series, Table

# Metric, data set, budget and seed of a column.
Meaning = tuple[str, str, int, int | None]

_MOST_BYTES = 1 << 30


def rows(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns, and the rows, as text."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(_MOST_BYTES)
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or no csv: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise ValueError(f"{path} is damaged or no csv: {error}") from None
    return header, _whole_rows(path, header, reader)


def _whole_rows(path: Path, header: list[str], reader: Any) -> Iterator[list[str]]:
    try:
        for row in reader:
            if len(row) != len(header):
                raise ValueError(
                    f"{path}, line {reader.line_num}: a row needs {len(header)} values, "
                    f"got {len(row)}. Is the file truncated?"
                )
            yield row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from None


def meanings(
    path: Path, header: Sequence[str], known: Mapping[str, list[Meaning]]
) -> dict[int, list[Meaning]]:
    """What the columns of a csv hold, by position; others are left out."""
    found = {}
    for position, name in enumerate(header):
        if name in known:
            found[position] = known[name]
        elif name.count("|") in (2, 3):
            found[position] = [_spelled_out(path, name)]
    if not found:
        raise ValueError(
            f"{path} has no column that is known. It has {', '.join(header)[:300]!r}; "
            f"known are {', '.join(known)}, and names as 'test_accuracy|cifar10|200'."
        )
    return found


def _spelled_out(path: Path, name: str) -> Meaning:
    metric, dataset, *numbers = name.split("|")
    if not all(number.isdecimal() and len(number) < 10 for number in numbers):
        raise ValueError(
            f"{path}: the column {name!r} must be named metric|dataset|budget, or "
            "metric|dataset|budget|seed."
        )
    return metric, dataset, int(numbers[0]), int(numbers[1]) if numbers[1:] else None


def numbers(
    path: Path, name: str, texts: Sequence[str], optional: bool = False
) -> NDArray[np.float64]:
    """The numbers of a column, NaN where one is left out and may be."""
    plain = [text or "nan" for text in texts] if optional else texts
    try:
        values = np.array(plain, dtype=np.float64)
    except ValueError:
        values = np.array([_number(text) for text in plain])
    for row in np.flatnonzero(np.isnan(values)).tolist():
        if texts[row] or not optional:
            raise ValueError(
                f"{path}, row {row + 1}: `{name}` must be a number, got "
                f"{texts[row][:200]!r}."
            )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def read_indexed(
    path: Path,
    kind: str,
    known: Mapping[str, list[Meaning]],
    size: int,
    index_of: Callable[[str], int],
    string_at: Callable[[int], str],
    partial: bool,
) -> Table:
    """A table whose rows are numbered, by `arch_index`, by `arch_str`, or by both."""
    header, lines = rows(path)
    columns = meanings(path, header, known)
    body = list(lines)
    places = {name: i for i, name in enumerate(header)}
    index_at, string_in = places.get("arch_index"), places.get("arch_str")
    if index_at is None and string_in is None:
        raise ValueError(f"{path} needs a column `arch_index` or `arch_str`.")
    indices = np.zeros(len(body), dtype=np.int64)
    seen = np.zeros(size, dtype=bool)
    for line, row in enumerate(body, 1):
        index = (
            _index(path, line, row[index_at], size) if index_at is not None else None
        )
        if string_in is not None:
            index = _same_index(path, line, row[string_in], index, index_of, string_at)
        assert index is not None
        if seen[index]:
            raise ValueError(
                f"{path}, row {line}: architecture {index} is there twice."
            )
        seen[index] = True
        indices[line - 1] = index
    check_complete(path, seen, partial)
    values = {}
    for place in columns:
        optional = all(meaning[3] is not None for meaning in columns[place])
        column = numbers(path, header[place], [row[place] for row in body], optional)
        values[place] = np.full(size, np.nan)
        values[place][indices] = column
    return Table(kind, series_of(columns, values), source=path.name)


def series_of(
    columns: Mapping[int, list[Meaning]], values: Mapping[int, NDArray[np.float64]]
) -> list[Series]:
    """The series of columns; those of several seeds of one thing are one series."""
    trials: dict[tuple[str, str, int, bool], dict[int, NDArray[np.float64]]] = {}
    for place, meanings in columns.items():
        for metric, dataset, budget, seed in meanings:
            key = (metric, dataset, budget, seed is None)
            trials.setdefault(key, {})[seed or 0] = values[place]
    return [
        Series(
            metric,
            dataset,
            budget,
            np.stack([columns[seed] for seed in sorted(columns)])[:, None],
            () if is_mean else tuple(sorted(columns)),
            (budget,) if budget else (),
        )
        for (metric, dataset, budget, is_mean), columns in trials.items()
    ]


def check_complete(path: Path, seen: NDArray[np.bool_], partial: bool) -> None:
    """Refuses a source in which architectures are missing."""
    if seen.all() or (partial and seen.any()):
        return
    absent = np.flatnonzero(~seen)
    shown = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
    raise ValueError(
        f"{path} lacks {len(absent):,} of {len(seen):,} architectures: {shown}. Is it "
        "truncated? A part of a table is accepted with `partial=True`."
    )


def _index(path: Path, line: int, text: str, size: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:20]) < size):
        raise ValueError(
            f"{path}, row {line}: `arch_index` must lie between 0 and {size - 1}, got "
            f"{text!r}."
        )
    return int(text)


def _same_index(
    path: Path,
    line: int,
    text: str,
    index: int | None,
    index_of: Callable[[str], int],
    string_at: Callable[[int], str],
) -> int:
    if index is not None and string_at(index) == text:
        return index
    try:
        found = index_of(text)
    except ValueError as error:
        raise ValueError(f"{path}, row {line}: {error}") from None
    if index is not None and index != found:
        raise ValueError(
            f"{path}, row {line}: {text} is architecture {found} of the benchmark, got "
            f"`arch_index` {index}. Its rows are in another order."
        )
    return found

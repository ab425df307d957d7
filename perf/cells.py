"""The cells of NAS-Bench-201 with columns of its table, for scripts that ask often."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

DATA = Path(os.environ.get("SYMNAS_DATA", "../shared/data")) / "nb201/nb201.csv.gz"


def cells(*columns: str) -> dict[tuple[str, ...], tuple[float, ...]]:
    """Some columns by the operations of the six edges."""
    table = {}
    with gzip.open(DATA, "rt") as file:
        for row in csv.DictReader(file):
            edges = row["arch_str"].replace("+", "").strip("|").replace("||", "|")
            cell = tuple(edge.split("~")[0] for edge in edges.split("|"))
            table[cell] = tuple(float(row[column]) for column in columns)
    return table

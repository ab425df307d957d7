"""Shared by the performance scripts: interleaved medians, one table, one JSON record."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import symnas

RESULTS = Path(__file__).with_name("results.json")


def seconds(action: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(
    contenders: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, float]:
    """The median of each contender's figures, measured in turn.

    A machine that gets slower for a while then slows all of them alike, so ratios can
    be trusted where absolute times cannot.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, measure in contenders.items():
            figures[name].append(measure())
    return {name: statistics.median(values) for name, values in figures.items()}


def environment() -> dict[str, str]:
    """Machine and versions, for the header."""
    packages = ("pyglove", "optuna", "torch", "numpy")
    versions = {"symnas": symnas.__version__}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def report(
    question: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    notes: str = "",
) -> None:
    """Prints one table and keeps it in `results.json` under the script's name."""
    about = environment()
    console = Console(width=110 if not sys.stdout.isatty() else None)
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    table = Table(title=question, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*map(_text, row))
    console.print(table)
    if notes:
        console.print(notes)
    console.print()
    data = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    name = Path(sys.argv[0]).stem
    data.setdefault(name, {})[question] = {
        "environment": about,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
    }
    RESULTS.write_text(json.dumps(data, indent=1) + "\n")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return "-" if value is None else str(value)

"""The best trials as rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symnas.progress import short

if TYPE_CHECKING:
    from symnas.result import Result
    from symnas.trial import Trial

MOST_ROWS = 200
MOST_DECISIONS = 30


@dataclasses.dataclass(frozen=True)
class Cell:
    """A value, as it is shown and as it is sorted by."""

    text: str
    key: float | str = ""
    full: str = ""


@dataclasses.dataclass(frozen=True)
class TrialTable:
    """Rows of cells under names; `left_out` decisions have no column."""

    columns: list[Cell]
    rows: list[list[Cell]]
    left_out: int


def trial_table(result: Result, decisions: Sequence[str]) -> TrialTable:
    """The best trials, of several objectives the front first, with their decisions.

    Args:
      decisions: by name or path, in the order of their columns.
    """
    trials = result.top(MOST_ROWS)
    if len(result.objectives) > 1:
        front = result.pareto_front()[:MOST_ROWS]
        known = {trial.id for trial in front}
        trials = front + [trial for trial in trials if trial.id not in known]
        trials = trials[:MOST_ROWS]
    shown = list(decisions)[:MOST_DECISIONS]
    heads = [_head("trial"), *map(_head, result.objectives), *map(_head, shown)]
    return TrialTable(
        [*heads, _head("seconds")],
        [_row(trial, shown) for trial in trials],
        len(decisions) - len(shown),
    )


def _head(name: str) -> Cell:
    text = name if len(name) <= 30 else f"...{name[-27:]}"
    return Cell(text, full=name if text != name else "")


def _row(trial: Trial, decisions: Sequence[str]) -> list[Cell]:
    values = [trial.decisions.get(name, _ABSENT) for name in decisions]
    return [
        Cell(str(trial.id), float(trial.id)),
        *(Cell(f"{reward:.5g}", reward) for reward in trial.rewards),
        *map(_cell, values),
        Cell(
            "" if math.isnan(trial.seconds) else f"{trial.seconds:.3g}", trial.seconds
        ),
    ]


_ABSENT = object()


def _cell(value: Any) -> Cell:
    if value is _ABSENT:
        return Cell("")
    text = short(value)
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    full = str(value) if text != str(value) and not number else ""
    return Cell(text, float(value) if number else text, full[:500])

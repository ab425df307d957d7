"""What a study was and found, in a few sentences."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import TYPE_CHECKING

import numpy as np

from symnas.plots.clock import clock
from symnas.plots.style import NothingToDraw
from symnas.progress import short
from symnas.reporting.failures import failures
from symnas.trial import COMPLETED, PENDING

if TYPE_CHECKING:
    from symnas.result import Result

_STILL_IMPROVING = (
    0.2  # If so large a part of the trials, at the end, found better ones.
)


@dataclasses.dataclass(frozen=True)
class Fact:
    """A number that one should see first."""

    name: str
    value: str
    note: str


def headline(result: Result) -> str:
    """One sentence: what was searched, for what, by what.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.oneof([1, 2, 3])}
    >>> result = sn.search(space, lambda e: e["x"], "grid", progress=False)
    >>> headline(result).endswith("1 decision (3 examples) for the largest reward.")
    True
    """
    signs = result._record.objectives.signs
    goals = [
        f"the {'largest' if sign > 0 else 'smallest'} {short(name)}"
        for name, sign in zip(result.objectives, signs, strict=True)
    ]
    number = len(result.space.decisions)
    what = f"{number:,} decision{'s' * (number != 1)} ({_size(result)})"
    algorithm = str(result.environment.get("algorithm") or "").split("(")[0]
    who = f"{algorithm} searched" if algorithm else "A search of"
    return f"{who} {what} for {' and '.join(goals)}."


def verdict(result: Result) -> str:
    """Whether the search has come to an end, as far as its trials can tell."""
    done = np.flatnonzero(result._record.statuses() == COMPLETED) + 1
    if not len(done):
        reasons = failures(result)
        if not reasons:
            return "No trial was completed yet."
        number = len(reasons[0].ids)
        return f"No trial was completed. {reasons[0].reason} ({number:,} {reasons[0].status})"
    last = last_improvement(result)
    after = int((done > last).sum())
    if len(done) == 1:
        return "One trial was completed: there is nothing to compare it with."
    said = "improved the best" if len(result.objectives) == 1 else "reached the front"
    if after <= _STILL_IMPROVING * len(done):
        when = "the last one" if not after else f"{after:,} trials before the end"
        return (
            f"It was still improving: trial {last:,}, {when}, {said}. More trials may "
            "find better ones."
        )
    return (
        f"Nothing better was found in the last {after:,} of {len(done):,} completed "
        f"trials ({after / len(done):.0%})."
    )


def last_improvement(result: Result) -> int:
    """The id of the last trial that improved the best, or that reached the front."""
    if len(result.objectives) > 1:
        return max(trial.id for trial in result.pareto_front())
    return result.best.id


def facts(result: Result) -> list[Fact]:
    """What one should see first."""
    return [*_found(result), _trials(result), *_time(result), _tried(result)]


def _found(result: Result) -> list[Fact]:
    if not result.num_completed:
        return []
    if len(result.objectives) > 1:
        number = len(result.pareto_front())
        note = f"of {result.num_completed:,} completed trials"
        return [Fact("on the Pareto front", f"{number:,}", note)]
    best = result.best
    return [
        Fact(f"best {short(name)}", f"{value:.5g}", f"trial {best.id:,}")
        for name, value in zip(result.objectives, best.rewards, strict=True)
    ]


def _trials(result: Result) -> Fact:
    pending = result._record.count(PENDING)
    counts = [
        (result.num_completed, "completed"),
        (result.num_failed, "failed"),
        (result.num_skipped, "skipped"),
        (pending, "pending"),
    ]
    note = ", ".join(f"{count:,} {name}" for count, name in counts if count)
    return Fact("trials", f"{len(result.trials):,}", note or "none yet")


def _time(result: Result) -> list[Fact]:
    try:
        times = clock(result)
    except NothingToDraw:
        return []
    taken = float(np.nansum(times.ended - times.begun))
    each = np.nanmedian(times.ended - times.begun)
    note = f"{time_text(float(each))} for a trial (median)"
    if taken > 1.5 * times.span:
        note += f", {time_text(taken)} of evaluations"
    return [Fact("time", time_text(times.span), note)]


def _tried(result: Result) -> Fact:
    size, done = result.space.size, len(result.trials)
    if size == math.inf or not result.space.size_is_exact or not size:
        note = "without end: it has floats" if size == math.inf else "an upper bound"
        return Fact("examples in the space", _count(size), note)
    part = done / size
    note = (
        "of which hardly any were tried" if part < 1e-4 else f"{min(part, 1):.2%} tried"
    )
    return Fact("examples in the space", _count(size), note)


def _size(result: Result) -> str:
    return f"{_count(result.space.size)} examples"


def _count(size: float) -> str:
    if isinstance(size, float):
        return "infinitely many"
    if size < 10**9:
        return f"{size:,}"
    if size >= 10**_MOST_DIGITS:
        return f"over 10{_raised(_MOST_DIGITS)}"
    digits = str(size)
    return f"{digits[0]}.{digits[1:3]} \u00d7 10{_raised(len(digits) - 1)}"


def _raised(power: int) -> str:
    return str(power).translate(_SUPERSCRIPTS)


_MOST_DIGITS = 4000  # Python refuses to write longer numbers, as they take so long.
_SUPERSCRIPTS = str.maketrans(
    "0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def time_text(seconds: float) -> str:
    """Seconds in the unit that people would use.

    >>> time_text(0.004), time_text(75.0), time_text(9000.0), time_text(200000.0)
    ('4 ms', '75 s', '2.5 h', '2.3 days')
    """
    if seconds < 0.1:
        return f"{1000 * seconds:.2g} ms"
    for limit, length, unit in ((100, 1, "s"), (6000, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 86400:.2g} days"


def date_text(created: float) -> str:
    """When a study began, in the time of this machine."""
    moment = datetime.datetime.fromtimestamp(created).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M %Z")

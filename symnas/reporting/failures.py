"""Why trials have no result."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from symnas.trial import FAILED, SKIPPED

if TYPE_CHECKING:
    from symnas.result import Result

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(\.\d+)?")
_LONGEST = 200
_LONGEST_TRACE = 20_000
_HEADER = "Traceback (most recent call last):"


@dataclasses.dataclass
class Failures:
    """Trials that failed, or were skipped, for one reason.

    Attributes:
      reason: of the first of them.
      details: all that is known of the first, as its traceback.
    """

    status: str
    reason: str
    details: str
    ids: list[int] = dataclasses.field(default_factory=list)


def failures(result: Result) -> list[Failures]:
    """Trials without a result by reason, the most frequent one first.

    Reasons that differ in numbers alone are one, as 'out of memory' with an address.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     raise ValueError(f"{example['x']} is too large")
    >>> space = {"x": sn.oneof([1, 2, 3])}
    >>> result = sn.search(space, evaluate, "grid", progress=False)
    >>> [(group.reason, group.ids) for group in failures(result)]
    [('ValueError: 1 is too large', [1, 2, 3])]
    """
    record = result._record
    errors, statuses = record.having("error"), record.statuses()
    groups: dict[tuple[int, str], Failures] = {}
    for i in ((statuses == FAILED) | (statuses == SKIPPED)).nonzero()[0].tolist():
        status, error = int(statuses[i]), str(errors.get(i + 1, "no reason was given"))
        reason = reason_of(error)
        key = status, _NUMBERS.sub("#", reason)
        if key not in groups:
            kind = "failed" if status == FAILED else "skipped"
            groups[key] = Failures(kind, reason, error[-_LONGEST_TRACE:])
        groups[key].ids.append(i + 1)
    return sorted(groups.values(), key=lambda group: (-len(group.ids), group.ids[0]))


def reason_of(error: str) -> str:
    """The line of an error, or of its traceback, that says what it is.

    >>> reason_of("Traceback (most recent call last):\\n  File 'x'\\nValueError: a\\nb")
    'ValueError: a'
    """
    lines = [line for line in error.splitlines() if line.strip()] or ["no reason"]
    headers = [i for i, line in enumerate(lines) if line.strip() == _HEADER]
    after = lines[headers[-1] + 1 :] if headers else lines
    said = next((line for line in after if not line[:1].isspace()), lines[-1]).strip()
    return said if len(said) <= _LONGEST else said[: _LONGEST - 3] + "..."

"""One evaluation, run to its end wherever that may be."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from symnas.seeding import seed_generators

YIELDED = "yielded"  # The last of the results that were yielded counts.
RETURNED = "returned"


def run(
    evaluate: Callable[[Any], Any],
    example: Any,
    seed: int,
    report: Callable[[Any], bool],
) -> tuple[str, Any]:
    """Evaluates an example with all generators seeded.

    Args:
      evaluate: returns a result, or yields results as it goes.
      example: what is evaluated.
      seed: of Python's, NumPy's and torch's generators.
      report: gets each result that is yielded, and says whether to stop.

    Returns:
      `(RETURNED, result)`, or `(YIELDED, None)`.
    """
    seed_generators(seed)
    outcome = evaluate(example)
    if not inspect.isgenerator(outcome):
        return RETURNED, outcome
    try:
        for metrics in outcome:
            if report(metrics):
                break
    finally:
        outcome.close()
    return YIELDED, None

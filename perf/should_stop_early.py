"""What `feedback.should_stop_early()` costs, by rule and by the number of trials before.

    python perf/should_stop_early.py [--quick]

Trials have 50 measurements. `first` is the slowest call of the first trial that asks, as
after a stored study was opened again: what other trials measured is worked out then.
"""

from __future__ import annotations

import statistics
import sys
import time

import measure
import numpy as np

import symnas as sn
from symnas.early_stopping import (
    LearningCurve,
    MedianRule,
    Patience,
    Rule,
    SuccessiveHalving,
)

STEPS = 50
RULES: dict[str, Rule] = {
    "Patience(100)": Patience(100),
    "MedianRule()": MedianRule(),
    "SuccessiveHalving()": SuccessiveHalving(),
    "LearningCurve()": LearningCurve(),
}


def milliseconds(rule: Rule, num_trials: int) -> tuple[float, float, float]:
    """Slowest call of the first trial that asks; median and slowest of the next five."""
    rng = np.random.default_rng(0)
    ends = rng.uniform(0.3, 0.9, num_trials + 6)
    samples = sn.sample(sn.floatv(0.0, 1.0), early_stopping=rule, seed=0)
    first, later = [], []
    for (_, feedback), end in zip(samples, ends, strict=False):
        for step in range(1, STEPS + 1):
            feedback.add_measurement(float(end * (1 - np.exp(-step / 8))))
            if feedback.id > num_trials:
                began = time.process_time()
                feedback.should_stop_early()
                seconds = time.process_time() - began
                (first if feedback.id == num_trials + 1 else later).append(seconds)
        feedback(float(end))
    return (
        1000 * max(first[1:]),  # Without loading weights.
        1000 * statistics.median(later),
        1000 * max(later),
    )


def main() -> None:
    sizes = [10, 1_000] if "--quick" in sys.argv else [10, 1_000, 10_000]
    rows = [
        [name, size, *milliseconds(rule, size)]
        for name, rule in RULES.items()
        for size in sizes
    ]
    columns = ["rule", "trials before", "first ms", "median ms", "slowest ms"]
    measure.report("What should_stop_early() costs", columns, rows)


if __name__ == "__main__":
    main()

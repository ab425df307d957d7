"""What the rules of LC-PFN's paper save on the 12 tasks of Taskset: `pytest -m slow`."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symnas.early_stopping import LearningCurve, MedianRule, Patience
from symnas.predictors import LCPFN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SYMNAS_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def speed_ups() -> dict[str, float]:
    """By rule, the mean over tasks of what `perf/early_stopping_on_taskset.py` measures."""
    if not (DATA / "taskset").exists():
        pytest.skip(f"needs learning curves, and there is no {DATA / 'taskset'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMNAS_DATA", str(DATA))
        patch.setattr(sys, "path", [*sys.path, str(ROOT / "perf")])
        protocol = runpy.run_path(str(ROOT / "perf" / "early_stopping_on_taskset.py"))
    model, found = LCPFN.load(), []
    for task in protocol["tasks"]()[:12]:
        given: Any = {
            "model": protocol["Remembered"](model, task.values),
            "normalizer": task.normalizer,
            "horizon": protocol["EPOCHS"],
        }
        rules = {
            "none": None,
            "published": LearningCurve(**given, min_improvement=0.0),
            "0.01": LearningCurve(**given, min_improvement=0.01),
            "default": LearningCurve(**given),
            "patience": Patience(2),
            "median": MedianRule(),
        }
        regrets = protocol["regrets"](task, rules)
        whole = regrets["none"][:, -1]
        found.append(
            {name: protocol["speed_up"](r, whole) for name, r in regrets.items()}
        )
    return {name: float(np.mean([row[name] for row in found])) for name in found[0]}


def test_the_published_rule_saves_what_was_measured_for_the_specification(
    speed_ups: dict[str, float],
) -> None:
    assert speed_ups["published"] >= 1.6
    assert speed_ups["0.01"] >= 1.8


def test_the_default_saves_as_much_as_patience_and_more_than_the_median_rule(
    speed_ups: dict[str, float],
) -> None:
    assert speed_ups["default"] > 0.9 * speed_ups["patience"] > speed_ups["median"]

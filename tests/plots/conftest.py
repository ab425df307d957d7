"""Studies as rows, for figures to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import symnas as sn
from symnas.record import Record
from symnas.trial import COMPLETED, FAILED, Objectives


class Rows(Record):
    """A record of trials that never ran."""

    seed = 0
    workers: Sequence[str] = ()

    def worker(self, trial_id: int) -> str:
        return self.workers[trial_id - 1] if self.workers else ""


@pytest.fixture
def study() -> Callable[..., sn.Result]:
    """Makes a result of trials; those whose reward is None have failed."""

    def make(
        space: Any,
        rewards: Sequence[Any],
        objectives: Sequence[str] = ("reward",),
        begun: Sequence[float] | None = None,
        seconds: Sequence[float] | None = None,
        workers: Sequence[str] = (),
    ) -> sn.Result:
        record = Rows(sn.SearchSpace(space), Objectives(objectives))
        record.workers = workers
        genotypes = record.space.random(np.random.default_rng(0), len(rewards))
        times = begun or [1e9 + i for i in range(len(rewards))]
        lengths = seconds or [1.0] * len(rewards)
        signs = record.objectives.signs
        for row, reward, start, took in zip(
            genotypes, rewards, times, lengths, strict=True
        ):
            trial_id = record.add(row.tolist(), None, start)
            if reward is None:
                record.extras(trial_id)["error"] = "ValueError: no"
                record.settle(trial_id, FAILED, [], took)
                continue
            given = np.atleast_1d(reward)
            record.settle(trial_id, COMPLETED, (given * signs).tolist(), took)
        return sn.Result(record)

    return make


@pytest.fixture
def line() -> Any:
    """A space of one float."""
    return {"x": sn.floatv(0.0, 1.0)}

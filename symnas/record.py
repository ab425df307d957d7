"""What is known of a study: a row for each trial, in columns."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.curves import Curve, curve_of
from symnas.genotype import Genotypes
from symnas.layout import Layout
from symnas.seeding import torch_seeded
from symnas.space import SearchSpace
from symnas.trial import COMPLETED, PENDING, STATUSES, Measurement, Objectives, Trial


class Record:
    """The trials of a study, as columns of numbers without an object for each.

    Attributes:
      why_stopped: why nothing more is proposed; None while the search goes on.
      name: of the study in its store.
      created: when the study was begun, in seconds since the epoch.
    """

    seed: int
    name: str | None = None
    inner: Mapping[int, Sequence[Record]] = MappingProxyType({})

    def __init__(self, space: SearchSpace, objectives: Objectives) -> None:
        self.space = space
        self.objectives = objectives
        self.why_stopped: str | None = None
        self.created = time.time()
        self._no_rewards = [math.nan] * len(objectives)
        self._genes: array[Any] = array(_typecode(space.layout))
        self._rewards = array("d")  # All maximised.
        self._status = array("B")
        self._begun = array("d")
        self._seconds = array("f")
        self._extras: dict[int, dict[str, Any]] = {}  # Of those few that have some.
        self._budgets: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._status)

    # --- writing ------------------------------------------------------------------------

    def add(self, row: list[float], budget: int | None, begun: float) -> int:
        """Adds a trial that is pending since `begun`; returns its id."""
        self._genes.extend(row if self._genes.typecode == "d" else map(int, row))
        self._rewards.extend(self._no_rewards)
        self._status.append(PENDING)
        self._begun.append(begun)
        self._seconds.append(math.nan)
        if budget is not None:
            self._budgets[len(self._status)] = budget
        return len(self._status)

    def settle(
        self, trial_id: int, status: int, signed: list[float], seconds: float
    ) -> None:
        """Writes what came of a trial; `signed` rewards are all maximised."""
        i = trial_id - 1
        self._status[i] = status
        self._seconds[i] = seconds
        for j, reward in enumerate(signed, i * len(self._no_rewards)):
            self._rewards[j] = reward

    def extras(self, trial_id: int) -> dict[str, Any]:
        """What few trials have: metrics, measurements, metadata, an error."""
        return self._extras.setdefault(trial_id, {})

    # --- reading ------------------------------------------------------------------------

    def row(self, trial_id: int) -> list[float]:
        """The genotype (d,) of a trial."""
        width = self.space.num_columns
        return list(map(float, self._genes[(trial_id - 1) * width : trial_id * width]))

    def signed(self, trial_id: int) -> list[float]:
        """The rewards (m,) of a trial, all maximised."""
        width = len(self._no_rewards)
        return self._rewards[(trial_id - 1) * width : trial_id * width].tolist()

    def budget(self, trial_id: int) -> int | None:
        """The step at which the evaluation of a trial is to end."""
        return self._budgets.get(trial_id)

    def measurements(self, trial_id: int) -> list[Measurement]:
        """What a trial reported on the way so far, as reported."""
        measured: list[Measurement] = self._extras.get(trial_id, {}).get(
            "measurements", []
        )
        return measured

    def curve(self, trial_id: int) -> Curve:
        """What a trial measured of the first objective."""
        extras = self._extras.get(trial_id, {})
        whole = (
            self._status[trial_id - 1] == COMPLETED
            and not extras.get("stopped_early")
            and self.budget(trial_id) is None
        )
        name, sign = self.objectives.names[0], self.objectives.signs[0]
        return curve_of(self.measurements(trial_id), name, sign, whole)

    def trial(self, trial_id: int) -> Trial:
        if not 1 <= trial_id <= len(self):
            raise IndexError(f"This study has trials 1 to {len(self)}, got {trial_id}.")
        i, row = trial_id - 1, self.row(trial_id)
        extras = self._extras.get(trial_id, {})
        rewards: tuple[float, ...] = ()
        if self._status[i] == COMPLETED:
            signed = zip(self.signed(trial_id), self.objectives.signs, strict=True)
            rewards = tuple(reward * sign for reward, sign in signed)
        named = dict(zip(self.objectives.names, rewards, strict=False))
        measured = sorted(self.measurements(trial_id), key=lambda m: m.step)
        return Trial(
            id=trial_id,
            status=STATUSES[self._status[i]],
            rewards=rewards,
            decisions=self.space.values(row),
            genotype=tuple(row),
            metrics={**extras.get("metrics", {}), **named},
            measurements=tuple(measured),
            begun=self._begun[i],
            seconds=self._seconds[i],
            seed=self.trial_seed(trial_id),
            error=extras.get("error"),
            metadata=dict(extras.get("metadata", {})),
            stopped_early=extras.get("stopped_early", False),
            budget=self.budget(trial_id),
            worker=self.worker(trial_id),
        )

    def rewards(self) -> NDArray[np.float64]:
        """(n, m), all maximised, NaN for trials without a reward."""
        return np.array(self._rewards).reshape(len(self), len(self.objectives))

    def genotypes(self) -> Genotypes:
        """(n, d)"""
        shape = len(self), self.space.num_columns
        return np.array(self._genes, dtype=float).reshape(shape)

    def statuses(self) -> NDArray[np.uint8]:
        return np.array(self._status)

    def having(self, key: str) -> dict[int, Any]:
        """One of the `extras`, of the trials that have it."""
        return {i: extras[key] for i, extras in self._extras.items() if extras.get(key)}

    def begun(self) -> NDArray[np.float64]:
        """(n,), when trials began, in seconds since the epoch."""
        return np.array(self._begun)

    def seconds(self) -> NDArray[np.float32]:
        """(n,), from the proposal to the result, NaN for trials without one."""
        return np.array(self._seconds)

    def worker(self, trial_id: int) -> str:
        """The process whose loop ran a trial; '' if that is not known."""
        return ""

    @property
    def environment(self) -> dict[str, Any]:
        """The algorithm, the command, the machine and the versions of a search."""
        return {}

    def status(self, trial_id: int) -> int:
        """The status of a trial, as an index of `STATUSES`."""
        return self._status[trial_id - 1]

    def is_pending(self, trial_id: int) -> bool:
        return self._status[trial_id - 1] == PENDING

    def count(self, status: int) -> int:
        """How many trials have a status."""
        return int((self.statuses() == status).sum())

    @property
    def best_id(self) -> int | None:
        """The trial with the largest first reward, the earliest of equal ones."""
        rewards = np.array(self._rewards)[:: len(self.objectives)]
        if not np.isfinite(rewards).any():
            return None
        return int(np.nanargmax(rewards)) + 1

    # --- the examples -------------------------------------------------------------------

    def build(self, trial_id: int) -> Any:
        """The example of a trial, made again with the same initial weights."""
        return self._build(self.row(trial_id), trial_id)[0]

    def _build(self, row: list[float], trial_id: int) -> tuple[Any, list[float]]:
        if not self.space.makes_objects:
            return self.space.realize(row)
        # Initial weights depend on the seed and the trial alone.
        with torch_seeded(self.trial_seed(trial_id)):
            return self.space.realize(row)

    def trial_seed(self, trial_id: int) -> int:
        """31 bits, a hash (splitmix64) of the seed and the trial's id."""
        x = (self.seed + trial_id * 0x9E3779B97F4A7C15) & _64_BITS
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _64_BITS
        return (x ^ (x >> 31)) >> 33


_64_BITS = (1 << 64) - 1


def _typecode(layout: Layout) -> str:
    """The smallest type that holds all genes of a space."""
    if layout.is_float.any():
        return "d"
    largest = int(layout.counts.max())
    return next(code for code, top in _INTEGERS.items() if largest <= top)


_INTEGERS = {"b": 2**7, "h": 2**15, "i": 2**31, "q": 2**63}

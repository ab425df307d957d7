"""Trials: what was proposed, and what came of it."""

from __future__ import annotations

import dataclasses
import numbers
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from symnas.genotype import Genotypes
    from symnas.study import Study

Status = Literal["pending", "completed", "failed", "skipped"]

STATUSES: tuple[Status, ...] = ("pending", "completed", "failed", "skipped")
PENDING, COMPLETED, FAILED, SKIPPED = range(4)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A result on the way, as after an epoch of training."""

    step: int
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One proposal and its result, as recorded.

    Attributes:
      id: counts from 1 within a study.
      status: 'completed', 'failed', 'skipped', or 'pending' while it runs.
      rewards: one number per objective as given; empty unless completed.
      decisions: the active decisions by name or path.
      genotype: (d,).
      metrics: all metrics that were reported at the end.
      measurements: what was reported on the way, in the order of steps.
      begun: when it was proposed, in seconds since the epoch.
      seconds: from the proposal to the result.
      seed: what the evaluation should seed its generators with.
      error: why it failed or was skipped.
      stopped_early: the evaluation was cut short by an early-stopping policy.
      budget: the step at which the algorithm had it end; None if at its own end.
      worker: of a stored study, the process whose loop ran it.
    """

    id: int
    status: Status
    rewards: tuple[float, ...]
    decisions: dict[str, Any]
    genotype: tuple[float, ...]
    metrics: dict[str, float]
    measurements: tuple[Measurement, ...]
    begun: float
    seconds: float
    seed: int
    error: str | None
    metadata: dict[str, Any]
    stopped_early: bool
    budget: int | None = None
    worker: str = ""

    @property
    def partial(self) -> bool:
        """Whether the budget was used up in a loop within this trial."""
        inner = inner_of(self.metadata)
        return inner is not None and bool(inner["partial"])

    @property
    def reward(self) -> float:
        """The reward; raises `ValueError` if there is none, or there are several."""
        if self.status != "completed":
            why = f": {self.error}" if self.error else ""
            raise ValueError(
                f"Trial {self.id} has no reward, it is {self.status}{why}."
            )
        if len(self.rewards) > 1:
            raise ValueError(
                f"Trial {self.id} has {len(self.rewards)} objectives: use `rewards`."
            )
        return self.rewards[0]


class Feedback:
    """The way back from an evaluation to the study it belongs to.

    Exactly one of calling it, `done`, `skip` and `fail` ends the trial. A trial that ends
    without any of them is recorded as failed.
    """

    __slots__ = ("_genotype", "_study", "begun", "id")

    def __init__(self, study: Study, trial_id: int, genotype: Genotypes) -> None:
        self._study = study
        self._genotype = genotype
        self.id = trial_id
        self.begun = time.perf_counter()

    # --- what is evaluated --------------------------------------------------------------

    @property
    def genotype(self) -> list[float]:
        """The genes (d,), -1 where a decision is inactive."""
        row: list[float] = self._genotype.tolist()
        return row

    @property
    def decisions(self) -> dict[str, Any]:
        """The active decisions by name or path."""
        return self._study.space.values(self.genotype)

    @property
    def dna(self) -> Any:
        """The `pg.DNA` of the example."""
        return self._study.space.to_dna(self.genotype)

    @property
    def symbolic(self) -> Any:
        """The symbolic form of the example: its constructor calls, not made."""
        return self._study.space.symbolic(self.genotype)

    @property
    def seed(self) -> int:
        """31 bits that depend on the study's seed and this trial only.

        The example was built with torch seeded by it; an evaluation that seeds its own
        generators with it repeats.
        """
        return self._study.trial_seed(self.id)

    @property
    def budget(self) -> int | None:
        """The step at which the algorithm wants the evaluation to end; None for its end.

        `should_stop_early` says so when a measurement has reached it.
        """
        return self._study.budget(self.id)

    # --- results ------------------------------------------------------------------------

    def __call__(
        self,
        reward: Any = None,
        metrics: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Ends the trial with its result.

        Args:
          reward: a number, larger is better; or a dict of metrics, or a sequence with one
            number for each objective of the study.
          metrics: further numbers to record.
          metadata: anything else to record.

        Raises:
          TypeError: the reward is not a number. The trial stays open.
          ValueError: an objective is missing, or the trial has ended.

        A NaN or infinite reward records the trial as failed.
        """
        rewards, numbers_ = self._study.objectives.read(reward, metrics)
        if metadata:
            self._study.require_open(self.id)
            for key, value in metadata.items():
                self.set_metadata(key, value)
        self._study.complete(self, rewards, numbers_)

    def add_measurement(
        self,
        reward: Any = None,
        step: int | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Reports a result on the way.

        Args:
          reward: as for the final result.
          step: an epoch or the like; by default one more than the last step.
          metrics: further numbers to record.
        """
        self._study.require_open(self.id)
        _, numbers_ = self._study.objectives.read(reward, metrics)
        measured = self.measurements
        if step is None:
            step = max((m.step for m in measured), default=0) + 1
        self._study.measure(self.id, Measurement(int(step), numbers_))

    @property
    def measurements(self) -> list[Measurement]:
        """What was reported on the way so far, as reported."""
        return self._study.measurements(self.id)

    @property
    def stopped_early(self) -> bool:
        """Whether `should_stop_early` has said so."""
        stopped: bool = self._study.extras(self.id).get("stopped_early", False)
        return stopped

    def should_stop_early(self) -> bool:
        """Whether the early-stopping policy of the study gives this trial up.

        End it with `done()` if so: its last measurement then is its result.
        """
        self._study.require_open(self.id)
        return self._study.should_stop_early(self)

    def done(self, metadata: Mapping[str, Any] | None = None) -> None:
        """Ends the trial with the measurement of the largest step."""
        self._study.require_open(self.id)
        if not self.measurements:
            raise ValueError(
                f"Trial {self.id} has no measurement to end with. Call "
                "`feedback(reward)`, or `feedback.add_measurement(reward)` before."
            )
        # Of several with the largest step the one reported last.
        last = max(
            reversed(self.measurements), key=lambda measurement: measurement.step
        )
        self(dict(last.metrics), metadata=metadata)

    def skip(self, reason: str = "") -> None:
        """Ends the trial without a result, as for an example that is of no interest."""
        self._study.end(self, SKIPPED, str(reason) or None)

    def fail(self, error: BaseException | str) -> None:
        """Ends the trial as failed."""
        text = error if isinstance(error, str) else format_error(error)
        self._study.end(self, FAILED, text)

    def end_loop(self) -> None:
        """Ends the search after this trial."""
        self._study.end_loop(self.id)

    def set_metadata(self, key: str, value: Any) -> None:
        """Keeps something with the trial."""
        self._study.set_metadata(self.id, key, value)

    def get_metadata(self, key: str, default: Any = None) -> Any:
        return self._study.extras(self.id).get("metadata", {}).get(key, default)


def inner_of(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a trial notes of loops within it, unless its metadata has something else."""
    inner = metadata.get("inner")
    if isinstance(inner, dict) and inner.keys() >= {"evaluations", "partial"}:
        return inner if type(inner["evaluations"]) is int else None
    return None


def check_feedback(within: Any) -> None:
    """Raises `TypeError` unless a loop can run within it."""
    if not isinstance(within, Feedback):
        raise TypeError(
            "`within` must be the feedback of the trial that this loop evaluates, got "
            f"{within!r}."
        )


def format_error(error: BaseException) -> str:
    """The type and message of an error, and where it happened."""
    return "".join(traceback.format_exception(error)).rstrip()


class Objectives:
    """What is maximised: names of metrics, with a `-` before those to be minimised."""

    def __init__(self, names: Sequence[str]) -> None:
        names = (names,) if isinstance(names, str) else tuple(names)
        if not all(isinstance(name, str) and name.removeprefix("-") for name in names):
            names = ()
        self.names = tuple(name.removeprefix("-") for name in names)
        self.signs = [-1.0 if name.startswith("-") else 1.0 for name in names]
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(
                "`objectives` must be different names of metrics, with a `-` before those "
                f"to be minimised, got {names!r}."
            )

    def __len__(self) -> int:
        return len(self.names)

    def read(
        self, reward: Any, metrics: Mapping[str, Any] | None
    ) -> tuple[tuple[float, ...], dict[str, float]]:
        """The objectives as given, and all metrics."""
        if metrics is None and type(reward) is float and len(self.names) == 1:
            return (reward,), {self.names[0]: reward}
        if isinstance(reward, Mapping):
            reward, metrics = None, {**reward, **(metrics or {})}
        given = {
            str(key): _number(value, f"The metric `{key}`")
            for key, value in (metrics or {}).items()
        }
        if reward is not None or not given:
            values = [reward]
            if len(self) > 1 and isinstance(reward, (tuple, list, np.ndarray)):
                values = list(reward)
            if len(values) != len(self):
                raise ValueError(
                    f"{len(self)} objectives are searched ({', '.join(self.names)}), got "
                    f"the reward {reward!r}. Pass a dict with one number for each."
                )
            numbers_ = [_number(value, "A reward") for value in values]
            given.update(zip(self.names, numbers_, strict=True))
        missing = [name for name in self.names if name not in given]
        if missing:
            raise ValueError(
                f"The objective `{missing[0]}` is not among the metrics "
                f"({', '.join(map(repr, given))}). Report it, or name the metric to "
                "optimize in `objectives=`."
            )
        return tuple(given[name] for name in self.names), given


def _number(value: Any, what: str) -> float:
    if type(value) is float:
        return value
    item: Callable[[], Any] | None = getattr(value, "item", None)
    if (
        item is not None and getattr(value, "ndim", 1) == 0
    ):  # Scalars of NumPy and torch.
        value = item()
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a number, got {value!r}.")
    return float(value)

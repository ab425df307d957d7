"""A study that is kept in a store, goes on after it was killed, and is shared by workers."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import threading
import time
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from symnas.genotype import Genotypes
from symnas.storage import decisions
from symnas.storage.errors import StorageError
from symnas.storage.journal import News, extras_of
from symnas.storage.leases import Leases, new_worker
from symnas.storage.store import Store, StudyDescription
from symnas.study import BLOCKED, UNBUILT, Blocked, Proposal, Study
from symnas.trial import COMPLETED, FAILED, PENDING, Feedback, Measurement

_SHORTEST_WAIT, _LONGEST_WAIT = 0.005, 0.2  # Seconds between two looks at the store.
_CHECK_SECONDS = 1.0  # Between two looks at who of the others is alive.

# Which worker holds a study in which thread. One that opens it again, as a notebook cell
# that is run twice, gives up the first one's trials.
_holders: dict[tuple[str, str, int], tuple[str, Leases]] = {}


class StoredStudy(Study):
    """A study whose journal is written before its state in memory changes."""

    def __init__(
        self,
        *arguments: Any,
        name: str | None,
        storage: str | os.PathLike[str],
        **options: Any,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"A stored study needs a `name`, a string by which it is found, got {name!r}."
            )
        self.name = name
        self._store = Store(storage)
        self._worker = new_worker()
        self._owners: dict[int, str] = {}  # Of trials that are pending elsewhere.
        self._attempts: dict[int, int] = {}  # Above one.
        self._waits = 0
        self._next_check = -math.inf  # When to look for dead workers again.
        super().__init__(*arguments, **options)
        self._leases = self._hold()
        self._absorb(self._journal.look())
        # Only who beats or dies from now on is known to be alive or dead.
        self._loaded = True

    _loaded = False

    def _settle_seed(self, seed: int | None) -> int:
        """Opens the study: one that exists has a seed already."""
        text = repr(self.algorithm)
        signs = zip(self.objectives.signs, self.objectives.names, strict=True)
        try:
            stored = next(
                (row for row in self._store.all_studies() if row.name == self.name),
                None,
            )
            if seed is None and stored is not None:
                seed = stored.seed
            seed = super()._settle_seed(seed)
            if seed >= 2**63:
                raise ValueError(
                    f"The `seed` of a stored study must be below 2**63, got {seed}."
                )
            description = StudyDescription(
                seed=seed,
                lag=self.lag,
                objectives=json.dumps(["-" * (s < 0) + name for s, name in signs]),
                algorithm=re.sub(r" at 0x[0-9a-f]+", "", text),
                fingerprint=self.space.fingerprint,
                decisions=decisions.to_json(self.space),
                outline=decisions.outline(self.space),
            )
            self._store.check()
            self._journal = self._store.open_study(self.name, description, self._worker)
        except BaseException:
            self._store.close()
            raise
        return seed

    def _hold(self) -> Leases:
        key = str(self._store.url), self.name, threading.get_ident()
        if key in _holders:
            worker, leases = _holders.pop(key)
            leases.stop()
            self._journal.release(worker)
        leases = Leases(self._journal)
        _holders[key] = self._worker, leases
        weakref.finalize(self, leases.stop)
        self._key = key
        return leases

    # --- what the journal says ------------------------------------------------------------

    def _absorb(self, news: News) -> None:
        """Enters what others, or an earlier run, have written."""
        for claim in news.claims:
            row = json.loads(claim.genotype)
            self._take_up(row, np.array(row, dtype=float))
            self._own(claim.id, claim.worker, claim.attempt)
        for measured in news.measurements:
            self._absorb_measurement(measured)
        for end in news.ends:
            self._owners.pop(end.id, None)
            self._absorb_end(end)
        self._ended_by = news.stopped_by

    def _own(self, trial_id: int, worker: str, attempt: int) -> None:
        self._owners[trial_id] = worker
        if attempt > 1:
            self._attempts[trial_id] = attempt
        if self._loaded:
            self._leases.heard_of(worker)

    def _absorb_measurement(self, measured: Any) -> None:
        known = self._attempts.get(measured.trial_id, 1)
        if measured.attempt < known:
            return
        if measured.attempt > known:  # What an attempt before it reported is void.
            self._attempts[measured.trial_id] = measured.attempt
            self.extras(measured.trial_id).pop("measurements", None)
        metrics = json.loads(measured.metrics)
        super().measure(measured.trial_id, Measurement(measured.step, metrics))

    def _absorb_end(self, end: Any) -> None:
        extras = extras_of(end, self.measurements(end.id))
        if extras:
            self._extras[end.id] = extras
        rewards = json.loads(end.rewards) if end.rewards else []
        genotype = np.array(self.row(end.id))
        self._conclude(end.id, end.status, rewards, end.seconds, genotype)
        if end.status == COMPLETED:
            self._failed_builds = -1

    # --- proposals ------------------------------------------------------------------------

    def claim(self) -> tuple[Any, Feedback] | Blocked | None:
        while True:
            if self.timeout is not None and self.elapsed >= self.timeout:
                self.stop(f"{self.timeout} seconds have passed")
            if self.why_stopped is not None and not self.exhausted:
                return None
            taken = self._take_over()
            if isinstance(taken, Blocked):
                return BLOCKED
            if taken is not None:
                row = self.row(taken)
                begun = self._begin(taken, row, np.array(row), UNBUILT)
            else:
                proposed = self._admit()
                if isinstance(proposed, Blocked):
                    return BLOCKED
                if proposed is None:
                    # What others still run may come back to us.
                    return BLOCKED if self.exhausted and self._owners else None
                begun = self._begin(len(self), *proposed)
            if begun is not None:
                self._waits = 0
                return begun

    def _admit(self) -> Proposal | Blocked | None:
        """Proposes within a transaction, after all that others did."""
        outcome: list[Proposal | Blocked | None] = [None]

        def propose() -> tuple[list[float], int] | None:
            seen = sum(self.num_ended)
            outcome[0] = proposed = super(StoredStudy, self)._admit()
            if proposed is None or isinstance(proposed, Blocked):
                return None
            return proposed[0], sum(self.num_ended) if self.lag else seen

        if self.exhausted:
            self._absorb(self._journal.look())
            return None
        self._journal.claim(self._absorb, propose)
        return outcome[0]

    def _take_over(self) -> int | Blocked | None:
        """A trial whose worker died, now ours; `BLOCKED` while one may be dead."""
        if time.monotonic() < self._next_check or not self._owners:
            return None
        unknown = False
        for trial_id, owner in list(self._owners.items()):
            state = self._leases.state(owner)
            unknown = unknown or state == "unknown"
            if state == "dead" and self._takes(trial_id, owner):
                return trial_id
        if unknown:
            return BLOCKED
        self._next_check = time.monotonic() + _CHECK_SECONDS
        return None

    def _takes(self, trial_id: int, owner: str) -> bool:
        """Takes a trial from a dead worker, unless it has ended or another was faster."""
        found = self._journal.take_over(trial_id, owner)
        if found is None:  # The journal will tell how it ended.
            return False
        worker, attempt = found
        if worker != self._worker:
            self._own(trial_id, worker, attempt)
            return False
        del self._owners[trial_id]
        self._attempts[trial_id] = attempt
        self._extras.pop(trial_id, None)
        return True

    def wait(self) -> None:
        if self._pending_here():
            super().wait()
            return
        time.sleep(min(_SHORTEST_WAIT * 2**self._waits, _LONGEST_WAIT))
        self._waits = min(self._waits + 1, 10)
        self._absorb(self._journal.look())

    # --- results --------------------------------------------------------------------------

    def _report(
        self,
        trial_id: int,
        status: int,
        rewards: Sequence[float],
        seconds: float,
        genotype: Genotypes,
    ) -> None:
        extras = self._extras.get(trial_id, {})
        metrics, data = extras.get("metrics"), extras.get("metadata")
        values = {
            "status": status,
            "rewards": json.dumps(list(rewards)) if rewards else None,
            "seconds": seconds,
            "metrics": json.dumps(metrics) if metrics else None,
            "metadata": json.dumps(data) if data else None,
            "error": extras.get("error"),
            "stopped_early": extras.get("stopped_early"),
        }
        if self._journal.end(trial_id, self._absorb, values):
            self._conclude(trial_id, status, rewards, seconds, genotype)
        else:
            self._refuse(trial_id)

    def _refuse(self, trial_id: int) -> None:
        """A result that comes after the trial was given to another worker."""
        if trial_id not in self._owners and self._status[trial_id - 1] == PENDING:
            self._own(trial_id, "", 1)
        warnings.warn(
            f"Trial {trial_id} of {self.name!r} was taken over by another worker, because "
            "this one had shown no sign of life. What it brought now was not recorded.",
            stacklevel=4,
        )

    def measure(self, trial_id: int, measurement: Measurement) -> None:
        self._journal.measure(trial_id, self._attempts.get(trial_id, 1), measurement)
        super().measure(trial_id, measurement)

    def restart(self, trial_id: int) -> None:
        # Taken over from itself, it is another attempt.
        taken = self._journal.take_over(trial_id, self._worker)
        if taken is not None and taken[0] == self._worker:
            self._attempts[trial_id] = taken[1]
        super().restart(trial_id)

    def should_stop_early(self, feedback: Feedback) -> bool:
        if self._owners:
            self._absorb(self._journal.look())
        return super().should_stop_early(feedback)

    def set_metadata(self, trial_id: int, key: str, value: Any) -> None:
        self.require_open(trial_id)
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"Metadata of a stored study must be JSON, got {value!r} for `{key}`: "
                f"{error}."
            ) from None
        super().set_metadata(trial_id, key, value)

    # --- the end --------------------------------------------------------------------------

    def end_loop(self, trial_id: int) -> None:
        self._journal.stop(trial_id)
        super().end_loop(trial_id)

    def close(self, why: str = "no feedback was given") -> None:
        if self.ended:
            return
        try:
            for trial_id in self._pending_here():
                genotype = np.array(self.row(trial_id))
                self.extras(trial_id)["error"] = why
                self._report(trial_id, FAILED, (), math.nan, genotype)
        finally:
            self._let_go()
        super().close(why)

    def abandon(self, why: str) -> None:
        """Leaves its pending trials to whoever goes on with the study."""
        if self.ended:
            return
        # If that fails, they are taken over when the lease has ended.
        with contextlib.suppress(StorageError):
            self._journal.release(self._worker)
        self._let_go()
        super().abandon(why)

    def _pending_here(self) -> list[int]:
        return [
            i
            for i, status in enumerate(self._status, 1)
            if status == PENDING and i not in self._owners
        ]

    def _let_go(self) -> None:
        self._leases.stop()
        _holders.pop(self._key, None)
        self._store.close()

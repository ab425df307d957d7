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
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from symnas.genotype import Genotypes
from symnas.storage import decisions
from symnas.storage.errors import StorageError
from symnas.storage.journal import Claim, End, Measured, News, extras_of
from symnas.storage.leases import Leases, new_worker, process_of
from symnas.storage.store import Store, StudyDescription, storable
from symnas.study import BLOCKED, UNBUILT, Blocked, Proposal, Study
from symnas.trial import (
    COMPLETED,
    FAILED,
    PENDING,
    Feedback,
    Measurement,
    inner_of,
)

_SHORTEST_WAIT, _LONGEST_WAIT = 0.005, 0.2  # Seconds between two looks at the store.
_CHECK_SECONDS = 1.0  # Between two looks at who of the others is alive.

# Which worker holds a study in which process and thread. One that opens it again, as a notebook cell
# that is run twice, gives up the first one's trials.
_holders: dict[tuple[str, str, int, int], tuple[str, Leases]] = {}


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
        if name != storable(name):
            raise ValueError(
                "The `name` of a study cannot hold NULs or halves of characters, got "
                f"{name!r}."
            )
        self.name: str = name
        self.storage = storage
        self._store = Store(storage)
        self._worker = new_worker()
        self._owners: dict[int, str] = {}  # Of trials that are pending elsewhere.
        self._others: dict[int, str] = {}  # Who ran what this loop did not.
        self._held: set[int] = set()  # What this loop was given and has not ended.
        self._attempts: dict[int, int] = {}  # Above one.
        self._waits = 0
        self._next_check = -math.inf  # When to look for dead workers again.
        try:
            super().__init__(*arguments, **options)
            self._leases = self._hold()
        except BaseException:
            with contextlib.suppress(StorageError):  # What is wrong was raised.
                self._store.discard(name)
            self._store.close()
            raise
        self._absorb(self._journal.look())
        self.created = min([self.created, *self._begun[:1]])
        # Only who beats or dies from now on is known to be alive or dead.
        self._loaded = True

    _loaded = False

    def _settle_seed(self, seed: int | None) -> int:
        """Opens the study: one that exists has a seed already."""
        text = repr(self.algorithm) + self.known
        signs = zip(self.objectives.signs, self.objectives.names, strict=True)
        proposed = super()._settle_seed(seed)
        if proposed >= 2**63:
            raise ValueError(
                f"The `seed` of a stored study must be below 2**63, got {proposed}."
            )
        description = StudyDescription(
            seed=proposed,
            lag=self.lag,
            objectives=json.dumps(["-" * (s < 0) + name for s, name in signs]),
            algorithm=storable(re.sub(r" at 0x[0-9a-f]+", "", text)),
            fingerprint=self.space.fingerprint,
            decisions=decisions.to_json(self.space),
            outline=storable(decisions.outline(self.space)),
        )
        self._store.check()
        self._journal, settled = self._store.open_study(
            self.name,
            description,
            self.space.layout,
            self._worker,
            self.environment,
            any_seed=seed is None,
        )
        return settled

    def _hold(self) -> Leases:
        key = str(self._store.url), self.name, os.getpid(), threading.get_ident()
        if key in _holders:
            worker, leases = _holders.pop(key)
            leases.stop()
            self._journal.release(worker)
        leases = Leases(self._journal)
        _holders[key] = self._worker, leases
        weakref.finalize(self, _dispose, leases, self._store)
        self._key = key
        return leases

    def worker(self, trial_id: int) -> str:
        return process_of(self._others.get(trial_id, self._worker))

    # --- what the journal says ------------------------------------------------------------

    def _absorb(self, news: News) -> None:
        """Enters what others, or an earlier run, have written.

        In the order in which it happened: each proposal after the results that it has
        seen, as algorithms may keep books of what they proposed.
        """
        for measured in news.measurements:
            self._absorb_measurement(measured)
        ends = deque(news.ends)
        genotypes = np.array([claim.genotype for claim in news.claims], dtype=float)
        for claim, genotype in zip(news.claims, genotypes, strict=True):
            self._catch_up(claim, ends)
            self._take_up(claim.genotype, genotype, claim.budget, claim.begun)
            self._own(claim.id, claim.worker, claim.attempt, claim.begun)
        for end in ends:
            self._absorb_end(end)
        self._ended_by = news.stopped_by

    def _catch_up(self, claim: Claim, ends: deque[End]) -> None:
        """Enters the ends that came before a claim."""
        if self.lag is None:
            while ends and sum(self.num_ended) < claim.results_seen:
                self._absorb_end(ends.popleft())
            return
        last = claim.id - self.lag
        while ends and last > 0 and self.is_pending(last):
            self._absorb_end(ends.popleft())
        self._sees(last)

    def _own(self, trial_id: int, worker: str, attempt: int, begun: float) -> None:
        self._owners[trial_id] = self._others[trial_id] = worker
        self._begun[trial_id - 1] = begun
        self._note_attempt(trial_id, attempt)
        if self._loaded:
            self._leases.heard_of(worker)

    def _absorb_measurement(self, measured: Measured) -> None:
        if measured.attempt < self._attempts.get(measured.trial_id, 1):
            return
        self._note_attempt(measured.trial_id, measured.attempt)
        measurement = Measurement(measured.step, measured.metrics)
        super().measure(measured.trial_id, measurement)

    def _note_attempt(self, trial_id: int, attempt: int) -> None:
        """What was reported in an attempt before this one is void."""
        if attempt <= self._attempts.get(trial_id, 1):
            return
        self._attempts[trial_id] = attempt
        self._extras.pop(trial_id, None)
        if trial_id in self._held:  # Another worker took it over.
            self._owners.setdefault(trial_id, "")

    def _absorb_end(self, end: End) -> None:
        self._note_attempt(end.id, end.attempt)
        extras = extras_of(end, self.measurements(end.id))
        self._extras.pop(end.id, None)
        if extras:
            self._extras[end.id] = extras
        self._owners.pop(end.id, None)
        seconds = math.nan if end.seconds is None else end.seconds
        self._absorb_cost(end.id, seconds)
        self._conclude(end.id, end.status, end.rewards or (), seconds)
        if end.status == COMPLETED:
            self._failed_builds = -1

    def _absorb_cost(self, trial_id: int, seconds: float) -> None:
        """Counts what a trial has spent in another process."""
        inner = inner_of(self._extras.get(trial_id, {}).get("metadata", {}))
        if inner is not None and trial_id not in self.inner:
            self.draw_more(inner["evaluations"] - 1)
        if not self._loaded:
            self._spend(seconds)

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
                    waits = self.exhausted and self._owners and not self._pending_here()
                    return BLOCKED if waits else None
                row, genotype, _, example = proposed
                begun = self._begin(len(self), row, genotype, example)
            if begun is not None:
                self._waits = 0
                return begun

    def _begin(
        self, trial_id: int, row: list[float], genotype: Genotypes, example: Any
    ) -> tuple[Any, Feedback] | None:
        self._held.add(trial_id)
        return super()._begin(trial_id, row, genotype, example)

    def _admit(self) -> Proposal | Blocked | None:
        """Proposes within a transaction, after all that others did."""
        outcome: list[Proposal | Blocked | None] = [None]

        def propose() -> tuple[list[float], int | None, int, float] | None:
            seen = sum(self.num_ended)
            outcome[0] = proposed = super(StoredStudy, self)._admit()
            if proposed is None or isinstance(proposed, Blocked):
                return None
            row, _, budget, _ = proposed
            seen = sum(self.num_ended) if self.lag else seen
            return row, budget, seen, self._begun[-1]

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
        worker, attempt, begun = found
        if worker != self._worker:
            self._own(trial_id, worker, attempt, begun)
            return False
        del self._owners[trial_id], self._others[trial_id]
        self._attempts[trial_id] = attempt
        self._begun[trial_id - 1] = begun
        self._extras.pop(trial_id, None)
        return True

    def wait(self) -> None:
        if self.lag is not None and PENDING in self._status:
            oldest = self._status.index(PENDING) + 1
            # Nobody else can end what this loop has to see.
            if oldest not in self._owners and oldest <= len(self) + 1 - self.lag:
                super().wait()
                return
        time.sleep(min(_SHORTEST_WAIT * 2**self._waits, _LONGEST_WAIT))
        self._waits = min(self._waits + 1, 10)
        self._absorb(self._journal.look())

    # --- results --------------------------------------------------------------------------

    def complete(
        self, feedback: Feedback, rewards: tuple[float, ...], metrics: dict[str, float]
    ) -> None:
        if self._is_lost(feedback.id):
            self._refuse(feedback.id)
        else:
            super().complete(feedback, rewards, metrics)

    def end(
        self,
        feedback: Feedback,
        status: int,
        error: str | None = None,
        rewards: Sequence[float] = (),
    ) -> None:
        if self._is_lost(feedback.id):
            self._refuse(feedback.id)
        else:
            error = None if error is None else storable(error)
            super().end(feedback, status, error, rewards)

    def require_open(self, trial_id: int) -> None:
        if not self._is_lost(trial_id):
            super().require_open(trial_id)

    def _is_lost(self, trial_id: int) -> bool:
        """Whether a trial was taken over by another worker while this one held it."""
        return trial_id in self._held and (
            trial_id in self._owners or self._status[trial_id - 1] != PENDING
        )

    def _report(
        self,
        trial_id: int,
        status: int,
        rewards: Sequence[float],
        seconds: float,
    ) -> None:
        self._note_inner(trial_id)
        extras = self._extras.get(trial_id, {})
        metrics, data = extras.get("metrics"), extras.get("metadata")
        values = {
            "status": status,
            "rewards": json.dumps(list(rewards)) if rewards else None,
            "seconds": None if math.isnan(seconds) else seconds,
            "metrics": json.dumps(metrics) if metrics else None,
            "metadata": json.dumps(data) if data else None,
            "error": extras.get("error"),
            "stopped_early": extras.get("stopped_early"),
        }
        if self._journal.end(trial_id, self._absorb, values):
            self._held.discard(trial_id)
            self._conclude(trial_id, status, rewards, seconds)
        else:
            self._refuse(trial_id)

    def _refuse(self, trial_id: int) -> None:
        """A result that comes after the trial was given to another worker."""
        self._held.discard(trial_id)
        if self._status[trial_id - 1] == PENDING and trial_id not in self._owners:
            self._owners[trial_id] = ""  # Whose it is will be found out.
            self._extras.pop(trial_id, None)
        warnings.warn(
            f"Trial {trial_id} of {self.name!r} was taken over by another worker, because "
            "this one had shown no sign of life. What it brought now was not recorded.",
            stacklevel=4,
        )

    def measure(self, trial_id: int, measurement: Measurement) -> None:
        if self._is_lost(trial_id):
            return
        attempt = self._attempts.get(trial_id, 1)
        self._journal.measure(trial_id, attempt, measurement, self._absorb)
        if not self._is_lost(trial_id):
            super().measure(trial_id, measurement)

    def restart(self, trial_id: int) -> None:
        # Taken over from itself, it is another attempt.
        taken = self._journal.take_over(trial_id, self._worker)
        if taken is not None and taken[0] == self._worker:
            self._attempts[trial_id] = taken[1]
            self._begun[trial_id - 1] = taken[2]
        super().restart(trial_id)

    def should_stop_early(self, feedback: Feedback) -> bool:
        if self._owners:
            self._absorb(self._journal.look())
        if self._is_lost(feedback.id):  # Nobody needs its result any more.
            return True
        return super().should_stop_early(feedback)

    def set_metadata(self, trial_id: int, key: str, value: Any) -> None:
        self.require_open(trial_id)
        if self._is_lost(trial_id):
            return
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
                self.extras(trial_id)["error"] = why
                self._report(trial_id, FAILED, (), math.nan)
        finally:
            self._let_go()
        self.ended = True  # What others still run stays pending.

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
        return sorted(i for i in self._held if not self._is_lost(i))

    def _let_go(self) -> None:
        _holders.pop(self._key, None)
        _dispose(self._leases, self._store)


def _dispose(leases: Leases, store: Store) -> None:
    leases.stop()
    store.close()

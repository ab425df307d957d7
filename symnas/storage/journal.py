"""The journal of one study: what is written when a trial begins, reports and ends.

Several processes may hold the journal of one study. Every transaction that writes counts
in the row of the study first: that lets one pass at a time, and tells what is new.
A trial belongs to the worker that claimed it for as long as that shows signs of life.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from symnas.storage.schema import measurements, studies, trials, workers
from symnas.trial import PENDING, Measurement

if TYPE_CHECKING:
    from symnas.storage.store import Store

_COUNTERS = ("num_trials", "num_ended", "num_measurements", "stopped_by")


@dataclasses.dataclass(frozen=True)
class News:
    """What was written since the last look, each in its order."""

    claims: Sequence[Any]
    measurements: Sequence[Any]
    ends: Sequence[Any]
    stopped_by: int


def extras_of(end: Any, measured: list[Measurement]) -> dict[str, Any]:
    """What the row of an ended trial holds besides rewards, as `Record.extras` has it."""
    found = {
        "measurements": measured,
        "metrics": end.metrics and json.loads(end.metrics),
        "metadata": end.metadata and json.loads(end.metadata),
        "error": end.error,
        "stopped_early": end.stopped_early,
    }
    return {key: value for key, value in found.items() if value}


class Journal:
    """What a study keeps in a store.

    Attributes:
      worker: the name under which trials are claimed.
    """

    def __init__(self, store: Store, study_id: int, worker: str) -> None:
        self.store = store
        self.study_id = study_id
        self.worker = worker
        self._process = os.getpid()
        # How far it was read.
        self._num_trials = self._num_ended = self._num_measurements = 0
        own = trials.c.study_id == study_id
        last = sa.bindparam("last", type_=sa.Integer())
        columns = trials.c
        self._new_claims = (
            sa.select(
                columns.id,
                columns.genotype,
                columns.budget,
                columns.worker,
                columns.attempt,
            )
            .where(own, columns.id > last)
            .order_by(columns.id)
        )
        self._new_ends = (
            sa.select(
                columns.id,
                columns.attempt,
                columns.end_number,
                columns.status,
                columns.rewards,
                columns.seconds,
                columns.metrics,
                columns.metadata,
                columns.error,
                columns.stopped_early,
            )
            .where(own, columns.end_number > last)
            .order_by(columns.end_number)
        )
        self._new_measurements = (
            sa.select(measurements)
            .where(measurements.c.study_id == study_id, measurements.c.number > last)
            .order_by(measurements.c.number)
        )
        counters = [studies.c[name] for name in _COUNTERS]
        here = studies.c.id == study_id
        self._counts = sa.select(*counters).where(here)
        self._counting = {
            name: sa.update(studies)
            .where(here)
            .values({name: studies.c[name] + 1})
            .returning(*counters)
            for name in _COUNTERS[:3]
        }
        self._mine = sa.and_(
            own,
            columns.id == sa.bindparam("trial"),
            columns.status == PENDING,
            columns.worker == sa.bindparam("owner"),
        )
        self._insert = trials.insert()
        self._end = trials.update().where(self._mine)

    # --- trials -------------------------------------------------------------------------

    def claim(
        self,
        absorb: Callable[[News], None],
        propose: Callable[[], tuple[list[float], int | None, int] | None],
    ) -> int | None:
        """Claims the next trial for this worker; None if nothing was proposed.

        Others wait while `absorb` is given what is new, and `propose` returns a genotype,
        its budget, and the number of results that it is based on.
        """
        with self._writing() as connection:
            counts = self._count(connection, "num_trials")
            absorb(self._news(connection, counts, new_trials=1))
            proposed = propose()
            if proposed is None:
                connection.rollback()
                return None
            row, budget, results_seen = proposed
            connection.execute(
                self._insert,
                {
                    "study_id": self.study_id,
                    "id": counts.num_trials,
                    "genotype": json.dumps(row),
                    "budget": budget,
                    "results_seen": results_seen,
                    "worker": self.worker,
                    "attempt": 1,
                    "status": PENDING,
                    "begun": time.time(),
                },
            )
        self._num_trials = counts.num_trials
        return int(counts.num_trials)

    def end(
        self, trial_id: int, absorb: Callable[[News], None], values: dict[str, Any]
    ) -> bool:
        """Records the end of a trial after `absorb` got what ended before it.

        False if the trial belongs to another worker by now: nothing is recorded.
        """
        with self._writing() as connection:
            counts = self._count(connection, "num_ended")
            absorb(self._news(connection, counts, new_ends=1))
            ended = connection.execute(
                self._end,
                {
                    "trial": trial_id,
                    "owner": self.worker,
                    "end_number": counts.num_ended,
                    **values,
                },
            )
            if ended.rowcount != 1:
                connection.rollback()
                return False
        self._num_ended = counts.num_ended
        return True

    def measure(
        self,
        trial_id: int,
        attempt: int,
        measurement: Measurement,
        absorb: Callable[[News], None],
    ) -> None:
        """Records what a trial reports on the way, after `absorb` got what is new."""
        with self._writing() as connection:
            counts = self._count(connection, "num_measurements")
            absorb(self._news(connection, counts, new_measurements=1))
            connection.execute(
                measurements.insert(),
                {
                    "study_id": self.study_id,
                    "number": counts.num_measurements,
                    "trial_id": trial_id,
                    "attempt": attempt,
                    "step": measurement.step,
                    "metrics": json.dumps(measurement.metrics),
                },
            )
        self._num_measurements = counts.num_measurements

    def stop(self, trial_id: int) -> None:
        """Notes that a trial has ended the loop."""
        with self._writing() as connection:
            connection.execute(
                studies.update()
                .where(studies.c.id == self.study_id, studies.c.stopped_by == 0)
                .values(stopped_by=trial_id)
            )

    def look(self) -> News:
        """What is new, without writing anything."""
        self._require_own_process()
        with self.store.reading() as connection:
            counts = connection.execute(self._counts).one_or_none()
            return self._news(connection, self._there(counts))

    def _writing(self) -> Any:
        self._require_own_process()
        return self.store.writing()

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise self.store.error(
                "This study was opened by another process, of which this one is a fork. "
                "Open it again here, with the same name and storage"
            )

    def _count(self, connection: Connection, name: str) -> Any:
        return self._there(connection.execute(self._counting[name]).one_or_none())

    def _there(self, counts: Any | None) -> Any:
        if counts is None:
            raise self.store.error("The study was deleted while it was running")
        return counts

    def _news(
        self,
        connection: Connection,
        counts: Any,
        new_trials: int = 0,
        new_ends: int = 0,
        new_measurements: int = 0,
    ) -> News:
        """What others wrote; `new_...` of the counts are of this transaction."""
        claims: Sequence[Any] = ()
        measured: Sequence[Any] = ()
        ends: Sequence[Any] = ()
        if counts.num_trials - new_trials > self._num_trials:
            claims = connection.execute(
                self._new_claims, {"last": self._num_trials}
            ).all()
            self._num_trials = claims[-1].id
        if counts.num_measurements - new_measurements > self._num_measurements:
            measured = connection.execute(
                self._new_measurements, {"last": self._num_measurements}
            ).all()
            self._num_measurements = measured[-1].number
        if counts.num_ended - new_ends > self._num_ended:
            ends = connection.execute(self._new_ends, {"last": self._num_ended}).all()
            self._num_ended = ends[-1].end_number
        return News(claims, measured, ends, counts.stopped_by)

    # --- ownership ----------------------------------------------------------------------

    def take_over(self, trial_id: int, owner: str) -> tuple[str, int] | None:
        """Takes a pending trial from a dead worker.

        Returns its worker, which is this one unless another was faster, and the number of
        the attempt at it; None if it has ended.
        """
        with self._writing() as connection:
            taken = trials.update().where(self._mine)
            connection.execute(
                taken.values(worker=self.worker, attempt=trials.c.attempt + 1),
                {"trial": trial_id, "owner": owner},
            )
            row = connection.execute(
                sa.select(trials.c.worker, trials.c.attempt, trials.c.status).where(
                    trials.c.study_id == self.study_id, trials.c.id == trial_id
                )
            ).one()
        return (row.worker, row.attempt) if row.status == PENDING else None

    def release(self, worker: str) -> None:
        """Gives up the pending trials of a worker, so that others need not wait."""
        with self._writing() as connection:
            connection.execute(
                trials.update()
                .where(
                    trials.c.study_id == self.study_id,
                    trials.c.worker == worker,
                    trials.c.status == PENDING,
                )
                .values(worker="")
            )

    def beat(self) -> dict[str, int]:
        """Gives a sign of life of this worker; returns how many all workers gave."""
        own = workers.c.study_id == self.study_id
        with self._writing() as connection:
            beaten = connection.execute(
                workers.update()
                .where(own, workers.c.worker == self.worker)
                .values(beats=workers.c.beats + 1)
            )
            if beaten.rowcount == 0:
                self._there(connection.execute(self._counts).one_or_none())
                connection.execute(
                    workers.insert().values(
                        study_id=self.study_id, worker=self.worker, beats=0
                    )
                )
            rows = connection.execute(
                sa.select(workers.c.worker, workers.c.beats).where(own)
            ).all()
        return {row.worker: row.beats for row in rows}

"""The journal of one study: what is written when a trial begins, reports and ends.

Several processes may hold the journal of one study. Every transaction that writes counts
in the row of the study first: that lets one pass at a time, and tells what is new.
A trial belongs to the worker that claimed it for as long as that shows signs of life.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from symnas.genotype import INACTIVE
from symnas.storage.errors import StorageError
from symnas.storage.schema import measurements, studies, trials, workers
from symnas.storage.statements import Session, Statement
from symnas.trial import PENDING, Measurement

if TYPE_CHECKING:
    from symnas.layout import Layout
    from symnas.storage.store import Store

_CHECKPOINT = 400  # Transactions of a study between two checkpoints, some 1,000 pages.

_CLAIMED = (
    "study_id",
    "id",
    "genotype",
    "budget",
    "results_seen",
    "worker",
    "attempt",
    "status",
    "begun",
)
_ENDED = (
    "end_number",
    "status",
    "rewards",
    "seconds",
    "metrics",
    "metadata",
    "error",
    "stopped_early",
)


class Claim(NamedTuple):
    """A trial as it was proposed; `results_seen` is how many had been told by then."""

    id: int
    genotype: list[float]
    budget: int | None
    results_seen: int
    worker: str
    attempt: int
    begun: float


class Measured(NamedTuple):
    """What a trial reported on the way."""

    number: int
    trial_id: int
    attempt: int
    step: int
    metrics: dict[str, float]


class End(NamedTuple):
    """How a trial ended."""

    id: int
    attempt: int
    end_number: int
    status: int
    rewards: list[float] | None
    seconds: float | None
    metrics: dict[str, float] | None
    metadata: dict[str, Any] | None
    error: str | None
    stopped_early: bool | None


class News(NamedTuple):
    """What was written since the last look, each in its order."""

    claims: Sequence[Claim]
    measurements: Sequence[Measured]
    ends: Sequence[End]
    stopped_by: int


class _Counts(NamedTuple):
    num_trials: int
    num_ended: int
    num_measurements: int
    stopped_by: int


def extras_of(end: End, measured: list[Measurement]) -> dict[str, Any]:
    """What the row of an ended trial holds besides rewards, as `Record.extras` has it."""
    if not (measured or end.metrics or end.metadata or end.error or end.stopped_early):
        return {}
    found = {
        "measurements": measured,
        "metrics": end.metrics,
        "metadata": end.metadata,
        "error": end.error,
        "stopped_early": bool(end.stopped_early),
    }
    return {key: value for key, value in found.items() if value}


def _parsed(kind: Any, rows: list[Any], *fields: str) -> list[Any]:
    """Rows as named tuples, with the JSON in some of their fields read."""
    columns = list(zip(*rows, strict=True))
    for field in fields if rows else ():
        at = kind._fields.index(field)
        if any(columns[at]):
            # All at once is fast.
            columns[at] = json.loads(f"[{','.join(t or 'null' for t in columns[at])}]")
    return [kind(*row) for row in zip(*columns, strict=True)]


class Journal:
    """What a study keeps in a store.

    Attributes:
      worker: the name under which trials are claimed.
    """

    def __init__(
        self, store: Store, study_id: int, layout: Layout, worker: str = ""
    ) -> None:
        self.store = store
        self.study_id = study_id
        self.worker = worker
        # Genes lie below these, and floats up to 1.
        self._limits = np.where(layout.is_float, np.nextafter(1.0, 2.0), layout.counts)
        self._process = os.getpid()
        self._checkpoint_is_due = False
        engine = store.engine
        # How far it was read.
        self._num_trials = self._num_ended = self._num_measurements = 0
        own = trials.c.study_id == study_id
        last = sa.bindparam("last", type_=sa.Integer())
        columns = trials.c
        self._new_claims = Statement(
            sa.select(*(columns[name] for name in Claim._fields))
            .where(own, columns.id > last)
            .order_by(columns.id),
            engine,
        )
        self._new_ends = Statement(
            sa.select(*(columns[name] for name in End._fields))
            .where(own, columns.end_number > last)
            .order_by(columns.end_number),
            engine,
        )
        self._new_measurements = Statement(
            sa.select(*(measurements.c[name] for name in Measured._fields))
            .where(measurements.c.study_id == study_id, measurements.c.number > last)
            .order_by(measurements.c.number),
            engine,
        )
        counters = [studies.c[name] for name in _Counts._fields]
        here = studies.c.id == study_id
        self._counts = Statement(sa.select(*counters).where(here), engine)
        self._counting = {
            name: Statement(
                sa.update(studies)
                .where(here)
                .values({name: studies.c[name] + 1})
                .returning(*counters),
                engine,
            )
            for name in _Counts._fields[:3]
        }
        self._mine = sa.and_(
            own,
            columns.id == sa.bindparam("trial"),
            columns.status == PENDING,
            columns.worker == sa.bindparam("owner"),
        )
        self._insert = Statement(trials.insert(), engine, _CLAIMED)
        self._end = Statement(trials.update().where(self._mine), engine, _ENDED)
        self._measure = Statement(measurements.insert(), engine)

    # --- trials -------------------------------------------------------------------------

    def claim(
        self,
        absorb: Callable[[News], None],
        propose: Callable[[], tuple[list[float], int | None, int, float] | None],
    ) -> int | None:
        """Claims the next trial for this worker; None if nothing was proposed.

        Others wait while `absorb` is given what is new, and `propose` returns a genotype,
        its budget, the number of results that it is based on, and when it was made.
        """
        with self._session() as session:
            counts = self._count(session, "num_trials")
            absorb(
                self._news(session, counts._replace(num_trials=counts.num_trials - 1))
            )
            proposed = propose()
            if proposed is None:
                session.roll_back()
                return None
            row, budget, results_seen, begun = proposed
            session.run(
                self._insert,
                study_id=self.study_id,
                id=counts.num_trials,
                genotype=json.dumps(row),
                budget=budget,
                results_seen=results_seen,
                worker=self.worker,
                attempt=1,
                status=PENDING,
                begun=begun,
            )
        self._num_trials = counts.num_trials
        return counts.num_trials

    def end(
        self, trial_id: int, absorb: Callable[[News], None], values: dict[str, Any]
    ) -> bool:
        """Records the end of a trial after `absorb` got what ended before it.

        False if the trial belongs to another worker by now: nothing is recorded.
        """
        with self._session() as session:
            counts = self._count(session, "num_ended")
            absorb(self._news(session, counts._replace(num_ended=counts.num_ended - 1)))
            ended = session.run(
                self._end,
                trial=trial_id,
                owner=self.worker,
                end_number=counts.num_ended,
                **values,
            )
            if ended.rowcount != 1:
                session.roll_back()
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
        with self._session() as session:
            counts = self._count(session, "num_measurements")
            before = counts.num_measurements - 1
            absorb(self._news(session, counts._replace(num_measurements=before)))
            session.run(
                self._measure,
                study_id=self.study_id,
                number=counts.num_measurements,
                trial_id=trial_id,
                attempt=attempt,
                step=measurement.step,
                metrics=json.dumps(measurement.metrics),
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
        with self.store.session(reads=True) as session:
            return self._news(session, self._counted(session.run(self._counts)))

    @contextmanager
    def _session(self) -> Iterator[Session]:
        self._require_own_process()
        with self.store.session() as session:
            yield session
        if self._checkpoint_is_due:
            self._checkpoint_is_due = False
            self.store.checkpoint()

    def _writing(self) -> AbstractContextManager[Connection]:
        self._require_own_process()
        return self.store.writing()

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise self.store.error(
                "This study was opened by another process, of which this one is a fork. "
                "Open it again here, with the same name and storage"
            )

    def _count(self, session: Session, name: str) -> _Counts:
        counts = self._counted(session.run(self._counting[name]))
        self._checkpoint_is_due = sum(counts[:3]) % _CHECKPOINT == 0
        return counts

    def _require_study(self, connection: Connection) -> None:
        here = studies.c.id == self.study_id
        if connection.execute(sa.select(studies.c.id).where(here)).first() is None:
            raise self._deleted()

    def _deleted(self) -> StorageError:
        return self.store.error("The study was deleted while it was running")

    def _counted(self, cursor: Any) -> _Counts:
        found = cursor.fetchone()
        if found is None:
            raise self._deleted()
        return _Counts(*found)

    def _news(self, session: Session, counts: _Counts) -> News:
        """What was written up to these counts and is not known yet."""
        claims: list[Claim] = []
        measured: list[Measured] = []
        ends: list[End] = []
        if counts.num_trials > self._num_trials:
            found = session.run(self._new_claims, last=self._num_trials)
            claims = self._read(Claim, found, "genotype")
            ids = [claim.id for claim in claims]
            self._require(ids == [*range(self._num_trials + 1, counts.num_trials + 1)])
            self._check_genotypes([claim.genotype for claim in claims])
            self._num_trials = counts.num_trials
        if counts.num_measurements > self._num_measurements:
            found = session.run(self._new_measurements, last=self._num_measurements)
            measured = self._read(Measured, found, "metrics")
            self._require(bool(measured))
            self._num_measurements = measured[-1].number
        if counts.num_ended > self._num_ended:
            found = session.run(self._new_ends, last=self._num_ended)
            ends = self._read(End, found, "rewards", "metrics", "metadata")
            self._require(bool(ends))
            self._num_ended = ends[-1].end_number
        named = [row.trial_id for row in measured] + [row.id for row in ends]
        self._require(not named or 1 <= min(named) <= max(named) <= self._num_trials)
        return News(claims, measured, ends, counts.stopped_by)

    def _read(self, kind: Any, found: Any, *fields: str) -> list[Any]:
        try:
            return _parsed(kind, found.fetchall(), *fields)
        except ValueError as error:  # It is not JSON.
            raise self._damaged() from error

    def _check_genotypes(self, rows: list[list[float]]) -> None:
        try:
            genotypes = np.array(rows, dtype=float)
        except (ValueError, TypeError) as error:
            raise self._damaged() from error
        self._require(genotypes.shape == (len(rows), len(self._limits)))
        self._require(
            bool(((genotypes >= INACTIVE) & (genotypes < self._limits)).all())
        )

    def _require(self, intact: bool) -> None:
        if not intact:
            raise self._damaged()

    def _damaged(self) -> StorageError:
        return self.store.error(
            "The rows of the study do not fit together: the file is damaged. Restore a "
            "copy of it"
        )

    # --- ownership ----------------------------------------------------------------------

    def take_over(self, trial_id: int, owner: str) -> tuple[str, int, float] | None:
        """Takes a pending trial from a dead worker.

        Returns its worker, which is this one unless another was faster, the number of the
        attempt at it, and when that began; None if it has ended.
        """
        with self._writing() as connection:
            taken = trials.update().where(self._mine)
            connection.execute(
                taken.values(
                    worker=self.worker,
                    attempt=trials.c.attempt + 1,
                    begun=time.time(),
                ),
                {"trial": trial_id, "owner": owner},
            )
            row = connection.execute(
                sa.select(
                    trials.c.worker, trials.c.attempt, trials.c.begun, trials.c.status
                ).where(trials.c.study_id == self.study_id, trials.c.id == trial_id)
            ).one()
        pending = row.status == PENDING
        return (row.worker, row.attempt, row.begun) if pending else None

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
                self._require_study(connection)
                connection.execute(
                    workers.insert().values(
                        study_id=self.study_id, worker=self.worker, beats=0
                    )
                )
            rows = connection.execute(
                sa.select(workers.c.worker, workers.c.beats).where(own)
            ).all()
        return {row.worker: row.beats for row in rows}

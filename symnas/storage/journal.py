"""The journal of one study: a row per trial, written when it is claimed and when it ends.

It keeps the order in which results arrived, so that an algorithm, which is a function of
what it was told, can be brought back to where it was. Several processes may hold the
journal of one study: each claim and each result is one transaction, and a trial belongs
to the worker that claimed it for as long as that worker gives signs of life.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from symnas.storage.schema import measurements, studies, trials, workers

if TYPE_CHECKING:
    from symnas.storage.store import Store

PENDING = 0  # As in `symnas.trial.STATUSES`.


@dataclasses.dataclass(frozen=True)
class News:
    """What other workers did since the last look: claims by id, results in their order."""

    claimed: Sequence[Any]
    ended: Sequence[Any]


class Journal:
    """What a study keeps on disk.

    Attributes:
      worker: the name under which this process claims trials.
    """

    def __init__(self, store: Store, study_id: int) -> None:
        self.store = store
        self.study_id = study_id
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._last_id = 0
        self._last_seq = 0
        mine = trials.c.study_id == study_id
        self._new_claims = (
            sa.select(trials.c.id, trials.c.genotype, trials.c.worker, trials.c.begun)
            .where(mine, trials.c.id > sa.bindparam("last"))
            .order_by(trials.c.id)
        )
        self._new_ends = (
            sa.select(trials)
            .where(mine, trials.c.done_seq > sa.bindparam("last"))
            .order_by(trials.c.done_seq)
        )
        self._insert = trials.insert()
        newest = sa.select(sa.func.coalesce(sa.func.max(trials.c.done_seq), 0) + 1)
        self._end = (
            trials.update()
            .where(
                mine,
                trials.c.id == sa.bindparam("trial"),
                trials.c.status == PENDING,
                trials.c.worker == self.worker,
            )
            .values(done_seq=newest.where(mine).scalar_subquery())
        )
        self._locked = (
            sa.select(studies.c.id).where(studies.c.id == study_id).with_for_update()
        )

    def news(self, connection: Connection) -> News:
        """What was written since the last call, by this worker or others."""
        claimed = connection.execute(self._new_claims, {"last": self._last_id}).all()
        ended = connection.execute(self._new_ends, {"last": self._last_seq}).all()
        if claimed:
            self._last_id = claimed[-1].id
        if ended:
            self._last_seq = ended[-1].done_seq
        return News(claimed, ended)

    def claim(
        self,
        absorb: Callable[[News], None],
        propose: Callable[[], tuple[list[float], int] | None],
    ) -> int | None:
        """Claims the next trial for this worker; None if nothing was proposed.

        In one transaction it gives `absorb` what others did and asks `propose` for a
        genotype and the number of results it is based on. Other workers wait.
        """
        with self.store.transaction() as connection:
            self._lock(connection)
            absorb(self.news(connection))
            proposed = propose()
            if proposed is None:
                return None
            row, tells_seen = proposed
            self._last_id += 1
            connection.execute(
                self._insert,
                {
                    "study_id": self.study_id,
                    "id": self._last_id,
                    "genotype": json.dumps(row),
                    "tells_seen": tells_seen,
                    "worker": self.worker,
                    "status": PENDING,
                    "begun": time.time(),
                },
            )
            return self._last_id

    def look(self) -> News:
        """What others did, without claiming anything."""
        with self.store.transaction() as connection:
            self._lock(connection)
            return self.news(connection)

    def end(
        self,
        trial_id: int,
        measured: Sequence[tuple[int, dict[str, float]]],
        **values: Any,
    ) -> News | None:
        """Records the end of a trial and returns what is new, this end included.

        None if the trial no longer belongs to this worker; then nothing is recorded.
        """
        with self.store.transaction() as connection:
            self._lock(connection)
            result = connection.execute(self._end.values(**values), {"trial": trial_id})
            if result.rowcount != 1:
                return None
            if measured:
                rows = [
                    {
                        "study_id": self.study_id,
                        "trial_id": trial_id,
                        "number": number,
                        "step": step,
                        "metrics": json.dumps(metrics),
                    }
                    for number, (step, metrics) in enumerate(measured)
                ]
                connection.execute(measurements.insert(), rows)
            return self.news(connection)

    def _lock(self, connection: Connection) -> None:
        """Lets one worker at a time pass; SQLite's transactions do so already."""
        if connection.dialect.name != "sqlite":
            connection.execute(self._locked)

    # --- signs of life ----------------------------------------------------------------

    def beat(self) -> None:
        """A sign of life of this worker."""
        with self.store.transaction() as connection:
            mine = (workers.c.study_id == self.study_id) & (
                workers.c.worker == self.worker
            )
            result = connection.execute(
                workers.update().where(mine).values(beats=workers.c.beats + 1)
            )
            if result.rowcount == 0:
                connection.execute(
                    workers.insert().values(
                        study_id=self.study_id, worker=self.worker, beats=0
                    )
                )

    def beats(self) -> dict[str, int]:
        """The beats of all workers so far."""
        with self.store.transaction() as connection:
            rows = connection.execute(
                sa.select(workers.c.worker, workers.c.beats).where(
                    workers.c.study_id == self.study_id
                )
            )
            return {row.worker: row.beats for row in rows}

    def take_over(self, trial_id: int, owner: str) -> bool:
        """Makes the pending trial of a dead worker ours; False if another one was first."""
        with self.store.transaction() as connection:
            result = connection.execute(
                trials.update()
                .where(
                    trials.c.study_id == self.study_id,
                    trials.c.id == trial_id,
                    trials.c.status == PENDING,
                    trials.c.worker == owner,
                )
                .values(worker=self.worker)
            )
            return bool(result.rowcount == 1)

"""A study as a store holds it, to be read."""

from __future__ import annotations

import math
from typing import Any

from symnas.record import Record
from symnas.space import SearchSpace
from symnas.storage import decisions
from symnas.storage.errors import StorageError
from symnas.storage.journal import Journal, extras_of
from symnas.storage.leases import process_of
from symnas.storage.store import Store
from symnas.trial import Measurement, Objectives


class LoadedStudy(Record):
    """The trials that a study has in a store; without its space it builds no examples."""

    def __init__(
        self, store: Store, row: Any, objectives: Objectives, space: Any = None
    ) -> None:
        self._builds = space is not None
        if not isinstance(space, SearchSpace):
            space = decisions.from_json(row.decisions)
        super().__init__(space, objectives)
        self.name = row.name
        self.seed = row.seed
        self.created = row.created
        self._environment = {
            "algorithm": row.algorithm,
            **store.environment(row.id),
        }
        news = Journal(store, row.id, space.layout).look()
        self._workers: list[str] = []
        attempts = {}
        for claim in news.claims:
            self.add(claim.genotype, claim.budget, claim.begun)
            attempts[claim.id] = claim.attempt
            self._workers.append(process_of(claim.worker))
        for measured in news.measurements:
            if measured.attempt == attempts[measured.trial_id]:
                self.extras(measured.trial_id).setdefault("measurements", []).append(
                    Measurement(measured.step, measured.metrics)
                )
        for end in news.ends:
            extras = extras_of(end, self.measurements(end.id))
            if extras:
                self._extras[end.id] = extras
            rewards = zip(end.rewards or (), objectives.signs, strict=False)
            signed = [reward * sign for reward, sign in rewards]
            seconds = math.nan if end.seconds is None else end.seconds
            self.settle(end.id, end.status, signed, seconds)

    def worker(self, trial_id: int) -> str:
        return self._workers[trial_id - 1]

    @property
    def environment(self) -> dict[str, Any]:
        return self._environment

    def build(self, trial_id: int) -> Any:
        if not self._builds:
            raise StorageError(
                f"The store has the trials of {self.name!r}, not the code of its space. "
                "Pass the space to `load_study(storage, name, space)` to build models."
            )
        return super().build(trial_id)

"""Studies by name: beginning, loading, listing and deleting them."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from symnas.result import Result
from symnas.space import SearchSpace
from symnas.study import Study
from symnas.trial import Feedback, Objectives, check_feedback

if TYPE_CHECKING:
    from symnas.storage.store import Store

# SQLAlchemy takes a while to import, and only stored studies need it.


def begin_study(
    *arguments: Any,
    name: str | None,
    storage: str | os.PathLike[str] | None,
    within: Any = None,
    **options: Any,
) -> Study:
    """The study that `sample` and `search` run: kept in a store if one is given.

    One within a trial of a stored study is kept beside that.
    """
    if within is not None:
        check_feedback(within)
        outer = within._study
        if storage is None and outer.name is not None:
            storage, name = outer.storage, inner_name(within, name)
        options["within"] = within
    if storage is None:
        if name is not None:
            raise ValueError(
                f"The study {name!r} has a name but no `storage`. Pass a path or a "
                "database URL, or leave the name out."
            )
        return Study(*arguments, **options)
    from symnas.storage.stored_study import StoredStudy

    with _collecting_no_garbage():
        return StoredStudy(*arguments, name=name, storage=storage, **options)


def inner_name(within: Feedback, name: str | None) -> str:
    """The name under which a study within a trial is kept."""
    study = within._study
    full = "/".join([f"{study.name}/{within.id}", *([] if name is None else [name])])
    if full in [inner.name for inner in study.inner.get(within.id, ())]:
        raise ValueError(
            f"Trial {within.id} of {study.name!r} has an inner study {full!r} already. "
            "Give each of its loops another `name`."
        )
    return full


@contextmanager
def _collecting_no_garbage() -> Iterator[None]:
    """While the rows of a large study are read, which all stay: half of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@dataclasses.dataclass(frozen=True)
class StudySummary:
    """A study in a list of them.

    Attributes:
      lag: how old the results are that a proposal sees, if that was fixed.
      num_trials: how many trials were proposed.
      num_ended: how many of them have ended, in whatever way.
    """

    name: str
    created: datetime.datetime
    algorithm: str
    objectives: tuple[str, ...]
    lag: int | None
    num_trials: int
    num_ended: int


def list_studies(storage: str | os.PathLike[str]) -> list[StudySummary]:
    """The studies in a store, in the order in which they were begun.

    Args:
      storage: a path, or a SQLAlchemy URL.

    Raises:
      StorageError: there is no such store, or it cannot be read.

    Example:

    >>> import os, tempfile
    >>> import symnas as sn
    >>> path = os.path.join(tempfile.mkdtemp(), "studies.db")
    >>> for example, feedback in sn.sample(
    ...     sn.oneof([1, 2, 3]), "random", 2, seed=0, name="first", storage=path
    ... ):
    ...     feedback(float(example))
    >>> [(study.name, study.num_ended) for study in sn.list_studies(path)]
    [('first', 2)]
    """
    store = _open(storage, read_only=True)
    try:
        return [
            StudySummary(
                name=row.name,
                created=datetime.datetime.fromtimestamp(row.created, datetime.UTC),
                algorithm=row.algorithm,
                objectives=tuple(json.loads(row.objectives)),
                lag=row.lag,
                num_trials=row.num_trials,
                num_ended=row.num_ended,
            )
            for row in store.all_studies()
        ]
    finally:
        store.close()


def load_study(storage: str | os.PathLike[str], name: str, space: Any = None) -> Result:
    """The trials of a study as they are now, whether it runs or not.

    Nothing that is stored is executed or imported; the code of the space is not in the
    store. Without `space`, decisions show candidates that are built as their code.

    Args:
      storage: a path, or a SQLAlchemy URL. A file need not be writable.
      name: of the study.
      space: what was searched, to build models of trials with `Result.model`.

    Raises:
      StorageError: there is no such store or study, or it cannot be read.
      ValueError: `space` is not what was searched.

    Example:

    >>> import os, tempfile
    >>> import symnas as sn
    >>> path = os.path.join(tempfile.mkdtemp(), "studies.db")
    >>> space = {"width": sn.oneof([16, 32, 64])}
    >>> for example, feedback in sn.sample(
    ...     space, "random", seed=0, name="widths", storage=path
    ... ):
    ...     feedback(float(example["width"]))
    >>> sn.load_study(path, "widths").best.decisions
    {'width': 64}
    """
    from symnas.storage.loaded_study import LoadedStudy

    store = _open(storage, read_only=True)
    try:
        row = store.find(name)
        if space is not None and not isinstance(space, SearchSpace):
            space = SearchSpace(space)
        if space is not None and space.fingerprint != row.fingerprint:
            raise ValueError(
                f"`space` is not what the study {name!r} has searched, which was:\n"
                f"{row.outline}"
            )
        objectives = Objectives(json.loads(row.objectives))
        with _collecting_no_garbage():
            return Result(LoadedStudy(store, row, objectives, space))
    finally:
        store.close()


def delete_study(storage: str | os.PathLike[str], name: str) -> None:
    """Removes a study and all its trials from a store; workers of it then end.

    What was searched within its trials goes too: the studies `name/trial`.

    Raises:
      StorageError: there is no such store or study, or it cannot be written.

    Example:

    >>> import os, tempfile
    >>> import symnas as sn
    >>> path = os.path.join(tempfile.mkdtemp(), "studies.db")
    >>> for example, feedback in sn.sample(
    ...     sn.oneof([1, 2, 3]), "random", 2, seed=0, name="first", storage=path
    ... ):
    ...     feedback(float(example))
    >>> sn.delete_study(path, "first")
    >>> sn.list_studies(path)
    []
    """
    store = _open(storage, must_exist=True)
    try:
        found = store.find(name)
        inner = re.compile(re.escape(name) + r"/\d+(/.*)?", re.DOTALL)
        for row in store.all_studies():
            if inner.fullmatch(row.name):
                store.delete(row.id)
        store.delete(found.id)
    finally:
        store.close()


def _open(storage: Any, read_only: bool = False, must_exist: bool = False) -> Store:
    from symnas.storage.store import Store

    return Store(storage, read_only=read_only, must_exist=read_only or must_exist)

"""A database of studies: opening it, finding studies, and what its errors mean.

Everything in it is a number, a string or JSON: reading a store executes nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine, Row

from symnas.storage.journal import Journal
from symnas.storage.schema import (
    SCHEMA_VERSION,
    measurements,
    metadata,
    studies,
    trials,
    version,
    workers,
)

_BUSY_SECONDS = 60


class StorageError(RuntimeError):
    """A store cannot be opened, read or written; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class StudyDescription:
    """What must stay the same when a study goes on."""

    seed: int
    lag: int | None
    objectives: tuple[str, ...]
    algorithm: str
    fingerprint: str
    space: str


class Store:
    """A database that holds studies.

    Args:
      target: a path, for SQLite, or a SQLAlchemy URL.
      read_only: nothing is written, and the database must exist.
    """

    def __init__(self, target: str | os.PathLike[str], read_only: bool = False) -> None:
        self.url = _url(target)
        self.read_only = read_only
        self._sqlite = self.url.get_backend_name() == "sqlite"
        if self._sqlite:
            self._check_file()
        self.engine = self._engine()
        with self._errors():
            self._prepare()

    def close(self) -> None:
        self.engine.dispose()

    # --- opening ------------------------------------------------------------------------

    def _check_file(self) -> None:
        path = Path(self.url.database or "")
        if self.read_only and not path.exists():
            raise StorageError(f"There is no store at {path}.")
        if not self.read_only and not path.parent.is_dir():
            raise StorageError(f"The folder of {path} does not exist.")

    def _engine(self) -> Engine:
        if not self._sqlite:
            # Every claim locks the row of its study, so isolation can stay low.
            return sa.create_engine(self.url, pool_pre_ping=True)
        database = self.url.database or ""
        query = ""
        if self.read_only:
            log = Path(f"{database}-wal")
            writable = os.access(database, os.W_OK) and os.access(
                Path(database).parent, os.W_OK
            )
            # Without write access SQLite cannot make the files that guard a log.
            query = "?mode=ro" if writable or log.exists() else "?mode=ro&immutable=1"
        address = f"file:{Path(database).absolute().as_posix()}{query}"
        engine = sa.create_engine(
            "sqlite://",
            creator=lambda: _connect_sqlite(address, self.read_only),
            poolclass=sa.pool.QueuePool,
        )
        sa.event.listen(
            engine,
            "begin",
            lambda connection: connection.exec_driver_sql(
                "BEGIN" if self.read_only else "BEGIN IMMEDIATE"
            ),
        )
        return engine

    def _prepare(self) -> None:
        with self.engine.begin() as connection:
            tables = set(sa.inspect(connection).get_table_names())
            if version.name not in tables:
                if self._sqlite and tables:
                    raise StorageError(
                        f"{self.url.database} is a database of another program: it holds "
                        f"{', '.join(sorted(tables)[:5])}. Choose another path."
                    )
                if self.read_only:
                    raise StorageError(f"{self.shown} holds no studies of symnas.")
                metadata.create_all(connection)
                connection.execute(version.insert().values(version=SCHEMA_VERSION))
                return
            found = connection.execute(sa.select(version.c.version)).scalar_one()
        if found != SCHEMA_VERSION:
            newer = "a newer" if found > SCHEMA_VERSION else "an older"
            raise StorageError(
                f"{self.shown} was written by {newer} version of symnas (format {found}, "
                f"this one reads {SCHEMA_VERSION}). Open it with that version."
            )

    @property
    def shown(self) -> str:
        """The address without a password."""
        if self._sqlite:
            return str(self.url.database)
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raises errors of the database again with what to do."""
        try:
            yield
        except exc.DBAPIError as error:
            raise StorageError(_explained(str(error.orig), self.shown)) from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that writes; others wait for it."""
        with self._errors(), self.engine.begin() as connection:
            yield connection

    # --- studies ------------------------------------------------------------------------

    def names(self) -> list[str]:
        with self.transaction() as connection:
            rows = connection.execute(sa.select(studies.c.name).order_by(studies.c.id))
            return [row.name for row in rows]

    def find(self, name: str) -> Row[Any]:
        """The row of a study; raises `StorageError` with the names there are."""
        with self.transaction() as connection:
            row = connection.execute(
                sa.select(studies).where(studies.c.name == name)
            ).one_or_none()
        if row is None:
            known = ", ".join(map(repr, self.names())) or "none"
            raise StorageError(f"{self.shown} has no study {name!r}; it has {known}.")
        return row

    def delete(self, name: str) -> None:
        """Removes a study and all its trials."""
        study_id = self.find(name).id
        with self.transaction() as connection:
            for table in (measurements, workers, trials):
                connection.execute(table.delete().where(table.c.study_id == study_id))
            connection.execute(studies.delete().where(studies.c.id == study_id))

    def open_study(self, name: str, wanted: StudyDescription) -> Journal:
        """The journal of a study, which is created, or checked against `wanted`."""
        with self.transaction() as connection:
            row = connection.execute(
                sa.select(studies).where(studies.c.name == name)
            ).one_or_none()
            if row is None:
                values = dataclasses.asdict(wanted)
                values["objectives"] = json.dumps(wanted.objectives)
                result = connection.execute(
                    studies.insert().values(name=name, created=time.time(), **values)
                )
                assert result.inserted_primary_key is not None
                return Journal(self, int(result.inserted_primary_key[0]))
        _require_same(name, row, wanted)
        return Journal(self, int(row.id))


def _connect_sqlite(address: str, read_only: bool) -> Any:
    connection = sqlite3.connect(
        address,
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # The engine begins transactions itself.
        check_same_thread=False,
    )
    if not read_only:
        connection.execute("PRAGMA journal_mode=WAL")
        # It survives the death of the process; a power cut may take the last commits.
        connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _url(target: str | os.PathLike[str]) -> URL:
    text = os.fspath(target)
    if "://" in text:
        try:
            return sa.make_url(text)
        except exc.ArgumentError as error:
            raise StorageError(f"{text!r} is not a database URL: {error}") from None
    return URL.create("sqlite", database=text)


def _explained(message: str, shown: str) -> str:
    """What a message of the database means to the user."""
    hints = (
        ("disk is full", "There is no space left. Free some and start again"),
        ("not a database", "The file is not a database. Choose another path"),
        ("malformed", "The file is damaged. Restore a copy; nothing was written to it"),
        ("readonly", "It cannot be written. Check the permissions of file and folder"),
        ("read-only", "It cannot be written. Check the permissions of file and folder"),
        ("unable to open", "It cannot be opened. Check the path and its permissions"),
        ("locked", f"Another process held it for {_BUSY_SECONDS} s. Is one hanging?"),
        ("password", "The server refuses the user or password"),
        ("refused", "No server answers there. Is it running?"),
        ("could not translate", "The host name is not known"),
        ("does not exist", "The server has no such database or role. Create it first"),
    )
    text = message.strip().splitlines()[0] if message.strip() else "unknown error"
    for part, meaning in hints:
        if part in message:
            return f"{shown}: {meaning} ({text})."
    return f"{shown}: {text}."


def _require_same(name: str, row: Row[Any], wanted: StudyDescription) -> None:
    """Raises if a study would go on with something else than it began with."""
    stored = {
        "objectives": tuple(json.loads(row.objectives)),
        "algorithm": row.algorithm,
        "lag": row.lag,
        "seed": row.seed,
        "space": row.fingerprint,
    }
    now = {
        "objectives": wanted.objectives,
        "algorithm": wanted.algorithm,
        "lag": wanted.lag,
        "seed": wanted.seed,
        "space": wanted.fingerprint,
    }
    for what, before in stored.items():
        if before == now[what]:
            continue
        if what == "space":
            raise ValueError(
                f"The study {name!r} was begun with another space:\n{row.space}\n"
                f"and is now given:\n{wanted.space}\nUse another name for a new study."
            )
        raise ValueError(
            f"The study {name!r} was begun with {what} {before!r} and is now given "
            f"{now[what]!r}. Use another name for a new study."
        )

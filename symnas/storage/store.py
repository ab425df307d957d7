"""A database of studies: opening it, finding studies, and what its errors mean.

Everything in it is a number, a string or JSON: reading a store executes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine

from symnas.layout import Layout
from symnas.storage.errors import StorageError
from symnas.storage.journal import Journal
from symnas.storage.schema import (
    SCHEMA_VERSION,
    environments,
    measurements,
    metadata,
    studies,
    trials,
    version,
    workers,
)
from symnas.storage.statements import Session

_BUSY_SECONDS = 60
_SHORTEST_SLEEP, _LONGEST_SLEEP = 0.002, 0.02  # Seconds between attempts to write.


@dataclasses.dataclass(frozen=True)
class StudyDescription:
    """What must stay the same when a study goes on."""

    seed: int
    lag: int | None
    objectives: str
    algorithm: str
    fingerprint: str
    decisions: str
    outline: str


class Store:
    """A database that holds studies.

    Args:
      target: a path, for SQLite, or a SQLAlchemy URL.
      read_only: nothing is written.
      must_exist: the database is not made.
    """

    _driver_error: type[Exception] = sqlite3.Error

    def __init__(
        self,
        target: str | os.PathLike[str],
        read_only: bool = False,
        must_exist: bool = False,
    ) -> None:
        self.url = _url(target)
        self.read_only = read_only
        self._must_exist = must_exist
        self._sqlite = self.url.get_backend_name() == "sqlite"
        if self._sqlite:
            self._check_file()
        elif self.url.get_backend_name() != "postgresql":
            raise self.error("Studies are kept in SQLite or PostgreSQL, not there")
        self._process = os.getpid()
        self._writer: sqlite3.Connection | None = None
        self.engine = self._engine()
        driver: Any = self.engine.dialect.loaded_dbapi
        self._driver_error = driver.Error
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        # A fork has copies of connections that are still in use elsewhere.
        own = os.getpid() == self._process
        self.engine.dispose(close=own)
        if own and self._writer is not None:
            self._writer.close()
            self._writer = None

    # --- opening ------------------------------------------------------------------------

    def _check_file(self) -> None:
        if self.url.database in (None, "", ":memory:"):
            raise StorageError(
                "A database in memory is gone with its process: give the path of a file, "
                "or leave `storage` out."
            )
        path = self._path
        if not path.exists() and (self.read_only or self._must_exist):
            raise StorageError(f"There is no store at {path}.")
        if not path.parent.is_dir():
            raise StorageError(f"The folder of {path} does not exist. Make it first.")
        if path.is_dir():
            raise StorageError(f"{path} is a folder. Give the path of a file in it.")
        if path.exists() and path.stat().st_size:
            self._require_ours()

    def _require_ours(self) -> None:
        """Raises for a file of another program, which opening it to write may change."""
        address = self._address(read_only=True)
        with self._errors(), contextlib.closing(_connect_sqlite(address)) as connection:
            found = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' "
                "AND name NOT LIKE 'sqlite_%' ORDER BY name"
            )
            tables = [row[0] for row in found]
        if tables and version.name not in tables:
            raise self.error(
                "This is a database of another program, with the tables "
                f"{', '.join(tables[:5])}. Choose another path"
            )

    @property
    def _path(self) -> Path:
        return Path(self.url.database or "").absolute()

    def _address(self, read_only: bool) -> str:
        path = self._path
        if not read_only:
            return path.as_uri()
        log = path.with_name(f"{path.name}-wal")
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        # Without write access SQLite cannot make the files that guard a log.
        query = "?mode=ro" if writable or log.exists() else "?mode=ro&immutable=1"
        return path.as_uri() + query

    def _engine(self) -> Engine:
        if not self._sqlite:
            try:
                # Every writer counts in the row of its study first, so isolation can
                # stay low.
                return sa.create_engine(self.url, pool_pre_ping=True)
            except (exc.ArgumentError, ImportError) as error:
                raise self.error(
                    "PostgreSQL needs a driver: pip install 'symnas[postgresql]' "
                    f"({error})"
                ) from None
        engine = sa.create_engine(
            "sqlite://",
            creator=lambda: _connect_sqlite(self._address(self.read_only)),
            poolclass=sa.pool.QueuePool,
        )
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _prepare(self) -> None:
        """Makes the tables in an empty database, and refuses one that is not ours."""
        with self.reading() as connection:
            tables = set(sa.inspect(connection).get_table_names())
            ours = version.name in tables
            found = (
                connection.execute(sa.select(version.c.version)).scalar_one_or_none()
                if ours
                else None
            )
        self._empty = found is None and self.read_only
        if self._empty:  # As in the moment in which another process begins a study.
            if tables:
                raise self.error("It holds no studies of symnas")
        elif found is None or (
            found == SCHEMA_VERSION
            and environments.name not in tables
            and not self.read_only
        ):
            self._create()
        elif found != SCHEMA_VERSION:
            newer = "a newer" if found > SCHEMA_VERSION else "an older"
            raise self.error(
                f"It was written by {newer} version of symnas, in format {found}; this "
                f"one reads format {SCHEMA_VERSION}. Open it with that version"
            )

    def _create(self) -> None:
        if self._sqlite:
            # Readers and the writer then do not wait for each other. It stays so.
            with self._errors(), self.engine.connect() as connection:
                _driver(connection).execute("PRAGMA journal_mode=WAL")
        with self.writing() as connection:
            self._pass_one_by_one(connection)
            metadata.create_all(connection)
            known = connection.execute(sa.select(version.c.version)).first()
            if known is None:
                connection.execute(version.insert().values(version=SCHEMA_VERSION))

    def _pass_one_by_one(self, connection: Connection) -> None:
        """Lets one process at a time make what is not there; SQLite always does."""
        if not self._sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7276617)"))

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
        except (exc.DBAPIError, self._driver_error) as error:
            message = str(getattr(error, "orig", error))
            raise StorageError(_explained(message, self.shown)) from error
        except UnicodeDecodeError as error:  # In a message or a value of the database.
            message = f"malformed text: {error}"
            raise StorageError(_explained(message, self.shown)) from error

    def error(self, what: str) -> StorageError:
        return StorageError(f"{self.shown}: {what}.")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; others that do wait for it."""
        with self._errors(), self.engine.connect() as connection:
            transaction = connection.begin()
            yield connection
            if transaction.is_active:
                transaction.commit()

    @contextmanager
    def session(self, reads: bool = False) -> Iterator[Session]:
        """The same for what every trial needs, past SQLAlchemy's layers."""
        with self._errors(), self._connected(reads) as connection:
            session = Session(connection, self._sqlite)
            _patiently(lambda: session.begin(reads))
            try:
                yield session
            except BaseException:
                session.roll_back()
                raise
            _patiently(session.commit)

    @contextmanager
    def _connected(self, reads: bool) -> Iterator[Any]:
        """A connection at the driver."""
        if reads or not self._sqlite:
            connection = self.engine.raw_connection()
            try:
                yield connection
            finally:
                connection.close()  # It goes back to the pool.
            return
        # The pool would take longer than the transaction.
        writer, self._writer = self._writer, None
        if writer is None:
            writer = _connect_sqlite(self._address(self.read_only), timeout=0)
            # The journal does it now and then; SQLite would, when several processes
            # write, at every commit.
            writer.execute("PRAGMA wal_autocheckpoint=0")
        try:
            yield writer
        finally:
            if self._writer is None:
                self._writer = writer
            else:  # Another thread has brought back its own.
                writer.close()

    def checkpoint(self) -> None:
        """Moves what was written to the file from the log, which may then begin anew."""
        if self._sqlite:
            with self._errors(), self._connected(reads=False) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state and keeps nobody waiting."""
        options: dict[str, Any] = {_READS: True}
        if not self._sqlite:
            options["isolation_level"] = "REPEATABLE READ"
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(**options)
            with connection.begin():
                yield connection

    # --- studies ------------------------------------------------------------------------

    def all_studies(self) -> Sequence[Any]:
        """A row for each study."""
        if self._empty:
            return ()
        with self.reading() as connection:
            return connection.execute(sa.select(studies).order_by(studies.c.id)).all()

    def find(self, name: str) -> Any:
        """The row of a study.

        Raises:
          StorageError: there is none of this name.
        """
        rows = {row.name: row for row in self.all_studies()}
        if name not in rows:
            known = ", ".join(map(repr, rows)) or "none"
            raise self.error(f"There is no study {name!r}; the studies are {known}")
        self._require_intact(rows[name])
        return rows[name]

    def _require_intact(self, row: Any) -> None:
        if row.checksum != _checksum(row._mapping):
            raise self.error(
                f"What the study {row.name!r} has searched cannot be read: the file is "
                "damaged. Restore a copy of it"
            )

    def environment(self, study_id: int) -> dict[str, Any]:
        """What a study was begun with; empty if an earlier version began it."""
        with self.reading() as connection:
            if not sa.inspect(connection).has_table(environments.name):
                return {}
            text = connection.execute(
                sa.select(environments.c.environment).where(
                    environments.c.study_id == study_id
                )
            ).scalar_one_or_none()
        found = json.loads(text) if text else {}
        return found if isinstance(found, dict) else {}

    def delete(self, study_id: int) -> None:
        """Removes a study and all its trials."""
        with self.writing() as connection:
            # Whoever writes has to pass the row of the study, which goes first.
            connection.execute(studies.delete().where(studies.c.id == study_id))
            for table in (measurements, workers, trials, environments):
                connection.execute(table.delete().where(table.c.study_id == study_id))

    def discard(self, name: str) -> None:
        """Removes a study that nobody has begun to work on."""
        begun = sa.exists().where(workers.c.study_id == studies.c.id)
        with self.writing() as connection:
            connection.execute(
                studies.delete().where(
                    studies.c.name == name, studies.c.num_trials == 0, ~begun
                )
            )

    def check(self) -> None:
        """Raises `StorageError` if the file is damaged, as when its end was cut off."""
        if not self._sqlite:
            return
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise self.error(f"The file is damaged ({found}). Restore a copy of it")

    def open_study(
        self,
        name: str,
        wanted: StudyDescription,
        layout: Layout,
        worker: str,
        environment: Mapping[str, Any],
        any_seed: bool,
    ) -> tuple[Journal, int]:
        """The journal of a study, which is created, or checked against `wanted`.

        Returns its seed as well, which is that of `wanted` unless any will do.

        Raises:
          ValueError: a study of this name was begun with something else.
        """
        with self.writing() as connection:
            self._pass_one_by_one(connection)
            row = connection.execute(
                sa.select(studies).where(studies.c.name == name)
            ).one_or_none()
            if row is None:
                values = {"name": name, **dataclasses.asdict(wanted)}
                values.update(checksum=_checksum(values), created=time.time())
                result = connection.execute(studies.insert().values(**values))
                assert result.inserted_primary_key is not None
                study_id = int(result.inserted_primary_key[0])
                text = json.dumps(environment)
                connection.execute(
                    environments.insert().values(study_id=study_id, environment=text)
                )
                return Journal(self, study_id, layout, worker), wanted.seed
        self._require_intact(row)
        if any_seed:
            wanted = dataclasses.replace(wanted, seed=row.seed)
        _require_same(name, row, wanted)
        return Journal(self, int(row.id), layout, worker), wanted.seed


_READS = "symnas_reads"


def _begin(connection: Connection) -> None:
    """Begins a transaction of SQLite, which would lock too late if it did so itself."""
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _patiently(attempt: Callable[[], None]) -> None:
    """Tries again while another process writes.

    SQLite itself would sleep for longer and longer, and let the file lie idle.
    """
    deadline, longest = time.monotonic() + _BUSY_SECONDS, _SHORTEST_SLEEP
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0, longest))
        longest = min(2 * longest, _LONGEST_SLEEP)


def _connect_sqlite(address: str, timeout: float = _BUSY_SECONDS) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address,
        uri=True,
        timeout=timeout,
        isolation_level=None,  # The engine begins transactions itself.
        check_same_thread=False,
    )
    # It survives the death of the process; a power cut may take the last commits.
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _driver(connection: Connection) -> sqlite3.Connection:
    """The connection below SQLAlchemy's, outside any transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _url(target: str | os.PathLike[str]) -> URL:
    text = os.fspath(target)
    if "://" in text:
        try:
            url = sa.make_url(text)
        except (exc.ArgumentError, ValueError):  # They may show the password.
            raise StorageError(
                "`storage` is not a database URL. It must look like "
                "postgresql://user:password@host:5432/database, with %2F for a / in the "
                "password and so on."
            ) from None
        if url.drivername == "postgresql":  # The driver that our extra installs.
            url = url.set(drivername="postgresql+psycopg")
        return url
    return URL.create("sqlite", database=text)


def storable(text: str) -> str:
    """A text as databases hold it: without NULs and halves of characters."""
    text = text.replace("\0", "\\x00")
    return text.encode("utf-8", "backslashreplace").decode()


def _explained(message: str, shown: str) -> str:
    """What a message of the database means to the user."""
    hints = (
        ("disk is full", "There is no space left. Free some and start again"),
        ("disk I/O", "The file cannot be written or read. Is there space left?"),
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


def _checksum(row: Mapping[str, Any]) -> str:
    """SHA-256 of the texts in the row of a study."""
    texts = ("name", "objectives", "algorithm", "fingerprint", "decisions", "outline")
    return hashlib.sha256("\0".join(row[key] for key in texts).encode()).hexdigest()


def _require_same(name: str, row: Any, wanted: StudyDescription) -> None:
    """Raises if a study would go on with something else than it began with."""
    for what in ("objectives", "algorithm", "lag", "seed"):
        before, now = getattr(row, what), getattr(wanted, what)
        if before != now:
            raise ValueError(
                f"The study {name!r} was begun with {what} {before} and is now given "
                f"{now}. Use another name for a new study."
            )
    if row.fingerprint == wanted.fingerprint:
        return
    lines = difflib.unified_diff(
        row.outline.splitlines(), wanted.outline.splitlines(), "begun", "now", n=0
    )
    difference = "\n".join(list(lines)[:40]) or (
        "The decisions are the same, but the code around them differs."
    )
    raise ValueError(
        f"The study {name!r} was begun with another space. Use another name for a new "
        f"study.\n{difference}"
    )

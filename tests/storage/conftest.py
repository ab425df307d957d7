"""Stores of both kinds, and workers: processes that begin fast, threads to step by hand."""

from __future__ import annotations

import multiprocessing
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import symnas as sn
from symnas.storage import leases

# Processes find the functions that they run by import.
sys.path.append(str(Path(__file__).parent))

POSTGRESQL = "SYMNAS_TEST_POSTGRESQL"


def _server() -> sa.URL:
    if POSTGRESQL not in os.environ:
        pytest.skip(f"`{POSTGRESQL}` names no server")
    return sa.make_url(os.environ[POSTGRESQL])


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URL of an empty schema."""
    server = _server()
    engine = sa.create_engine(server, poolclass=sa.NullPool)
    schema = f"test_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    url = server.update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return str(tmp_path / "studies.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str:
    """An empty store, each test with one of either kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0.4 seconds, with a beat each 0.05 seconds."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.4)


class Child:
    """A process that runs a function, and the pipe to it."""

    def __init__(self, context: Any, function: Any, *arguments: Any) -> None:
        self._ours, theirs = context.Pipe()
        self.process = context.Process(
            target=function, args=(theirs, *arguments), daemon=True
        )
        self.process.start()
        theirs.close()  # So that its death is heard.

    def hear(self, seconds: float = 60) -> Any:
        assert self._ours.poll(seconds), "the process says nothing"
        return self._ours.recv()

    def say(self, what: Any = None) -> None:
        self._ours.send(what)

    def kill(self) -> None:
        self.process.kill()
        self.process.join(10)

    def join(self, seconds: float = 60) -> None:
        """Waits for its end, which must be without an error."""
        self.process.join(seconds)
        assert self.process.exitcode == 0

    def close(self) -> None:
        self.kill()
        self._ours.close()
        if self.process.exitcode is not None:
            self.process.close()


class Processes:
    """Starts functions of `storage_workers` in processes that symnas is loaded in."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        loaded = ["symnas", "symnas.storage.stored_study", "pytest", "storage_workers"]
        self.context.set_forkserver_preload(loaded)
        self._children: list[Child] = []

    def start(self, function: Callable[..., Any], *arguments: Any) -> Child:
        """Runs a function, which gets a pipe to here before other arguments."""
        self._children.append(Child(self.context, function, *arguments))
        return self._children[-1]

    def close(self) -> None:
        for child in self._children:
            child.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.close()


class Worker:
    """A worker of a study in a thread of its own, which does what it is told."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.samples: Any = None

    def do(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self.begin(function, *arguments, **options).result(60)

    def begin(
        self, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        return self._thread.submit(function, *arguments, **options)

    def open(self, *arguments: Any, **options: Any) -> None:
        self.samples = self.do(sn.sample, *arguments, **options)

    def next(self) -> Any:
        return self.do(next, self.samples)

    def close(self) -> None:
        if self.samples is not None:
            self.do(self.samples._study.abandon, "the test is over")
            self.samples = None
            self._thread.shutdown()


@pytest.fixture
def make_worker() -> Iterator[Callable[..., Worker]]:
    """Makes workers, with the arguments of `sample`, which are closed at the end."""
    workers = []

    def make(*arguments: Any, **options: Any) -> Worker:
        workers.append(Worker())
        workers[-1].open(*arguments, **options)
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()

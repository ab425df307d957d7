"""Evaluations in processes of this machine."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import torch

from symnas import evaluation
from symnas.engines.engine import EngineError, Event, plain
from symnas.trial import format_error

_RESOURCES = ("num_cpus", "num_gpus", "memory")
_CHECK_SECONDS = 1.0  # Between two looks at whether all processes are there.
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalEngine:
    """Worker processes, each of which evaluates one example at a time.

    A worker that crashes, is killed, or takes longer than `trial_timeout` fails its trial
    only, and another one takes its place. Workers are spawned, not forked: they import
    what they need, so `evaluate` must be found by import, and a script needs the guard
    `if __name__ == "__main__":`.

    Args:
      evaluate: the function that is run; it is pickled.
      workers: how many processes.
      trial_timeout: seconds that one evaluation may take.
      resources: for each worker `num_cpus`, the threads of torch, by default an equal share;
        `num_gpus`, by default 1 where there are GPUs; `memory`, the bytes that an
        evaluation may allocate, where the system can limit that.
    """

    def __init__(
        self,
        evaluate: Callable[[Any], Any],
        workers: int,
        trial_timeout: float | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        resources = dict(resources or {})
        _check_resources(resources)
        self._evaluate = _pickled(evaluate, "`evaluate`")
        self._timeout = trial_timeout
        self._memory = resources.get("memory")
        self._threads = resources.get("num_cpus")
        if self._threads is None and "OMP_NUM_THREADS" not in os.environ:
            self._threads = max(1, torch.get_num_threads() // workers)
        self._gpus = _gpus_of_workers(workers, resources.get("num_gpus"))
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        try:
            for gpus in self._gpus:
                self._workers.append(self._make(gpus))
                self._workers[-1].start()
            for worker in self._workers:
                worker.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def _make(self, gpus: str | None) -> _Worker:
        return _Worker(self._evaluate, gpus, self._threads, self._memory)

    def has_room(self) -> bool:
        return any(worker.free for worker in self._workers)

    def submit(self, trial_id: int, example: Any, seed: int) -> None:
        task = pickle.dumps((_pickled(example, "The example"), seed))
        worker = next(worker for worker in self._workers if worker.free)
        worker.begin(trial_id, task, self._timeout)

    def reply(self, trial_id: int, stop: bool) -> None:
        for worker in self._workers:
            if worker.trial_id == trial_id:
                worker.send(pickle.dumps(stop))

    def events(self, timeout: float | None) -> Iterator[Event]:
        # A process that an evaluation has left behind may hold the pipe of one that died,
        # so that is looked for as well.
        limits = [_CHECK_SECONDS] + ([] if timeout is None else [timeout])
        for worker in self._workers:
            if worker.deadline is not None:
                limits.append(max(worker.deadline - time.monotonic(), 0.0))
        wait([worker.connection for worker in self._workers], min(limits))
        for i, worker in enumerate(self._workers):
            if worker.connection.poll():
                yield from self._hear(i, worker)
            elif worker.process.exitcode is not None:
                yield from self._replace(i, worker, _cause(worker.process.exitcode))
            elif worker.overdue:
                text = f"The evaluation took longer than {self._timeout} s."
                yield from self._replace(i, worker, text)

    def _hear(self, i: int, worker: _Worker) -> Iterator[Event]:
        message = worker.receive()
        if message is None:
            worker.process.join(10)
            yield from self._replace(i, worker, _cause(worker.process.exitcode))
            return
        kind, value = message
        if kind == "measured" and worker.overdue:
            return  # However fast it reports, its time is over: `events` ends it.
        if kind == "ready":
            worker.is_ready = True
        elif kind == "broken":
            raise _broken(value)
        elif kind == "unreadable":  # It may wait for a reply to what is not known.
            yield from self._replace(i, worker, value)
        elif worker.trial_id is not None:
            trial_id = worker.trial_id
            if kind != "measured":
                worker.trial_id = worker.deadline = None
            yield Event(trial_id, kind, value)

    def _replace(self, i: int, worker: _Worker, why: str) -> Iterator[Event]:
        """Starts another worker in the place of one that is lost."""
        if not worker.is_ready:
            raise _never_ready(worker.process.exitcode)
        trial_id = worker.trial_id
        worker.kill()
        self._workers[i] = self._make(self._gpus[i])
        self._workers[i].start()
        if trial_id is not None:
            yield Event(trial_id, "failed", why)


class _Worker:
    """A process and the pipe to it."""

    def __init__(
        self,
        evaluate: bytes,
        gpus: str | None,
        threads: int | None,
        memory: int | None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, self._theirs = context.Pipe()
        method = multiprocessing.get_start_method(allow_none=True)
        self.process: BaseProcess = context.Process(
            target=_serve, args=(self._theirs, evaluate, threads, memory, method)
        )
        self._gpus = gpus
        self.is_ready = False
        self.trial_id: int | None = None
        self.deadline: float | None = None

    def start(self) -> None:
        before = os.environ.get(_VISIBLE)
        if self._gpus is not None:
            os.environ[_VISIBLE] = self._gpus
        try:
            with _interrupts_held():
                self.process.start()
        finally:
            if self._gpus is not None:
                os.environ.pop(_VISIBLE)
                if before is not None:
                    os.environ[_VISIBLE] = before
            self._theirs.close()

    @property
    def free(self) -> bool:
        return self.is_ready and self.trial_id is None

    @property
    def overdue(self) -> bool:
        return self.deadline is not None and self.deadline <= time.monotonic()

    def wait_until_ready(self) -> None:
        message = self.receive()
        if message is None:
            self.process.join(10)
            raise _never_ready(self.process.exitcode)
        if message[0] == "broken":
            raise _broken(message[1])
        self.is_ready = True

    def begin(self, trial_id: int, task: bytes, timeout: float | None) -> None:
        self.trial_id = trial_id
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.send(task)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # If it has died, `receive` will tell.
            self.connection.send_bytes(data)

    def receive(self) -> tuple[str, Any] | None:
        """A message; None if the process is gone."""
        try:
            data = self.connection.recv_bytes()
        except (EOFError, OSError):
            return None
        try:
            message: tuple[str, Any] = pickle.loads(data)
        except Exception as error:  # Objects of users may raise anything.
            return "unreadable", f"The result cannot be read: {format_error(error)}"
        return message

    def kill(self) -> None:
        """Ends the process and those that it has started."""
        if self.process.pid is not None:
            # There is no group on Windows, nor while the process starts.
            with contextlib.suppress(AttributeError, OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.join()
        self.connection.close()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Within it Ctrl-C waits, and processes that start do not hear of it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows.
        yield
        return
    resource_tracker.ensure_running()  # When it starts it lets Ctrl-C through.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pickled(value: Any, what: str) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"{what} ({_shortened(value)}) cannot be sent to a worker process: {error}. "
            "Functions and classes must stand at the level of a module, where workers can "
            "import them: move what is named here out of the function it is defined in, and "
            "give lambdas a name. What belongs to this process, such as locks and open "
            "files, must be made in the worker. Or use the default, `workers=1`, which "
            "sends nothing."
        ) from error


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _never_ready(exit_code: int | None) -> EngineError:
    return EngineError(
        f"A worker process ended before it was ready ({_cause(exit_code)}) If it printed "
        "an error, that says why: workers import the script that started them, which "
        'must be a file and needs `if __name__ == "__main__":` around what it runs.'
    )


def _broken(error: str) -> EngineError:
    return EngineError(
        "A worker process could not load `evaluate`. It must be importable there: defined "
        f"in a file, not at a prompt, in a module that workers find.\n{error}"
    )


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:  # Those for real time have no names.
            name = f"signal {-exit_code}"
        hint = ": out of memory?" if name == "SIGKILL" else "."
        return f"The worker process was ended by {name}{hint}"
    return f"The worker process ended with exit code {exit_code}."


def _check_resources(resources: Mapping[str, Any]) -> None:
    for key, value in resources.items():
        if key not in _RESOURCES:
            raise ValueError(
                f"`resources` of the local engine are {', '.join(_RESOURCES)}, got "
                f"{key!r}."
            )
        least = 0 if key == "num_gpus" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"`{key}` in `resources` of the local engine must be a whole number of at "
                f"least {least}, got {value!r}."
            )


def _gpus_of_workers(workers: int, num_gpus: int | None) -> list[str | None]:
    """What each worker sees as CUDA_VISIBLE_DEVICES; None leaves that as it is."""
    count = torch.cuda.device_count()
    visible = os.environ.get(_VISIBLE, ",".join(map(str, range(count)))).split(",")
    count = min(count, len(visible))  # It is less if it was set after torch counted.
    wanted = min(1, count) if num_gpus is None else num_gpus
    if not wanted:
        return [None if num_gpus is None else ""] * workers
    if wanted > count:
        raise ValueError(
            f"`resources` asks for {num_gpus} GPUs per worker, but there are {count}."
        )
    return [
        ",".join(visible[(i * wanted + j) % count] for j in range(wanted))
        for i in range(workers)
    ]


# --- in the worker ----------------------------------------------------------------------


def _serve(
    connection: Connection,
    pickled: bytes,
    threads: int | None,
    memory: int | None,
    start_method: str | None,
) -> None:
    """Evaluates what comes through the connection until that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The search ends its workers itself.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with contextlib.suppress(AttributeError, OSError):
        os.setpgid(0, 0)  # With all that it starts, so that nothing is left behind.
    if isinstance(sys.stdout, io.TextIOWrapper):  # A kill does not flush.
        sys.stdout.reconfigure(line_buffering=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What an evaluation starts, as the workers of a `DataLoader`, starts as elsewhere.
    multiprocessing.set_start_method(start_method, force=True)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        evaluate = pickle.loads(pickled)
    except Exception as error:
        connection.send_bytes(pickle.dumps(("broken", format_error(error))))
        return
    if memory is not None:
        _limit_memory(memory)
    connection.send_bytes(pickle.dumps(("ready", None)))

    def report(metrics: Any) -> bool:
        connection.send_bytes(_message("measured", metrics))
        stop: bool = pickle.loads(connection.recv_bytes())
        return stop

    while True:
        try:
            task = connection.recv_bytes()
        except EOFError:
            return
        try:
            pickled, seed = pickle.loads(task)
            example = pickle.loads(pickled)
            message = _message(*evaluation.run(evaluate, example, seed, report))
        except BaseException as error:  # Also SystemExit: it fails the trial.
            message = _message("failed", format_error(error))
        example = None  # Free it before the next one comes.
        try:
            connection.send_bytes(message)
        except OSError:
            return


def _message(kind: str, value: Any) -> bytes:
    return pickle.dumps((kind, plain(value)))


def _end_with_parent() -> None:
    """Ends this process when the search is gone, also in the middle of an evaluation."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    with contextlib.suppress(AttributeError, OSError):
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _limit_memory(memory: int) -> None:
    """Limits what this process may allocate from now on."""
    try:
        import resource
    except ImportError:  # Windows.
        return
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # Not Linux.
        return
    used = int(status.partition("VmData:")[2].split()[0]) * 1024
    limit, hardest = used + memory, resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hardest != resource.RLIM_INFINITY:
        limit = min(limit, hardest)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

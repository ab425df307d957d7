"""Evaluations in processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
        for key in resources:
            if key not in _RESOURCES:
                raise ValueError(
                    f"`resources` of the local engine are {', '.join(_RESOURCES)}, got "
                    f"{key!r}."
                )
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
            self._workers = [self._start(gpus) for gpus in self._gpus]
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

    def _start(self, gpus: str | None) -> _Worker:
        return _Worker(self._evaluate, gpus, self._threads, self._memory)

    def has_room(self) -> bool:
        return any(worker.free for worker in self._workers)

    def submit(self, trial_id: int, example: Any, seed: int) -> None:
        task = _pickled((example, seed), "The example")
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
            elif worker.deadline is not None and worker.deadline <= time.monotonic():
                text = f"The evaluation took longer than {self._timeout} s."
                yield from self._replace(i, worker, text)

    def _hear(self, i: int, worker: _Worker) -> Iterator[Event]:
        message = worker.receive()
        if message is None:
            worker.process.join(10)
            yield from self._replace(i, worker, _cause(worker.process.exitcode))
            return
        kind, value = message
        if kind == "ready":
            worker.is_ready = True
        elif kind == "broken":
            raise _broken(value)
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
        self._workers[i] = self._start(self._gpus[i])
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
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, evaluate, threads, memory)
        )
        before = os.environ.get(_VISIBLE)
        if gpus is not None:
            os.environ[_VISIBLE] = gpus
        try:
            self.process.start()
        finally:
            if gpus is not None:
                os.environ.pop(_VISIBLE)
                if before is not None:
                    os.environ[_VISIBLE] = before
        theirs.close()
        self.is_ready = False
        self.trial_id: int | None = None
        self.deadline: float | None = None

    @property
    def free(self) -> bool:
        return self.is_ready and self.trial_id is None

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
            message: tuple[str, Any] = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return message

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def _pickled(value: Any, what: str) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"{what} cannot be sent to a worker process: {error}. Functions and classes "
            "must stand at the level of a module, where workers can import them: move "
            "what is named here out of the function it is defined in, and give lambdas a "
            "name. Or use the default, `workers=1`, which sends nothing."
        ) from error


def _never_ready(exit_code: int | None) -> EngineError:
    return EngineError(
        f"A worker process ended before it was ready ({_cause(exit_code)}) If it printed "
        "an error, that says why: workers import the script that started them, which "
        'needs `if __name__ == "__main__":` around what it runs.'
    )


def _broken(error: str) -> EngineError:
    return EngineError(
        "A worker process could not load `evaluate`. It must be importable there: defined "
        f"in a file, not at a prompt, in a module that workers find.\n{error}"
    )


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = ": out of memory?" if name == "SIGKILL" else "."
        return f"The worker process was ended by {name}{hint}"
    return f"The worker process ended with exit code {exit_code}."


def _gpus_of_workers(workers: int, num_gpus: int | None) -> list[str | None]:
    """What each worker sees as CUDA_VISIBLE_DEVICES; None leaves that as it is."""
    count = torch.cuda.device_count()
    wanted = min(1, count) if num_gpus is None else num_gpus
    if not wanted:
        return [None] * workers
    if wanted * workers > count and (num_gpus is not None and num_gpus > count):
        raise ValueError(
            f"`resources` asks for {num_gpus} GPUs per worker, but there are {count}."
        )
    visible = os.environ.get(_VISIBLE, ",".join(map(str, range(count)))).split(",")
    return [
        ",".join(visible[(i * wanted + j) % count] for j in range(wanted))
        for i in range(workers)
    ]


# --- in the worker ----------------------------------------------------------------------


def _serve(
    connection: Connection, pickled: bytes, threads: int | None, memory: int | None
) -> None:
    """Evaluates what comes through the connection until that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The search ends its workers itself.
    threading.Thread(target=_end_with_parent, daemon=True).start()
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
            example, seed = pickle.loads(task)
            message = _message(*evaluation.run(evaluate, example, seed, report))
        except EOFError:
            return
        except BaseException as error:  # Also SystemExit: it fails the trial.
            message = _message("failed", format_error(error))
        example = None  # Free it before the next one comes.
        connection.send_bytes(message)


def _message(kind: str, value: Any) -> bytes:
    return pickle.dumps((kind, plain(value)))


def _end_with_parent() -> None:
    """Ends this process when the search is gone, also in the middle of an evaluation."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
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
    limit = used + int(memory)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

"""Evaluations as tasks of a Ray cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from symnas import evaluation
from symnas.engines.engine import Event, plain
from symnas.trial import format_error

_RETRIES = 3  # Of an evaluation whose node was lost.
_CHECK_SECONDS = 1.0


class RayEngine:
    """One Ray task for each evaluation, `workers` of them at a time.

    It uses the cluster that Ray is connected to, or else the one that `ray.init()` finds or
    starts. `evaluate` and examples are sent as they are, also when they were defined at a
    prompt; symnas must be installed on all nodes. An evaluation whose node is lost runs
    again on another one, up to three times; one that crashes its process fails its trial.

    Args:
      evaluate: the function that is run.
      workers: how many evaluations at a time.
      trial_timeout: seconds that one evaluation may take, from when it starts.
      resources: options of the tasks: `num_cpus`, `num_gpus` (also fractions), `memory` in
        bytes, `resources`, `scheduling_strategy` and so on.
    """

    def __init__(
        self,
        evaluate: Callable[[Any], Any],
        workers: int,
        trial_timeout: float | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import ray
        except ImportError:
            raise ImportError(
                "The engine 'ray' needs Ray: pip install 'symnas[ray]'."
            ) from None
        self._ray = ray
        self._evaluate = evaluate
        self._workers = workers
        self._timeout = trial_timeout
        try:
            # A lost node is noticed here, so that what it reported can be forgotten.
            self._task = ray.remote(_evaluate).options(
                **{"max_retries": 0, **(resources or {})}
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`resources` are options of a Ray task, got {dict(resources or {})}: "
                f"{error}"
            ) from None
        self._trials: dict[int, _Task] = {}
        self._started_ray = False

    def __enter__(self) -> Self:
        ray = self._ray
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
            self._started_ray = True
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        options = {
            "num_cpus": 0,
            "scheduling_strategy": here,
            # Each evaluation may wait for a reply, and all others must get through.
            "max_concurrency": 2 * self._workers + 1000,
        }
        self._mailbox = ray.remote(_Mailbox).options(**options).remote()
        self._letter = self._mailbox.take.remote()
        try:
            self._evaluate = ray.put(self._evaluate)
        except TypeError as error:
            self.__exit__()
            raise TypeError(f"`evaluate` cannot be sent to a worker: {error}") from None
        return self

    def __exit__(self, *error: object) -> None:
        for task in self._trials.values():
            self._ray.cancel(task.reference, force=True)
        self._trials = {}
        self._ray.kill(self._mailbox)
        if self._started_ray:
            self._ray.shutdown()

    def has_room(self) -> bool:
        return len(self._trials) < self._workers

    def submit(self, trial_id: int, example: Any, seed: int) -> None:
        task = _Task(self._ray.put(example), seed)
        self._send(trial_id, task)
        self._trials[trial_id] = task

    def _send(self, trial_id: int, task: _Task) -> None:
        task.started = None
        task.reference = self._task.remote(
            self._mailbox,
            self._evaluate,
            (trial_id, task.attempt),
            task.example,
            task.seed,
        )

    def reply(self, trial_id: int, stop: bool) -> None:
        if trial_id in self._trials:
            attempt = self._trials[trial_id].attempt
            self._mailbox.reply.remote((trial_id, attempt), stop)

    def events(self, timeout: float | None) -> Iterator[Event]:
        by_reference = {task.reference: i for i, task in self._trials.items()}
        limit = _CHECK_SECONDS if timeout is None else min(timeout, _CHECK_SECONDS)
        references = [self._letter, *by_reference]
        ready, _ = self._ray.wait(references, num_returns=1, timeout=limit)
        if ready:  # Take all that are there, so that none waits for the others.
            ready, _ = self._ray.wait(
                references, num_returns=len(references), timeout=0
            )
        if self._letter in ready:
            letter = self._ray.get(self._letter)
            self._letter = self._mailbox.take.remote()
            yield from self._open(letter)
        for reference in ready:
            if reference in by_reference:
                yield from self._finish(by_reference[reference], reference)
        yield from self._end_overdue()

    def _open(self, letter: tuple[tuple[int, int], str, Any]) -> Iterator[Event]:
        (trial_id, attempt), kind, value = letter
        task = self._trials.get(trial_id)
        if task is None or task.attempt != attempt:
            return  # From a node that was thought lost.
        if kind == "started":
            if task.started is not None:  # By `max_retries` of the user.
                yield Event(trial_id, "restarted")
            task.started = time.monotonic()
        else:
            yield Event(trial_id, kind, value)

    def _finish(self, trial_id: int, reference: Any) -> Iterator[Event]:
        errors = self._ray.exceptions
        task = self._trials[trial_id]
        try:
            kind, value = self._ray.get(reference)
        except errors.NodeDiedError as error:
            if task.attempt <= _RETRIES:
                task.attempt += 1
                self._send(trial_id, task)
                yield Event(trial_id, "restarted")
                return
            kind, value = "failed", f"The node was lost, {_RETRIES + 1} times: {error}"
        except errors.RayError as error:
            kind, value = "failed", f"{type(error).__name__}: {error}"
        del self._trials[trial_id]
        yield Event(trial_id, kind, value)

    def _end_overdue(self) -> Iterator[Event]:
        if self._timeout is None:
            return
        for trial_id, task in list(self._trials.items()):
            if task.started is None or time.monotonic() - task.started < self._timeout:
                continue
            self._ray.cancel(task.reference, force=True)
            del self._trials[trial_id]
            text = f"The evaluation took longer than {self._timeout} s."
            yield Event(trial_id, "failed", text)


class _Task:
    """One trial on the cluster."""

    def __init__(self, example: Any, seed: int) -> None:
        self.example = example
        self.seed = seed
        self.attempt = 1
        self.started: float | None = None
        self.reference: Any = None


class _Mailbox:
    """An actor between tasks, which report, and the search, which answers."""

    def __init__(self) -> None:
        self._letters: asyncio.Queue[Any] = asyncio.Queue()
        self._replies: dict[tuple[int, int], asyncio.Future[bool]] = {}

    async def take(self) -> Any:
        return await self._letters.get()

    async def started(self, sender: tuple[int, int]) -> None:
        await self._letters.put((sender, "started", None))

    async def report(self, sender: tuple[int, int], metrics: Any) -> bool:
        future = asyncio.get_running_loop().create_future()
        self._replies[sender] = future
        await self._letters.put((sender, "measured", metrics))
        stop: bool = await future
        return stop

    async def reply(self, sender: tuple[int, int], stop: bool) -> None:
        future = self._replies.pop(sender, None)
        if future is not None and not future.done():
            future.set_result(stop)


def _evaluate(
    mailbox: Any,
    evaluate: Callable[[Any], Any],
    sender: tuple[int, int],
    example: Any,
    seed: int,
) -> tuple[str, Any]:
    """The task: one evaluation."""
    import ray

    mailbox.started.remote(sender)

    def report(metrics: Any) -> bool:
        stop: bool = ray.get(mailbox.report.remote(sender, plain(metrics)))
        return stop

    try:
        kind, value = evaluation.run(evaluate, example, seed, report)
    except (Exception, SystemExit) as error:  # Which would end Ray's worker.
        return "failed", format_error(error)
    return kind, plain(value)

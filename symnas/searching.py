"""`search`: the same loop, run for you."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from symnas import evaluation
from symnas.budget import Budget
from symnas.callbacks.callback import Callback
from symnas.engines.choice import make_engine
from symnas.engines.driver import conclude, run_on_workers
from symnas.progress import Progress
from symnas.result import INTERRUPTION, Result
from symnas.seeding import generators_restored
from symnas.storage.errors import StorageError
from symnas.storage.opening import begin_study
from symnas.study import Study
from symnas.trial import Feedback, Trial

T = TypeVar("T")


def search(
    space: T | Callable[[], T],
    evaluate: Callable[[T], Any],
    algorithm: Any = "random",
    num_examples: int | None = None,
    *,
    seed: int | None = None,
    objectives: Sequence[str] = ("reward",),
    where: Callable[[Any], bool] | None = None,
    constraint: Callable[[Mapping[str, Any]], bool] | None = None,
    duplicates: str = "avoid",
    early_stopping: Callable[[Feedback, Any], bool] | None = None,
    stop_rules: Sequence[Callable[[Any], str | None]] = (),
    timeout: float | None = None,
    warm_start: Any = (),
    lag: int | None = None,
    budget: Budget | None = None,
    within: Feedback | None = None,
    name: str | None = None,
    storage: str | os.PathLike[str] | None = None,
    workers: int = 1,
    trial_timeout: float | None = None,
    engine: Literal["local", "ray"] = "local",
    resources: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callable[[Trial], None]] = (),
    progress: bool | Literal["log"] = True,
) -> Result:
    """Searches a space for the example with the largest reward.

    An evaluation that raises or returns NaN is recorded as failed, and the search goes
    on. Ctrl-C ends it, with the result so far. Before each evaluation Python's, NumPy's
    and torch's generators are seeded for that trial, so a search with a seed repeats as
    a whole if its evaluations are deterministic; at the end they are set back.

    Args:
      space: anything that `SearchSpace` takes.
      evaluate: gets an example and returns its reward, a number where larger is better,
        or a dict of metrics; or yields such results as it goes, after each epoch for
        instance, of which the last one counts.
      algorithm: a name, an `algorithms.Algorithm`, or any `pg.DNAGenerator`.
      num_examples: how many examples are evaluated; None for no limit.
      seed: fixes the proposals.
      objectives: names of the metrics to maximise; `-latency` minimises.
      where: selects the hyper-values that are decided; the others stay open.
      constraint: a predicate on the decisions; what it refuses is not proposed.
      duplicates: 'avoid' proposes no example twice, 'allow' leaves it to the algorithm.
      early_stopping: asked after each result that `evaluate` yields: a rule, as
        `early_stopping.Patience(3)`, or a function of the feedback and the study.
      stop_rules: callables that take the study and return why it should end, or None.
      timeout: seconds after which no further evaluation begins.
      warm_start: what is known already: a `Result`, trials, or genotypes and rewards.
      lag: if n, proposal i depends on the results of trials up to i - n alone.
      budget: what this and other loops may spend together.
      within: the feedback of a trial of another loop, which this search evaluates; see
        `sample`. Ctrl-C then ends that loop too, and the display is left to it.
      name: of the study in `storage`, which goes on if it exists.
      storage: a path, for SQLite, or a SQLAlchemy URL, where everything is kept as it
        happens: a search that was killed continues as if it had not been.
      workers: how many evaluations run at once, in processes of their own if more than
        one. `evaluate` must then be importable, and a script needs the guard
        `if __name__ == "__main__":`.
      trial_timeout: seconds after which an evaluation is ended and its trial fails; it
        runs in a worker process then.
      engine: 'local' for processes of this machine, 'ray' for a Ray cluster.
      resources: what a worker gets. Local: `num_cpus`, `num_gpus`, `memory` in bytes. Ray:
        any option of a Ray task, as `num_gpus=0.5`.
      callbacks: called with each `Trial` that has ended; a `callbacks.Callback` also at
        the beginning and the end.
      progress: shows the best so far, the time left, workers and failures: live on a
        terminal and in a notebook, as plain lines elsewhere; 'log' for plain lines
        everywhere, false for nothing.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(-1.0, 1.0), "y": sn.oneof([1, 2, 3])}
    >>> result = sn.search(space, lambda e: e["y"] - e["x"] ** 2, "random", 60, seed=0,
    ...                    progress=False)
    >>> result.best.decisions["y"], round(result.best.reward, 1)
    (3, 3.0)
    """
    if not callable(evaluate):
        raise TypeError(f"`evaluate` must be callable, got {evaluate!r}.")
    runner = make_engine(engine, evaluate, workers, trial_timeout, resources)
    study = begin_study(
        space,
        algorithm,
        num_examples,
        seed=seed,
        objectives=objectives,
        where=where,
        constraint=constraint,
        duplicates=duplicates,
        early_stopping=early_stopping,
        stop_rules=stop_rules,
        timeout=timeout,
        warm_start=warm_start,
        lag=lag,
        budget=budget,
        within=within,
        name=name,
        storage=storage,
    )
    result = Result(study)
    bounded = num_examples is not None or timeout is not None or bool(stop_rules)
    if not (bounded or study.has_budget or study.finite):
        study.abandon("never begun")
        raise ValueError(
            "This search would never end: pass `num_examples`, `timeout`, `budget` or "
            "`stop_rules`."
        )
    shown = progress if within is None else False
    with Progress(result, num_examples, shown) as display:
        listeners = _Listeners(study, result, callbacks, display)
        try:
            if runner is None:
                _run_here(study, evaluate, listeners)
            else:
                with runner:
                    run_on_workers(study, runner, listeners.begin, listeners.end)
        except KeyboardInterrupt:
            study.stop(INTERRUPTION)
            study.abandon("interrupted")
            if within is not None:
                raise
        except BaseException:
            study.abandon("interrupted")
            raise
        study.close()
        listeners.tell_end()
    return result


class _Listeners:
    """Tells the display and the callbacks what happens to trials."""

    def __init__(
        self,
        study: Study,
        result: Result,
        callbacks: Sequence[Callable[[Trial], None]],
        display: Progress,
    ) -> None:
        self._study, self._result = study, result
        self._callbacks = list(callbacks)
        self._display = display
        for callback in self._callbacks:
            if isinstance(callback, Callback):
                callback.begin(result)

    def begin(self, trial_id: int, worker: int = 0) -> None:
        """Called when an evaluation begins, on one of the workers."""
        self._display.began(trial_id, worker)

    def end(self, trial_id: int) -> None:
        self._display.ended(trial_id)
        for callback in self._callbacks:
            self._tell(callback, self._study.trial(trial_id))

    def tell_end(self) -> None:
        for callback in self._callbacks:
            if isinstance(callback, Callback):
                self._tell(callback.end, self._result)

    def _tell(self, callback: Callable[[Any], None], what: Any) -> None:
        try:
            callback(what)
        except Exception as error:  # A tracker that is down must not end a long search.
            warnings.warn(
                f"The callback {callback!r} failed, and the search goes on. "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )


def _run_here(
    study: Study, evaluate: Callable[[Any], Any], listeners: _Listeners
) -> None:
    """Evaluates one example after the other in this process."""
    with generators_restored():
        while (following := study.next()) is not None:
            example, feedback = following
            listeners.begin(feedback.id)
            _evaluate(evaluate, example, feedback)
            listeners.end(feedback.id)


def _evaluate(evaluate: Callable[[Any], Any], example: Any, feedback: Feedback) -> None:
    """Runs one evaluation to its end, whatever that is."""
    steps = itertools.count(1)

    def report(metrics: Any) -> bool:
        feedback.add_measurement(metrics, step=next(steps))
        return feedback.should_stop_early()

    try:
        kind, outcome = evaluation.run(evaluate, example, feedback.seed, report)
    except StorageError:
        raise
    except Exception as error:
        feedback.fail(error)
        return
    conclude(feedback, kind, outcome)

"""`search`: the same loop, run for you."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from symnas.progress import Progress
from symnas.result import Result
from symnas.seeding import generators_restored, seed_generators
from symnas.storage.opening import begin_study
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
    lag: int | None = None,
    name: str | None = None,
    storage: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callable[[Trial], None]] = (),
    progress: bool = True,
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
      early_stopping: asked after each result that `evaluate` yields.
      stop_rules: callables that take the study and return why it should end, or None.
      timeout: seconds after which no further evaluation begins.
      lag: if n, proposal i depends on the results of trials up to i - n alone.
      name: of the study in `storage`, which goes on if it exists.
      storage: a path, for SQLite, or a SQLAlchemy URL, where everything is kept as it
        happens: a search that was killed continues as if it had not been.
      callbacks: called with each `Trial` that has ended.
      progress: shows the best so far, the time left and failures: live on a terminal, as
        plain lines elsewhere, not at all if false.

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
        lag=lag,
        name=name,
        storage=storage,
    )
    result = Result(study)
    if num_examples is None and timeout is None and not stop_rules and not study.finite:
        raise ValueError(
            "This search would never end: pass `num_examples`, `timeout` or `stop_rules`."
        )
    with generators_restored(), Progress(result, num_examples, progress) as display:
        try:
            while (following := study.next()) is not None:
                example, feedback = following
                seed_generators(feedback.seed)
                _evaluate(evaluate, example, feedback)
                display.update()
                for callback in callbacks:
                    callback(study.trial(feedback.id))
        except KeyboardInterrupt:
            study.stop("interrupted by the user")
            study.abandon("interrupted")
        except BaseException:
            study.abandon("interrupted")
            raise
        study.close()
    return result


def _evaluate(evaluate: Callable[[Any], Any], example: Any, feedback: Feedback) -> None:
    """Runs one evaluation to its end, whatever that is."""
    try:
        outcome = evaluate(example)
        if inspect.isgenerator(outcome):
            _follow(outcome, feedback)
            return
    except Exception as error:
        feedback.fail(error)
        return
    try:
        feedback(outcome)
    except (TypeError, ValueError) as error:  # The message says it all.
        feedback.fail(f"What `evaluate` returned cannot be used. {error}")


def _follow(outcome: Iterator[Any], feedback: Feedback) -> None:
    """Reports what an evaluation yields, until its end or until it is stopped."""
    for step, metrics in enumerate(outcome, 1):
        feedback.add_measurement(metrics, step=step)
        if feedback.should_stop_early():
            break
    feedback.done()

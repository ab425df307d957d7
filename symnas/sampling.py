"""`sample`: the search loop, written by the caller."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

import torch

from symnas.budget import Budget
from symnas.result import Result
from symnas.storage.opening import begin_study
from symnas.study import Study
from symnas.trial import Feedback

T = TypeVar("T")
M = TypeVar("M", bound=torch.nn.Module)


class Samples(Generic[T]):
    """What `sample` returns: an iterator of examples, and the result so far."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.result = Result(study)

    def __iter__(self) -> Iterator[tuple[T, Feedback]]:
        return self

    def __next__(self) -> tuple[T, Feedback]:
        try:
            following = None if self._study.ended else self._study.next()
        except BaseException:
            self._study.abandon("interrupted")
            raise
        if following is None:
            self.close()
            raise StopIteration
        return following

    def close(self) -> None:
        """Ends the search; trials without feedback are recorded as failed."""
        self._study.close()


class _Options(TypedDict, total=False):
    """The keywords of `sample`, for its overloads."""

    seed: int | None
    objectives: Sequence[str]
    where: Callable[[Any], bool] | None
    constraint: Callable[[Mapping[str, Any]], bool] | None
    duplicates: str
    early_stopping: Callable[[Feedback, Any], bool] | None
    stop_rules: Sequence[Callable[[Any], str | None]]
    warm_start: Any
    lag: int | None
    budget: Budget | None
    within: Feedback | None
    name: str | None
    storage: str | os.PathLike[str] | None


# A module can be called as well, so what it gives must be said first.
@overload
def sample(
    space: M,
    algorithm: Any = ...,
    num_examples: int | None = ...,
    **options: Unpack[_Options],
) -> Samples[M]: ...
@overload
def sample(
    space: Callable[[], T],
    algorithm: Any = ...,
    num_examples: int | None = ...,
    **options: Unpack[_Options],
) -> Samples[T]: ...
@overload
def sample(
    space: T,
    algorithm: Any = ...,
    num_examples: int | None = ...,
    **options: Unpack[_Options],
) -> Samples[T]: ...
def sample(
    space: Any,
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
    warm_start: Any = (),
    lag: int | None = None,
    budget: Budget | None = None,
    within: Feedback | None = None,
    name: str | None = None,
    storage: str | os.PathLike[str] | None = None,
) -> Samples[Any]:
    """Examples of a search space, one after the other, chosen by an algorithm.

    The loop body evaluates an example and gives its reward to `feedback`. Examples are
    plain objects: a space of models yields ordinary `torch.nn.Module`s.

    Args:
      space: anything that `SearchSpace` takes.
      algorithm: a name, as 'random', 'grid' or 'regularized_evolution'; an
        `algorithms.Algorithm`; or any `pg.DNAGenerator`.
      num_examples: how many examples the study has in total; None for no limit.
      seed: fixes the proposals, whatever other generators do; also `feedback.seed`.
      objectives: names of the metrics to maximise; `-latency` minimises.
      where: selects the hyper-values that are decided here. The others stay, so examples
        are search spaces themselves.
      constraint: a predicate on the decisions; what it refuses is not proposed.
      duplicates: 'avoid' proposes no example twice until all were proposed, and then
        ends; 'allow' leaves it to the algorithm.
      early_stopping: what `feedback.should_stop_early()` asks: a rule, as
        `early_stopping.Patience(3)`, or a function of the feedback and the study.
      stop_rules: callables that take the study and return why it should end, or None; for
        instance `stop_rules.TargetReached(0.99)`.
      warm_start: what is known already, and told to the algorithm first: the `Result` of
        another study of this space, some of its trials, or a pair of genotypes (n, d) and
        rewards (n,) or (n, m). It is not proposed again unless duplicates are allowed,
        and is no trial of this study.
      lag: if n, proposal i depends on the results of trials up to i - n alone, so that a
        seed gives the same study with any number of workers up to n.
      budget: what this loop may spend, shared with all that get the same one and with
        those within its trials.
      within: the feedback of a trial of another loop that this loop evaluates. The trial
        records it, its budget holds here too, its seed fixes ours, and if it is stored
        this study is kept beside it as `name/trial`, and goes on with it.
      name: of the study in `storage`. A study of this name goes on; several processes
        that run the same loop share it.
      storage: a path, for SQLite, or a SQLAlchemy URL. Everything is kept there as it
        happens: after a crash the same program continues as if there had been none, and
        trials that were running are given out again.

    Returns:
      An iterator of `(example, feedback)`. Its `result` holds all trials.

    Example:

    >>> import symnas as sn
    >>> samples = sn.sample({"x": sn.floatv(-1.0, 1.0)}, "random", 50, seed=0)
    >>> for example, feedback in samples:
    ...     feedback(-example["x"] ** 2)
    >>> samples.result.best.reward > -0.01
    True
    """
    return Samples(
        begin_study(
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
            timeout=None,
            warm_start=warm_start,
            lag=lag,
            budget=budget,
            within=within,
            name=name,
            storage=storage,
        )
    )

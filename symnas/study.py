"""A study: proposals of an algorithm, their results, and when to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyglove as pg
from numpy.typing import NDArray

from symnas.algorithm import REDRAWS, Algorithm, ProposalRng, PyGloveAlgorithm
from symnas.algorithm_text import algorithm_from_text
from symnas.budget import Budget, check_budget
from symnas.curves import Curves
from symnas.early_stopping.rule import check_early_stopping
from symnas.environment import environment
from symnas.genotype import Genotypes
from symnas.record import Record
from symnas.space import SearchSpace
from symnas.trial import (
    COMPLETED,
    FAILED,
    PENDING,
    STATUSES,
    Feedback,
    Measurement,
    Objectives,
    Trial,
)
from symnas.warm_start import digest as warm_start_digest
from symnas.warm_start import known_results

_LARGEST_LISTED = 1_000_000  # Spaces up to this size are searched for what is unseen.
_MOST_RANDOM = 1_000  # Examples of a traced space built to find one that is feasible.
_FAILED_BUILDS = 10  # In a row, with no other: then the space itself is at fault.


class Blocked:
    """What `Study.claim` returns when a proposal has to wait for results."""


BLOCKED: Final = Blocked()

# A genotype as list and array, and its budget. In a traced space the example was built to
# learn it.
Proposal = tuple[list[float], Genotypes, int | None, Any]
UNBUILT = object()


class Study(Record):
    """The state of one search; `sample` and `search` are loops over it.

    Attributes:
      ended: no more feedback is taken.
      exhausted: all examples that were wanted, or that there are, have been proposed.
      num_ended: how many of the trials that the algorithm knows ended in each status.
      best_reward: the largest of their rewards.
      completed_at_best: how many of them were completed when it was found.
      inner: the studies that were begun within trials of this one, by their ids.
      num_evaluations: trials, where those with inner studies count as many as these.
      cut_short: the budget was used up before it was over, or an inner one was.
    """

    def __init__(
        self,
        space: Any,
        algorithm: Any,
        num_examples: int | None,
        *,
        seed: int | None,
        objectives: Sequence[str],
        where: Callable[[Any], bool] | None,
        constraint: Callable[[Any], bool] | None,
        duplicates: str,
        early_stopping: Any,
        stop_rules: Sequence[Any],
        timeout: float | None,
        warm_start: Any = (),
        lag: int | None = None,
        budget: Budget | None = None,
        within: Feedback | None = None,
    ) -> None:
        _check_arguments(num_examples, seed, duplicates, timeout, lag)
        check_budget(budget)
        compiled = (
            isinstance(space, SearchSpace) and constraint is None and where is None
        )
        super().__init__(
            space if compiled else SearchSpace(space, constraint, where),
            Objectives(objectives),
        )
        self.algorithm = _algorithm(algorithm)
        self.num_examples = num_examples
        check_early_stopping(early_stopping, self.objectives)
        self.early_stopping = early_stopping
        self.curves = Curves()
        self.stop_rules = list(stop_rules)
        self.timeout = timeout
        self.avoid_duplicates = duplicates == "avoid"
        self.lag = lag
        known = known_results(warm_start, self.space, self.objectives)
        self.known = warm_start_digest(*known)
        self.inner: dict[int, list[Study]] = {}
        self._num_more = 0  # Evaluations, than there are trials.
        self.cut_short = False
        self._own_budget = budget
        self._outer = None if within is None else within._study
        self._draws = budget is not None or within is not None
        if within is not None and seed is None:
            seed = within._study.inner_seed(within.id)
        self.seed = self._settle_seed(None if seed is None else int(seed))
        self.algorithm.setup(self.space, self.seed, len(self.objectives))
        self.ended = False
        self.exhausted = False
        self._ended_by = 0
        self.best_reward = -math.inf
        self.completed_at_best = 0
        self.num_ended = [0] * len(STATUSES)
        self._clock = time.perf_counter()
        self._seen: set[int] = set()
        self._unseen: Iterator[Genotypes] | None = None
        self._failed_builds = 0
        self._exact_size = self.space.size if self.space.size_is_exact else math.inf
        self._tell_known(*known)
        if within is not None:
            within._study.begin_inner(within.id, self)

    def _tell_known(self, genotypes: Genotypes, rewards: NDArray[np.float64]) -> None:
        """Tells the algorithm what was known before this study."""
        if len(genotypes):
            self.algorithm.tell(genotypes, rewards)
        if self.avoid_duplicates:
            self._seen.update(_key(row, None) for row in genotypes)

    def _settle_seed(self, seed: int | None) -> int:
        return (
            int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        )

    @property
    def environment(self) -> dict[str, Any]:
        return {
            "algorithm": repr(self.algorithm),
            "num_examples": self.num_examples,
            **environment(),
        }

    # --- proposals ----------------------------------------------------------------------

    def next(self) -> tuple[Any, Feedback] | None:
        """The next example, built, with its feedback; None when the search is over.

        It waits when the proposal has to see a result that another worker still owes.
        """
        while isinstance(claimed := self.claim(), Blocked):
            self.wait()
        return claimed

    def claim(self) -> tuple[Any, Feedback] | Blocked | None:
        """The same, but `BLOCKED` instead of waiting."""
        while True:
            proposed = self._admit()
            if proposed is None or isinstance(proposed, Blocked):
                return proposed
            row, genotype, _, example = proposed
            begun = self._begin(len(self), row, genotype, example)
            if begun is not None:
                return begun

    def _admit(self) -> Proposal | Blocked | None:
        """Takes up the next proposal as a pending trial."""
        if self.lag is not None and not self._sees(len(self) + 1 - self.lag):
            return BLOCKED
        if not self._goes_on():
            return None
        proposed = self._propose()
        if proposed is None:
            self._exhaust("every example was proposed")
            return None
        self._take_up(*proposed[:3], time.time())
        return proposed

    def _take_up(
        self, row: list[float], genotype: Genotypes, budget: int | None, begun: float
    ) -> None:
        self.add(row, budget, begun)
        if self._draws:
            self._draw(1)
        if self.avoid_duplicates:
            self._seen.add(_key(genotype, budget))
        self.algorithm.proposed(genotype, budget)

    def _begin(
        self, trial_id: int, row: list[float], genotype: Genotypes, example: Any
    ) -> tuple[Any, Feedback] | None:
        """Builds the example of a pending trial, which fails if that is not possible."""
        feedback = Feedback(self, trial_id, genotype)
        try:
            if example is UNBUILT:
                example = self._build(row, trial_id)[0]
            elif isinstance(example, _NotBuilt):
                raise example.error
        except Exception as error:  # Whatever a constructor raises fails the trial.
            self._build_failed(feedback, error)
            return None
        self._failed_builds = -1
        return example, feedback

    def wait(self) -> None:
        """Called when this loop is blocked: by what it proposed itself, so it ends that."""
        oldest = self._status.index(PENDING) + 1
        feedback = Feedback(self, oldest, np.array(self.row(oldest)))
        self.end(feedback, FAILED, "no feedback was given before it was needed")

    def _sees(self, last: int) -> bool:
        """Tells the algorithm, by id, of the trials up to one; false if that runs."""
        told = sum(self.num_ended)
        while told < last and self._status[told] != PENDING:
            told += 1
            self._tell(told, self.signed(told))
        return told >= last

    def _goes_on(self) -> bool:
        if self.why_stopped is not None:
            return False
        if self.num_examples is not None and len(self) >= self.num_examples:
            self._exhaust(f"{self.num_examples} examples were proposed")
        elif self.timeout is not None and self.elapsed >= self.timeout:
            self.stop(f"{self.timeout} seconds have passed")
        elif self._covered():
            self._exhaust("every example was proposed")
        elif self._draws and (used_up := self.budget_used_up) is not None:
            self.cut_short = True
            self.stop(used_up)
        elif self._ended_by and len(self) + 1 >= self._ended_by + (self.lag or 0):
            self.stop("ended by the caller")
        for rule in self.stop_rules:
            why = rule(self)
            if why:
                self.stop(str(why))
        return self.why_stopped is None

    def _covered(self) -> bool:
        """Whether every example was proposed, with no further budget to come."""
        return (
            self.avoid_duplicates
            and not self._budgets
            and len(self._seen) >= self._exact_size
        )

    def _propose(self) -> Proposal | None:
        """A genotype that may be proposed."""
        for attempt in range(REDRAWS + 1):
            drawn = self.algorithm.draw(1, attempt)
            if not len(drawn):
                return None
            accepted = self._accept(drawn[0])
            if accepted is not None:
                return accepted
        # The algorithm proposes nothing new: take something that it has not proposed.
        for genotype in self._rest():
            accepted = self._accept(genotype)
            if accepted is not None:
                return accepted
        if self.avoid_duplicates and self.space.size <= _LARGEST_LISTED:
            return None
        return self._random()

    def _random(self) -> Proposal:
        """A random genotype that the constraint accepts, known or not."""
        rng = ProposalRng(self.seed).at(self.algorithm.num_proposals, REDRAWS + 1)
        for _ in range(_MOST_RANDOM):
            accepted = self._accept(self.space.random(rng, 1)[0], allow=True)
            if accepted is not None:
                return accepted
        raise ValueError(
            f"The constraint refused {_MOST_RANDOM:,} random examples in a row. Loosen it, "
            "or build it into the space."
        )

    def _accept(self, genotype: Genotypes, allow: bool = False) -> Proposal | None:
        """The proposal, unless it is infeasible or known."""
        budget = self.algorithm.budget
        avoid = self.avoid_duplicates and not allow
        if avoid and self._known(genotype, budget):
            return None
        row: list[float] = genotype.tolist()
        if not self.space.layout.traced:
            feasible = self.space.is_feasible(row)
            return (row, genotype, budget, UNBUILT) if feasible else None
        # What is met is known after building.
        try:
            example, row = self._build(row, len(self) + 1)
        except Exception as error:
            return row, genotype, budget, _NotBuilt(error)
        if not self.space.is_feasible(row):
            return None
        genotype = np.array(row)
        known = avoid and self._known(genotype, budget)
        return None if known else (row, genotype, budget, example)

    def _known(self, genotype: Genotypes, budget: int | None) -> bool:
        return _key(genotype, budget) in self._seen

    def _rest(self) -> Iterator[Genotypes]:
        """What was never proposed, in an order that depends on the seed alone."""
        if not self.avoid_duplicates or self.space.size > _LARGEST_LISTED:
            return iter(())
        if self._unseen is None:
            listed = list(self.space.enumerate())
            # The same order whenever it is needed first, also after an interruption.
            order = ProposalRng(self.seed).at(0, REDRAWS + 2).permutation(len(listed))
            self._unseen = (listed[i] for i in order)
        return self._unseen

    def _build_failed(self, feedback: Feedback, error: BaseException) -> None:
        feedback.fail(error)
        if self._failed_builds >= 0:
            self._failed_builds += 1
        if self._failed_builds >= _FAILED_BUILDS:
            raise ValueError(
                f"None of the first {_FAILED_BUILDS} examples could be built. The last one "
                f"had the decisions {feedback.decisions}."
            ) from error

    # --- results ------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self._clock

    def require_open(self, trial_id: int) -> None:
        """Raises `ValueError` if a trial can have no more feedback."""
        status = STATUSES[self._status[trial_id - 1]]
        if self.ended:
            raise ValueError(
                f"The search has ended, and trial {trial_id} is recorded as {status}: no "
                "more feedback can be given."
            )
        if status != "pending":
            raise ValueError(f"Trial {trial_id} already got feedback: it is {status}.")

    def complete(
        self, feedback: Feedback, rewards: tuple[float, ...], metrics: dict[str, float]
    ) -> None:
        """Ends a trial with its result."""
        if len(metrics) > len(rewards):
            self.extras(feedback.id)["metrics"] = metrics
        if all(map(math.isfinite, rewards)):
            self.end(feedback, COMPLETED, rewards=rewards)
            return
        given = zip(self.objectives.names, rewards, strict=True)
        bad = ", ".join(f"`{n}` is {r}" for n, r in given if not math.isfinite(r))
        self.end(feedback, FAILED, f"The result cannot be used: {bad}.")

    def end(
        self,
        feedback: Feedback,
        status: int,
        error: str | None = None,
        rewards: Sequence[float] = (),
    ) -> None:
        """Ends a trial."""
        self.require_open(feedback.id)
        if error is not None:
            self.extras(feedback.id)["error"] = error
        seconds = time.perf_counter() - feedback.begun
        self._report(feedback.id, status, rewards, seconds)

    def _report(
        self,
        trial_id: int,
        status: int,
        rewards: Sequence[float],
        seconds: float,
    ) -> None:
        """Records the end of a trial of this loop."""
        self._note_inner(trial_id)
        self._conclude(trial_id, status, rewards, seconds)

    def _conclude(
        self,
        trial_id: int,
        status: int,
        rewards: Sequence[float],
        seconds: float,
    ) -> None:
        """Enters the end of any trial, and tells it unless that has to wait."""
        signs = self.objectives.signs
        signed = [r * sign for r, sign in zip(rewards, signs, strict=False)]
        self.settle(trial_id, status, signed, seconds)
        if self.lag is None:
            self._tell(trial_id, signed)

    def _tell(self, trial_id: int, signed: list[float]) -> None:
        """Makes an ended trial known to the algorithm and to the stop rules."""
        status = self._status[trial_id - 1]
        self.num_ended[status] += 1
        if status != COMPLETED:
            self.algorithm.dropped(trial_id - 1)
            return
        if signed[0] > self.best_reward:
            self.best_reward = signed[0]
            self.completed_at_best = self.num_ended[COMPLETED]
        self.algorithm.told(trial_id - 1, signed)

    def measure(self, trial_id: int, measurement: Measurement) -> None:
        """Records what a trial reports on the way."""
        self.extras(trial_id).setdefault("measurements", []).append(measurement)

    def restart(self, trial_id: int) -> None:
        """Notes that an evaluation began anew: what it has reported does not count."""
        self._extras.pop(trial_id, None)

    def set_metadata(self, trial_id: int, key: str, value: Any) -> None:
        self.extras(trial_id).setdefault("metadata", {})[key] = value

    def should_stop_early(self, feedback: Feedback) -> bool:
        budget = self.budget(feedback.id)
        if budget is not None and any(
            measured.step >= budget for measured in self.measurements(feedback.id)
        ):
            return True
        stop = self.early_stopping is not None and bool(
            self.early_stopping(feedback, self)
        )
        if stop:
            self.extras(feedback.id)["stopped_early"] = True
        return stop

    def seen_by(self, trial_id: int) -> Iterator[Trial]:
        """The other trials whose results a decision about one may depend on."""
        for other in range(1, self.last_seen_by(trial_id) + 1):
            if other != trial_id:
                yield self.trial(other)

    def last_seen_by(self, trial_id: int) -> int:
        """The last of the trials that a decision about one may depend on.

        With `lag` that is `trial_id - lag`, whatever else is known by now, so that the
        decision does not depend on the number of workers.
        """
        return len(self) if self.lag is None else max(trial_id - self.lag, 0)

    # --- loops within a trial -------------------------------------------------------------

    def inner_seed(self, trial_id: int) -> int:
        """The seed of the next study within a trial."""
        self.require_open(trial_id)
        place = [self.trial_seed(trial_id), len(self.inner.get(trial_id, ()))]
        return int(np.random.SeedSequence(place).generate_state(1)[0])

    def begin_inner(self, trial_id: int, study: Study) -> None:
        """Enters a study that evaluates a trial, which then is no evaluation itself."""
        self.require_open(trial_id)
        if trial_id not in self.inner:
            self.draw_more(-1)
        self.inner.setdefault(trial_id, []).append(study)

    def draw_more(self, evaluations: int) -> None:
        """Counts evaluations that are no trials of this study."""
        self._num_more += evaluations
        self._draw(evaluations)

    def _draw(self, evaluations: int) -> None:
        """Takes evaluations from the budget, and counts them in the study around this."""
        if self._own_budget is not None:
            self._own_budget.draw(evaluations)
        if self._outer is not None:
            self._outer.draw_more(evaluations)

    @property
    def num_evaluations(self) -> int:
        return len(self) + self._num_more

    def _spend(self, seconds: float) -> None:
        """Counts seconds of an earlier process."""
        if self._own_budget is not None:
            self._own_budget.add_seconds(seconds)
        if self._outer is not None:
            self._outer._spend(seconds)

    @property
    def has_budget(self) -> bool:
        """Whether a budget will end this study."""
        return self._own_budget is not None or (
            self._outer is not None and self._outer.has_budget
        )

    @property
    def budget_used_up(self) -> str | None:
        """Why the budget of this study, or of one around it, allows nothing more."""
        why = None if self._own_budget is None else self._own_budget.used_up
        if why is None and self._outer is not None:
            why = self._outer.budget_used_up
        return why

    def _note_inner(self, trial_id: int) -> None:
        """Keeps with a trial what its inner studies were."""
        inner = self.inner.get(trial_id)
        if inner is None:
            return
        for study in inner:
            if not study.ended:  # Its loop was left.
                study.close()
        found: dict[str, Any] = {
            "evaluations": sum(study.num_evaluations for study in inner),
            "partial": any(study.cut_short for study in inner),
        }
        names = [study.name for study in inner if study.name is not None]
        if names:
            found["studies"] = names
        self.cut_short = self.cut_short or found["partial"]
        self.extras(trial_id).setdefault("metadata", {})["inner"] = found

    # --- the end ------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """Ends the search: nothing more is proposed."""
        if self.why_stopped is None:
            self.why_stopped = why

    def _exhaust(self, why: str) -> None:
        self.exhausted = True
        self.stop(why)

    def end_loop(self, trial_id: int) -> None:
        """Ends the search as far as proposals see this trial."""
        self._ended_by = self._ended_by or trial_id

    def close(self, why: str = "no feedback was given") -> None:
        """Ends the study; what is still pending is recorded as failed."""
        for i, status in enumerate(self._status):
            if status == PENDING:
                self._note_inner(i + 1)
                self.extras(i + 1)["error"] = why
                self._status[i] = FAILED
        self.ended = True

    def abandon(self, why: str) -> None:
        """Ends the study before its time; a stored one can go on later."""
        Study.close(self, why)

    @property
    def finite(self) -> bool:
        """Whether the proposals must come to an end by themselves."""
        return self.algorithm.ends or (
            self.avoid_duplicates and self.space.size < math.inf
        )


class _NotBuilt:
    """Stands for an example that could not be built."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _check_arguments(
    num_examples: Any, seed: Any, duplicates: str, timeout: Any, lag: Any
) -> None:
    if num_examples is not None and (
        isinstance(num_examples, bool)
        or not isinstance(num_examples, (int, np.integer))
        or num_examples < 0
    ):
        raise ValueError(
            "`num_examples` must be None or a whole number that is not negative, got "
            f"{num_examples!r}."
        )
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, (int, np.integer))
    ):
        raise TypeError(f"`seed` must be None or a whole number, got {seed!r}.")
    if seed is not None and seed < 0:
        raise ValueError(f"`seed` must not be negative, got {seed}.")
    if duplicates not in ("avoid", "allow"):
        raise ValueError(
            f"`duplicates` must be 'avoid' or 'allow', got {duplicates!r}."
        )
    if timeout is not None and not timeout > 0:
        raise ValueError(
            f"`timeout` must be a positive number of seconds, got {timeout!r}."
        )
    if lag is not None and (
        isinstance(lag, bool) or not isinstance(lag, (int, np.integer)) or lag < 1
    ):
        raise ValueError(
            f"`lag` must be None or a whole number of at least 1, got {lag!r}."
        )


def _key(genotype: Genotypes, budget: int | None) -> int:
    """What a proposal is known by."""
    return hash((genotype.tobytes(), budget))


def _algorithm(algorithm: Any) -> Algorithm:
    """The algorithm that a name or object stands for."""
    if isinstance(algorithm, Algorithm):
        return algorithm
    if isinstance(algorithm, pg.geno.DNAGenerator):
        return PyGloveAlgorithm(algorithm)
    if not isinstance(algorithm, str):
        raise TypeError(
            "`algorithm` must be a name, a `symnas.algorithms.Algorithm` or a "
            f"`pg.DNAGenerator`, got {algorithm!r}."
        )
    return algorithm_from_text(algorithm)

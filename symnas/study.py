"""A study: proposals of an algorithm, their results, and when to stop."""

from __future__ import annotations

import difflib
import math
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyglove as pg
from numpy.typing import NDArray

from symnas.algorithm import Algorithm, ProposalRng, PyGloveAlgorithm
from symnas.genotype import Genotypes
from symnas.layout import Layout
from symnas.seeding import torch_seeded
from symnas.space import SearchSpace
from symnas.trial import (
    COMPLETED,
    FAILED,
    PENDING,
    STATUSES,
    Feedback,
    Objectives,
    Trial,
)

_REDRAWS = 20  # Of a proposal that is known already or infeasible.
_LARGEST_LISTED = 1_000_000  # Spaces up to this size are searched for what is unseen.
_MOST_RANDOM = 1_000  # Examples of a traced space built to find one that is feasible.
_FAILED_BUILDS = 10  # In a row, with no other: then the space itself is at fault.


# A genotype as list and array, its example, and the error if it could not be built.
_Proposed = tuple[list[float], Genotypes, Any, BaseException | None]


class Study:
    """The state of one search; `sample` and `search` are loops over it."""

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
    ) -> None:
        _check_arguments(num_examples, seed, duplicates, timeout)
        compiled = (
            isinstance(space, SearchSpace) and constraint is None and where is None
        )
        self.space = space if compiled else SearchSpace(space, constraint, where)
        self.algorithm = _algorithm(algorithm)
        self.num_examples = num_examples
        self.seed = _fresh_seed() if seed is None else int(seed)
        self.objectives = Objectives(objectives)
        self.early_stopping = early_stopping
        self.stop_rules = list(stop_rules)
        self.timeout = timeout
        self._no_rewards = [math.nan] * len(self.objectives)
        self.avoid_duplicates = duplicates == "avoid"
        self.algorithm.setup(self.space, self.seed, len(self.objectives))
        self.why_stopped: str | None = None
        self.ended = False
        self.best_id: int | None = None
        self.best_reward = -math.inf
        self.completed_at_best = 0  # How many trials were completed with the best one.
        self.num_ended = [0] * len(STATUSES)

        self._clock = time.perf_counter()
        # One column for each thing known of every trial, without an object for each.
        self._genes: array[Any] = array(_typecode(self.space.layout))
        self._rewards = array("d")
        self._status = array("B")
        self._seconds = array("f")
        self._begun: dict[int, float] = {}  # Of trials that are pending.
        self._extras: dict[int, dict[str, Any]] = {}
        self._seen: set[int] = set()
        self._unseen: Iterator[Genotypes] | None = None
        self._failed_builds = 0
        self._exact_size = self.space.size if self.space.size_is_exact else math.inf

    # --- proposals ----------------------------------------------------------------------

    def next(self) -> tuple[Any, Feedback] | None:
        """The next example, built, with its feedback; None when the search is over."""
        while self._goes_on():
            proposed = self._propose()
            if proposed is None:
                self.stop("every example was proposed")
                return None
            row, genotype, example, error = proposed
            trial_id = self._record(row, genotype)
            self.algorithm.proposed(genotype)
            feedback = Feedback(self, trial_id, genotype)
            if error is None:
                self._failed_builds = -1
                return example, feedback
            self._build_failed(feedback, error)
        return None

    def _goes_on(self) -> bool:
        if self.why_stopped is not None:
            return False
        if self.num_examples is not None and len(self) >= self.num_examples:
            self.stop(f"{self.num_examples} examples were proposed")
        elif self.timeout is not None and self.elapsed >= self.timeout:
            self.stop(f"{self.timeout} seconds have passed")
        elif self.avoid_duplicates and len(self._seen) >= self._exact_size:
            self.stop("every example was proposed")
        for rule in self.stop_rules:
            why = rule(self)
            if why:
                self.stop(str(why))
        return self.why_stopped is None

    def _propose(self) -> _Proposed | None:
        """A genotype that may be proposed and its example, or what went wrong there."""
        for attempt in range(_REDRAWS + 1):
            drawn = self.algorithm.draw(1, attempt)
            if not len(drawn):
                return None
            found = self._realize(drawn[0])
            if found is not None:
                return found
        # The algorithm proposes nothing new: take something that it has not proposed.
        for genotype in self._rest():
            found = self._realize(genotype)
            if found is not None:
                return found
        if self.avoid_duplicates and self.space.size <= _LARGEST_LISTED:
            return None
        return self._random()

    def _random(self) -> _Proposed:
        """A random example that the constraint accepts, known or not."""
        rng = ProposalRng(self.seed).at(self.algorithm.num_proposals, _REDRAWS + 1)
        for _ in range(_MOST_RANDOM):
            found = self._realize(self.space.random(rng, 1)[0], allow=True)
            if found is not None:
                return found
        raise ValueError(
            f"The constraint refused {_MOST_RANDOM:,} random examples in a row. Loosen it, "
            "or build it into the space."
        )

    def _realize(self, genotype: Genotypes, allow: bool = False) -> _Proposed | None:
        """Builds the example, unless it is infeasible or known."""
        avoid = self.avoid_duplicates and not allow
        if avoid and self._known(genotype):
            return None
        row: list[float] = genotype.tolist()
        traced = self.space.layout.traced  # What is met is known after building.
        if not traced and not self.space.is_feasible(row):
            return None
        try:
            example, canonical = self._build(row, len(self) + 1)
        except Exception as error:  # Whatever a constructor raises fails the trial.
            return row, genotype, None, error
        if not traced:
            return row, genotype, example, None
        if not self.space.is_feasible(canonical):
            return None
        genotype = np.array(canonical)
        return (
            None
            if avoid and self._known(genotype)
            else (canonical, genotype, example, None)
        )

    def _build(self, row: list[float], trial_id: int) -> tuple[Any, list[float]]:
        if not self.space.makes_objects:
            return self.space.realize(row)
        # Initial weights depend on the seed and the trial alone.
        with torch_seeded(self.trial_seed(trial_id)):
            return self.space.realize(row)

    def _known(self, genotype: Genotypes) -> bool:
        return hash(genotype.tobytes()) in self._seen

    def _rest(self) -> Iterator[Genotypes]:
        """What was never proposed, in an order that depends on the seed alone."""
        if not self.avoid_duplicates or self.space.size > _LARGEST_LISTED:
            return iter(())
        if self._unseen is None:
            listed = list(self.space.enumerate())
            # The same order whenever it is needed first, also after an interruption.
            order = ProposalRng(self.seed).at(0, _REDRAWS + 2).permutation(len(listed))
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

    # --- records ------------------------------------------------------------------------

    def _record(self, row: list[float], genotype: Genotypes) -> int:
        self._genes.extend(row if self._genes.typecode == "d" else map(int, row))
        self._rewards.extend(self._no_rewards)
        self._status.append(PENDING)
        self._seconds.append(math.nan)
        self._seen.add(hash(genotype.tobytes()))
        trial_id = len(self._status)
        self._begun[trial_id] = time.perf_counter()
        return trial_id

    def __len__(self) -> int:
        return len(self._status)

    def row(self, trial_id: int) -> list[float]:
        """The genotype (d,) of a trial."""
        width = self.space.num_columns
        genes = self._genes[(trial_id - 1) * width : trial_id * width]
        return [float(gene) for gene in genes]

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self._clock

    def extras(self, trial_id: int) -> dict[str, Any]:
        """What few trials have: metrics, measurements, metadata, an error."""
        return self._extras.setdefault(trial_id, {})

    def require_open(self, trial_id: int) -> None:
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
        if not all(map(math.isfinite, rewards)):
            given = zip(self.objectives.names, rewards, strict=True)
            bad = ", ".join(f"`{n}` is {r}" for n, r in given if not math.isfinite(r))
            self.end(feedback, FAILED, f"The result cannot be used: {bad}.")
            return
        signed = [
            r * sign for r, sign in zip(rewards, self.objectives.signs, strict=True)
        ]
        width = len(signed)
        self._rewards[(feedback.id - 1) * width : feedback.id * width] = array(
            "d", signed
        )
        if width == 1 and signed[0] > self.best_reward:
            self.best_reward = signed[0]
            self.best_id = feedback.id
            self.completed_at_best = self.num_ended[COMPLETED] + 1
        self.end(feedback, COMPLETED, None)
        self.algorithm.told(feedback.id - 1, feedback._genotype, signed)

    def end(self, feedback: Feedback, status: int, error: str | None) -> None:
        """Ends a trial, whose result, if any, is recorded already."""
        self.require_open(feedback.id)
        i = feedback.id - 1
        self._status[i] = status
        self._seconds[i] = time.perf_counter() - self._begun.pop(feedback.id)
        self.num_ended[status] += 1
        if error is not None:
            self.extras(feedback.id)["error"] = error
        if feedback.measurements:
            ordered = sorted(feedback.measurements, key=lambda m: m.step)
            self.extras(feedback.id)["measurements"] = tuple(ordered)
        if feedback.stopped_early:
            self.extras(feedback.id)["stopped_early"] = True
        if status != COMPLETED:
            self.algorithm.dropped(i)

    def should_stop_early(self, feedback: Feedback) -> bool:
        return self.early_stopping is not None and bool(
            self.early_stopping(feedback, self)
        )

    def stop(self, why: str) -> None:
        """Ends the search: nothing more is proposed."""
        if self.why_stopped is None:
            self.why_stopped = why

    def close(self, why: str = "no feedback was given") -> None:
        """Ends the study; what is still pending is recorded as failed."""
        if self.ended:
            return
        for i, status in enumerate(self._status):
            if status == PENDING:
                self.extras(i + 1)["error"] = why
                self._status[i] = FAILED
                self.num_ended[FAILED] += 1
        self.ended = True

    # --- reading ------------------------------------------------------------------------

    def trial(self, trial_id: int) -> Trial:
        if not 1 <= trial_id <= len(self):
            raise IndexError(f"This study has trials 1 to {len(self)}, got {trial_id}.")
        i, width = trial_id - 1, len(self.objectives)
        row = self.row(trial_id)
        extras = self._extras.get(trial_id, {})
        rewards: tuple[float, ...] = ()
        if self._status[i] == COMPLETED:
            signed = self._rewards[i * width : trial_id * width]
            signs = self.objectives.signs
            rewards = tuple(r * sign for r, sign in zip(signed, signs, strict=True))
        named = dict(zip(self.objectives.names, rewards, strict=False))
        return Trial(
            id=trial_id,
            status=STATUSES[self._status[i]],
            rewards=rewards,
            decisions=self.space.values(row),
            genotype=tuple(row),
            metrics={**extras.get("metrics", {}), **named},
            measurements=extras.get("measurements", ()),
            seconds=self._seconds[i],
            seed=self.trial_seed(trial_id),
            error=extras.get("error"),
            metadata=dict(extras.get("metadata", {})),
            stopped_early=extras.get("stopped_early", False),
        )

    def rewards(self) -> NDArray[np.float64]:
        """(n, m), all maximised, NaN for trials without a reward."""
        return np.array(self._rewards).reshape(len(self), len(self.objectives))

    def statuses(self) -> NDArray[np.uint8]:
        return np.array(self._status)

    def build(self, trial_id: int) -> Any:
        """The example of a trial, made again with the same initial weights."""
        return self._build(self.row(trial_id), trial_id)[0]

    @property
    def finite(self) -> bool:
        """Whether the proposals must come to an end by themselves."""
        return self.algorithm.ends or (
            self.avoid_duplicates and self.space.size < math.inf
        )

    def trial_seed(self, trial_id: int) -> int:
        """31 bits, a hash (splitmix64) of the seed and the trial's id."""
        x = (self.seed + trial_id * 0x9E3779B97F4A7C15) & _64_BITS
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _64_BITS
        return (x ^ (x >> 31)) >> 33


_64_BITS = (1 << 64) - 1


def _typecode(layout: Layout) -> str:
    """The smallest type that holds all genes of a space."""
    if layout.is_float.any():
        return "d"
    largest = int(layout.counts.max())
    return next(code for code, top in _INTEGERS.items() if largest <= top)


_INTEGERS = {"b": 2**7, "h": 2**15, "i": 2**31, "q": 2**63}


def _fresh_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])


def _check_arguments(
    num_examples: Any, seed: Any, duplicates: str, timeout: Any
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


def _algorithm(algorithm: Any) -> Algorithm:
    """The algorithm that a name or object stands for."""
    from symnas import algorithms

    if isinstance(algorithm, Algorithm):
        return algorithm
    if isinstance(algorithm, pg.geno.DNAGenerator):
        return PyGloveAlgorithm(algorithm)
    if not isinstance(algorithm, str):
        raise TypeError(
            "`algorithm` must be a name, a `symnas.algorithms.Algorithm` or a "
            f"`pg.DNAGenerator`, got {algorithm!r}."
        )
    names = algorithms.by_name()
    if algorithm not in names:
        close = difflib.get_close_matches(algorithm, names, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise ValueError(
            f"There is no algorithm {algorithm!r}. {hint}There are "
            f"{', '.join(map(repr, sorted(names)))}."
        )
    made: Algorithm = names[algorithm]()
    return made

"""The interface of search algorithms: ask for genotypes, tell rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyglove as pg
from numpy.typing import NDArray

from symnas.constructors import register
from symnas.genotype import Genotypes
from symnas.space import SearchSpace
from symnas.tree import is_symbolic

REDRAWS = 20  # Attempts of the sample loop at a proposal that is known or infeasible.


class History:
    """What an algorithm has been told, in the order in which it was told.

    Attributes:
      genotypes: (n, d).
      rewards: (n,), or (n, m) with m objectives; larger is better.
    """

    def __init__(self, num_columns: int, num_objectives: int = 1) -> None:
        self._genotypes = np.empty((16, num_columns))
        self._rewards = np.empty((16, num_objectives))
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def genotypes(self) -> Genotypes:
        return self._genotypes[: self._size]

    @property
    def rewards(self) -> NDArray[np.float64]:
        if self._rewards.shape[1] == 1:
            return self._rewards[: self._size, 0]
        return self._rewards[: self._size]

    def append(self, genotype: Genotypes, rewards: Sequence[float]) -> None:
        """Adds a genotype (d,) and its rewards (m,)."""
        i = self._size
        if i == len(self._genotypes):
            self._reserve(i + 1)
        self._genotypes[i] = genotype
        for j, reward in enumerate(rewards):  # Faster than to assign a list.
            self._rewards[i, j] = reward
        self._size = i + 1

    def extend(self, genotypes: Genotypes, rewards: NDArray[np.float64]) -> None:
        """Adds genotypes (n, d) and their rewards (n, m)."""
        size = self._size + len(genotypes)
        if size > len(self._genotypes):
            self._reserve(size)
        self._genotypes[self._size : size] = genotypes
        self._rewards[self._size : size] = rewards
        self._size = size

    def _reserve(self, size: int) -> None:
        self._genotypes = _grown(self._genotypes, size)
        self._rewards = _grown(self._rewards, size)


def _grown(array: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    # By an eighth, as lists grow: little is copied, and little stands empty.
    larger = np.empty((max(size, len(array) + len(array) // 8 + 16), array.shape[1]))
    larger[: len(array)] = array
    return larger


class ProposalRng:
    """One generator for all proposals, set to a place of its own for each.

    A Philox generator is a function of a key and a counter: the key is the seed, and the
    counter holds the number of the proposal and of the attempt, so proposals repeat
    whatever was drawn before. Setting it costs 2 us, a new generator 13 us.
    """

    def __init__(self, seed: int) -> None:
        key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self._bits = np.random.Philox(key=key)
        self._state: Any = self._bits.state
        self._counter = np.zeros(4, np.uint64)
        self._state["state"]["counter"] = self._counter
        self._generator = np.random.Generator(self._bits)

    def at(self, proposal: int, attempt: int = 0) -> np.random.Generator:
        """The generator of one attempt at one proposal; valid until the next call."""
        self._counter[0] = 0
        self._counter[1] = attempt
        self._counter[2] = proposal
        self._bits.state = self._state
        return self._generator


_GENOTYPE = "symnas_genotype"


class _Field:
    """A field of an algorithm, read without PyGlove's inference (4 us each time)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return (
            self
            if owner is None
            else dict.__getitem__(owner._sym_attributes, self.name)
        )

    def __set__(self, owner: Any, value: Any) -> None:
        raise AttributeError(
            f"Fields of algorithms are changed with `rebind({self.name}=...)`, not by "
            "assignment."
        )


class Algorithm(pg.geno.DNAGenerator):
    """A search algorithm: fields that configure it, `_ask`, and perhaps `_tell`.

    Subclasses are declared like dataclasses. `_ask` proposes a batch and is a pure
    function of what was told (`self.history`, and what `_tell` made of it), what is
    pending (`self.pending`), the numbers of the proposal and of the attempt at it
    (`self.num_proposals`, `self.attempt`) and the generator it is given. State changes in `_tell` only, so that a study that was
    interrupted continues exactly. Feedback may come late, in any order, or never.

    An algorithm belongs to one study: use `clone()` for another one with the same
    configuration. It also runs inside `pg.sample`.

    Example:

    >>> import symnas as sn
    >>> class Constant(sn.algorithms.Algorithm):
    ...     '''Always proposes the first candidate of everything.'''
    ...     def _ask(self, n, rng):
    ...         return self.space.decode(np.zeros((n, self.space.num_columns)))
    >>> algorithm = Constant()
    >>> algorithm.setup(sn.SearchSpace([sn.oneof([1, 2]), sn.oneof([3, 4])]), seed=0)
    >>> algorithm.ask(1)
    array([[0., 0.]])
    """

    auto_register = False

    __getattribute__ = object.__getattribute__
    __setattr__ = object.__setattr__

    def __init_subclass__(cls, user_cls: type | None = None) -> None:
        super().__init_subclass__(user_cls)
        register(cls)  # JSON may name it.

    @classmethod
    def _create_sym_attribute(cls, attr_name: str, field: Any) -> Any:
        del field
        return _Field(attr_name)

    # --- to be implemented ------------------------------------------------------------

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        """Proposes `n` genotypes (n, d), or fewer when there are no more."""
        raise NotImplementedError

    def _tell(self, genotypes: Genotypes, rewards: NDArray[np.float64]) -> None:
        """Takes in genotypes (n, d) and rewards (n,) or (n, m), already in the history."""

    def _check(self) -> None:
        """Raises `ValueError` if the configuration is not valid."""

    def _setup(self) -> None:
        """Prepares for `self.space`."""

    # Whether it can work with several objectives; one that can gets rewards (n, m).
    supports_multi_objective = False

    # Whether it comes to an end by itself in every space.
    ends = False

    # --- used by the sample loop --------------------------------------------------------

    def _on_bound(self) -> None:
        super()._on_bound()
        if not is_symbolic(self):  # An algorithm with open fields is a search space.
            self._check()

    def setup(
        self, space: Any, seed: int | None = None, num_objectives: int = 1
    ) -> None:
        """Binds the algorithm to a space, given as `SearchSpace` or `pg.DNASpec`.

        Raises:
          ValueError: it was bound before, or cannot handle that many objectives.
        """
        if getattr(self, "space", None) is not None:
            raise ValueError(
                f"This {type(self).__name__} already drives another search, and what it "
                "has learned there does not fit a second one. Use `algorithm.clone()`."
            )
        if num_objectives > 1 and not self.supports_multi_objective:
            raise ValueError(
                f"{type(self).__name__} optimizes one objective, got {num_objectives}."
            )
        self.space = space if isinstance(space, SearchSpace) else SearchSpace(space)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._rng = ProposalRng(seed)
        self.history = History(self.space.num_columns, num_objectives)
        self._pending: dict[int, Genotypes] = {}  # By number, from the sample loop.
        self._batches: list[Genotypes] = []  # From `ask`.
        self._dna_spec = self.space._spec
        self._num_proposals = 0
        self._num_feedbacks = 0
        self.attempt = 0
        # The step of an evaluation at which the latest proposal is to end; None for its
        # own end. `_ask` sets it when it compares examples after a part of the training.
        self.budget: int | None = None
        self._setup()

    @property
    def pending(self) -> Genotypes:
        """Genotypes (n, d) that were proposed and not told yet."""
        empty = np.empty((0, self.space.num_columns))
        return np.vstack([empty, *self._batches, *self._pending.values()])

    def ask(self, n: int = 1) -> Genotypes:
        """The next `n` proposals (n, d); fewer when the algorithm has no more."""
        genotypes = self.draw(n)
        self._batches.append(genotypes)
        self._num_proposals += len(genotypes)
        return genotypes

    def draw(self, n: int = 1, attempt: int = 0) -> Genotypes:
        """What `ask` would return; a further attempt draws anew for the same proposal."""
        self.attempt = attempt
        return self._ask(n, self._rng.at(self._num_proposals, attempt))

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        """Notes that a drawn genotype is being evaluated; returns its number."""
        number = self._num_proposals
        self._pending[number] = genotype
        self._num_proposals = number + 1
        return number

    def tell(self, genotypes: Genotypes, rewards: Any) -> None:
        """Rewards (n,) or (n, m) of genotypes (n, d), larger is better, all finite."""
        genotypes, rewards = self._checked(genotypes, rewards)
        self._forget(genotypes)
        self.history.extend(genotypes, rewards)
        self._num_feedbacks += len(genotypes)
        self._tell(genotypes, rewards[:, 0] if rewards.shape[1] == 1 else rewards)

    def _checked(
        self, genotypes: Any, rewards: Any
    ) -> tuple[Genotypes, NDArray[np.float64]]:
        """Genotypes (n, d) and rewards (n, m) as arrays, if they can be told."""
        genotypes = np.atleast_2d(np.asarray(genotypes, dtype=float))
        rewards = np.asarray(rewards, dtype=float).reshape(len(genotypes), -1)
        if not np.isfinite(rewards).all():
            raise ValueError(
                f"Rewards must be finite, got {rewards[~np.isfinite(rewards)][0]}. "
                "Failed evaluations are not told."
            )
        if rewards.shape[1] != self.history._rewards.shape[1]:
            raise ValueError(
                f"{self.history._rewards.shape[1]} objectives are searched, got rewards "
                f"of shape {rewards.shape}."
            )
        return genotypes, rewards

    def told(self, number: int, rewards: Sequence[float]) -> None:
        """The same for one proposal, known by its number; its rewards are (m,)."""
        genotype = self._pending.pop(number)
        self.history.append(genotype, rewards)
        self._num_feedbacks += 1
        if type(self)._tell is not Algorithm._tell:
            told = np.array([rewards])
            self._tell(genotype[None], told[:, 0] if len(rewards) == 1 else told)

    def dropped(self, number: int) -> None:
        """Notes that a proposal will have no reward."""
        self._pending.pop(number, None)

    def _forget(self, genotypes: Genotypes) -> None:
        """Removes genotypes from what `ask` has handed out, whole batches at once."""
        for i, batch in enumerate(self._batches):
            if np.array_equal(batch, genotypes):
                del self._batches[i]
                return
        for genotype in genotypes:
            for i, batch in enumerate(self._batches):
                found = np.flatnonzero((batch == genotype).all(axis=1))
                if len(found):
                    self._batches[i] = np.delete(batch, found[0], axis=0)
                    break
        self._batches = [batch for batch in self._batches if len(batch)]

    # --- inside pg.sample -----------------------------------------------------------------

    @property
    def multi_objective(self) -> bool:
        return self.supports_multi_objective

    @property
    def needs_feedback(self) -> bool:
        return True

    def _propose(self) -> Any:
        genotypes = self.draw(1)
        if not len(genotypes):
            raise StopIteration
        self._batches.append(genotypes)  # The base class counts the proposal.
        dna = self.space.to_dna(genotypes[0])
        # Floats do not come back exactly from their values.
        dna.set_userdata(_GENOTYPE, genotypes[0])
        return dna

    def _feedback(self, dna: Any, reward: float | Sequence[float]) -> None:
        self._num_feedbacks -= 1  # `feedback` of the base class counts as well.
        genotype = dna.userdata.get(_GENOTYPE)
        self.tell(self.space.from_dna(dna) if genotype is None else genotype, reward)

    def _replay(self, trial_id: int, dna: Any, reward: Any) -> None:
        if reward is not None:
            self._num_feedbacks -= 1
            self.tell(self.space.from_dna(dna), reward)


class PyGloveAlgorithm(Algorithm):
    """Any `pg.DNAGenerator` as one of our algorithms.

    Its state is its own: resuming replays the history through `recover`, and whether it
    then continues as it would have is up to it.
    """

    generator: Any

    def _check(self) -> None:
        if not isinstance(self.generator, pg.geno.DNAGenerator):
            raise TypeError(f"A `pg.DNAGenerator` is needed, got {self.generator!r}.")

    @property
    def supports_multi_objective(self) -> bool:  # type: ignore[override]
        return bool(self.generator.multi_objective)

    def _setup(self) -> None:
        if self.generator.dna_spec is not None:
            raise ValueError(
                f"This {type(self.generator).__name__} already drives another search. "
                "Make a new one."
            )
        self.generator.setup(self.space.dna_spec)
        self._dnas: dict[bytes, Any] = {}  # Of what it proposed, by genotype.
        self._latest: tuple[Genotypes, Any] | None = None

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        genotypes = []
        for _ in range(n):
            try:
                dna = self.generator.propose()
            except StopIteration:
                break
            genotype = self.space.from_dna(dna)
            self._dnas[genotype.tobytes()] = dna
            self._latest = genotype, dna
            genotypes.append(genotype)
        return np.array(genotypes).reshape(len(genotypes), self.space.num_columns)

    def proposed(self, genotype: Genotypes, budget: int | None = None) -> int:
        if self._latest is not None and genotype.tobytes() not in self._dnas:
            # In a traced space some decisions turn out not to be met.
            drawn, dna = self._latest
            if ((genotype == drawn) | (genotype < 0)).all():
                self._dnas[genotype.tobytes()] = dna
        return super().proposed(genotype, budget)

    def _tell(self, genotypes: Genotypes, rewards: NDArray[np.float64]) -> None:
        for genotype, reward in zip(genotypes, rewards, strict=True):
            dna = self._dnas.pop(genotype.tobytes(), None)
            if dna is None:
                continue  # Not its proposal: it would not know what to do with it.
            several = rewards.ndim > 1
            self.generator.feedback(
                dna, tuple(map(float, reward)) if several else float(reward)
            )

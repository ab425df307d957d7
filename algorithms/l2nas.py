"""L2NAS: an actor and a quantile critic learn where to search [1].

[1] K. G. Mills et al., "L2NAS: Learning to Optimize Neural Architectures via
    Continuous-Action Reinforcement Learning", CIKM 2021.
    https://arxiv.org/abs/2109.12425
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from symnas.algorithm import REDRAWS, History
from symnas.algorithms.slots import num_options
from symnas.by_number import Latent
from symnas.genotype import Decision, Genotypes
from symnas.layout import Layout
from symnas.seeding import torch_seeded

Array = NDArray[np.float64]

REWARDS = ("scaled", "plain", "rescaled")
_BETAS = 0.9, 0.99  # Of Adam, for both networks.
_TRAINING = 1 << 32  # The attempt whose random numbers choose batches.
_FORMAT = "symnas L2NAS agent"


class _Action(NamedTuple):
    """What a proposal is made of.

    Attributes:
      state: (o,) shares of options among the best examples when it was made.
      matrix: (o,) a number in about [0, 1] for each option of each decision.
      places: (d,) where in the part of its scale an int or float lies.
    """

    state: Array
    matrix: Array
    places: Array


class _Rows:
    """Which row of numbers decides what.

    Attributes:
      of_column: (d,) the row of each column; slots of a distinct `manyof` share one.
      counts: (rows,) how many options each row has.
      num_taken: (rows,) how many of them are taken.
      held: each distinct `manyof` with the rows of the decisions that its candidates
        hold, for those candidates that hold some.
    """

    def __init__(self, layout: Layout, resolution: int) -> None:
        rows: list[int] = []
        owners: list[Decision] = []  # Of each row.
        for column, decision in enumerate(layout.owner):
            if column == decision.column or not (
                decision.slots > 1 and decision.distinct
            ):
                owners.append(decision)
            rows.append(len(owners) - 1)
        self.of_column = np.array(rows)
        self.counts = np.array([num_options(d, resolution) for d in owners])
        shared = [d.slots > 1 and d.distinct for d in owners]
        self.num_taken = np.where(shared, [d.slots for d in owners], 1)
        self.held = [
            (group, self._held(group, layout))
            for group in layout.groups
            if group.distinct
        ]

    def _held(self, group: Decision, layout: Layout) -> dict[int, list[int]]:
        held: dict[int, list[int]] = {}
        for decision in layout.decisions:
            for places in group.children:
                for candidate, branch in enumerate(places[0]):
                    if branch >= 0 and branch in decision.branches:
                        rows = self.of_column[decision.columns]
                        held.setdefault(candidate, []).extend(rows.tolist())
        return held


class L2NAS(Latent):
    """An actor proposes a number for each option, and the largest one is taken, as in [1].

    The state is the share of each option among the `history_size` best examples. A critic
    learns the `quantile` of the reward of a matrix of numbers, an actor to propose
    matrices of which the critic thinks highly. Proposals are random with a probability
    that falls along a cosine. There is no next state: each proposal is an episode.

    A distinct `manyof` takes the candidates with the largest numbers; that of a candidate
    which holds decisions is the largest of theirs. For a node of a DARTS cell with
    `darts.open_genotype(per_edge=True)` this is the rule by which cells are derived there.

    Know what to expect: on NAS-Bench-201 plain evolution, differential evolution and local
    search find better cells with as many queries (docs/results.md).

    The rates are for a thousand examples: in searches of 150, ten times as high ones and 80
    exploration steps find more, and those of [1] nothing that chance would not.

    Ints and floats are drawn uniformly from one of up to `resolution` equal parts of their
    scale. The options of decisions that are not active count as not taken.

    Args:
      history_size: K, the number of best examples, all different, in the state.
      quantile: tau of the critic's loss.
      batch_size: of the results from which both networks learn.
      max_updates: C_max. After result t there are min(t // batch_size, max_updates).
      noise: xi; each number of the actor is changed by up to that.
      exploration_steps: after which the share of random proposals is `exploration`.
      random_steps: proposals that are all random; there are no random ones after them,
        if not 0.
      reward: 'plain' is 100 ** accuracy, for accuracies in [0, 1]; 'rescaled' is
        100 ** (accuracy / best_accuracy) / 100 - 1; 'scaled', which is not in [1], is
        a hundredth of 'plain', for any reward: the range of all results so far counts as
        [0, 1]. The critic learns it sooner, most of all where half of the numbers that it
        sees belong to decisions that are not active.
      best_accuracy: the best known one, for 'rescaled'.
      actor_rate: printed as 1e-8 in [1], with which an actor does not learn anything;
        `L2NAS.paper_literal()` has it.
      memory_size: of the newest results to learn from; None for all.
      agent: a folder that `save` has written: both networks begin as they are there.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(3)]
    >>> sn.search(space, sum, "l2nas", 100, seed=0, progress=False).best.reward
    12.0
    """

    history_size: int = 64
    quantile: float = 0.9
    batch_size: int = 8
    max_updates: int = 10
    noise: float = 1e-4
    exploration_steps: int = 175
    exploration: float = 0.05
    random_steps: int = 0
    reward: str = "scaled"
    best_accuracy: float | None = None
    actor_rate: float = 1e-4
    critic_rate: float = 1e-4
    hidden: int = 128
    memory_size: int | None = None
    resolution: int = 10
    agent: str | None = None

    @classmethod
    def nas_bench_201(cls) -> L2NAS:
        """The setting for NAS-Bench-201, with rewards in percent as its tables have them."""
        return cls()

    @classmethod
    def paper_literal(cls) -> L2NAS:
        """As printed, with an actor that hardly moves."""
        return cls(actor_rate=1e-8)

    @classmethod
    def darts(cls) -> L2NAS:
        """The setting for the DARTS space, for 20,000 steps with accuracies in [0, 1]."""
        return cls(
            history_size=500,
            quantile=0.95,
            batch_size=64,
            max_updates=1,
            noise=5e-5,
            random_steps=3000,
            reward="plain",
            hidden=256,
            memory_size=5000,
        )

    @classmethod
    def once_for_all(cls) -> L2NAS:
        """The setting for the space of Once-for-All, for 10,000 steps."""
        return cls(
            history_size=500,
            quantile=0.95,
            batch_size=64,
            max_updates=1,
            random_steps=3000,
            reward="rescaled",
            best_accuracy=0.76,
            hidden=256,
        )

    def _check(self) -> None:
        if self.reward not in REWARDS:
            raise ValueError(f"`reward` must be one of {REWARDS}, got {self.reward!r}.")
        if not 0 < self.quantile < 1:
            raise ValueError(
                f"`quantile` must lie between 0 and 1, got {self.quantile}."
            )
        if not 0 <= self.exploration <= 1:
            raise ValueError(
                f"`exploration` must lie between 0 and 1, got {self.exploration}."
            )
        for name, least in (
            ("history_size", 1),
            ("batch_size", 1),
            ("max_updates", 0),
            ("noise", 0),
            ("exploration_steps", 0),
            ("random_steps", 0),
            ("actor_rate", 0),
            ("critic_rate", 0),
            ("hidden", 1),
            ("memory_size", 1),
            ("resolution", 1),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
        if self.reward == "rescaled" and not (self.best_accuracy or 0) > 0:
            raise ValueError(
                "The reward 'rescaled' needs `best_accuracy` above 0, got "
                f"{self.best_accuracy}."
            )

    def _setup(self) -> None:
        super()._setup()
        rows = _Rows(self.space.layout, self.resolution)
        self._rows = rows.of_column
        self._held = rows.held
        self._counts = rows.counts
        self._starts = np.cumsum(self._counts) - self._counts
        self._history: dict[bytes, tuple[float, Array]] = {}  # Best examples, one-hot.
        self._state = np.repeat(rows.num_taken / self._counts, self._counts)
        self._memory = _Memory(len(self._state), self.memory_size)
        seed = int(self._rng.at(0, _TRAINING).integers(2**31))
        with torch_seeded(seed):
            self._actor = _network(len(self._state), self.hidden, len(self._state))
            self._critic = _network(len(self._state), self.hidden, 1)
        if self.agent is not None:
            self._load(Path(self.agent))
        self._actor_steps = _adam(self._actor, self.actor_rate)
        self._critic_steps = _adam(self._critic, self.critic_rate)

    # --- proposals ----------------------------------------------------------------------

    def _point(self, number: int, rng: np.random.Generator) -> _Action:
        places = rng.random(len(self._rows))
        matrix = rng.random(len(self._state))
        if rng.random() >= self._exploration_at(number):
            with torch.no_grad():
                proposed = self._actor(torch.from_numpy(self._state).float())
            learnt = proposed.sigmoid().double().numpy() + self.noise * (2 * matrix - 1)
            # A further attempt at something new leaves ever more rows to chance.
            chance = rng.random(len(self._counts)) < self.attempt / REDRAWS
            matrix = np.where(np.repeat(chance, self._counts), matrix, learnt)
        return _Action(self._state, matrix, places)

    def _exploration_at(self, number: int) -> float:
        """The probability that a proposal is random."""
        if self.random_steps:
            return float(number < self.random_steps)
        if number >= self.exploration_steps:
            return self.exploration
        part = (1 + math.cos(math.pi * number / self.exploration_steps)) / 2
        return self.exploration + (1 - self.exploration) * part

    def _genotype(self, point: _Action) -> Genotypes:
        numbers = np.split(point.matrix, self._starts[1:])
        largest = [row.argmax() for row in numbers]  # The first of equal ones.
        options = np.array(largest)[self._rows]
        for group, held in self._held:
            worth = numbers[self._rows[group.column]].copy()
            for candidate, inner in held.items():
                worth[candidate] = max(numbers[row].max() for row in inner)
            options[group.columns] = np.argsort(-worth, kind="stable")[: group.slots]
        parts = (options + point.places) / self._counts[self._rows]
        return self.space.decode(parts[None])[0]

    def _point_at(self, genotype: Genotypes) -> _Action:
        middle = np.full(len(genotype), 0.5)
        return _Action(self._state, self._one_hot(genotype), middle)

    def _one_hot(self, genotype: Genotypes) -> Array:
        """Which options (o,) a genotype (d,) has taken."""
        counts = self._counts[self._rows]
        parts = np.floor(self.space.encode(genotype)[0] * counts).astype(int)
        taken = np.zeros(len(self._state))
        active = genotype >= 0
        options = np.minimum(parts, counts - 1)
        taken[(self._starts[self._rows] + options)[active]] = 1.0
        return taken

    # --- results ------------------------------------------------------------------------

    def told(self, number: int, rewards: Sequence[float]) -> None:
        self._require_accuracy(rewards[0])
        genotype = self._pending[number]
        super().told(number, rewards)
        self._remember(genotype, rewards[0])

    def _tell_foreign(self, genotype: Genotypes, reward: float) -> None:
        self._require_accuracy(reward)
        super()._tell_foreign(genotype, reward)
        self._memory.add(self._point_at(genotype), reward)
        self._remember(genotype, reward)

    def _require_accuracy(self, reward: float) -> None:
        if self.reward != "scaled" and not reward <= 1:
            raise ValueError(
                f"The reward '{self.reward}' needs accuracies of at most 1, got {reward}. "
                "Divide percentages by 100, or use `reward='scaled'`."
            )

    def _remember(self, genotype: Genotypes, reward: float) -> None:
        """Enters an example into the history, of which the state is made."""
        key = genotype.tobytes()
        known = self._history.get(key)
        if known is not None and known[0] >= reward:
            return
        self._history[key] = reward, self._one_hot(genotype)
        if len(self._history) > self.history_size:
            # Of equal ones the newest.
            worst = min(reversed(self._history), key=lambda k: self._history[k][0])
            del self._history[worst]
            if worst == key:
                return
        self._state = np.mean([taken for _, taken in self._history.values()], axis=0)

    def _learn(self, number: int, point: _Action, reward: float) -> None:
        self._memory.add(point, reward)
        updates = min(len(self._memory) // self.batch_size, self.max_updates)
        rng = self._rng.at(self._memory.num_added, _TRAINING)
        batches = rng.random((updates, self.batch_size))
        for draws in batches:
            self._update((draws * len(self._memory)).astype(int))

    def _update(self, batch: NDArray[np.int64]) -> None:
        """One step of the critic, and one of the actor (section 3.4 of [1])."""
        states, matrices, results = self._memory[batch]
        rewards = torch.from_numpy(self._rewards(results)).float()
        errors = rewards - self._critic(torch.from_numpy(matrices).float())[:, 0]
        loss = check_loss(errors, self.quantile).mean()
        _step(self._critic_steps, loss)
        proposed = self._actor(torch.from_numpy(states).float()).sigmoid()
        _step(self._actor_steps, -self._critic(proposed).mean())

    def _rewards(self, results: Array) -> Array:
        """What the critic learns, of results (n,)."""
        if self.reward == "rescaled":
            assert self.best_accuracy is not None
            return rescaled_reward(results, self.best_accuracy)
        if self.reward == "plain":
            return plain_reward(results)
        low, high = self._memory.low, self._memory.high
        # Up to 1 rather than 100, which the critic would take thousands of steps to reach.
        return plain_reward((results - low) / max(high - low, 1e-300)) / 100

    # --- the agent ----------------------------------------------------------------------

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes both networks, for searches of spaces with the same options.

        Raises:
          ValueError: there is nothing to save before a search.
        """
        if getattr(self, "space", None) is None:
            raise ValueError("There is no agent to save before a search has begun.")
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        save_file(self._tensors(), path / "agent.safetensors")
        described = {"format": _FORMAT, "version": 1, **self._shape()}
        (path / "agent.json").write_text(json.dumps(described, indent=1) + "\n")

    def _tensors(self) -> dict[str, torch.Tensor]:
        networks = {"actor": self._actor, "critic": self._critic}
        return {
            f"{name}.{key}": tensor
            for name, network in networks.items()
            for key, tensor in network.state_dict().items()
        }

    def _shape(self) -> dict[str, Any]:
        return {"options": self._counts.tolist(), "hidden": self.hidden}

    def _load(self, path: Path) -> None:
        try:
            described = json.loads((path / "agent.json").read_text())
            tensors = load_file(path / "agent.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"`agent`: {path} holds no agent ({error}).") from None
        for key, own in self._shape().items():
            if described.get("format") != _FORMAT or described.get(key) != own:
                raise ValueError(
                    f"`agent`: {path} has {key} {described.get(key)}, and this search "
                    f"{own}. An agent fits spaces with the same options."
                )
        for name, tensor in self._tensors().items():
            tensor.copy_(tensors[name])


def plain_reward(accuracy: Any) -> Any:
    """Equation (4) of [1], of accuracies in [0, 1].

    >>> plain_reward(0.0), plain_reward(0.5), plain_reward(1.0)
    (1.0, 10.0, 100.0)
    """
    return 100.0**accuracy


def rescaled_reward(accuracy: Any, best_accuracy: float) -> Any:
    """Equation (5) of [1]: 0 at the best accuracy that is known.

    >>> rescaled_reward(0.76, 0.76), rescaled_reward(0.0, 0.76)
    (0.0, -0.99)
    """
    return 100.0 ** (accuracy / best_accuracy) / 100.0 - 1.0


def check_loss(errors: torch.Tensor, quantile: float) -> torch.Tensor:
    """The pinball loss of errors (n,), whose minimum is at a quantile.

    >>> check_loss(torch.tensor([2.0, -2.0]), 0.9)
    tensor([1.8000, 0.2000])
    """
    return errors * (quantile - (errors <= 0).float())


class _Memory:
    """Actions and results, the newest ones if there is a limit."""

    def __init__(self, num_options: int, size: int | None) -> None:
        self._size = size
        self._states = History(num_options)
        self._matrices = History(num_options)
        self.num_added = 0
        self.low, self.high = math.inf, -math.inf  # Of all results.

    def __len__(self) -> int:
        return min(self.num_added, self._size or self.num_added)

    def add(self, action: _Action, reward: float) -> None:
        self._states.append(action.state, [reward])
        self._matrices.append(action.matrix, [reward])
        self.num_added += 1
        self.low, self.high = min(self.low, reward), max(self.high, reward)

    def __getitem__(self, batch: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """States (n, o), matrices (n, o) and results (n,); 0 is the oldest one kept."""
        rows = batch + self.num_added - len(self)
        states, matrices = self._states.genotypes, self._matrices.genotypes
        return states[rows], matrices[rows], self._states.rewards[rows]


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Three hidden layers ([1], section 4.1)."""
    sizes = [inputs, hidden, hidden, hidden]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), rate, _BETAS, fused=True)


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    parameters = optimizer.param_groups[0]["params"]
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()

"""REINFORCE: a softmax for each decision, trained by policy gradients [1].

[1] R. J. Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist
    Reinforcement Learning", Machine Learning 1992.
    https://doi.org/10.1007/BF00992696
[2] X. Dong and Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
    Architecture Search", ICLR 2020. https://arxiv.org/abs/2001.00326
[3] C. Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
    ICML 2019. https://arxiv.org/abs/1902.09635
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.algorithm import Algorithm
from symnas.algorithms.slots import allowed, num_options, pick
from symnas.genotype import Decision, Genotypes

_DECAY = 0.9  # Of the baseline, as in the scripts for [2] and [3].
_BETAS = 0.9, 0.999  # Adam's defaults, as is the next one.
_EPSILON = 1e-8
_LARGEST = 1e150  # Of an advantage; its square has to be a number.


class Reinforce(Algorithm):
    """The policy of the benchmark papers [2, 3]: independent decisions, Adam.

    The baseline of controllers that are trained by rewards. It proposes what the policy
    draws, and moves the policy after each reward by one step of Adam along
    (reward - baseline) * gradient of log p(proposal). The scale of rewards does not
    matter, as long as they differ by much more than 1e-8.

    As in [2] the baseline is a moving average without bias that already contains the
    reward it is subtracted from. The gradient is the one of the current policy, which
    differs from the one that made the proposal only if several are evaluated at a time.
    A policy starts uniform; [2] adds noise of 0.001 to its logits.

    Ints and floats are drawn uniformly from one of up to `resolution` equal parts of
    their scale. The slots of a `manyof` are filled one after the other from what is
    still allowed.

    The default learning rate is that for NAS-Bench-101; `Reinforce.nas_bench_201()` has
    that of NAS-Bench-201, which hardly leaves the random phase within 110 proposals.

    Example:

    >>> import symnas as sn
    >>> space = [sn.oneof(range(5)) for _ in range(6)]
    >>> sn.search(space, sum, "reinforce", 200, seed=0, progress=False).best.reward
    24.0
    """

    learning_rate: float = 0.1
    resolution: int = 10

    @classmethod
    def nas_bench_201(cls) -> Reinforce:
        """The setting in the scripts of NAS-Bench-201."""
        return cls(learning_rate=0.01)

    def _check(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(
                f"`learning_rate` must be positive, got {self.learning_rate}."
            )
        if self.resolution < 1:
            raise ValueError(f"`resolution` must be at least 1, got {self.resolution}.")

    def _setup(self) -> None:
        self._counts = np.array(
            [num_options(d, self.resolution) for d in self.space.layout.owner]
        )
        # The logits of all columns (d,) lie behind one another.
        self._starts = np.cumsum(self._counts) - self._counts
        decisions = self.space.decisions
        self._logits = np.concatenate([self._first_logits(d) for d in decisions])
        self._policy = self._softmax()
        self._baseline = 0.0
        self._mean = np.zeros_like(self._logits)  # Adam's moments.
        self._square = np.zeros_like(self._logits)
        self._step = 0

    def _first_logits(self, decision: Decision) -> NDArray[np.float64]:
        """Logits (s * options,) with which everything is equally likely."""
        options = num_options(decision, self.resolution)
        logits = np.zeros((decision.slots, options))
        if decision.sorted:  # An early candidate can be completed in more ways.
            for slot, left in enumerate(reversed(range(decision.slots))):
                for option in range(options):
                    larger = options - 1 - option + (not decision.distinct) * left
                    logits[slot, option] = math.log(max(math.comb(larger, left), 1))
        return logits.ravel()

    def _softmax(self) -> NDArray[np.float64]:
        largest = np.maximum.reduceat(self._logits, self._starts)
        odds = np.exp(self._logits - np.repeat(largest, self._counts))
        return odds / np.repeat(np.add.reduceat(odds, self._starts), self._counts)

    def _slot_policy(self, group: Decision, picks: NDArray[Any]) -> NDArray[np.float64]:
        """The probabilities (n, count) of the slot after the picks (n, s)."""
        start = self._starts[group.column + picks.shape[1]]
        mask = allowed(group, picks)
        logits = np.where(mask, self._logits[start : start + group.count], -np.inf)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        draws = rng.random((n, len(self._counts)))
        # Every column adds 1 to the sum.
        shifted = draws + np.arange(len(self._counts))
        found = np.searchsorted(np.cumsum(self._policy), shifted, side="right")
        options = np.clip(found - self._starts, 0, self._counts - 1)
        for group in self.space.layout.groups:
            for column in group.columns:
                policy = self._slot_policy(group, options[:, group.column : column])
                options[:, column] = pick(policy, draws[:, column])
        return self.space.decode((options + rng.random(options.shape)) / self._counts)

    def _tell(self, genotypes: Genotypes, rewards: NDArray[np.float64]) -> None:
        parts = np.floor(self.space.encode(genotypes) * self._counts).astype(np.int64)
        options = np.clip(parts, 0, self._counts - 1)
        for genotype, option, reward in zip(genotypes, options, rewards, strict=True):
            self._step += 1
            share = (1 - _DECAY) / (1 - _DECAY**self._step)
            self._baseline += share * (float(reward) - self._baseline)
            advantage = np.clip(reward - self._baseline, -_LARGEST, _LARGEST)
            self._ascend(advantage * self._gradient(option, genotype >= 0))

    def _gradient(
        self, options: NDArray[np.int64], active: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The derivative of log p(options) by the logits; options and active are (d,)."""
        gradient = -self._policy
        for group in self.space.layout.groups:
            for column in group.columns:
                policy = self._slot_policy(group, options[None, group.column : column])
                start = self._starts[column]
                gradient[start : start + group.count] = -policy[0]
        gradient[self._starts + options] += 1.0
        return gradient * np.repeat(active, self._counts)

    def _ascend(self, gradient: NDArray[np.float64]) -> None:
        """One step of Adam."""
        first, second = _BETAS
        self._mean += (1 - first) * (gradient - self._mean)
        self._square += (1 - second) * (gradient**2 - self._square)
        mean = self._mean / (1 - first**self._step)
        scale = np.sqrt(self._square / (1 - second**self._step)) + _EPSILON
        self._logits += self.learning_rate * mean / scale
        self._policy = self._softmax()

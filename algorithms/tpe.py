"""TPE: the tree-structured Parzen estimator [1].

[1] J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011.
    https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization
[2] S. Watanabe, "Tree-Structured Parzen Estimator: Understanding Its Algorithm
    Components and Their Roles for Better Empirical Performance", 2023.
    https://arxiv.org/abs/2304.11127
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from numpy.typing import NDArray

from symnas.algorithm import Algorithm, History
from symnas.algorithms.slots import allowed, pick
from symnas.genotype import INACTIVE, Decision, Genotypes

if TYPE_CHECKING:
    from symnas.layout import Layout

Array = NDArray[np.float64]

_MOST_GOOD = 25  # Examples that are called good; by default in Optuna, as all below.
_FULL_WEIGHT = 25  # Results, the newest ones, that have weight 1.
_MOST_KERNELS = 100  # Up to here kernels get narrower: to 1 / 100 of the scale.
_NARROW = 1e-6  # Of the scale: below, an int has its density instead of its mass.
_TINY = 1e-300  # Has a logarithm.
_BELOW_ONE = float(np.nextafter(1.0, 0.0))


class TPE(Algorithm):
    """Proposes what is likely among good examples and unlikely among the others.

    A good first choice for spaces with floats, ints and conditions, and with 50 to 1,000
    examples. After `num_startup` random ones, the best tenth (at most 25) of what is
    known and the rest are described by one density each, `num_candidates` are drawn from
    the first, and that with the largest ratio of the densities is proposed. Settings are
    those of Optuna's `TPESampler` [2], bandwidths included; duplicates are redrawn with
    ever fewer candidates, which is ever more at random.

    Densities are mixtures with a kernel for each example: for a choice the candidate it
    took, or another one with a small probability; for numbers a Gaussian on their scale,
    cut off at its ends. Where a decision was not active, its kernel is uniform.

    Args:
      prior_weight: the weight of an additional kernel that covers the whole space.
      multivariate: kernels are products over all decisions, so that dependent decisions
        are learnt, as by default in Optuna 5. Otherwise decisions are independent, each
        with densities of the examples in which it was active, as in [1].
      constant_liar: examples that are still evaluated count as bad, which keeps several
        workers from proposing the same.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(-2.0, 2.0), "n": sn.intv(1, 9), "op": sn.oneof(["a", "b", "c"])}
    >>> def evaluate(x):
    ...     return -((x["x"] - 1) ** 2) - (x["n"] - 4) ** 2 - (x["op"] != "b")
    >>> result = sn.search(space, evaluate, "tpe", 100, seed=0, progress=False)
    >>> result.best.reward > -0.1
    True
    """

    num_startup: int = 10
    num_candidates: int = 24
    prior_weight: float = 1.0
    multivariate: bool = True
    constant_liar: bool = False

    def _check(self) -> None:
        if self.num_startup < 1:
            raise ValueError(
                f"`num_startup` must be at least 1, got {self.num_startup}."
            )
        if self.num_candidates < 1:
            raise ValueError(
                f"`num_candidates` must be at least 1, got {self.num_candidates}."
            )
        if not self.prior_weight > 0:
            raise ValueError(
                f"`prior_weight` must be positive, got {self.prior_weight}."
            )

    def _setup(self) -> None:
        self._points = History(self.space.num_columns)
        self._no_lies = self._points.genotypes.copy()
        self._fitted: tuple[Any, tuple[_Density, _Density]] | None = None

    def _tell(self, genotypes: Genotypes, rewards: Array) -> None:
        self._points.extend(self._placed(genotypes), rewards[:, None])

    def _ask(self, n: int, rng: np.random.Generator) -> Genotypes:
        if len(self.history) < self.num_startup:
            return self.space.random(rng, n)
        # The same for all attempts at a proposal.
        lies = self._placed(self.pending) if self.constant_liar else self._no_lies
        key = len(self._points), lies.tobytes()
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, self._fit(lies)
        good, bad = self._fitted[1]
        return np.vstack([self._best(good, bad, rng) for _ in range(n)])

    def _placed(self, genotypes: Genotypes) -> Array:
        """Genotypes (n, d) with ints at their place in [0, 1], as floats are."""
        is_choice = np.array([d.kind == "choice" for d in self.space.layout.owner])
        if is_choice.all():
            return genotypes
        keep = is_choice | (genotypes < 0)
        return np.where(keep, genotypes, self.space.encode(genotypes))

    def _fit(self, lies: Array) -> tuple[_Density, _Density]:
        """The densities of good results and of others."""
        points = self._points.genotypes
        order = np.argsort(-self._points.rewards, kind="stable")
        good = np.zeros(len(points), dtype=bool)
        good[order[: num_good(len(points))]] = True
        settings = self.prior_weight, self.multivariate
        others = np.vstack([points[~good], lies])
        return (
            _Density(self.space.layout, points[good], *settings),
            _Density(self.space.layout, others, *settings),
        )

    def _best(
        self, good: _Density, bad: _Density, rng: np.random.Generator
    ) -> Genotypes:
        """A genotype (1, d)."""
        number = max(1, self.num_candidates // (1 + self.attempt))
        candidates = good.sample(number, rng)
        if self.multivariate:
            self.space.layout.activate(candidates)
        ratio = good.log(candidates) - bad.log(candidates)
        best = ratio.argmax(axis=0)  # One for all, or one for each decision.
        if self.multivariate:
            return candidates[best]
        rows = np.repeat(best, [d.slots for d in self.space.decisions])
        genotype = candidates[rows, np.arange(self.space.num_columns)]
        return self.space.layout.activate(genotype[None])


def num_good(n: int) -> int:
    """How many of n results are good ones.

    >>> [num_good(n) for n in (10, 100, 1000)]
    [1, 10, 25]
    """
    return min(math.ceil(0.1 * n), _MOST_GOOD)


class _Density:
    """A mixture with one kernel for each of the points (n, d), and one for the prior.

    The prior is the kernel of a point at which nothing is active. There are K = n + 1
    kernels, and c columns of weights: one if kernels are products over all decisions,
    one for each decision if these are independent. q genotypes are looked at.
    """

    def __init__(
        self, layout: Layout, points: Array, prior_weight: float, joint: bool
    ) -> None:
        decisions = layout.decisions
        self.joint = joint
        self.points = np.vstack([points, np.full((1, points.shape[1]), INACTIVE)])
        firsts = [decision.column for decision in decisions]
        used = np.ones((len(points), 1), bool) if joint else points[:, firsts] >= 0
        weights = np.vstack([_weights(used), np.full(used.shape[1], prior_weight)])
        self.weights = weights / weights.sum(axis=0)  # (K, c)
        # What a kernel gives each candidate of a choice, where it gives 1 to its own.
        spread = prior_weight / (used.sum(axis=0) + 1)  # (c,)
        # The column of weights that belongs to each decision.
        mixture = np.zeros(len(decisions), int) if joint else np.arange(len(decisions))
        self.choices = _Choices(layout, self.points, self.weights, spread, mixture)
        self.numbers = [
            (i, _Number(decision, self.points[:, decision.column]))
            for i, decision in zip(mixture, decisions, strict=True)
            if decision.kind != "choice"
        ]

    def sample(self, q: int, rng: np.random.Generator) -> Genotypes:
        """Genotypes (q, d) that have values also for what is not active."""
        reached = np.cumsum(self.weights, axis=0)
        draws = rng.random((q, 1, self.weights.shape[1])) * reached[-1]
        kernels = (reached <= draws).sum(axis=1)  # (q, c)
        genotypes = rng.random((q, self.points.shape[1]))
        self.choices.sample(kernels, genotypes)
        for i, number in self.numbers:
            column = number.decision.column
            genotypes[:, column] = number.sample(kernels[:, i], genotypes[:, column])
        return genotypes

    def log(self, genotypes: Genotypes) -> Array:
        """The logarithms (q, c) of the densities of genotypes (q, d)."""
        weights = np.log(self.weights + _TINY)
        if self.joint:
            logs = self.choices.log_products(genotypes)
            logs += weights[:, 0]
            for _, number in self.numbers:
                logs += number.log(genotypes[:, number.decision.column])
            return _log_sum(logs)[:, None]
        result = self.choices.log_mixtures(genotypes)
        for i, number in self.numbers:
            logs = number.log(genotypes[:, number.decision.column])
            result[:, i] = _log_sum(logs + weights[:, i])
        return result


class _Choices:
    """The kernels of all slots of choices, C of the columns of points (K, d)."""

    def __init__(
        self,
        layout: Layout,
        points: Array,
        weights: Array,
        spread: Array,
        mixture: NDArray[np.int64],
    ) -> None:
        owners = [
            (column, decision, i)
            for i, decision in zip(mixture, layout.decisions, strict=True)
            if decision.kind == "choice"
            for column in decision.columns
        ]
        self.columns = np.array([column for column, _, _ in owners], dtype=np.int64)
        self.counts = np.array([d.count for _, d, _ in owners], dtype=np.int64)
        self.mixture = np.array([i for _, _, i in owners], dtype=np.int64)
        self.restricted = [g for g in layout.groups if g.distinct or g.sorted]
        self.points = points[:, self.columns].astype(np.int32)
        self.weights = weights
        self.spread = spread[self.mixture]
        # A kernel takes its own candidate, or any one.
        self.kept = 1.0 / (1.0 + self.spread * self.counts)
        self.rest = self.spread * self.kept  # The probability of each one.

    def sample(self, kernels: NDArray[np.int64], out: Array) -> None:
        """Replaces draws (q, d) by the genes of kernels (q, c)."""
        draws = out[:, self.columns]
        taken = self.points[kernels[:, self.mixture], np.arange(len(self.columns))]
        kept = np.where(taken < 0, 0.0, self.kept)
        fresh = (draws - kept) / (1.0 - kept) * self.counts
        fresh = np.minimum(np.floor(fresh), self.counts - 1)
        genes = np.where(draws < kept, taken, fresh)
        for group in self.restricted:
            start = int(np.searchsorted(self.columns, group.column))
            for column in range(start, start + group.slots):
                candidates = np.arange(group.count)
                chances = self.spread[column] + (taken[:, column, None] == candidates)
                chances = chances * allowed(group, genes[:, start:column])
                genes[:, column] = pick(chances, draws[:, column])
        out[:, self.columns] = genes

    def log_products(self, genotypes: Genotypes) -> Array:
        """The logarithms (q, K) of the products over all columns."""
        genes = genotypes[:, self.columns].astype(np.int32)
        active = genes >= 0
        genes[~active] = -2  # Unlike those of kernels.
        matches = np.zeros((len(genes), len(self.points)), np.int32)
        for gene, point in zip(genes.T, self.points.T.copy(), strict=True):
            matches += gene[:, None] == point
        # All columns have the same spread here.
        gain = np.log((1.0 + self.spread[:1]) / self.spread[:1])
        base = np.where(self.points < 0, -np.log(self.counts), np.log(self.rest))
        logs: Array = active.astype(float) @ base.T
        logs += matches * gain.sum()
        return logs

    def log_mixtures(self, genotypes: Genotypes) -> Array:
        """The logarithms (q, c) of the mixtures of each decision, 0 if it is a number."""
        starts = np.cumsum(self.counts) - self.counts
        weights = self.weights[:-1, self.mixture]
        known = self.points[:-1] >= 0
        sums = np.bincount(
            (starts + self.points[:-1])[known], weights[known], int(self.counts.sum())
        )
        rest = (
            weights.sum(axis=0) * self.rest
            + self.weights[-1, self.mixture] / self.counts
        )
        logs = np.log(
            sums * np.repeat(self.kept, self.counts) + np.repeat(rest, self.counts)
        )
        result = np.zeros((len(genotypes), self.weights.shape[1]))
        genes = genotypes[:, self.columns].astype(np.int64)
        for i, log in zip(self.mixture, logs[starts + genes].T, strict=True):
            result[:, i] += log  # The slots of a decision are independent, too.
        return result


class _Number:
    """The kernels of a float or an int, at places (K,) on its scale."""

    def __init__(self, decision: Decision, places: Array) -> None:
        self.decision = decision
        self.means = np.where(places < 0, 0.5, places)
        self.widths = _widths(places)
        self.low, self.high = scipy.special.ndtr(self._scaled(np.array([[0.0], [1.0]])))
        self.total = np.log(self.high - self.low)

    def _scaled(self, places: Array) -> Array:
        return (places - self.means) / self.widths

    def sample(self, kernels: NDArray[np.int64], draws: Array) -> Genotypes:
        """Genes (q,) of kernels (q,)."""
        low, high = self.low[kernels], self.high[kernels]
        scaled = scipy.special.ndtri(low + draws * (high - low))
        places = self.means[kernels] + self.widths[kernels] * scaled
        places = np.clip(places, 0.0, _BELOW_ONE)
        return np.array([self.decision.gene_at(place) for place in places.tolist()])

    def log(self, genes: Genotypes) -> Array:
        """The logarithms (q, K) of all kernels at genes (q,), 0 if not active."""
        if self.decision.kind == "float":
            logs = self._log_density(genes[:, None])
        else:
            values, inverse = np.unique(genes.clip(0.0), return_inverse=True)
            logs = self._log_mass(values)[inverse]
        logs[genes < 0] = 0.0
        return logs

    def _log_mass(self, values: Array) -> Array:
        position = self.decision.position
        start = np.array([[position(value)] for value in values.tolist()])
        stop = np.array([[position(value + 1.0)] for value in values.tolist()])
        if (stop - start).min() < _NARROW:  # Differences would be lost.
            return self._log_density((start + stop) / 2) + np.log(stop - start)
        mass = scipy.special.ndtr(self._scaled(stop)) - scipy.special.ndtr(
            self._scaled(start)
        )
        return np.log(np.maximum(mass, _TINY)) - self.total

    def _log_density(self, places: Array) -> Array:
        logs = self._scaled(places)
        logs *= logs
        logs *= -0.5
        logs -= np.log(self.widths * math.sqrt(2.0 * math.pi)) + self.total
        return logs


def _weights(used: NDArray[np.bool_]) -> Array:
    """The weights (n, c) of results in the order in which they came.

    The newest have weight 1, in each column among those that are used; before them it
    falls to 1 / n.
    """
    n = np.maximum(used.sum(axis=0), 1)
    rank = np.cumsum(used, axis=0) - 1
    slope = (1.0 - 1.0 / n) / np.maximum(n - _FULL_WEIGHT - 1, 1)
    ramp = np.where(rank < n - _FULL_WEIGHT, 1.0 / n + rank * slope, 1.0)
    weights: Array = ramp * used
    return weights


def _widths(places: Array) -> Array:
    """The standard deviations (K,) of kernels at places (K,); the last is the prior.

    As far as the farther one of the two neighbours on the scale, within bounds. The prior
    and kernels where the decision was not active are as wide as the scale.
    """
    widths = np.ones(len(places))
    active = np.flatnonzero(places >= 0)
    order = active[np.argsort(places[active], kind="stable")]
    gaps = np.diff(places[order])
    if len(active) == 1:  # The ends of the scale are the only neighbours.
        widths[active] = np.maximum(places[active], 1.0 - places[active])
    elif len(active):
        farther = np.maximum(np.append(gaps[0], gaps), np.append(gaps, gaps[-1]))
        widths[order] = np.clip(farther, 1.0 / min(_MOST_KERNELS, 2 + len(active)), 1.0)
    return widths


def _log_sum(logs: Array) -> Array:
    """The logarithm (q,) of the sum of exponentials of (q, K)."""
    largest = logs.max(axis=1, keepdims=True)
    shares = np.exp(
        (logs - largest).astype(np.float32)
    )  # Three times as fast as float64.
    total: Array = largest[:, 0] + np.log(shares.sum(axis=1, dtype=float))
    return total

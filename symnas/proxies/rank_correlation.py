"""How well scores rank networks whose accuracy is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_RESAMPLES = 1000


@dataclass(frozen=True)
class Correlation:
    """What `correlation` finds; correlations are those of the networks that have a score.

    Attributes:
      num_networks: n, with and without a score.
      num_defined: how many have a score.
      num_distinct: how many different scores there are: few are many ties.
      spearman: rank correlation.
      interval: its 95 % bootstrap interval.
      kendall: tau-b, which accounts for ties.
      top_decile: Spearman's among the best tenth by accuracy.
      partial: Spearman's given a baseline; NaN without one.
      best_of: the mean accuracy of the one with the best score among `num_candidates`
        networks drawn at random; one without a score is the last choice.
      top_overlap: which share of the best tenth by score is in the best tenth by accuracy.
      top_64: how many of the 64 best by score are in the best twentieth by accuracy.
    """

    num_networks: int
    num_defined: int
    num_distinct: int
    spearman: float
    interval: tuple[float, float]
    kendall: float
    top_decile: float
    partial: float
    best_of: float
    top_overlap: float
    top_64: int

    @property
    def coverage(self) -> float:
        """The share of networks that have a score."""
        return self.num_defined / self.num_networks


def correlation(
    scores: ArrayLike,
    accuracies: ArrayLike,
    baseline: ArrayLike | None = None,
    num_candidates: int = 100,
) -> Correlation:
    """The agreement of scores with accuracies.

    Args:
      scores: (n,) higher is better, NaN where undefined. Sentinels such as -1e8 do not
        belong here.
      accuracies: (n,) higher is better.
      baseline: (n,) scores that are known before, as numbers of parameters; `partial` is
        what the scores say beyond them.
      num_candidates: N of `best_of`.

    Raises:
      ValueError: shapes differ, or an accuracy is not finite.

    Example:

    >>> import symnas as sn
    >>> found = sn.proxies.correlation([1.0, 2.0, 3.0, 4.0], [70.0, 90.0, 80.0, 95.0])
    >>> round(found.spearman, 2), round(found.kendall, 2), found.coverage
    (0.8, 0.67, 1.0)
    """
    values = np.asarray(scores, dtype=float)
    truth = np.asarray(accuracies, dtype=float)
    if values.ndim != 1 or values.shape != truth.shape or not len(values):
        raise ValueError(
            f"`scores` and `accuracies` must be (n,) both, got {values.shape} and "
            f"{truth.shape}."
        )
    if not np.isfinite(truth).all():
        raise ValueError("`accuracies` must be finite.")
    if np.isinf(values).any():
        raise ValueError("`scores` must be finite, or NaN where there is none.")
    defined = ~np.isnan(values)
    x, y = values[defined], truth[defined]
    partial = math.nan
    if baseline is not None:
        partial = _partial(x, y, np.asarray(baseline, dtype=float)[defined])
    best = y >= np.quantile(y, 0.9) if len(y) else np.zeros(0, dtype=bool)
    by_score = np.argsort(-x, kind="stable")
    top = by_score[: math.ceil(len(x) / 10)]
    twentieth = y > np.quantile(y, 0.95) if len(y) else best
    return Correlation(
        num_networks=len(values),
        num_defined=len(x),
        num_distinct=len(np.unique(x)),
        spearman=_spearman(x, y),
        interval=_interval(x, y),
        kendall=_kendall(x, y),
        top_decile=_spearman(x[best], y[best]),
        partial=partial,
        best_of=_best_of(values, truth, num_candidates),
        top_overlap=float(best[top].mean()) if len(top) else math.nan,
        top_64=int(twentieth[by_score[:64]].sum()),
    )


def _constant(x: Array, y: Array) -> bool:
    return len(x) < 2 or x.min() == x.max() or y.min() == y.max()


def _spearman(x: Array, y: Array) -> float:
    return math.nan if _constant(x, y) else float(scipy.stats.spearmanr(x, y).statistic)


def _kendall(x: Array, y: Array) -> float:
    return (
        math.nan if _constant(x, y) else float(scipy.stats.kendalltau(x, y).statistic)
    )


def _interval(x: Array, y: Array) -> tuple[float, float]:
    """Percentiles over resampled networks, which keep the ranks that they have in all."""
    if _constant(x, y):
        return math.nan, math.nan
    rng = np.random.default_rng(0)
    left, right = (
        scipy.stats.zscore(scipy.stats.rankdata(values)) for values in (x, y)
    )
    found = []
    for _ in range(_RESAMPLES):
        draw = rng.integers(len(x), size=len(x))
        one, other = left[draw], right[draw]
        spread = one.std() * other.std()
        if spread > 0:
            product = (one * other).mean() - one.mean() * other.mean()
            found.append(product / spread)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _partial(x: Array, y: Array, given: Array) -> float:
    """Spearman's partial correlation: that of what is left of ranks after `given`."""
    xy, xz, yz = _spearman(x, y), _spearman(x, given), _spearman(y, given)
    unexplained = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / math.sqrt(unexplained) if unexplained > 1e-12 else math.nan


def _best_of(values: Array, truth: Array, num_candidates: int) -> float:
    """The expected accuracy of the best-scored of N, drawn without replacement.

    In closed form: the network of rank i from below is the best of N with the probability
    C(i - 1, N - 1) / C(n, N).
    """
    n, taken = len(values), min(num_candidates, len(values))
    order = np.argsort(np.where(np.isnan(values), -np.inf, values), kind="stable")
    position = np.arange(n)
    ln = scipy.special.gammaln
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ways = ln(position + 1) - ln(taken) - ln(position - taken + 2)
    log_all = ln(n + 1) - ln(taken + 1) - ln(n - taken + 1)
    chances = np.where(position >= taken - 1, np.exp(log_ways - log_all), 0.0)
    return float(chances @ truth[order])

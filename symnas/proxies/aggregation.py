"""Several proxies as one: scores of a pool of networks, put together by rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RankSum:
    """The sum over proxies of log(rank / networks), as in AZ-NAS [1].

    The best of n networks has rank n, equal ones share their mean rank, and those without a
    score come below all others. Only ranks within the pool count, so proxies of any scale
    and tail go together; the sums of different pools do not compare.

    Args:
      log: sums of logarithms, by which one bad rank outweighs a good one; else of ranks.

    Example:

    >>> import symnas as sn
    >>> jacob_cov, params = [1.0, 2.0, 3.0], [30, 10, 20]
    >>> scores = np.column_stack([jacob_cov, params])  # (networks, proxies)
    >>> sn.proxies.RankSum(log=False)(scores)
    array([1.33333333, 1.        , 1.66666667])

    [1] J. Lee and B. Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture
        Search", CVPR 2024, section 3.3. https://arxiv.org/abs/2403.19232
    """

    log: bool = True

    def __call__(self, scores: ArrayLike) -> Array:
        """Sums (n,) of scores (n, k), NaN where undefined."""
        shares = ranks(scores) / len(np.asarray(scores))
        sums: Array = (np.log(shares) if self.log else shares).sum(axis=1)
        return sums


@dataclass(frozen=True)
class Vote:
    """How many of the others a network beats by the majority of the proxies [1].

    Example:

    >>> import symnas as sn
    >>> synflow, jacob_cov, snip = [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 3.0, 2.0]
    >>> sn.proxies.Vote()(np.column_stack([synflow, jacob_cov, snip]))
    array([0., 2., 1.])

    [1] M. S. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021,
        section 3.2.6. https://arxiv.org/abs/2101.08134
    """

    def __call__(self, scores: ArrayLike) -> Array:
        """Votes (n,) of scores (n, k), NaN where undefined; a draw counts a half."""
        ranked = ranks(scores)
        votes = np.zeros(len(ranked))
        for i, own in enumerate(ranked):  # All n^2 k comparisons at once are many.
            balance = np.sign(own - ranked).sum(axis=1)
            votes[i] = (balance > 0).sum() + ((balance == 0).sum() - 1) / 2
        return votes


def ranks(scores: ArrayLike) -> Array:
    """Ranks (n, k) of scores (n, k), column by column: 1 to n, the best has n."""
    values = np.asarray(scores, dtype=float)
    if values.ndim != 2 or not len(values):
        raise ValueError(
            f"`scores` must be (networks, proxies) with one network at least, got "
            f"{values.shape}."
        )
    below_all = np.where(np.isnan(values), -np.inf, values)
    ranked: Array = scipy.stats.rankdata(below_all, axis=0)
    return ranked

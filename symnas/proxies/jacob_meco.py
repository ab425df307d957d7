"""Two label-free proxies that see different things, for `RankSum` over a pool."""

from __future__ import annotations

from symnas.proxies.jacob_cov import JacobCov
from symnas.proxies.meco import MeCo
from symnas.proxies.proxy import Proxy


def jacob_meco_proxies(batch_size: int | None = None) -> list[Proxy]:
    """How differently a network treats inputs, and how independent its channels are.

    Of all pairs of label-free proxies the one that ranked 250 cells of NAS-Bench-201 best.
    On 250 other cells, and on 500 more, it still ranks better than Jacobian covariance with
    the number of parameters, the best pair known before: .922 against .910, and .905 against
    .894 (docs/results.md). Nothing says that it does on other spaces.

    Args:
      batch_size: of both; 64 there for the first, one sample for the second.

    Example:

    >>> import numpy as np, torch, symnas as sn
    >>> from symnas.spaces import NASBench201
    >>> pool = [NASBench201(index, channels=4, cells_per_stage=1) for index in (0, 1462)]
    >>> x = torch.randn(8, 3, 16, 16)
    >>> proxies = sn.proxies.jacob_meco_proxies()
    >>> scores = [[s.value for s in sn.proxies.score(m, proxies, x)] for m in pool]
    >>> sn.proxies.RankSum()(scores).shape
    (2,)
    """
    return [JacobCov(batch_size=batch_size), MeCo(batch_size=batch_size)]

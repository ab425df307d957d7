"""Draws of candidates, and the slots of a `manyof`, filled one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.genotype import Decision


def allowed(decision: Decision, picks: NDArray[Any]) -> NDArray[np.bool_]:
    """Which candidates (n, count) may follow the first picks (n, s) of a decision.

    Whatever is allowed can be completed. A decision with one slot allows all.

    >>> import symnas as sn
    >>> [decision] = sn.SearchSpace(sn.manyof(2, ["a", "b", "c"], sorted=True)).decisions
    >>> allowed(decision, np.empty((1, 0))), allowed(decision, np.array([[1]]))
    (array([[ True,  True, False]]), array([[False, False,  True]]))
    """
    candidates = np.arange(decision.count)
    mask = np.ones((len(picks), decision.count), dtype=bool)
    filled = picks.shape[1]
    if decision.slots > 1 and decision.distinct:
        mask &= (candidates != picks[:, :, None]).all(axis=1)
        if decision.sorted:  # Enough must be left for the slots that follow.
            mask &= candidates <= decision.count - decision.slots + filled
    if decision.sorted and filled:
        mask &= candidates >= picks[:, -1:]
    return mask


def num_options(decision: Decision, resolution: int) -> int:
    """The candidates of a choice, or up to `resolution` parts of an int or float.

    >>> import symnas as sn
    >>> values = [sn.oneof(["a", "b", "c"]), sn.intv(1, 4), sn.floatv(0.0, 1.0)]
    >>> space = sn.SearchSpace(values)
    >>> [num_options(decision, 10) for decision in space.decisions]
    [3, 4, 10]
    """
    if decision.kind == "choice":
        return decision.count
    return min(decision.count or resolution, resolution)


def pick(
    probabilities: NDArray[np.float64], draws: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The candidates (n,) that draws (n,) from [0, 1) stand for; probabilities (n, count).

    >>> pick(np.array([[0.5, 0.0, 0.5]]), np.array([0.5]))
    array([2])
    """
    reached = probabilities.cumsum(axis=1)
    # The sum may lie a little below 1, and a draw above it.
    return (reached <= draws[:, None] * reached[:, -1:]).sum(axis=1)

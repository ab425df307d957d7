"""Non-dominated sorting, crowding and hypervolume of rewards, which are all maximised.

[1] K. Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
    IEEE Transactions on Evolutionary Computation 2002. https://doi.org/10.1109/4235.996017
[2] E. Zitzler and L. Thiele, "Multiobjective Evolutionary Algorithms: A Comparative
    Case Study and the Strength Pareto Approach", IEEE Transactions on Evolutionary
    Computation 1999. https://doi.org/10.1109/4235.797969
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated_ranks(rewards: ArrayLike) -> NDArray[np.int64]:
    """The front (n,) on which each of the rewards (n, m) lies, 0 for the best ([1], III.A).

    >>> non_dominated_ranks([[2, 2], [1, 1], [3, 0], [2, 2], [0, 0]])
    array([0, 1, 0, 0, 2])
    """
    values = _checked(rewards)
    no_worse = np.asarray((values[:, None] >= values).all(axis=2))
    dominates = no_worse & ~no_worse.T
    num_above = dominates.sum(axis=0)
    ranks = np.full(len(values), -1)
    rank = 0
    while (ranks < 0).any():
        front = (num_above == 0) & (ranks < 0)
        ranks[front] = rank
        num_above -= dominates[front].sum(axis=0)
        rank += 1
    return ranks


def crowding_distances(rewards: ArrayLike) -> NDArray[np.float64]:
    """How far the neighbours of each reward (n, m) of a front are, (n,) ([1], III.B).

    In parts of the front's range, summed over objectives; infinite at its ends. An
    objective in which all are equal adds nothing.

    >>> crowding_distances([[0, 3], [1, 1], [3, 0]])
    array([inf,  2., inf])
    """
    values = _checked(rewards)
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        span = ordered[-1] - ordered[0] if len(ordered) else 0.0
        if span > 0:
            distances[order[[0, -1]]] = np.inf
            distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return distances


def hypervolume(rewards: ArrayLike, reference: ArrayLike) -> float:
    """The volume that rewards (n, m) dominate above a reference point (m,) ([2]).

    Exact, for two objectives in n log n; each further one costs another factor n.

    >>> hypervolume([[2, 1], [1, 2]], reference=[0, 0])
    3.0
    """
    values, corner = _checked(rewards), np.asarray(reference, dtype=float)
    if corner.shape != values.shape[1:]:
        raise ValueError(
            f"`reference` needs a number for each of {values.shape[1]} objectives, got "
            f"{reference!r}."
        )
    gains = values - corner
    return _volume(gains[(gains > 0).all(axis=1)])


def _volume(gains: NDArray[np.float64]) -> float:
    """The volume between 0 and positive points (n, m)."""
    if gains.shape[1] == 1:
        return float(gains.max(initial=0.0))
    # From slab to slab along the first objective, largest first.
    gains = gains[np.argsort(-gains[:, 0])]
    depths = gains[:, 0] - np.append(gains[1:, 0], 0.0)
    if gains.shape[1] == 2:
        return float(np.maximum.accumulate(gains[:, 1]) @ depths)
    return float(
        sum(
            depth * _volume(gains[: i + 1, 1:])
            for i, depth in enumerate(depths)
            if depth > 0
        )
    )


def _checked(rewards: ArrayLike) -> NDArray[np.float64]:
    try:
        values = np.asarray(rewards, dtype=float)
    except ValueError as error:
        raise ValueError(
            f"All rewards need the same number of objectives: {error}."
        ) from None
    if values.ndim != 2:
        raise ValueError(f"Rewards must have the shape (n, m), got {values.shape}.")
    if np.isnan(values).any():
        row = int(np.isnan(values).any(axis=1).argmax())
        raise ValueError(f"Rewards must be numbers, got {values[row]} in row {row}.")
    return values

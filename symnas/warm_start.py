"""Known results with which a search begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symnas.genotype import Genotypes
from symnas.space import SearchSpace
from symnas.trial import Objectives, Trial

Rewards = NDArray[np.float64]


def known_results(
    given: Any, space: SearchSpace, objectives: Objectives
) -> tuple[Genotypes, Rewards]:
    """Genotypes (n, d) and rewards (n, m), all maximised, of what `warm_start` gives.

    Raises:
      ValueError: something given is no genotype of the space, or no finite reward.
    """
    genotypes, rewards = _read(given)
    if len(genotypes) != len(rewards):
        raise ValueError(
            f"`warm_start` has {len(genotypes)} genotypes and {len(rewards)} rewards."
        )
    if not len(genotypes):
        return np.empty((0, space.num_columns)), np.empty((0, len(objectives)))
    try:
        rows = [space.check(genotype) for genotype in genotypes]
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`warm_start` has a genotype that is not one of this space. {error}"
        ) from None
    values = np.array(rewards, dtype=float).reshape(len(rows), -1)
    if values.shape[1] != len(objectives):
        raise ValueError(
            f"`warm_start` has {values.shape[1]} rewards for each genotype, and the search "
            f"{len(objectives)} objectives."
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).argmax())
        raise ValueError(
            f"`warm_start` has the reward {values[bad].tolist()}. Leave out what failed."
        )
    return np.array(rows), values * objectives.signs


def _read(given: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Genotypes and rewards, as given."""
    trials = getattr(given, "trials", given)
    if isinstance(trials, tuple) and len(trials) == 2:
        if not any(isinstance(part, Trial) for part in trials):
            return trials
    elif isinstance(trials, np.ndarray) or not isinstance(trials, Sequence):
        trials = [None]
    if not all(isinstance(trial, Trial) for trial in trials):
        raise ValueError(
            "`warm_start` must be a result, trials, or a pair of genotypes (n, d) and "
            f"rewards (n,) or (n, m), got {type(given).__name__}."
        )
    completed = [trial for trial in trials if trial.status == "completed"]
    return [t.genotype for t in completed], [t.rewards for t in completed]


def digest(genotypes: Genotypes, rewards: Rewards) -> str:
    """A text that tells results from others; '' if there are none."""
    if not len(genotypes):
        return ""
    content = genotypes.tobytes() + rewards.tobytes()
    return (
        f", {len(genotypes)} known results {hashlib.sha256(content).hexdigest()[:12]}"
    )

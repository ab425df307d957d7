"""How much each decision matters for the reward, from the trials of a study.

A random forest [1] learns the rewards, and decisions are shuffled one at a time in trials
that it has not seen: what it then gets wrong is their importance. The increase of the
squared error is proportional to a decision's total Sobol index where decisions are
independent [2]; those of an algorithm that has converged are not, so what is given is the
share of each in the sum.

[1] L. Breiman, "Random Forests", Machine Learning 2001.
    https://doi.org/10.1023/A:1010933404324
[2] B. Gregorutti et al., "Correlation and variable importance in random forests",
    Statistics and Computing 2017. https://doi.org/10.1007/s11222-016-9646-1
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symnas.trial import COMPLETED

if TYPE_CHECKING:
    from symnas.genotype import Decision, Genotypes
    from symnas.result import Result

FEWEST_TRIALS = 20
LEAST_SCORE = 0.1  # Below it a forest knows too little to say what matters.

_MOST_TRIALS = 1000
_MOST_NUMBERS = 200_000  # Trials times columns.
_MOST_DECISIONS = 20  # That are shuffled: the others matter less to the forest.
_MOST_ONE_HOT = 20
_FOLDS = 5
_TREES = 30
_SHUFFLES = 4


@dataclasses.dataclass(frozen=True)
class Importances:
    """How much decisions matter.

    Attributes:
      shares: by decision, largest first; they add up to 1.
      errors: standard errors of the shares, from the parts of the cross-validation.
      score: R^2 of the forest on trials that it has not seen.
      num_trials: from which this is known.
      num_left_out: decisions that are not among `shares`, because the forest hardly
        uses them.
    """

    objective: str
    shares: dict[str, float]
    errors: dict[str, float]
    score: float
    num_trials: int
    num_left_out: int = 0

    @property
    def reliable(self) -> bool:
        """Whether the forest knows enough for the shares to mean something."""
        return self.score >= LEAST_SCORE


def decision_importances(result: Result, objective: str | None = None) -> Importances:
    """How much each decision matters for the rank of a reward.

    Ranks, because a few trials that failed to learn would else be all that matters. The
    budget of a trial is known to the forest as well. What is true of the trials that an
    algorithm chose need not be true of the whole space.

    Args:
      objective: one of the study's, by default the first.

    Raises:
      ValueError: there are too few different trials, or all have the same reward.

    Example:

    >>> import symnas as sn
    >>> space = {"x": sn.floatv(0.0, 1.0), "y": sn.floatv(0.0, 1.0), "z": sn.oneof([1, 2])}
    >>> result = sn.search(space, lambda e: 5 * e["x"] + e["y"], "random", 200, seed=0,
    ...                    progress=False)
    >>> importances = decision_importances(result)
    >>> list(importances.shares)[:2], importances.score > 0.9
    (['x', 'y'], True)
    """
    objective = result.objectives[0] if objective is None else objective
    if objective not in result.objectives:
        raise ValueError(
            f"`objective` must be one of {result.objectives}, got {objective!r}."
        )
    record = result._record
    decisions = [decision for decision in result.space.decisions if decision.can_change]
    done = np.flatnonzero(record.statuses() == COMPLETED)
    width = sum(_width(decision) for decision in decisions) + 1
    most = max(min(_MOST_TRIALS, _MOST_NUMBERS // width), FEWEST_TRIALS)
    rng = np.random.default_rng(0)
    if len(done) > most:
        done = np.sort(rng.choice(done, most, replace=False))
    rewards = record.rewards()[done, result.objectives.index(objective)]
    budgets = np.array([record.budget(i + 1) or 0 for i in done.tolist()], dtype=float)
    rows = np.column_stack([record.genotypes()[done], budgets])
    # A trial that was made twice must not be learned from and asked for.
    rows, which = np.unique(rows, axis=0, return_inverse=True)
    rewards = np.bincount(which.ravel(), rewards) / np.bincount(which.ravel())
    if len(rows) < FEWEST_TRIALS:
        raise ValueError(
            f"What matters can be said from {FEWEST_TRIALS} different completed trials on, "
            f"there are {len(rows)}."
        )
    if not decisions or rewards.min() == rewards.max():
        raise ValueError(f"All trials have the same {objective}.")
    codes = [_code(decision, rows) for decision in decisions]
    groups = np.repeat(np.arange(len(codes)), [code.shape[1] for code in codes])
    x = np.column_stack([*codes, rows[:, -1]]).astype(np.float32)
    y = _ranks(rewards)
    active = np.column_stack([rows[:, d.column] >= 0 for d in decisions])
    shares, errors, score = _shuffled(x, y, groups, active, rng)
    order = [
        i
        for i in np.argsort(-np.nan_to_num(shares, nan=-1.0))
        if shares[i] == shares[i]
    ]
    names = [decisions[i].label for i in order]
    return Importances(
        objective,
        dict(zip(names, shares[order].tolist(), strict=True)),
        dict(zip(names, errors[order].tolist(), strict=True)),
        score,
        len(rows),
        len(decisions) - len(order),
    )


def _ranks(rewards: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks with mean 0 and variance 1."""
    from scipy.stats import rankdata  # It takes a while to import, like scikit-learn.

    ranks = rankdata(rewards)
    standard: NDArray[np.float64] = (ranks - ranks.mean()) / ranks.std()
    return standard


def _width(decision: Decision) -> int:
    one_hot = decision.kind == "choice" and decision.count <= _MOST_ONE_HOT
    return decision.slots * (decision.count if one_hot else 1)


def _code(decision: Decision, rows: Genotypes) -> NDArray[np.float64]:
    """A decision as columns for a tree: choices one-hot, numbers on their scale."""
    genes = rows[:, decision.columns]
    if _width(decision) == decision.slots:
        return genes
    hot = genes[:, :, None] == np.arange(decision.count)
    return hot.reshape(len(rows), -1).astype(float)


def _shuffled(
    x: NDArray[np.float32],
    y: NDArray[np.float64],
    groups: NDArray[np.int64],
    active: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The share of each group of columns, its standard error, and R^2.

    Args:
      x: (n, c) columns; the last ones belong to no group.
      y: (n,) of variance 1.
      groups: the group of each column.
      active: (n, g), where a group has a value; only there it is shuffled.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    found, wrong = [], np.empty(len(y))
    forests = []
    folds = list(KFold(_FOLDS, shuffle=True, random_state=0).split(x))
    for train, _ in folds:
        forest: Any = RandomForestRegressor(_TREES, max_features=1 / 3, random_state=0)
        forests.append(forest.fit(x[train], y[train]))
    used = np.mean([forest.feature_importances_ for forest in forests], axis=0)
    by_group = np.bincount(groups, used[: len(groups)], active.shape[1])
    asked = np.argsort(-by_group, kind="stable")[:_MOST_DECISIONS]
    for forest, (_, test) in zip(forests, folds, strict=True):
        wrong[test] = (forest.predict(x[test]) - y[test]) ** 2
        damage = np.full(active.shape[1], np.nan)
        for group in asked.tolist():
            columns = np.flatnonzero(groups == group)
            there = test[active[test, group]]
            if not len(there):
                damage[group] = 0.0
                continue
            copies = np.tile(x[there], (_SHUFFLES, 1))
            sources = np.concatenate([rng.permutation(there) for _ in range(_SHUFFLES)])
            copies[:, columns] = x[np.ix_(sources, columns)]
            errors = (forest.predict(copies) - np.tile(y[there], _SHUFFLES)) ** 2
            more = errors.reshape(_SHUFFLES, -1).mean(axis=0) - wrong[there]
            damage[group] = more.sum() / len(test)
        found.append(damage)
    score = float(1 - wrong.mean() / y.var())
    damages, errors = (
        np.mean(found, axis=0),
        np.std(found, axis=0, ddof=1) / _FOLDS**0.5,
    )
    whole = np.nansum(np.maximum(damages, 0)) or 1.0
    return damages / whole, errors / whole, score

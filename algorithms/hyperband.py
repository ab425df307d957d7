"""Hyperband: successive halving with several trades between number and length [1].

[1] L. Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
    Optimization", JMLR 2018. https://jmlr.org/papers/v18/16-558.html
"""

from __future__ import annotations

from symnas.multi_fidelity import (
    Bracketed,
    Rung,
    check_bracket_size,
    check_budgets,
    hyperband_bracket,
    ladder,
)


class Hyperband(Bracketed):
    """Algorithm 1 of [1], its brackets one after the other and then again.

    The first bracket begins with many examples at the smallest budget, the last one trains
    a few for the full budget, in case short trainings mislead. For evaluations that report
    as they go; see `SuccessiveHalving`.

    Bracket s begins with floor((s_max + 1) / (s + 1)) eta^s examples, as in the code of
    BOHB's authors: 81, 27, 9, 6, 5 for R = 81. With `bracket_size="ceil"` it is
    ceil((s_max + 1) eta^s / (s + 1)), as in [1]: 81, 34, 15, 8, 5.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     for step in range(1, 10):
    ...         yield example["x"] * step
    >>> hyperband = sn.algorithms.Hyperband(max_budget=9)
    >>> result = sn.search(
    ...     {"x": sn.oneof(range(100))}, evaluate, hyperband, 20, seed=0, progress=False
    ... )
    >>> [trial.budget for trial in result.trials]
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 9, 3, 3, 3, 9, 9, 9, 9]
    """

    min_budget: int = 1
    max_budget: int = 81  # R in [1].
    eta: int = 3
    bracket_size: str = "floor"

    def _check(self) -> None:
        check_budgets(self.min_budget, self.max_budget, self.eta)
        check_bracket_size(self.bracket_size)

    def _setup(self) -> None:
        super()._setup()
        self._budgets = ladder(self.min_budget, self.max_budget, self.eta)

    def _bracket(self, number: int) -> list[Rung]:
        return hyperband_bracket(number, self._budgets, self.eta, self.bracket_size)

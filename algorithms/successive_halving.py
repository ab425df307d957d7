"""Successive halving: many examples for a few steps, the best of them for more [1].

[1] K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and
    Hyperparameter Optimization", AISTATS 2016. https://arxiv.org/abs/1502.07943
"""

from __future__ import annotations

from symnas.multi_fidelity import Bracketed, Rung, check_budgets, halving, ladder


class SuccessiveHalving(Bracketed):
    """Brackets of `num_configs` examples, of which each rung keeps the best 1 / `eta`.

    For evaluations that report as they go, by `yield` or `feedback.add_measurement`: the
    step is the resource. An example that goes on is proposed again, with more steps, and
    is trained anew unless the evaluation keeps checkpoints. Rungs wait for their last
    result; workers that would be idle then begin the next bracket.

    Budgets are `max_budget` divided by powers of `eta` and rounded down, not below
    `min_budget`.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     for step in range(1, 10):
    ...         yield example["x"] * step
    >>> halving = sn.algorithms.SuccessiveHalving(9, max_budget=9)
    >>> result = sn.search(
    ...     {"x": sn.oneof(range(100))}, evaluate, halving, 13, seed=0, progress=False
    ... )
    >>> [trial.budget for trial in result.trials]
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 9]
    """

    num_configs: int = 27
    min_budget: int = 1
    max_budget: int = 27
    eta: int = 3

    def _check(self) -> None:
        check_budgets(self.min_budget, self.max_budget, self.eta)
        if self.num_configs < 1:
            raise ValueError(
                f"`num_configs` must be at least 1, got {self.num_configs}."
            )

    def _setup(self) -> None:
        super()._setup()
        self._budgets = ladder(self.min_budget, self.max_budget, self.eta)

    def _bracket(self, number: int) -> list[Rung]:
        return halving(self.num_configs, self._budgets, self.eta)

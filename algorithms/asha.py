"""ASHA: asynchronous successive halving, for many workers [1].

[1] L. Li et al., "A System for Massively Parallel Hyperparameter Tuning",
    MLSys 2020. https://arxiv.org/abs/1810.05934
"""

from __future__ import annotations

from symnas.multi_fidelity import MultiFidelity, Place, Rung, check_budgets, ladder


class ASHA(MultiFidelity):
    """Algorithm 2 of [1]: promote what can be promoted, else begin a new example.

    Of the n results on a rung the best floor(n / eta) may be promoted, at any time, so no
    worker waits for a straggler. No more than that many are: in [1] those that were
    promoted and have fallen behind since do not count. Early promotions may be wrong; with one worker
    `SuccessiveHalving` makes fewer of them. For evaluations that report as they go.

    Example:

    >>> import symnas as sn
    >>> def evaluate(example):
    ...     for step in range(1, 17):
    ...         yield example["x"] * step
    >>> asha = sn.algorithms.ASHA(max_budget=16, eta=4)
    >>> result = sn.search(
    ...     {"x": sn.oneof(range(100))}, evaluate, asha, 21, seed=0, progress=False
    ... )
    >>> sorted({trial.budget for trial in result.trials})
    [1, 4, 16]
    """

    min_budget: int = 1  # r in [1].
    max_budget: int = 256  # R in [1].
    eta: int = 4

    def _check(self) -> None:
        check_budgets(self.min_budget, self.max_budget, self.eta)

    def _setup(self) -> None:
        super()._setup()
        budgets = ladder(self.min_budget, self.max_budget, self.eta)
        self._rungs = [Rung(budget) for budget in budgets]

    def _place(self) -> Place:
        for below, rung in reversed(
            list(zip(self._rungs, self._rungs[1:], strict=False))
        ):
            promoted = below.to_promote(below.num_ended // self.eta)
            if promoted is not None:
                return Place(rung, promoted)
        return Place(self._rungs[0])

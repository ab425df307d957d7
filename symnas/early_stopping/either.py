"""Two rules together: a trial stops when one of them gives it up."""

from __future__ import annotations

from dataclasses import dataclass

from symnas.constructors import symbolize
from symnas.curves import Curve, Others
from symnas.early_stopping.rule import Rule
from symnas.trial import Objectives


@symbolize
@dataclass(frozen=True)
class Either(Rule):
    """Stops a trial when one of two rules does; `first | second` makes it.

    Rules that look at different things add up: halving gives up what others surpass,
    patience what has levelled out, be it the best.

    Example:

    >>> import symnas as sn
    >>> sn.early_stopping.SuccessiveHalving() | sn.early_stopping.Patience(3)
    Either(first=SuccessiveHalving(min_step=1, eta=3), second=Patience(patience=3, ...))
    """

    first: Rule
    second: Rule

    def check(self, objectives: Objectives) -> None:
        self.first.check(objectives)
        self.second.check(objectives)

    def gives_up(self, curve: Curve, others: Others) -> bool:
        return self.first.gives_up(curve, others) or self.second.gives_up(curve, others)

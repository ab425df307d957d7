"""The interface of early-stopping rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symnas.curves import Curve, Others

if TYPE_CHECKING:
    from symnas.study import Study
    from symnas.trial import Feedback, Objectives


class Rule:
    """When to give up a trial, by what it and others have measured so far.

    A rule is a frozen dataclass with `gives_up`. It is a value: it prints, compares, has
    a JSON form (`sn.to_json(sn.symbolic(rule))`), and its fields may be searched. It
    keeps nothing: the same measurements give the same answer, so that a search that was
    killed goes on as if it had not been.

    `early_stopping=` also takes any function of the feedback and the study. `None` never
    gives up.

    Example:

    >>> import dataclasses, symnas as sn
    >>> @sn.symbolize
    ... @dataclasses.dataclass(frozen=True)
    ... class Below(sn.early_stopping.Rule):
    ...     value: float
    ...     def gives_up(self, curve, others):
    ...         return curve.values[-1] < self.value
    >>> def train(example):
    ...     for epoch in range(10):
    ...         yield example + epoch
    >>> result = sn.search(
    ...     sn.oneof(range(3)), train, "grid", early_stopping=Below(2), progress=False
    ... )
    >>> [len(trial.measurements) for trial in result.trials]
    [1, 1, 10]
    """

    def gives_up(self, curve: Curve, others: Others) -> bool:
        """Whether to stop a trial.

        Args:
          curve: of the trial: `steps` and `values` (n,), n >= 1, larger is better, NaN
            where it is no number; also `best` and `last_step`.
          others: those it may be compared with: `others.each(statistic)` gives a number
            for each of their curves.
        """
        raise NotImplementedError

    def check(self, objectives: Objectives) -> None:
        """Raises `ValueError` if it cannot be used in such a study."""
        if len(objectives) > 1:
            raise ValueError(
                f"`{type(self).__name__}` needs a single objective, got "
                f"{len(objectives)}: {', '.join(objectives.names)}."
            )

    def __call__(self, feedback: Feedback, study: Study) -> bool:
        curve = study.curve(feedback.id)
        if not len(curve.steps):
            return False
        return bool(self.gives_up(curve, Others(study, feedback.id)))

    def __or__(self, other: Rule) -> Rule:
        """Gives up what one of them gives up."""
        from symnas.early_stopping.either import Either

        return Either(self, other) if isinstance(other, Rule) else NotImplemented


def check_early_stopping(given: Any, objectives: Objectives) -> None:
    """Raises if something cannot be asked when to stop."""
    if given is None:
        return
    if isinstance(given, type) or not callable(given):
        raise TypeError(
            "`early_stopping` must be a rule, as `early_stopping.Patience(3)`, or a "
            f"function of the feedback and the study, got {given!r}."
        )
    if isinstance(given, Rule):
        given.check(objectives)

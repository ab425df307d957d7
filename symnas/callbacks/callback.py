"""What a search tells its callbacks."""

from __future__ import annotations

from collections.abc import Container, Iterator

from symnas.result import Result
from symnas.trial import Trial


class Callback:
    """Something that follows a search from its begin to its end.

    Override what you need. A plain function of a trial is a callback as well; a class is
    needed only to hear of the begin and the end.

    Example:

    >>> import symnas as sn
    >>> class Count(sn.callbacks.Callback):
    ...     number = 0
    ...
    ...     def __call__(self, trial):
    ...         self.number += 1
    >>> count = Count()
    >>> result = sn.search({"x": sn.oneof([1, 2, 3])}, lambda example: example["x"],
    ...                    "grid", callbacks=[count], progress=False)
    >>> count.number
    3
    """

    def begin(self, result: Result) -> None:
        """Called before the first evaluation.

        Args:
          result: of the study, growing. When the study is resumed it holds trials already:
            those that have ended, and pending ones that will end later. A trial of
            which a callback was told is pending again if a kill came before its end
            was stored.
        """

    def __call__(self, trial: Trial) -> None:
        """Called with each trial that has ended, in the order in which they end."""

    def end(self, result: Result) -> None:
        """Called after the last evaluation, also when the search was interrupted."""


def ended_trials(result: Result, known: Container[int]) -> Iterator[Trial]:
    """The trials that have ended and whose ids are not known, by id."""
    for trial_id in range(1, len(result.trials) + 1):
        if trial_id not in known:
            trial = result.trials[trial_id - 1]
            if trial.status != "pending":
                yield trial

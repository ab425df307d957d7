"""Where evaluations run: the interface between a search and its workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self


class EngineError(RuntimeError):
    """Workers cannot be started or kept; the message says what to do.

    Example:

    >>> import symnas as sn
    >>> issubclass(sn.EngineError, RuntimeError)
    True
    """


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened to a trial on a worker.

    Attributes:
      kind: 'measured' comes with a result on the way, and the worker waits for `reply`;
        'returned' with the result; 'yielded' when the last result on the way counts;
        'failed' with a message; 'restarted' when the evaluation had to begin again.
    """

    trial_id: int
    kind: str
    value: Any = None


class Engine(Protocol):
    """Runs evaluations on workers. As a context it starts and ends them."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def has_room(self) -> bool:
        """Whether an evaluation could begin at once."""
        ...

    def submit(self, trial_id: int, example: Any, seed: int) -> None:
        """Begins an evaluation.

        Raises:
          TypeError: the example cannot be sent to a worker.
        """
        ...

    def events(self, timeout: float | None) -> Iterable[Event]:
        """What has happened, after waiting until something does, at most `timeout` s."""
        ...

    def reply(self, trial_id: int, stop: bool) -> None:
        """Lets an evaluation go on that has reported a result, or stops it."""
        ...


def plain(value: Any) -> Any:
    """A result without tensors, which would take their memory along."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else value
    item: Callable[[], Any] | None = getattr(value, "item", None)
    return item() if item is not None and getattr(value, "ndim", 1) == 0 else value

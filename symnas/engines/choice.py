"""Which engine a search runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from symnas.engines.engine import Engine


def make_engine(
    engine: str,
    evaluate: Callable[[Any], Any],
    workers: int,
    trial_timeout: float | None,
    resources: Mapping[str, Any] | None,
) -> Engine | None:
    """The engine that is asked for; None to evaluate in this process."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(
            f"`workers` must be a whole number of at least 1, got {workers!r}."
        )
    if trial_timeout is not None and (
        isinstance(trial_timeout, bool)
        or not isinstance(trial_timeout, Real)
        or not trial_timeout > 0
    ):
        raise ValueError(
            "`trial_timeout` must be None or a positive number of seconds, got "
            f"{trial_timeout!r}."
        )
    if resources is not None and not isinstance(resources, Mapping):
        raise ValueError(f"`resources` must be None or a dict, got {resources!r}.")
    if engine == "ray":
        from symnas.engines.ray_tasks import RayEngine

        return RayEngine(evaluate, workers, trial_timeout, resources)
    if engine != "local":
        raise ValueError(f"`engine` must be 'local' or 'ray', got {engine!r}.")
    if workers == 1 and trial_timeout is None and resources is None:
        return None
    from symnas.engines.local import LocalEngine

    return LocalEngine(evaluate, workers, trial_timeout, resources)

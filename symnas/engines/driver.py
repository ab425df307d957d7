"""The search loop when evaluations run on workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from symnas.engines.engine import Engine, Event
from symnas.evaluation import YIELDED
from symnas.storage.errors import StorageError
from symnas.study import Blocked, Study
from symnas.trial import Feedback

_POLL_SECONDS = 0.2  # While a proposal waits for results of other processes.


def run_on_workers(
    study: Study,
    engine: Engine,
    begun: Callable[[int, int], None],
    ended: Callable[[int], None],
) -> None:
    """Keeps all workers busy until the study is over.

    The algorithm runs here alone. Results are taken in the order in which they come.

    Args:
      begun: gets the id of each trial, and the place it has taken of those that `workers`
        may have at a time: the first that is free.
      ended: gets the id of each trial.
    """
    running: dict[int, Feedback] = {}
    places: dict[int, int] = {}
    while True:
        over = blocked = False
        while engine.has_room() and not over and not blocked:
            claimed = study.claim()
            if claimed is None:
                over = True
            elif isinstance(claimed, Blocked):
                blocked = True
            else:
                example, feedback = claimed
                running[feedback.id] = feedback
                try:
                    engine.submit(feedback.id, example, feedback.seed)
                except TypeError as error:
                    feedback.fail(str(error))
                    del running[feedback.id]
                    ended(feedback.id)
                else:
                    place = next(
                        i for i in itertools.count() if i not in places.values()
                    )
                    places[feedback.id] = place
                    begun(feedback.id, place)
        if over and not running:
            return
        if blocked and not running:
            study.wait()
            continue
        for event in engine.events(_POLL_SECONDS if blocked else None):
            feedback = running[event.trial_id]
            if _take(event, feedback, study, engine):
                del running[event.trial_id], places[event.trial_id]
                ended(event.trial_id)


def _take(event: Event, feedback: Feedback, study: Study, engine: Engine) -> bool:
    """Records an event; true if the worker is done with the trial."""
    if event.kind == "measured":
        engine.reply(event.trial_id, _measured(event.value, feedback, study))
        return False
    if not study.is_pending(event.trial_id):
        return True
    if event.kind == "restarted":
        study.restart(event.trial_id)
        return False
    if event.kind == "failed":
        feedback.fail(str(event.value))
    else:
        conclude(feedback, event.kind, event.value)
    return True


def _measured(metrics: Any, feedback: Feedback, study: Study) -> bool:
    """Whether to stop after a result on the way."""
    if not study.is_pending(feedback.id):
        return True
    try:
        feedback.add_measurement(metrics, step=len(feedback.measurements) + 1)
        return feedback.should_stop_early()
    except StorageError:
        raise
    except Exception as error:  # A policy may raise anything, and fails its trial only.
        feedback.fail(error)
        return True


def conclude(feedback: Feedback, kind: str, outcome: Any) -> None:
    """Ends a trial with what an evaluation has returned, or yielded last."""
    if kind != YIELDED and feedback.budget is not None:
        feedback.fail(
            "The algorithm compares examples after a part of their training, so `evaluate` "
            "must report on the way: `yield` a result after each step."
        )
        return
    try:
        if kind == YIELDED:
            feedback.done()
        else:
            feedback(outcome)
    except (TypeError, ValueError) as error:  # The message says it all.
        feedback.fail(f"What `evaluate` returned cannot be used. {error}")

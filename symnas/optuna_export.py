"""A study as Optuna's tools show it."""

from __future__ import annotations

import datetime
import warnings
from typing import TYPE_CHECKING, Any

from symnas.genotype import Decision
from symnas.space import literal

if TYPE_CHECKING:
    from symnas.result import Result
    from symnas.trial import Trial


def export(result: Result, storage: Any, name: str) -> Any:
    """Writes the trials that have ended as a new study of Optuna; see `Result`."""
    try:
        import optuna
    except ImportError:
        raise ImportError(
            "Optuna's storage needs Optuna: pip install 'symnas[optuna]'."
        ) from None
    record = result._record
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[
                "minimize" if sign < 0 else "maximize"
                for sign in record.objectives.signs
            ],
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise ValueError(
            f"The storage has a study {name!r} already. Choose another name, or delete "
            "that study first."
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(record.objectives.names))
    states = optuna.trial.TrialState
    state_of = {
        "completed": states.COMPLETE,
        "failed": states.FAIL,
        "skipped": states.PRUNED,
    }
    distributions = {
        name: (decision, slot, distribution)
        for decision in record.space.decisions
        for slot, (name, distribution) in enumerate(_distributions(decision))
    }
    trials = []
    for trial in result.trials:
        if trial.status == "pending":
            continue
        active = {
            name: (decision, decision.column + slot, distribution)
            for name, (decision, slot, distribution) in distributions.items()
            if trial.genotype[decision.column] >= 0
        }
        made = optuna.trial.create_trial(
            state=state_of[trial.status],
            values=trial.rewards or None,
            params={
                name: _value(decision, trial.genotype[column], distribution)
                for name, (decision, column, distribution) in active.items()
            },
            distributions={name: found[2] for name, found in active.items()},
            intermediate_values=_intermediate(trial, record.objectives.names[0]),
            user_attrs=_attributes(trial),
        )
        ended = datetime.datetime.now()
        seconds = 0.0 if trial.seconds != trial.seconds else trial.seconds
        made.datetime_start = ended - datetime.timedelta(seconds=seconds)
        made.datetime_complete = ended
        trials.append(made)
    study.add_trials(trials)
    return study


def _distributions(decision: Decision) -> list[tuple[str, Any]]:
    """The parameters of Optuna that a decision becomes: one for each slot."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    made: Any
    if decision.kind == "float":
        low, high = decision.choices
        made = FloatDistribution(low, high, log=decision.scale == "log")
    elif decision.kind == "int":
        values = decision.choices
        log = decision.scale == "log" and values[1] - values[0] == 1
        step = 1 if len(values) < 2 else values[1] - values[0]
        made = IntDistribution(values[0], values[-1], log=log, step=step)
    else:
        made = CategoricalDistribution(_choices(decision))
    if not decision.many:
        return [(decision.label, made)]
    return [(f"{decision.label}[{slot}]", made) for slot in range(decision.slots)]


def _choices(decision: Decision) -> list[Any]:
    shown = [literal(choice) for choice in decision.choices]
    if len(set(shown)) == len(shown):  # Optuna tells choices apart by `==`.
        return shown
    return [f"{i}: {choice}" for i, choice in enumerate(shown)]


def _value(decision: Decision, gene: float, distribution: Any) -> Any:
    if decision.kind == "choice":
        return distribution.choices[int(gene)]
    return decision.value(gene)


def _intermediate(trial: Trial, name: str) -> dict[int, float]:
    return {m.step: m.metrics[name] for m in trial.measurements if name in m.metrics}


def _attributes(trial: Trial) -> dict[str, Any]:
    """What Optuna has no field for."""
    found: dict[str, Any] = {"id": trial.id, "seed": trial.seed, **trial.metadata}
    if len(trial.metrics) > len(trial.rewards):
        found["metrics"] = trial.metrics
    if trial.error:
        found["error"] = trial.error
    if trial.stopped_early:
        found["stopped_early"] = True
    return found

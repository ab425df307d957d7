"""The commands `symnas search` and `symnas resume`: a search without a driver script."""

from __future__ import annotations

import difflib
import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from symnas.algorithm import Algorithm
from symnas.algorithm_text import algorithm_from_text
from symnas.command_errors import INTERRUPTED
from symnas.command_target import function_of, space_of
from symnas.environment import without_password
from symnas.json_values import json_value
from symnas.progress import results_table
from symnas.result import Result
from symnas.searching import search
from symnas.space import SearchSpace
from symnas.storage import StudySummary, list_studies, load_study
from symnas.trial import Trial

Storage = Annotated[
    str,
    typer.Option(
        envvar="SYMNAS_STORAGE",
        help="A file, for SQLite, or a database URL, where studies are kept.",
    ),
]
STORAGE = "symnas.db"

Space = Annotated[
    str,
    typer.Argument(
        help="module:name or file.py:name of a space of yours, or one of `symnas spaces`."
    ),
]
Evaluate = Annotated[
    str,
    typer.Option(
        help="module:name of the function of an example that returns its reward, or yields "
        "one after each step."
    ),
]
Trials = Annotated[int, typer.Option(min=1, help="How many examples are evaluated.")]
Workers = Annotated[
    int,
    typer.Option(min=1, help="Evaluations at a time, in processes if more than one."),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Processes of this machine, or a Ray cluster."),
]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds after which no evaluation begins.")
]
TrialTimeout = Annotated[
    float | None, typer.Option(help="Seconds that one evaluation may take.")
]
Report = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False, help="Also write the report, as `symnas report` does."
    ),
]
ProgressMode = Annotated[
    Literal["live", "log", "quiet"],
    typer.Option(help="A display that moves, a line now and then, or nothing."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the outcome as JSON, for programs.")
]


def search_space(
    space: Space,
    evaluate: Evaluate,
    algorithm: Annotated[
        str,
        typer.Option(
            help="As in `tpe` or `tpe(num_startup=20)`; see `symnas algorithms`."
        ),
    ] = "regularized_evolution",
    trials: Trials = 100,
    name: Annotated[
        str | None,
        typer.Option(help="Of the study; by default that of the space, with a number."),
    ] = None,
    storage: Storage = STORAGE,
    workers: Workers = 1,
    engine: Engine = "local",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fixes the proposals.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric to maximise, or to minimise with a - before it. May be repeated.",
            show_default="reward",
        ),
    ] = None,
    lag: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Proposals see results this old only: any workers find the same.",
        ),
    ] = None,
    timeout: Timeout = None,
    trial_timeout: TrialTimeout = None,
    report: Report = None,
    progress: ProgressMode = "live",
    as_json: Json = False,
) -> None:
    """Search a space of yours for what your function rates best.

    `symnas search my_model:space --evaluate my_model:evaluate --trials 50`

    The study is kept in the file `symnas.db` as it happens. Ctrl-C ends it with what was
    found; `symnas resume` goes on with it, also after a crash.
    """
    found = space_of(space)
    target = function_of(evaluate, "--evaluate")
    if name is None:
        name = _free_name(space.rpartition(":")[2], storage)
    elif name in _names(storage):
        raise ValueError(
            f"There is a study {name!r} in {storage}. Go on with it by `symnas resume`, or "
            "choose another --name."
        )
    _run(
        found,
        target,
        algorithm_from_text(algorithm),
        trials,
        name=name,
        storage=storage,
        workers=workers,
        engine=engine,
        seed=seed,
        objectives=tuple(objective or ["reward"]),
        lag=lag,
        timeout=timeout,
        trial_timeout=trial_timeout,
        report=report,
        progress=progress,
        as_json=as_json,
        code=f"{shlex.quote(space)} --evaluate {shlex.quote(evaluate)}",
    )


def resume_study(
    study: Annotated[str, typer.Argument(help="Its name; see `symnas studies list`.")],
    space: Annotated[
        str | None, typer.Argument(help="As for `symnas search`.", show_default=False)
    ] = None,
    evaluate: Annotated[
        str | None, typer.Option(help="As for `symnas search`.", show_default=False)
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="In all; by default as many as it was begun with."),
    ] = None,
    storage: Storage = STORAGE,
    workers: Workers = 1,
    engine: Engine = "local",
    timeout: Timeout = None,
    trial_timeout: TrialTimeout = None,
    report: Report = None,
    progress: ProgressMode = "live",
    as_json: Json = False,
) -> None:
    """Go on with a study that was interrupted or killed, as if it had not been.

    Algorithm, seed, objectives and lag are those that it was begun with. The space and the
    function are named again, since no code is run because a file names it; without them
    the command tells what the study was begun with.
    """
    known = known_study(study, storage)
    begun_with = load_study(storage, study).environment
    if space is None or evaluate is None:
        raise ValueError(
            f"{study!r} was begun by: {begun_with.get('command', 'an unknown command')}\n"
            "No code is run because a file names it. Name the space and the function: "
            f"symnas resume {shlex.quote(study)} module:space --evaluate module:function"
        )
    _run(
        space_of(space),
        function_of(evaluate, "--evaluate"),
        algorithm_from_text(known.algorithm),
        trials or begun_with.get("num_examples") or max(known.num_trials, 1),
        name=study,
        storage=storage,
        workers=workers,
        engine=engine,
        seed=None,
        objectives=known.objectives,
        lag=known.lag,
        timeout=timeout,
        trial_timeout=trial_timeout,
        report=report,
        progress=progress,
        as_json=as_json,
        code=f"{shlex.quote(space)} --evaluate {shlex.quote(evaluate)}",
    )


def _run(
    space: SearchSpace,
    evaluate: Callable[[Any], Any],
    algorithm: Algorithm,
    trials: int,
    *,
    name: str,
    storage: str,
    report: Path | None,
    progress: str,
    as_json: bool,
    code: str,
    **options: Any,
) -> None:
    """Searches, and shows what was found; the exit code tells how it ended.

    code: the space and the function, as they were named.
    """
    if report is not None:
        report.touch()  # It is better to know now that it cannot be written.
    if progress != "quiet":
        typer.echo(f"Study {name!r} in {without_password(storage)}.", err=True)
    result = search(
        space,
        evaluate,
        algorithm,
        trials,
        name=name,
        storage=storage,
        progress="log" if progress == "log" else progress == "live",
        **options,
    )
    if report is not None:
        result.report(report)
    if as_json:
        print_json(outcome(result))
    elif result.num_completed:
        Console().print(results_table(result))
    if progress != "quiet":
        if len(result.trials) < trials and not result.interrupted:
            typer.echo(
                f"Ended after {len(result.trials)} of {trials} trials: "
                f"{result.why_stopped}.",
                err=True,
            )
        typer.echo(_next_step(result, storage, report, code), err=True)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not result.num_completed:
        raise typer.Exit(1)


def _next_step(result: Result, storage: str, report: Path | None, code: str) -> str:
    name = shlex.quote(str(result.name))
    where = without_password(storage)
    here = "" if storage == STORAGE else f" --storage {shlex.quote(where)}"
    if result.interrupted:
        return (
            "Interrupted; what was done is kept. Go on with: "
            f"symnas resume {name} {code}{here}"
        )
    if report is not None:
        return f"Wrote {report}."
    return f"To see it: symnas report {name}{here}"


def print_json(value: Any) -> None:
    """Writes a value for programs; what JSON does not have is written as text."""
    typer.echo(json.dumps(json_value(value), indent=1, allow_nan=False))


def outcome(result: Result) -> dict[str, Any]:
    """What programs want to know of a study, as JSON holds it."""
    several = len(result.objectives) > 1
    best = result.pareto_front() if several else result.top(1)
    return {
        "study": result.name,
        "seed": result.seed,
        "objectives": list(result.objectives),
        "trials": len(result.trials),
        "completed": result.num_completed,
        "failed": result.num_failed,
        "skipped": result.num_skipped,
        "stopped": result.why_stopped,
        "pareto_front" if several else "best": (
            [_trial(trial) for trial in best]
            if several
            else next(map(_trial, best), None)
        ),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.id,
        "rewards": list(trial.rewards),
        "metrics": trial.metrics,
        "decisions": trial.decisions,
        "seconds": trial.seconds,
    }


def _names(storage: str) -> list[str]:
    """The studies in a store, none if it does not exist yet."""
    if "://" not in storage and not Path(storage).exists():
        return []
    return [study.name for study in list_studies(storage)]


def _free_name(base: str, storage: str) -> str:
    names = _names(storage)
    numbered = (f"{base}-{i}" for i in itertools.count(2))
    return next(name for name in itertools.chain([base], numbered) if name not in names)


def known_study(name: str, storage: str) -> StudySummary:
    """What a store says of a study.

    Raises:
      ValueError: there is none of this name.
    """
    studies = {study.name: study for study in list_studies(storage)}
    if name in studies:
        return studies[name]
    close = difflib.get_close_matches(name, studies, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = ", ".join(map(repr, studies)) or "none"
    raise ValueError(
        f"There is no study {name!r} in {storage}; the studies are {known}.{hint}"
    )

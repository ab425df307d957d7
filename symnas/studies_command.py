"""The commands `symnas studies` and `symnas report`: what is kept, and a page about it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from symnas.command_target import space_of
from symnas.progress import results_table
from symnas.search_command import (
    STORAGE,
    Json,
    Storage,
    known_study,
    outcome,
    print_json,
)
from symnas.storage import delete_study, list_studies, load_study

app = typer.Typer(help="What is kept in a store of studies.", no_args_is_help=True)

Study = Annotated[str, typer.Argument(help="Its name; see `symnas studies list`.")]
_WRITERS = {".csv": "to_csv", ".jsonl": "to_json_lines"}


@app.command("list")
def show_all(storage: Storage = STORAGE, as_json: Json = False) -> None:
    """Show the studies in a store, the oldest first."""
    studies = list_studies(storage)
    if as_json:
        rows = [
            vars(study) | {"created": study.created.isoformat()} for study in studies
        ]
        print_json(rows)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("study", "begun", "ended trials", "objectives", "algorithm"):
        table.add_column(name, overflow="fold")
    for study in studies:
        table.add_row(
            Text(study.name),
            study.created.astimezone().strftime("%Y-%m-%d %H:%M"),
            f"{study.num_ended} of {study.num_trials}",
            Text(", ".join(study.objectives)),
            Text(study.algorithm.partition("(")[0]),
        )
    console = Console()
    console.print(table if studies else f"There are no studies in {storage}.")


@app.command("show")
def show_one(
    study: Study,
    storage: Storage = STORAGE,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the best trials of a study, and how it was run."""
    known_study(study, storage)
    result = load_study(storage, study)
    if as_json:
        print_json(outcome(result) | {"environment": result.environment})
        return
    console = Console()
    console.print(results_table(result, top))
    if result.num_failed and not result.num_completed:
        console.print(Text(result._why_none()))
    begun = datetime.datetime.fromtimestamp(result.created).strftime("%Y-%m-%d %H:%M")
    about = {"begun": begun, "seed": result.seed, **result.environment}
    for key, value in about.items():
        console.print(Text(f"{key}: {value}", style="dim"))


@app.command("export")
def export_one(
    study: Study,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", dir_okay=False, help="A file .csv or .jsonl."),
    ],
    storage: Storage = STORAGE,
) -> None:
    """Write the trials of a study to a file, one row or JSON object for each."""
    if output.suffix not in _WRITERS:
        raise ValueError(
            f"--output must end with {' or '.join(_WRITERS)}, got {str(output)!r}."
        )
    known_study(study, storage)
    result = load_study(storage, study)
    getattr(result, _WRITERS[output.suffix])(output)
    typer.echo(f"Wrote {len(result.trials)} trials to {output}.", err=True)


@app.command("delete")
def delete_one(
    study: Study,
    storage: Storage = STORAGE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a study with all its trials, for good."""
    known = known_study(study, storage)
    if not yes:
        typer.confirm(
            f"Remove {study!r} with {known.num_trials} trials from {storage}?",
            abort=True,
            err=True,
        )
    delete_study(storage, study)
    typer.echo(f"Removed {study!r}.", err=True)


def write_report(
    study: Study,
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="The page.")
    ] = Path("report.html"),
    storage: Storage = STORAGE,
    space: Annotated[
        str | None,
        typer.Option(
            help="module:name of what was searched, to draw the winner; the store has no "
            "code."
        ),
    ] = None,
) -> None:
    """Write a page about a study: what was found, what mattered, what it cost.

    One HTML file that needs nothing from elsewhere. Open it with a browser.
    """
    known_study(study, storage)
    found = None if space is None else space_of(space)
    load_study(storage, study, found).report(output)
    typer.echo(f"Wrote {output}.", err=True)

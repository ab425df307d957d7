"""The command `symnas data`: which tables there are, making and checking them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from symnas.benchmarks import (
    Benchmark,
    DARTSTable,
    HWNASBench,
    NASBench101,
    NASBench201,
    RobustnessNB201,
    locations,
    table_file,
)
from symnas.command_errors import fail

app = typer.Typer(
    help="Tables of trained architectures. Nothing is downloaded: `list` names the files "
    "and where their authors publish them.",
    no_args_is_help=True,
)

_CLASSES: tuple[type[Benchmark], ...] = (
    NASBench201,
    NASBench101,
    DARTSTable,
    HWNASBench,
    RobustnessNB201,
)
BENCHMARKS = {benchmark.kind: benchmark for benchmark in _CLASSES}


def known_table(name: str) -> str:
    """The name of a table; a mistyped one ends the command."""
    if name in BENCHMARKS:
        return name
    near = difflib.get_close_matches(name, BENCHMARKS, n=1, cutoff=0.3)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise typer.BadParameter(f"no table is called {name!r}.{hint}")


def _all_known(names: list[str] | None) -> list[str] | None:
    return names and [known_table(name) for name in names]


Name = Annotated[str, typer.Argument(callback=known_table, help=", ".join(BENCHMARKS))]
Names = Annotated[
    list[str] | None,
    typer.Argument(callback=_all_known, help="All that are there, if none is given."),
]
Partial = Annotated[bool, typer.Option(help="Accept a table that lacks architectures.")]


@app.command("list")
def list_tables() -> None:
    """Show the known tables, and what to get for those that are missing."""
    folders = ", then ".join(map(str, locations.folders()))
    typer.echo(f"Tables are looked for in {folders}.")
    for kind, known in locations.TABLES.items():
        path = locations.present(kind)
        state = "missing"
        if path is not None:
            converted = table_file.is_table_file(path)
            state = f"{'present' if converted else 'to be imported'}: {path}"
        typer.echo(f"\n{kind}  ({known.title})\n  {state}")
        typer.echo(f"  published at {known.published}, as")
        for source in known.sources:
            typer.echo(f"    {locations.describe(source)}")


@app.command("import")
def import_table(
    name: Name,
    source: Annotated[Path, typer.Argument(help="The published file or folder.")],
    output: Annotated[
        Path | None, typer.Option(help="Where to write, if not to the default.")
    ] = None,
    partial: Partial = False,
    curves: Annotated[
        bool,
        typer.Option(
            help="Keep the values after each epoch, if there are such values."
        ),
    ] = True,
) -> None:
    """Read a published file once, check it, and write a table that opens at once."""
    try:
        path = BENCHMARKS[name].convert(source, output, partial=partial, curves=curves)
    except (OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"Wrote {path} ({path.stat().st_size / 1e6:,.1f} MB).")


@app.command("verify")
def verify_tables(names: Names = None, partial: Partial = False) -> None:
    """Check checksums, completeness, ranges, and values known from publications."""
    there = [kind for kind in BENCHMARKS if locations.present(kind) is not None]
    failed = False
    for name in names or there:
        try:
            path = locations.find(name)
            checks = (
                BENCHMARKS[name].load(path, partial=partial).verify(partial=partial)
            )
        except (OSError, ValueError) as error:
            typer.echo(f"{name}: {error}", err=True)
            failed = True
            continue
        typer.echo(f"{name}: {path}")
        for check in checks:
            typer.echo(f"  ok: {check}")
    if not names and not there:
        fail("There are no tables to verify; `symnas data list` shows what to get.")
    if failed:
        raise typer.Exit(1)

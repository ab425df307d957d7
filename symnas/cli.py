"""The command `symnas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symnas import __version__, compare_command, data_command, score_command
from symnas.compare_command import INTERRUPTED

app = typer.Typer(
    help="Symbolic AutoML for PyTorch: turn ordinary model code into a search space, "
    "and search it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # Reflows the paragraphs of docstrings.
    pretty_exceptions_enable=False,
)
app.add_typer(data_command.app, name="data")
app.command("compare")(compare_command.compare_algorithms)
app.command("score")(score_command.score_networks)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"symnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    seed: Annotated[int, typer.Option(min=0, help="Fixes everything random.")] = 0,
    examples: Annotated[
        int, typer.Option(min=1, help="Networks that each of the two searches trains.")
    ] = 30,
    output: Annotated[
        Path,
        typer.Option(
            file_okay=False, help="Folder for the winner's weights and description."
        ),
    ] = Path("symnas_demo"),
) -> None:
    """Search a small CNN for handwritten digits, in about two minutes.

    Regularized evolution and random search get the same budget. The winner is trained
    again and compared, on images that no search has seen, with the network one would
    have written without a search. Ctrl-C ends it and shows what was found so far.
    """
    from symnas import (
        demo,
    )  # Loads the data's library, which other commands do not need.

    console = Console()
    try:
        demo.run(seed, examples, output, console)
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
        raise typer.Exit(INTERRUPTED) from None


def main() -> None:
    """Runs the command."""
    app()


if __name__ == "__main__":
    main()

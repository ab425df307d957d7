"""The command `symnas`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from symnas import (
    __version__,
    compare_command,
    data_command,
    describe_command,
    score_command,
    search_command,
    studies_command,
    train_command,
)
from symnas.command_errors import INTERRUPTED, OneLineErrors

app = typer.Typer(
    cls=OneLineErrors,
    help="Symbolic AutoML for PyTorch: turn ordinary model code into a search space, "
    "and search it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # Reflows the paragraphs of docstrings.
    pretty_exceptions_enable=False,
)


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
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
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
    from symnas import demo  # It loads scikit-learn, which other commands do not need.

    output.mkdir(parents=True, exist_ok=True)  # Before minutes of training.
    console = Console()
    try:
        demo.run(seed, examples, output, console)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            output.rmdir()  # If nothing was saved.
        console.print("\nInterrupted.")
        raise typer.Exit(INTERRUPTED) from None


app.command("search")(search_command.search_space)
app.command("resume")(search_command.resume_study)
app.command("report")(studies_command.write_report)
app.add_typer(studies_command.app, name="studies")
app.command("describe")(describe_command.describe_space)
app.command("spaces")(describe_command.list_spaces)
app.command("algorithms")(describe_command.list_algorithms)
app.command("score")(score_command.score_networks)
app.command("compare")(compare_command.compare_algorithms)
app.add_typer(data_command.app, name="data")
app.add_typer(train_command.app, name="train")


def main() -> None:
    """Runs the command."""
    app()


if __name__ == "__main__":
    main()

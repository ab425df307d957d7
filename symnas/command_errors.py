"""How commands end: with one line that says why, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from symnas.engines import EngineError
from symnas.storage import StorageError

INTERRUPTED = 130  # What shells report for a command that Ctrl-C has ended.

# What our functions raise for what a user can mend.
_MISTAKES = (ValueError, TypeError, OSError, ImportError, StorageError, EngineError)


class OneLineErrors(TyperGroup):
    """Commands that end with a line for what the user can mend, and code 2.

    `--debug`, anywhere in the line, lets the traceback through.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--debug" in args:
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # As by `| head`.
            raise
        except _MISTAKES as error:
            if ctx.params.get("debug"):
                raise
            fail(_explained(error))
        except KeyboardInterrupt:
            typer.echo("\nInterrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _explained(error: Exception) -> str:
    """What is wrong, and what to do, of an error of the operating system too."""
    if not isinstance(error, OSError) or error.filename is None:
        return str(error) or type(error).__name__
    path = Path(str(error.filename))
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"There is no folder {path.parent} for {path.name}: make it first."
    return f"{path}: {error.strerror}. Name another file or folder."


def fail(message: str) -> NoReturn:
    """Ends a command with a line that says why.

    Raises:
      typer.Exit: with code 2, as for options that cannot be used.
    """
    typer.echo(message, err=True)
    raise typer.Exit(2)

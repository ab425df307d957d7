"""The command `symnas train`: trains the networks that predictors of symnas ship with."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from symnas.command_errors import INTERRUPTED, fail

if TYPE_CHECKING:
    from symnas.predictors.lc_pfn.training import Training

app = typer.Typer(
    help="Train the networks of predictors.", no_args_is_help=True, add_completion=False
)


class Size(StrEnum):
    """Networks of LC-PFN."""

    small = "small"
    base = "base"


@app.callback()
def _predictors() -> None:
    """Makes the name of the predictor part of the command."""


@app.command("lc-pfn")
def train_lc_pfn(
    output: Annotated[
        Path, typer.Argument(dir_okay=False, help="File of weights, .safetensors.")
    ],
    size: Annotated[Size, typer.Option(help="`base` needs a GPU.")] = Size.small,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="If other than those of the shipped weights."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=4, help="Curves of each step; as above.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="The highest learning rate; as above.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and curves.")] = 0,
    device: Annotated[str, typer.Option(help="As torch names it.")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=1, help="Of the CPU; the weights depend on it.")
    ] = 1,
    every: Annotated[
        int, typer.Option(min=1, help="Steps between two checkpoints.")
    ] = 100,
    curves: Annotated[
        int, typer.Option(min=2, help="Of the prior, for the scores in the file.")
    ] = 10_000,
) -> None:
    """Train LC-PFN, which predicts how learning curves go on.

    The state is kept beside the output, in a file `.checkpoint`: the same command
    continues a run that was ended, and gives the same weights on the same machine. The
    file of weights says how it was made and what it scores on curves of the prior.
    """
    import torch

    from symnas.predictors.lc_pfn.prior_scores import prior_scores
    from symnas.predictors.lc_pfn.training import Training
    from symnas.predictors.lc_pfn.weights import save_weights

    console = Console(stderr=True)
    torch.set_num_threads(threads)
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        training = Training(size.value, steps, batch, rate, seed=seed, device=device)
        if checkpoint.exists():
            training.load(checkpoint)
            console.print(f"Continues after step {training.num_done}.")
        _run(training, checkpoint, every, console)
        console.print(f"Scores on {curves} curves of the prior ...")
        model = training.predictor()
        about = {**model.about, "num_curves": curves, **prior_scores(model, curves)}
        save_weights(output, model.network, model.borders, model.prior, about)
        checkpoint.unlink()
    except KeyboardInterrupt:
        console.print("Interrupted; the same command continues at the last checkpoint.")
        raise typer.Exit(INTERRUPTED) from None
    except (OSError, RuntimeError, ValueError) as error:
        fail(str(error))
    typer.echo(json.dumps(about, indent=1))


def _run(training: Training, checkpoint: Path, every: int, console: Console) -> None:
    """To the end. Ctrl-C loses what came after the last checkpoint: a step may be half."""
    total = training.recipe["num_steps"]
    with Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("steps", total=total, completed=training.num_done)
        loss = math.nan
        while training.num_done < total:
            new = training.step()
            loss = new if math.isnan(loss) else 0.99 * loss + 0.01 * new
            progress.update(
                task,
                completed=training.num_done,
                description=f"steps, cross entropy {loss:.3f}",
            )
            if training.num_done % every == 0 or training.num_done == total:
                training.save(checkpoint)

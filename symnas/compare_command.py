"""The command `symnas compare`: algorithms on a table, beside what was published."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from symnas.algorithm import Algorithm
from symnas.algorithm_text import algorithm_from_text
from symnas.benchmarks import Comparison, Score, compare
from symnas.command_errors import INTERRUPTED, fail
from symnas.data_command import BENCHMARKS, known_table

DEFAULT = (
    "random_search",
    "regularized_evolution",
    "reinforce",
    "local_search",
    "tpe",
    "bayesian_optimization",
    "differential_evolution",
    "nsga2",
)


def compare_algorithms(
    algorithms: Annotated[
        list[str] | None,
        typer.Argument(
            help="As in `tpe` or `tpe(num_startup=20)`. A name alone stands for the "
            "setting that the benchmark's paper used, if there is one; `tpe()` for the "
            f"defaults. If none is given: {', '.join(DEFAULT)}.",
            show_default=False,
        ),
    ] = None,
    benchmark: Annotated[
        str, typer.Option(callback=known_table, help="See `symnas data list`.")
    ] = "nas_bench_201",
    dataset: Annotated[str, typer.Option(help="The one that is searched.")] = "cifar10",
    queries: Annotated[int, typer.Option(min=1, help="Of each run.")] = 110,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each algorithm.")] = 200,
    metric: Annotated[
        str | None,
        typer.Option(help="What searches see, if not a validation accuracy."),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(help="Epochs of training behind that.")
    ] = None,
    avoid_duplicates: Annotated[
        bool,
        typer.Option(
            "--avoid-duplicates", help="Ask once for each example; papers ask again."
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one for each core.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder for the curves (regret.html, regret.png) and scores.json.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the scores as JSON.")
    ] = False,
) -> None:
    """Run algorithms with many seeds on a table, and compare with what was published.

    Each search sees the signal of what it asks for, by default the validation accuracy
    after a short training. What counts is the test accuracy after the long training of
    the best by that signal. p is that of a Wilcoxon test, seed by seed, that an
    algorithm beats random search on the data set that is searched.
    """
    console, errors = Console(), Console(stderr=True)
    try:
        table = BENCHMARKS[benchmark].load()
        chosen = {text: _algorithm(text, benchmark) for text in algorithms or DEFAULT}
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        with Progress(console=errors, transient=True) as progress:
            task = progress.add_task("runs", total=None)
            comparison = compare(
                table,
                chosen,
                dataset,
                queries=queries,
                seeds=seeds,
                metric=metric,
                budget=budget,
                duplicates="avoid" if avoid_duplicates else "allow",
                workers=workers or len(os.sched_getaffinity(0)),
                progress=lambda done, total: progress.update(
                    task, completed=done, total=total
                ),
            )
    except (OSError, ValueError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        errors.print("Interrupted; nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(_to_json(comparison))
    else:
        console.print(_table(comparison, dataset))
    if output is not None:
        _write(comparison, output, errors)


def _algorithm(text: str, benchmark: str) -> Algorithm:
    """With the setting of the benchmark's paper where just a name is given."""
    algorithm = algorithm_from_text(text)
    if text.isidentifier() and hasattr(algorithm, benchmark):
        return algorithm_from_text(f"{text}.{benchmark}")
    return algorithm


def _table(comparison: Comparison, dataset: str) -> Table:
    queries = next(iter(comparison.queries.values()))
    metric = comparison.benchmark.default_metric.replace("_", " ").capitalize()
    title = f"{metric}, {len(queries)} seeds, {queries.shape[1]} queries"
    scores = comparison.scores()
    if any(score.published for score in scores):
        title += " (second line: as published)"
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("algorithm", overflow="fold", min_width=22)
    for name in comparison.datasets:
        header = name.replace("-", "-\n")
        table.add_column(header, justify="right", min_width=10)
    for name in ("p", "ms per\nquery"):
        table.add_column(name, justify="right", min_width=5)
    for algorithm in comparison.algorithms:
        own = [score for score in scores if score.algorithm == algorithm]
        spent = comparison.seconds[algorithm] / queries.size * 1e3
        table.add_row(
            algorithm, *map(_shown, own), _p_value(own, dataset), f"{spent:.2f}"
        )
    return table


def _shown(score: Score) -> str:
    text = f"{score.mean:.2f}±{score.std:.2f}"
    if score.published is None:
        return text
    mean, std = score.published
    return f"{text}\n[dim]{mean:.2f}±{std:.2f}[/dim]"


def _p_value(scores: list[Score], dataset: str) -> str:
    searched = next((s for s in scores if s.dataset == dataset), scores[0])
    return "" if searched.p_value is None else f"{searched.p_value:.1g}"


def _to_json(comparison: Comparison) -> str:
    scores = [score.__dict__ for score in comparison.scores()]
    return json.dumps({"scores": scores, "seconds": comparison.seconds}, indent=1)


def _write(comparison: Comparison, folder: Path, errors: Console) -> None:
    from symnas import plots
    from symnas.plots import style

    (folder / "scores.json").write_text(_to_json(comparison) + "\n")
    figure = plots.regret(comparison)
    style.write_html(figure, folder / "regret.html")
    written = "scores.json, regret.html"
    try:
        style.write_png(figure, folder / "regret.png")
        written += ", regret.png"
    except (ImportError, RuntimeError) as error:
        errors.print(f"No regret.png: {error}", markup=False)
    errors.print(f"Wrote {written} to {folder}.", markup=False)

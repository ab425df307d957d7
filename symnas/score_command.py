"""The command `symnas score`: how well proxies rank the networks of a table."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from symnas.benchmarks import Benchmark
from symnas.command_errors import INTERRUPTED, fail
from symnas.data_command import BENCHMARKS, known_table
from symnas.proxies import Correlation, Proxy, RankSum, correlation, score
from symnas.proxies.proxy_text import proxy_from_text

DEFAULT = ("params", "flops", "synflow", "jacob_cov", "nwot", "swap", "epsinas")
_CLASSES = {"cifar100": 100, "ImageNet16-120": 120}  # Else 10.
_SIZES = {"ImageNet16-120": 16}  # Else 32.
_TOGETHER = "all, log-rank sum"


@dataclasses.dataclass(frozen=True)
class _Row:
    """One line of the table."""

    proxy: str
    found: Correlation
    seconds: float


def score_networks(
    proxies: Annotated[
        list[str] | None,
        typer.Argument(
            help="As in `swap` or `swap(batch_size=20)`. If none is given: "
            f"{', '.join(DEFAULT)}.",
            show_default=False,
        ),
    ] = None,
    benchmark: Annotated[
        str, typer.Option(callback=known_table, help="See `symnas data list`.")
    ] = "nas_bench_201",
    dataset: Annotated[str, typer.Option(help="Whose accuracies count.")] = "cifar10",
    metric: Annotated[
        str | None, typer.Option(help="If not what papers report.")
    ] = None,
    networks: Annotated[
        int, typer.Option(min=2, help="How many of the table are drawn.")
    ] = 100,
    images: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            exists=True,
            help="A file .npz with images `x` (N, H, W, 3) from 0 to 255 and classes `y` "
            "(N,); without it images are noise.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images that are used.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of networks and weights.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.")
    ] = False,
) -> None:
    """Score untrained networks of a table, and compare with their accuracies.

    Correlations are those of the networks that have a score, with a 95 % interval;
    `defined` says how many these are. `given params` is Spearman's correlation beyond what
    the number of parameters says, `top 10 %` that among the best tenth, `best of 100` the
    mean accuracy of the best-scored of 100 networks drawn from these.
    """
    errors = Console(stderr=True)
    try:
        table = BENCHMARKS[benchmark].load()
        chosen = {text: proxy_from_text(text) for text in proxies or DEFAULT}
        chosen.setdefault("params", proxy_from_text("params"))
        x, y = _batch(images, dataset, batch, seed)
        indices = _drawn(table, networks, seed)
        accuracies = table.query_many(indices, dataset, metric)
        values, seconds = _scores(table, indices, chosen, dataset, x, y, seed, errors)
        if len(values) < networks:
            errors.print(f"Interrupted after {len(values)} networks.")
        if len(values) < 2:
            raise typer.Exit(INTERRUPTED)
    except (OSError, ValueError, NotImplementedError) as error:
        fail(str(error) or f"The table {benchmark} has no networks.")
    rows = _rows(chosen, values, seconds, accuracies[: len(values)])
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
        return
    kind = "noise" if images is None else images.name
    Console().print(_table(rows, f"{benchmark}, {dataset}, {batch} images ({kind})"))


def _batch(
    images: Path | None, dataset: str, size: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Normalised images (B, 3, H, W) and classes (B,)."""
    if images is None:
        rng = np.random.default_rng(seed)
        side, classes = _SIZES.get(dataset, 32), _CLASSES.get(dataset, 10)
        noise = rng.standard_normal((size, 3, side, side))
        labels = rng.integers(classes, size=size)
        return torch.tensor(noise).float(), torch.tensor(labels)
    with np.load(images, allow_pickle=False) as arrays:
        missing = {"x", "y"} - set(arrays)
        if missing:
            raise ValueError(
                f"{images} has no array `{min(missing)}`; it needs `x` and `y`."
            )
        x, y = arrays["x"][:size], arrays["y"][:size]
    if x.ndim != 4 or x.shape[3] != 3 or len(x) != len(y) or len(x) < size:
        raise ValueError(
            f"{images} must have at least {size} images `x` (N, H, W, 3) and classes `y` "
            f"(N,), got {x.shape} and {y.shape}."
        )
    pixels = torch.tensor(x).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        statistic((0, 2, 3), keepdim=True) for statistic in (pixels.mean, pixels.std)
    )
    return (pixels - mean) / std, torch.tensor(y).long()


def _drawn(table: Benchmark, networks: int, seed: int) -> Any:
    if networks > len(table):
        raise ValueError(f"The table has {len(table)} networks, got {networks}.")
    return np.random.default_rng(seed).permutation(len(table))[:networks]


def _scores(
    table: Benchmark,
    indices: Any,
    proxies: dict[str, Proxy],
    dataset: str,
    x: Tensor,
    y: Tensor,
    seed: int,
    errors: Console,
) -> tuple[Any, Any]:
    """Values (n, k), NaN where undefined, and seconds (k,) per network, until Ctrl-C."""
    values, seconds = [], np.zeros(len(proxies))
    try:
        for index in track(
            indices.tolist(), "networks", console=errors, transient=True
        ):
            torch.manual_seed(seed + index)
            network = table.network(index, num_classes=_CLASSES.get(dataset, 10))
            found = []
            for j, proxy in enumerate(proxies.values()):
                begin = time.perf_counter()
                found.append(score(network, [proxy], x, y)[0].value)
                seconds[j] += time.perf_counter() - begin
            values.append(found)
    except KeyboardInterrupt:
        pass  # What was done is shown.
    return np.array(values), seconds / max(len(values), 1)


def _rows(
    proxies: dict[str, Proxy], values: Any, seconds: Any, accuracies: Any
) -> list[_Row]:
    names = list(proxies)
    size = values[:, names.index("params")]
    rows = [
        _Row(name, correlation(values[:, j], accuracies, size), float(seconds[j]))
        for j, name in enumerate(names)
    ]
    together = correlation(RankSum()(values), accuracies, size)
    return [*rows, _Row(_TOGETHER, together, float(seconds.sum()))]


def _table(rows: list[_Row], title: str) -> Table:
    num = rows[0].found.num_networks
    table = Table(
        title=f"{num} networks of {title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("proxy", overflow="fold", min_width=13)
    for name in (
        "defined",
        "Spearman",
        "Kendall",
        "top 10 %",
        "given\nparams",
        "best\nof 100",
        "seconds",
    ):
        table.add_column(name, justify="right")
    for row in rows:
        found = row.found
        low, high = map(_shown, found.interval)
        table.add_row(
            row.proxy,
            f"{found.coverage:.0%}\n[dim]{found.num_distinct} values[/dim]",
            f"{_shown(found.spearman)}\n[dim]{low} {high}[/dim]",
            *map(_shown, (found.kendall, found.top_decile, found.partial)),
            f"{found.best_of:.2f}",
            f"{row.seconds:.2g}",
        )
    return table


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}".replace("0.", ".", 1)

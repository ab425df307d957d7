"""The demo: a search on scikit-learn's handwritten digits, from data to saved winner.

Read it from the top: `ConvNet` is an ordinary CNN, `search_space` says where we are
unsure, `search` looks for a better one, `run` puts it all on the screen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

import symnas as sn
from symnas import nn
from symnas.progress import results_table
from symnas.training import Classifier

EPOCHS = 10  # Of each evaluation, on the training images.
FINAL_EPOCHS = 20  # Of the final training, on training and validation images.
FINAL_SEEDS = 3  # The final training is repeated with as many seeds.

# For the default network no other rate of 0.001, 0.003, 0.01 and 0.02 is better on the
# validation images (mean of 8 seeds).
RECIPE: dict[str, Any] = {
    "batch_size": 32,
    "optimizer": functools.partial(torch.optim.AdamW, lr=3e-3),
}


@sn.symbolize
class ConvNet(nn.Module):
    """An ordinary CNN. Its defaults are what one would write first."""

    def __init__(
        self,
        widths: Sequence[int] = (32, 64),
        depths: Sequence[int] = (1, 1),
        kernel: int = 3,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.ReLU,
        pool: Callable[[int], nn.Module] = nn.MaxPool2d,
        grid: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width, depth in zip(widths, depths, strict=True):
            for _ in range(depth):
                conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
                layers += [conv, norm(width), activation()]
                channels = width
            layers.append(pool(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(channels * grid**2, 10)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 1, 8, 8) -> logits (N, 10)."""
        return cast(Tensor, self.classify(self.dropout(self.features(images))))


def search_space() -> ConvNet:
    """The same network, with hyper-values where we are unsure."""
    return ConvNet(
        widths=[sn.oneof([16, 32]), sn.oneof([32, 64])],
        depths=[sn.oneof([1, 2, 3]), sn.oneof([1, 2, 3])],
        kernel=sn.oneof([3, 5]),
        norm=sn.oneof([nn.BatchNorm2d, nn.InstanceNorm2d, nn.Identity]),
        activation=sn.oneof([nn.ReLU, nn.GELU, nn.SiLU]),
        pool=sn.oneof([nn.MaxPool2d, nn.AvgPool2d]),
        grid=sn.oneof([1, 2]),
        dropout=sn.floatv(0.0, 0.5),
    )


class Images(NamedTuple):
    inputs: Tensor  # (N, 1, 8, 8) in [0, 1].
    targets: Tensor  # (N,) digits.

    def __add__(self, other: Any) -> Images:
        return Images(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


def load_images() -> tuple[Images, Images, Images]:
    """The digits, split into 300 for training, 300 for validation, 1,197 for the test.

    With few images the architecture matters, and with many test images it shows. The
    split is always the same.
    """
    digits = load_digits()
    inputs = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    targets = torch.tensor(digits.target)
    rest, test = train_test_split(
        np.arange(len(targets)), train_size=600, stratify=digits.target, random_state=0
    )
    train, valid = train_test_split(
        rest, train_size=300, stratify=digits.target[rest], random_state=0
    )
    images = [Images(inputs[part], targets[part]) for part in (train, valid, test)]
    return images[0], images[1], images[2]


def search(algorithm: Any, examples: int, seed: int) -> sn.Result:
    """Searches for the best validation accuracy after a short training."""
    train, valid, _ = load_images()
    evaluate = Classifier(train, valid, epochs=EPOCHS, **RECIPE)
    return sn.search(search_space(), evaluate, algorithm, examples, seed=seed)


def train_finally(
    make_model: Callable[[], nn.Module], seed: int
) -> Iterator[tuple[nn.Module, float]]:
    """Models trained on all but the test images, and their test accuracies."""
    train, valid, test = load_images()
    # Every image but those of the test is trained on, so what the classifier reports on
    # `valid` says nothing; the test images are looked at once, when training is over.
    classifier = Classifier(train + valid, valid, epochs=FINAL_EPOCHS, **RECIPE)
    for i in range(FINAL_SEEDS):
        torch.manual_seed(FINAL_SEEDS * seed + i)
        model = make_model()
        classifier.fit(model)
        yield model, classifier.score(model, *test)["accuracy"]


def run(seed: int, examples: int, output: Path, console: Console) -> None:
    """Searches, compares, saves the winner, and shows all of it.

    Ctrl-C raises `KeyboardInterrupt` when what was found until then has been shown.
    """
    # Such small networks gain little from a second thread, and with one they come out
    # the same whatever the number of cores.
    torch.set_num_threads(1)
    say = functools.partial(console.print, highlight=False, markup=False)
    train, valid, test = load_images()
    space = sn.SearchSpace(search_space())
    decisions = ", ".join(decision.label for decision in space.decisions)
    say(
        f"Handwritten digits of 8 x 8 pixels: {len(train.targets)} for training, "
        f"{len(valid.targets)} for validation, {len(test.targets)} for the test at the "
        f"end.\nThe space has {len(space.decisions)} decisions: {decisions}.\n"
        f"Two searches of {examples} examples, each trained for {EPOCHS} epochs."
    )
    algorithms = {
        "regularized evolution": sn.algorithms.RegularizedEvolution(
            population_size=10, tournament_size=3
        ),
        "random search": sn.algorithms.RandomSearch(),
    }
    results: dict[str, sn.Result] = {}
    for name, algorithm in algorithms.items():
        say(f"\n{name}", style="bold")
        results[name] = result = search(algorithm, examples, seed)
        if result.num_completed:
            say(results_table(result))
        if result.interrupted:
            raise KeyboardInterrupt
    say("\nbest validation accuracy", style="bold")
    say(_race(results, examples))

    winner = results["regularized evolution"]
    description = winner.space.symbolic(winner.best.genotype)
    say("\nthe winner of regularized evolution", style="bold")
    say(sn.describe(description))

    say("\nthe winner against the default network", style="bold")
    say(
        f"both trained {FINAL_SEEDS} times for {FINAL_EPOCHS} epochs on all but the "
        "test images"
    )
    accuracies: dict[str, list[float]] = {}
    models: list[nn.Module] = []
    contestants = {"winner": lambda: sn.build(description), "default": ConvNet}
    for name, make_model in contestants.items():
        accuracies[name] = []
        for model, accuracy in train_finally(make_model, seed):
            models.append(model)
            accuracies[name].append(accuracy)
            size = sum(p.numel() for p in model.parameters())
            say(f"{name}: test accuracy {accuracy:.2%} ({size:,} parameters)")
    sn.export.save(models[0], output)  # The first, not the best on the test images.
    winner.report(output / "report.html")
    say(
        f"\nTo see how evolution went, open {output}/report.html in a browser.",
        soft_wrap=True,
    )
    say(f"\nSaved in {output}/. This loads the winner back:\n", soft_wrap=True)
    say(loading_code(output), soft_wrap=True)
    say(f"\nseed {seed}: test accuracy {_summary(accuracies)}", soft_wrap=True)


def loading_code(output: Path) -> str:
    """The lines that load what `run` has saved."""
    return f"import symnas as sn, symnas.demo\nmodel = sn.export.load({str(output)!r})"


def _race(results: dict[str, sn.Result], examples: int) -> Table:
    """The best validation accuracy of each search after a part of its examples."""
    counts = sorted({max(1, examples * part // 4) for part in (1, 2, 3, 4)})
    table = Table(box=None, pad_edge=False)
    table.add_column("after")
    for count in counts:
        table.add_column(f"{count} examples", justify="right")
    for name, result in results.items():
        rewards = [t.reward if t.status == "completed" else 0.0 for t in result.trials]
        table.add_row(name, *(f"{max(rewards[:count]):.4f}" for count in counts))
    return table


def _summary(accuracies: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{name} {np.mean(values):.2%} (from {min(values):.2%} to {max(values):.2%})"
        for name, values in accuracies.items()
    )

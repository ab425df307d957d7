"""Rank correlations on real networks and images: minutes each, `pytest -m slow`."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from symnas.proxies import SWAP, Epsinas, epsinas
from symnas.spaces import NASBench201, darts

pytestmark = pytest.mark.slow

DATA = Path(
    os.environ.get("SYMNAS_DATA", Path(__file__).parents[3] / "shared" / "data")
)
GREY = (torch.arange(64) / 64).view(64, 1, 1, 1).expand(64, 3, 32, 32)


def rows(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs published accuracies, and there is no {path}")
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file, fieldnames=None))


@pytest.fixture(scope="module")
def cells() -> list[tuple[int, float]]:
    """200 cells of NAS-Bench-201 without dead operations, and their accuracies."""
    table = rows("nb201/nb201.csv.gz")
    alive = {row["net_str"] for row in rows("zc_suite/nb201_cifar10_zc13.csv.gz")}
    found = [
        (index, float(row["c10v_test_s888"]))
        for index, row in enumerate(table)
        if row["arch_str"] in alive
    ]
    chosen = np.random.default_rng(1).permutation(len(found))[:200]
    return [found[i] for i in chosen.tolist()]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    path = DATA / "cifar10/cifar10_train_5000.npz"
    if not path.exists():
        pytest.skip(f"needs images, and there is no {path}")
    with np.load(path) as arrays:
        pixels = torch.tensor(arrays["x"][:16]).permute(0, 3, 1, 2).float() / 255
    return (pixels - pixels.mean((0, 2, 3), keepdim=True)) / pixels.std()


def rho(cells, scores) -> tuple[float, int]:
    values, truth = np.array(scores), np.array([accuracy for _, accuracy in cells])
    defined = np.isfinite(values)
    return spearmanr(values[defined], truth[defined]).statistic, int(defined.sum())


def test_swap_on_nas_bench_201(cells, images):
    """Specification of SWAP, check 5: .70 to .80; the interval of 200 cells is +-.06."""
    scores = [SWAP()(NASBench201(index), images).value for index, _ in cells]
    found, defined = rho(cells, scores)
    assert defined == 200
    assert 0.65 < found < 0.88


def test_swap_on_cells_of_darts(images):
    """Specification of SWAP, check 5: .89 to .92 for all 1,000 cells and four draws."""
    path = DATA / "darts/swap_darts_archs_cifar10.csv.gz"
    if not path.exists():
        pytest.skip(f"needs published accuracies, and there is no {path}")
    with gzip.open(path, "rt") as file:
        chosen = list(csv.reader(file))[::5]

    class OneCell(torch.nn.Module):
        def __init__(self, genotype: str) -> None:
            super().__init__()
            self.cell = darts.Cell(darts.parse(genotype), (3, 3), 6, True, False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(x, x).mean((2, 3))

    scores = [SWAP()(OneCell(genotype), images).value for genotype, _ in chosen]
    assert spearmanr(scores, [float(row[1]) for row in chosen]).statistic > 0.86


def test_epsinas_with_grey_images_and_without_constant_weights(cells, monkeypatch):
    """Specification of epsinas, check 7."""
    scores = [Epsinas()(NASBench201(index), GREY).value for index, _ in cells]
    found, defined = rho(cells, scores)
    assert 0.5 < defined / 200 < 0.8
    assert found > 0.8

    def random(model, parameters, value):
        del model
        return {name: value * torch.rand_like(p) for name, p in parameters.items()}

    monkeypatch.setattr(epsinas, "constant", random)
    ablated = [Epsinas(low=1e-3)(NASBench201(i), GREY).value for i, _ in cells]
    assert abs(rho(cells, ablated)[0]) < 0.35

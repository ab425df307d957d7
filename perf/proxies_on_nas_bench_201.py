"""Scores of NAS-Bench-201's networks by every proxy, on real images of CIFAR-10.

    python perf/proxies_on_nas_bench_201.py SCORES.csv [part, as 0/2 or 1/2]

Appends to the file what is missing in it, so it can be stopped and started again; several
processes may each make a part into a file of its own. `perf/proxy_correlations.py` makes the
tables. Cells, images and weights are fixed: 2,000 of the 9,445 cells without dead
operations, 1,309 of the 6,180 with some (the same share), seed 0; for expensive proxies the
first 500 of the 2,000. Weights are PyTorch's defaults, seeded by the index of the cell,
where a proxy does not draw its own. Two hours of one core.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
from pathlib import Path

import numpy as np
import torch

from symnas.proxies import (
    EPENAS,
    NWOT,
    SNIP,
    SWAP,
    Epsinas,
    Fisher,
    FLOPs,
    GradNorm,
    GradSign,
    GraSP,
    JacobCov,
    L2Norm,
    MeCo,
    NTKCondition,
    Params,
    Plain,
    Proxy,
    SynFlow,
    Zen,
    ZiCo,
    az_nas_proxies,
    score,
)
from symnas.spaces import NASBench201, nas_bench_201

DATA = Path(os.environ.get("SYMNAS_DATA", "../shared/data"))
MEAN = torch.tensor([0.49139968, 0.48215827, 0.44653124]).view(3, 1, 1)
STD = torch.tensor([0.24703233, 0.24348505, 0.26158768]).view(3, 1, 1)

ON_ALL: dict[str, Proxy] = {
    "params": Params(),
    "flops": FLOPs(batch_size=1),
    "l2_norm": L2Norm(),
    "swap": SWAP(),
    "epsinas": Epsinas(),
}
CHEAP: dict[str, Proxy] = {
    "synflow": SynFlow(batch_size=1),
    "nwot": NWOT(batch_size=32),
    "swap_12": SWAP(batch_size=12),
    "swap_20": SWAP(batch_size=20),
    "meco": MeCo(batch_size=1),
}
AZ = az_nas_proxies(batch_size=16)
EXPENSIVE: dict[str, Proxy] = {
    "zen": Zen(batch_size=16),
    "swap_24": SWAP(batch_size=24),
    "swap_kaiming": SWAP(init="kaiming"),
    "grad_norm": GradNorm(),
    "snip": SNIP(),
    "plain": Plain(),
    "fisher": Fisher(),
    "jacob_cov": JacobCov(),
    "epe_nas": EPENAS(),
    "expressivity": AZ[0],
    "progressivity": AZ[1],
    "trainability": AZ[2],
    "grasp": GraSP(batch_size=16),
    "zico": ZiCo(),
    "ntk_condition": NTKCondition(batch_size=8),
    "gradsign": GradSign(batch_size=8),
    "epsinas_float64": Epsinas(precision="float64", batch_size=16),
}
NUM_IMAGES = 64
NUM_EXPENSIVE = 500


def cells() -> tuple[list[int], list[int]]:
    """Indices of cells without dead operations, and with some."""
    with gzip.open(DATA / "zc_suite/nb201_cifar10_zc13.csv.gz", "rt") as file:
        alive = sorted(
            nas_bench_201.index_of(row["net_str"]) for row in csv.DictReader(file)
        )
    dead = sorted(set(range(15_625)) - set(alive))
    rng = np.random.default_rng(0)
    return rng.permutation(alive)[:2000].tolist(), rng.permutation(dead)[:1309].tolist()


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images (64, 3, 32, 32) and classes (64,)."""
    with np.load(DATA / "cifar10/cifar10_train_5000.npz") as arrays:
        x, y = arrays["x"][:NUM_IMAGES], arrays["y"][:NUM_IMAGES]
    pixels = torch.tensor(x).permute(0, 3, 1, 2).float() / 255
    return (pixels - MEAN) / STD, torch.tensor(y).long()


def main(path: Path, part: str = "0/1") -> None:
    torch.set_num_threads(1)
    number, parts = map(int, part.split("/"))
    done = set()
    if path.exists():
        with path.open() as file:
            done = {(int(row[0]), row[1]) for row in csv.reader(file)}
    inputs, targets = images()
    alive, dead = cells()
    tasks = [(i, ON_ALL | CHEAP | EXPENSIVE) for i in alive[:NUM_EXPENSIVE]]
    held_out = {"jacob_cov": EXPENSIVE["jacob_cov"]}  # To check a combination.
    middle = alive[NUM_EXPENSIVE : 2 * NUM_EXPENSIVE]
    tasks += [(i, ON_ALL | CHEAP | held_out) for i in middle]
    tasks += [(i, ON_ALL | CHEAP) for i in alive[2 * NUM_EXPENSIVE :]]
    tasks += [(i, ON_ALL) for i in dead]
    with path.open("a", buffering=1) as file:
        writer = csv.writer(file)
        for i, (index, proxies) in enumerate(tasks):
            missing = {n: p for n, p in proxies.items() if (index, n) not in done}
            if i % parts != number or not missing:
                continue
            torch.manual_seed(index)
            model = NASBench201(index)
            found = score(model, list(missing.values()), inputs, targets)
            for name, result in zip(missing, found, strict=True):
                writer.writerow([index, name, result.value, result.reason or ""])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

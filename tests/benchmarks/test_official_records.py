"""Three whole records of NATS-Bench through the reader of its archives."""

from __future__ import annotations

import collections
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from symnas.benchmarks import NASBench201
from symnas.spaces import nas_bench_201 as cells

Runs = dict[tuple[int, int, str, int], dict[str, Any]]


@pytest.fixture(scope="module")
def runs(data: Callable[[str], Path]) -> Runs:
    with gzip.open(data("nb201/nats_tss_official_3arch.json.gz"), "rt") as file:
        content = json.load(file)
    result = {}
    for key, run in content.items():
        index, budget, dataset, seed = key.split("|")
        result[int(index), int(budget), dataset, int(seed)] = run
    return result


def as_published(run: dict[str, Any], budget: int, seed: int) -> dict[str, Any]:
    """The attributes of a trial as the archives hold them; evaluation losses are made."""
    accuracies, losses, times = {}, {}, {}
    names = [key.removeprefix("eval|") for key in run if key.startswith("eval|")]
    for name in names:
        first, last = run[f"eval|{name}"]["epochs"]
        for e, value in enumerate(run[f"eval|{name}"]["acc"], first):
            accuracies[f"{name}@{e}"], losses[f"{name}@{e}"] = value, 1.0
        assert e == last
        for e in range(budget):
            times[f"{name}@{e}"] = run[f"eval_time|{name}"]
    return {
        "train_acc1es": collections.OrderedDict(enumerate(run["train_acc"])),
        "train_losses": collections.OrderedDict(enumerate(run["train_loss"])),
        "train_times": {e: run["train_time_per_epoch"] for e in range(budget)},
        "params": run["params_M"],
        "flop": run["flops_M"],
        "latency": run["latency_s"],
        "seed": seed,
        "epochs": budget,
        "eval_names": names,
        "eval_acc1es": accuracies,
        "eval_losses": losses,
        "eval_times": times,
    }


@pytest.fixture(scope="module")
def folder(
    runs: Runs,
    strings: list[str],
    pack: Callable[..., bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("official")
    (folder / "meta.pickle.pbz2").write_bytes(pack({"meta_archs": strings}))
    records: dict[int, Any] = {}
    for (index, budget, dataset, seed), run in runs.items():
        results = records.setdefault(index, {}).setdefault(
            str(budget),
            {
                "arch_index": index,
                "arch_str": cells.string_at(index),
                "all_results": {},
            },
        )
        results["all_results"][dataset, seed] = as_published(run, budget, seed)
    for index, record in records.items():
        (folder / f"{index:06d}.pickle.pbz2").write_bytes(pack(record))
    return folder


@pytest.fixture(scope="module")
def benchmark(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> NASBench201:
    path = tmp_path_factory.mktemp("converted") / "official.table"
    return NASBench201.load(
        NASBench201.convert(folder, path, partial=True, curves=False)
    )


def metric_of(name: str, dataset: str) -> str:
    if name == "ori-test" and dataset in ("cifar100", "ImageNet16-120"):
        return "valtest_accuracy"
    return "valid_accuracy" if name == "x-valid" else "test_accuracy"


def test_the_last_value_of_every_run_is_found(
    benchmark: NASBench201, runs: Runs
) -> None:
    for (index, budget, dataset, seed), run in runs.items():
        options: dict[str, Any] = {"budget": budget, "seed": seed}
        found = benchmark.query(index, dataset, "train_accuracy", **options)
        assert found == run["train_acc"][-1]
        for key in run:
            if key.startswith("eval|"):
                metric = metric_of(key.removeprefix("eval|"), dataset)
                found = benchmark.query(index, dataset, metric, **options)
                assert found == run[key]["acc"][-1]
        found = benchmark.query(index, dataset, "train_seconds", **options)
        assert found == pytest.approx(budget * run["train_time_per_epoch"])
        assert benchmark.query(index, dataset, "flops") == run["flops_M"]
        assert benchmark.query(index, dataset, "params") == run["params_M"]
        assert benchmark.query(index, dataset, "latency", **options) == pytest.approx(
            run["latency_s"][0]
        )


def test_means_over_trials_are_those_of_the_published_table(
    benchmark: NASBench201, real: NASBench201
) -> None:
    for index in (0, 11, 284):
        for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
            mean = benchmark.query(index, dataset)
            assert mean == pytest.approx(real.query(index, dataset), abs=1e-4)
        signal = benchmark.evaluator("cifar10")(index)
        assert signal == pytest.approx(real.evaluator("cifar10")(index), abs=1e-4)


@pytest.mark.parametrize(
    ("index", "training", "validation"),
    # Totals of a 12-epoch run, and one pass over 25,000 images.
    [(0, 86.65, 2.549), (11, 149.54, 4.151), (284, 58.51, 2.389)],
)
def test_the_clock_is_that_of_simulate_train_eval(
    benchmark: NASBench201, index: int, training: float, validation: float
) -> None:
    simulation = benchmark.simulate("cifar10")
    simulation(index)
    assert simulation.elapsed == pytest.approx(training + validation, abs=0.01)
    simulation(index)
    assert simulation.elapsed == pytest.approx(2 * simulation.cost(index))


def test_curves_of_12_epochs(
    folder: Path, runs: Runs, pack: Callable[..., bytes], tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (part / "meta.pickle.pbz2").write_bytes((folder / "meta.pickle.pbz2").read_bytes())
    trials = {
        (dataset, seed): as_published(run, budget, seed)
        for (index, budget, dataset, seed), run in runs.items()
        if (index, budget) == (11, 12)
    }
    record = {"arch_index": 11, "arch_str": cells.string_at(11), "all_results": trials}
    (part / "000011.pickle.pbz2").write_bytes(pack({"12": record}))
    benchmark = NASBench201.load(part, partial=True)
    run = runs[11, 12, "cifar10-valid", 111]
    options: dict[str, Any] = {"budget": 12, "seed": 111}
    curve = [
        benchmark.query(11, "cifar10-valid", "valid_accuracy", epoch=e + 1, **options)
        for e in range(12)
    ]
    np.testing.assert_allclose(curve, run["eval|x-valid"]["acc"], atol=1e-5)
    evaluate = benchmark.evaluator("cifar10", budget=12, seed=111, curve=True)
    assert list(evaluate(11)) == curve

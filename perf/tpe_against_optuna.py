"""Does TPE find as much as Optuna's TPESampler with equally many evaluations?

    python perf/tpe_against_optuna.py [number of seeds, by default 50]

NAS-Bench-201 is read from `SYMNAS_DATA` or `../shared/data`, and left out without it.
The support vector machine was not looked at while TPE was made; of the made training a
trial run was.
"""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from cells import DATA, cells
from measure import report, seconds
from scipy.stats import mannwhitneyu
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import symnas as sn

Space = dict[str, Any]
Evaluate = Callable[[Mapping[str, Any]], float]

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def nas_bench_201() -> tuple[Space, Evaluate]:
    """The test accuracy on CIFAR-10 after 200 epochs."""
    table = cells("c10_test")
    space = {f"edge{i}": OPERATIONS for i in range(6)}
    return space, lambda x: table[tuple(x.values())][0]


def training() -> tuple[Space, Evaluate]:
    """A made response to the hyper-parameters of a training; 0 is the optimum."""
    space = {
        "optimizer": ["sgd", "adam", "adamw"],
        "activation": ["relu", "gelu", "tanh", "sigmoid"],
        "rate": (1e-5, 1.0, "log"),
        "decay": (1e-6, 1e-1, "log"),
        "dropout": (0.0, 0.9),
        "layers": (1, 12),
        "width": (8, 1024, "log"),
    }

    def evaluate(x: Mapping[str, Any]) -> float:
        best_rate = {"sgd": -1.0, "adam": -3.0, "adamw": -2.5}[x["optimizer"]]
        capacity = math.log2(x["width"]) + 0.5 * x["layers"]
        loss = {"sgd": 0.1, "adam": 0.05, "adamw": 0.0}[x["optimizer"]]
        loss += {"relu": 0.02, "gelu": 0.0, "tanh": 0.1, "sigmoid": 0.3}[
            x["activation"]
        ]
        loss += 0.2 * (math.log10(x["rate"]) - best_rate) ** 2
        loss += 0.02 * (math.log10(x["decay"]) + 3.0) ** 2
        loss += (
            0.05 * abs(capacity - 10.0) + 0.3 * (x["dropout"] - 0.05 * x["layers"]) ** 2
        )
        return -loss

    return space, evaluate


def support_vector_machine() -> tuple[Space, Evaluate]:
    """The accuracy on 300 handwritten digits, by three-fold cross-validation."""
    space = {
        "scaler": ["none", "standard", "minmax"],
        "kernel": ["rbf", "poly", "sigmoid", "linear"],
        "C": (1e-4, 1e4, "log"),
        "gamma": (1e-6, 10.0, "log"),
        "degree": (1, 6),
        "coef0": (0.0, 2.0),
        "components": (2, 60, "log"),
    }
    images, labels = load_digits(return_X_y=True)
    scalers = {"standard": StandardScaler, "minmax": MinMaxScaler}

    def evaluate(x: Mapping[str, Any]) -> float:
        machine = SVC(
            C=x["C"],
            kernel=x["kernel"],
            gamma=x["gamma"],
            degree=x["degree"],
            coef0=x["coef0"],
            max_iter=2000,
        )
        steps = [PCA(x["components"], random_state=0), machine]
        if x["scaler"] in scalers:
            steps.insert(0, scalers[x["scaler"]]())
        scores = cross_val_score(
            make_pipeline(*steps), images[:300], labels[:300], cv=3
        )
        return float(scores.mean())

    return space, evaluate


def ours(space: Space, evaluate: Evaluate, n: int, seed: int, **options: Any) -> Any:
    def value(name: str, choices: Any) -> Any:
        if isinstance(choices, list):
            return sn.oneof(choices)
        low, high, *scale = choices
        if isinstance(low, float):
            return sn.floatv(low, high, *scale)
        return sn.intv(low, high, log=bool(scale))

    duplicates = options.pop("duplicates", "avoid")
    examples = sn.sample(
        {name: value(name, choices) for name, choices in space.items()},
        sn.algorithms.TPE(**options),
        n,
        seed=seed,
        duplicates=duplicates,
    )
    for x, feedback in examples:
        feedback(evaluate(x))
    return [trial.reward for trial in examples.result.trials]


def theirs(space: Space, evaluate: Evaluate, n: int, seed: int, **options: Any) -> Any:
    def value(trial: Any, name: str, choices: Any) -> Any:
        if isinstance(choices, list):
            return trial.suggest_categorical(name, choices)
        low, high, *scale = choices
        kind = trial.suggest_float if isinstance(low, float) else trial.suggest_int
        return kind(name, low, high, log=bool(scale))

    def objective(trial: Any) -> float:
        return evaluate({name: value(trial, name, c) for name, c in space.items()})

    sampler = optuna.samplers.TPESampler(seed=seed, **options)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=n)
    return [trial.value for trial in study.trials]


CONTENDERS = {
    "Optuna": theirs,
    "symnas": ours,
    "symnas, duplicates allowed": functools.partial(ours, duplicates="allow"),
    "Optuna, independent": functools.partial(theirs, multivariate=False),
    "symnas, independent, duplicates allowed": functools.partial(
        ours, multivariate=False, duplicates="allow"
    ),
}


def compare(name: str, problem: Any, queries: list[int], num_seeds: int) -> None:
    """p is that of the two-sided Mann-Whitney test against Optuna's default."""
    space, evaluate = problem()
    rows: list[list[Any]] = []
    reference: list[Any] = []
    for contender, run in CONTENDERS.items():
        best, spent = [], 0.0
        for seed in range(num_seeds):
            values: list[float] = []
            spent += seconds(
                lambda run=run, seed=seed, values=values: values.extend(
                    run(space, evaluate, queries[-1], seed)
                )
            )
            best.append(np.maximum.accumulate(values)[np.array(queries) - 1])
        found = np.array(best).T
        row: list[Any] = [contender]
        reference = reference or list(found)
        for theirs_found, ours_found in zip(reference, found, strict=True):
            p = mannwhitneyu(ours_found, theirs_found).pvalue
            row += [f"{ours_found.mean():.3f}±{ours_found.std():.3f}", f"{p:.2g}"]
        rows.append([*row, spent / num_seeds / queries[-1] * 1e3])
    columns = [text for n in queries for text in (f"best of {n}", "p")]
    report(f"{name}, {num_seeds} seeds", ["", *columns, "ms per trial"], rows)


def main() -> None:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    num_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    compare("a support vector machine", support_vector_machine, [50, 110], num_seeds)
    compare("a made training", training, [50, 100, 200], num_seeds)
    if DATA.exists():
        compare("NAS-Bench-201", nas_bench_201, [110, 500], num_seeds)


if __name__ == "__main__":
    main()

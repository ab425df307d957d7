"""What does one trial cost when the evaluation is free?"""

from __future__ import annotations

import random
import sys
from typing import Any

import pyglove as pg
from measure import interleaved, report, seconds
from toy_spaces import OURS, PYGLOVE, SPACES, six

import symnas as sn

try:
    import optuna
except ImportError:
    optuna = None

REPEATS = 5
TRIALS = 1000  # Of ours; peers run fewer of theirs.
FEW_TRIALS = 100  # Where every algorithm runs, also those that take milliseconds.


def ours(
    space: Any,
    algorithm: Any,
    loop: str = "sample",
    duplicates: str = "allow",
    trials: int = TRIALS,
) -> float:
    """Microseconds per trial."""
    rng = random.Random(0)

    def sample() -> None:
        samples = sn.sample(space, algorithm(), trials, seed=0, duplicates=duplicates)
        for _, feedback in samples:
            feedback(rng.random())

    def search() -> None:
        sn.search(
            space,
            lambda example: rng.random(),
            algorithm(),
            trials,
            seed=0,
            duplicates=duplicates,
            progress=False,
        )

    return seconds(sample if loop == "sample" else search) / trials * 1e6


def pyglove(space: Any, algorithm: Any, trials: int) -> float:
    rng = random.Random(0)

    def run() -> None:
        for _, feedback in pg.sample(space, algorithm(), num_examples=trials):
            feedback(rng.random())

    return seconds(run) / trials * 1e6


def with_optuna(sampler: str, trials: int) -> float:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=0))
    rng = random.Random(0)

    def objective(trial: Any) -> float:
        for i in range(6):
            trial.suggest_categorical(f"x{i}", list(range(5)))
        return rng.random()

    return seconds(lambda: study.optimize(objective, n_trials=trials)) / trials * 1e6


def evolution() -> Any:
    return sn.algorithms.RegularizedEvolution(population_size=100, tournament_size=10)


def pyglove_evolution() -> Any:
    return pg.evolution.regularized_evolution(population_size=100, tournament_size=10)


def main() -> None:
    contenders: dict[str, Any] = {}
    for loop in ("sample", "search"):
        for name, algorithm in (
            ("random", sn.algorithms.RandomSearch),
            ("evolution", evolution),
        ):
            space = sn.SearchSpace(six(OURS))
            contenders[f"sn.{loop}, {name}"] = lambda s=space, a=algorithm, w=loop: (
                ours(s, a, w)
            )
    theirs = pg.Dict(six(PYGLOVE))
    contenders["pg.sample, random"] = lambda: pyglove(theirs, pg.geno.Random, 30)
    contenders["pg.sample, evolution"] = lambda: pyglove(theirs, pyglove_evolution, 130)
    if optuna is not None:
        contenders["Optuna, random"] = lambda: with_optuna("RandomSampler", 300)
        contenders["Optuna, TPE"] = lambda: with_optuna("TPESampler", 50)
    figures = interleaved(contenders, REPEATS)
    base = {
        "random": figures["sn.sample, random"],
        "evolution": figures["sn.sample, evolution"],
    }
    rows = [
        [name, us, us / base["evolution" if "evolution" in name else "random"]]
        for name, us in figures.items()
    ]
    report(
        "one trial on 6 choices of 5 (duplicates allowed)",
        ["loop and algorithm", "us per trial", "x sn.sample"],
        rows,
        "Evolution has 100 members and tournaments of 10. TPE is compared with random.",
    )

    rows = []
    for name, make in SPACES.items():
        space = sn.SearchSpace(make(OURS))
        row: list[Any] = [name, len(space.decisions)]
        algorithms = (sn.algorithms.RandomSearch, evolution)
        row += [
            interleaved({"": lambda s=space, a=a: ours(s, a)}, 3)[""]
            for a in algorithms
        ]
        few = 3 if "500" in name or "chain" in name else 20
        row.append(
            pyglove(pg.Dict(make(PYGLOVE)), pg.geno.Random, few)
            if "--quick" not in sys.argv
            else None
        )
        rows.append(row)
    report(
        "one trial of sn.sample by space",
        ["space", "decisions", "random, us", "evolution, us", "pg.sample random, us"],
        rows,
    )

    rows = []
    space = sn.SearchSpace(six(OURS))
    for name, algorithm in sorted(sn.algorithms.by_name().items()):
        figures = interleaved(
            {
                mode: lambda a=algorithm, m=mode: ours(
                    space, a, duplicates=m, trials=FEW_TRIALS
                )
                for mode in ("allow", "avoid")
            },
            3,
        )
        rows.append([name, figures["allow"], figures["avoid"]])
    report(
        "one trial of every algorithm, 6 choices of 5, default settings",
        ["algorithm", "duplicates allowed, us", "avoided, us"],
        rows,
        f"{FEW_TRIALS} trials. An evolution that has found its optimum redraws often when duplicates are avoided.",
    )


if __name__ == "__main__":
    main()

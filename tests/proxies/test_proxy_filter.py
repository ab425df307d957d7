"""Algorithms guided by a proxy: any algorithm, the same again, better with a good proxy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

import symnas as sn
from symnas.proxies import Params, ProxyFilter, ProxyWarmup, Undefined

CHOICES = [sn.oneof(range(5)) for _ in range(6)]
BASES = [
    "regularized_evolution(population_size=8, tournament_size=3)",
    "differential_evolution(population_size=8)",
    "asha(max_budget=9)",
    *(
        pytest.param(base, marks=pytest.mark.slow)
        for base in (
            "random_search",
            "nsga2(population_size=8)",
            "tpe",
            "swap_nas(population_size=8, tournament_size=3)",
            "l2nas(hidden=8)",
        )
    ),
]


def most(example: list[int]) -> float:
    return float(sum(example[:5]))


def guided(kind: type, base: str, **options) -> sn.algorithms.Algorithm:
    sizes = {"pool": 12} if kind is ProxyFilter else {"pool": 60, "num_examples": 6}
    return kind(base, proxy=most, **sizes | options)


def evaluate(example: list[int]):
    yield float(sum(example))


@pytest.mark.parametrize("kind", [ProxyFilter, ProxyWarmup])
@pytest.mark.parametrize("base", BASES)
class TestAnyAlgorithm:
    def test_the_same_seed_gives_the_same_trials(self, base, kind):
        def trials(seed: int) -> list:
            found = sn.search(
                CHOICES, evaluate, guided(kind, base), 25, seed=seed, progress=False
            )
            return [trial.genotype for trial in found.trials]

        assert trials(1) == trials(1)
        assert trials(1) != trials(2)

    def test_a_study_that_is_taken_up_goes_on_as_if_it_had_never_stopped(
        self, base, kind, tmp_path
    ):
        def trials(name: str, stops: list[int]) -> list:
            for stop in stops:
                samples = sn.sample(
                    CHOICES,
                    guided(kind, base),
                    24,
                    seed=0,
                    storage=tmp_path / "s.db",
                    name=name,
                )
                for example, feedback in samples:
                    feedback(float(sum(example)))
                    if feedback.id == stop:
                        break
            return [trial.genotype for trial in samples.result.trials]

        assert trials("whole", [24]) == trials("parts", [5, 11, 24])


def test_a_filter_evaluates_the_best_of_its_pool():
    seen = []

    def score(example: list[int]) -> float:
        seen.append(tuple(example))
        return float(sum(example))

    algorithm = ProxyFilter("random_search", proxy=score, pool=30)
    samples = sn.sample(CHOICES, algorithm, 1, seed=0)
    for example, feedback in samples:
        assert sum(example) == max(map(sum, seen))
        assert len(set(seen)) == 30
        feedback(0.0)


def test_a_warmup_evaluates_the_best_of_all_and_then_the_base_decides():
    algorithm = ProxyWarmup("random_search", proxy=most, pool=200, num_examples=5)
    result = sn.search(CHOICES, sum, algorithm, 60, seed=0, progress=False)
    scores = [sum(list(trial.decisions.values())[:5]) for trial in result.trials]
    assert scores[:5] == sorted(scores[:5], reverse=True)
    assert min(scores[:5]) > np.mean(scores[5:]) + 3


@pytest.mark.parametrize("kind", [ProxyFilter, ProxyWarmup])
def test_a_good_proxy_helps(kind):
    base = "regularized_evolution(population_size=8, tournament_size=3)"

    def found(make) -> list[float]:
        return [
            sn.search(CHOICES, sum, make(), 20, seed=seed, progress=False).best.reward
            for seed in range(30)
        ]

    alone = found(lambda: sn.algorithms.RegularizedEvolution(8, 3))
    better = mannwhitneyu(
        found(lambda: guided(kind, base)), alone, alternative="greater"
    )
    assert better.pvalue < 0.01


def test_examples_without_a_score_come_last():
    def score(example: list[int]) -> float:
        if example[0] < 3:
            raise Undefined("No score.")
        return math.nan if example[0] == 3 else 1.0

    algorithm = ProxyFilter("random_search", proxy=score, pool=40)
    result = sn.search(CHOICES, sum, algorithm, 5, seed=0, progress=False)
    assert {trial.genotype[0] for trial in result.trials} == {4}


@pytest.mark.parametrize("kind", [ProxyFilter, ProxyWarmup])
def test_what_cannot_be_built_or_scored_comes_last_and_ends_nothing(kind):
    @sn.symbolize
    class Layer:
        def __init__(self, width):
            if width == 4:
                raise RuntimeError("4 is not divisible by 3")
            self.width = width

    def broken_for_three(layer):
        if layer.width == 3:
            raise KeyError("no such layer")
        return float(layer.width)

    algorithm = kind("random", broken_for_three, pool=50)
    space = Layer(sn.oneof([0, 1, 2, 3, 4]))
    with pytest.warns(UserWarning, match="broken_for_three.* failed.*no such layer"):
        result = sn.search(
            space, lambda layer: layer.width, algorithm, 5, seed=0, progress=False
        )
    assert [trial.decisions["width"] for trial in result.trials][:3] == [2, 1, 0]
    assert [trial.status for trial in result.trials].count("failed") == 1


def test_several_proxies_add_their_ranks():
    algorithm = ProxyFilter(
        "random_search", proxy=[most, lambda example: -float(example[0])], pool=100
    )
    result = sn.search(CHOICES, sum, algorithm, 8, seed=0, progress=False)
    assert np.mean([trial.genotype[0] for trial in result.trials]) < 2.5
    assert np.mean([trial.genotype[1:5] for trial in result.trials]) > 2.5


def test_networks_are_scored_without_disturbing_the_search():
    space = sn.nn.Sequential(
        sn.nn.Linear(4, sn.oneof([8, 16, 32, 64], name="width")),
        sn.oneof([sn.nn.ReLU(), sn.nn.Tanh()]),
    )
    drawn = []

    def evaluate(model: torch.nn.Module) -> float:
        drawn.append(torch.rand(1).item())
        return float(model[0].weight.abs().sum())

    algorithm = ProxyFilter("random_search", proxy=Params().on(), pool=6)
    result = sn.search(space, evaluate, algorithm, 8, seed=0, progress=False)
    assert result.trials[0].decisions["width"] == 64
    assert len(set(drawn)) == 8


def test_several_objectives_are_up_to_the_base():
    objectives = ["first", "last"]
    algorithm = guided(ProxyFilter, "nsga2(population_size=8)")
    result = sn.search(
        CHOICES,
        lambda x: {"first": float(x[0]), "last": float(x[5])},
        algorithm,
        30,
        seed=0,
        objectives=objectives,
        progress=False,
    )
    assert result.pareto_front()
    with pytest.raises(ValueError, match="optimizes one objective"):
        sn.search(
            CHOICES,
            sum,
            guided(ProxyFilter, "tpe"),
            objectives=objectives,
            progress=False,
        )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pool": 0}, ValueError, "`pool` must be at least 1, got 0"),
        ({"proxy": "swap"}, TypeError, "`proxy` must be a function .* got 'swap'"),
        ({"proxy": []}, TypeError, "`proxy` must be a function"),
        ({"base_algorithm": 3}, TypeError, "must be an algorithm or its name, got 3"),
        ({"base_algorithm": "evolve"}, ValueError, "There is no algorithm 'evolve'"),
    ],
)
def test_bad_settings_are_named(options, error, message):
    with pytest.raises(error, match=message):
        ProxyFilter(**{"base_algorithm": "random", "proxy": most} | options)


def test_a_warmup_larger_than_its_pool_is_refused():
    with pytest.raises(ValueError, match=r"between 1 and `pool` \(9\), got 10"):
        ProxyWarmup("random", proxy=most, pool=9)

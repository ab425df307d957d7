"""NAS-Bench-201: questions, searches, optima; on invented values and on real ones."""

from __future__ import annotations

import pickle
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symnas as sn
from symnas.benchmarks import NASBench201
from symnas.spaces import nas_bench_201 as cells

# --- the real table -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "value", "index"),
    # Maxima of the 200-epoch test accuracy in the NATS-Bench release.
    [
        ("cifar10", 94.373, 6111),
        ("cifar100", 73.513, 9930),
        ("ImageNet16-120", 47.311, 857),
    ],
)
def test_the_best_cells_are_the_known_ones(
    real: NASBench201, dataset: str, value: float, index: int
) -> None:
    best = real.optimum(dataset)
    assert best.value == pytest.approx(value, abs=5e-4) and best.index == index
    assert best.architecture == cells.string_at(index)
    assert real.regret(best.value, dataset) == 0
    assert real.regret(np.array([best.value, best.value - 1]), dataset).tolist() == [
        0,
        1,
    ]


def test_the_cell_of_skips_has_the_accuracy_that_papers_print(
    real: NASBench201,
) -> None:
    # The row DARTS of table 5 of the paper.
    skips = ["skip_connect"] * 6
    values = [real.query(skips, d) for d in ("cifar10", "cifar100", "ImageNet16-120")]
    assert values == pytest.approx([54.30, 15.61, 16.32], abs=5e-3)


def test_real_values_of_three_official_records(real: NASBench201) -> None:
    assert real.query(0) == 85.8633
    assert real.query(0, "cifar10-valid", "valid_accuracy", budget=12) == 63.364
    assert real.query(0, "cifar10", "train_accuracy", seed=777) == 90.446
    assert real.query(0, "cifar10-valid", "test_accuracy", seed=888) == 81.9
    with pytest.raises(ValueError, match="architecture 284 with `seed=888`"):
        real.query(284, "ImageNet16-120", seed=888)


def test_a_search_sees_validation_after_12_epochs(real: NASBench201) -> None:
    evaluate = real.evaluator("cifar10")
    assert evaluate(0) == 63.364
    result = sn.search(real.space, evaluate, "random", 100, seed=0, progress=False)
    best = result.best.genotype
    accuracy = real.query(np.array(best), "cifar10")
    assert result.num_failed == 0 and 92 < accuracy < 94.4


def test_the_real_table_converts_and_opens_at_once(
    real: NASBench201, data: Any, tmp_path: Path
) -> None:
    path = NASBench201.convert(data("nb201/nb201.csv.gz"), tmp_path / "t.table")
    seconds = min(_seconds(lambda: NASBench201.load(path)) for _ in range(3))
    assert seconds < 0.1
    opened = NASBench201.load(path)
    for one, other in zip(opened.table.series, real.table.series, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert any("checksums" in check for check in opened.verify())
    assert sum("342 cells that are known" in c for c in opened.verify()) == 3


def _seconds(function: Any) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


# --- ways to name an architecture -----------------------------------------------------


def test_all_forms_of_an_architecture_are_the_same(invented: NASBench201) -> None:
    names = [
        "nor_conv_3x3",
        "none",
        "skip_connect",
        "avg_pool_3x3",
        "none",
        "nor_conv_1x1",
    ]
    index = cells.index_of(names)
    genotype = np.array([cells.OPERATIONS.index(name) for name in names])
    space = sn.spaces.NASBench201(channels=2, cells_per_stage=1)
    compiled = sn.SearchSpace(space)
    forms: list[Any] = [
        names,
        tuple(names),
        cells.to_string(names),
        index,
        np.int64(index),
        genotype,
        genotype.astype(float),
        compiled.build(genotype),
        compiled.symbolic(genotype),
        invented.space.build(genotype),
        invented.architecture(index),
    ]
    assert [invented.index(form) for form in forms] == [index] * len(forms)
    assert invented.indices(forms).tolist() == [index] * len(forms)


def test_a_batch_is_its_single_questions(invented: NASBench201) -> None:
    genotypes = invented.space.random(np.random.default_rng(0), 200)
    indices = cells.indices_of(genotypes)
    examples = [invented.space.build(genotype) for genotype in genotypes]
    single = [invented.query(example, "cifar100") for example in examples]
    for batch in (genotypes, indices, examples, indices.tolist(), indices.astype("u2")):
        values = invented.query_many(batch, "cifar100")
        assert values.dtype == np.float64 and values.tolist() == single
    assert invented.query_many([]).shape == (0,)


# --- bad input -------------------------------------------------------------------------

NONE = ["none"] * 5
BAD_ARCHITECTURES = [
    ([*NONE, "conv"], "'conv' on edge 2->3"),
    (NONE, "needs 6 operations, got 5"),
    ([*NONE, "none", "none"], "needs 6 operations, got 7"),
    ("|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", "expected `~0`, got 'none~1'"),
    ("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", "expected `~1`, got 'none~2'"),
    ("|nor_conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "'nor_conv' on edge 0->1"),
    ("resnet", "3 nodes"),
    (15_625, "between 0 and 15624, got 15625"),
    (-1, "between 0 and 15624, got -1"),
    (np.array([0, 1, 2, 3, 4, 5]), "from 0 to 4"),
    (np.array([0, 1, 2, 3, 4, np.nan]), "from 0 to 4"),
    (np.zeros(5), "shape"),
]


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize(("architecture", "message"), BAD_ARCHITECTURES)
def test_bad_architectures_are_refused(
    invented: NASBench201, architecture: Any, message: str
) -> None:
    for ask in (invented.query, invented.evaluator()):
        with pytest.raises(ValueError, match=message):
            ask(architecture)


@pytest.mark.parametrize("architecture", [None, 1.5, True, {"a": 1}, object()])
def test_what_is_no_architecture_is_refused(
    invented: NASBench201, architecture: Any
) -> None:
    with pytest.raises((TypeError, ValueError), match="NASBench201"):
        invented.query(architecture)


BAD_QUESTIONS = [
    (
        {"dataset": "cifar-10"},
        "Unknown `dataset` 'cifar-10'. Did you mean 'cifar10'",
    ),
    ({"dataset": "imagenet"}, "Did you mean 'ImageNet16-120'"),
    ({"dataset": "CIFAR100"}, "Did you mean 'cifar100'"),
    ({"dataset": "svhn"}, "This table has 'cifar10-valid', 'cifar10', 'cifar100'"),
    ({"dataset": ["cifar10"]}, "Unknown `dataset`"),
    ({"metric": "accuracy"}, "Unknown `metric` 'accuracy'. Did you mean"),
    ({"metric": "valid_accuracy"}, "Ask for 'cifar10-valid'"),
    ({"budget": 90}, "`budget` must be 12 or 200, .* got 90"),
    ({"budget": "200"}, "`budget` must be 12 or 200, .* got '200'"),
    ({"budget": 12, "epoch": 13}, "between 1 and 12.*got 13"),
    ({"budget": 12, "epoch": 0}, "between 1 and 12.*got 0"),
    ({"epoch": 201}, "between 1 and 200.*got 201"),
    ({"epoch": 100}, "after epochs 200 alone"),
    ({"seed": 888}, "means alone, got `seed=888`"),
]


@pytest.mark.parametrize(("question", "message"), BAD_QUESTIONS)
def test_bad_questions_are_refused(
    invented: NASBench201, question: dict[str, Any], message: str
) -> None:
    for ask in (invented.query, invented.query_many):
        with pytest.raises(ValueError, match=message):
            ask(np.array([3]) if ask == invented.query_many else 3, **question)


def test_bad_arrays_are_refused(invented: NASBench201) -> None:
    with pytest.raises(ValueError, match="between 0 and 15624, got 15625"):
        invented.query_many(np.array([0, 15_625]))
    with pytest.raises(ValueError, match="got -1"):
        invented.query_many(np.array([0, -1]))
    with pytest.raises(ValueError, match="indices .n,. or genotypes"):
        invented.query_many(np.zeros(3))
    with pytest.raises(ValueError, match="shape"):
        invented.query_many(np.zeros((3, 5)))
    with pytest.raises(TypeError, match="`epoch` must be an integer"):
        invented.query(3, epoch=1.5)  # type: ignore[arg-type]


# --- searches ------------------------------------------------------------------------


def test_an_evaluation_costs_microseconds(invented: NASBench201) -> None:
    evaluate, example = invented.evaluator(), invented.space.build([3] * 6)

    def many() -> None:
        for _ in range(2000):
            evaluate(example)

    many()
    # 1 us on an idle machine; the bound is for a busy one.
    assert min(_seconds(many) for _ in range(5)) / 2000 < 30e-6


def test_an_evaluator_gives_rewards(invented: NASBench201) -> None:
    assert invented.evaluator("cifar10")(7) == invented.query(
        7, "cifar10-valid", "valid_accuracy", budget=12
    )
    test = invented.evaluator("cifar10", "test_accuracy", budget=200)
    assert test(7) == invented.query(7)
    assert invented.evaluator("cifar10", "flops")(7) == -invented.query(
        7, metric="flops"
    )
    both = invented.evaluator("cifar10", ("valid_accuracy", "flops"))(7)
    assert both == {
        "valid_accuracy": invented.evaluator("cifar10")(7),
        "flops": invented.query(7, metric="flops"),
    }


def test_a_curve_is_told_step_by_step(invented: NASBench201) -> None:
    evaluate = invented.evaluator("cifar10", curve=True)
    values = list(evaluate(7))
    assert len(values) == 12 and values[-1] == invented.evaluator("cifar10")(7)
    assert list(invented.evaluator("cifar10", curve=True, epoch=4)(7)) == values[:4]
    result = sn.search(invented.space, evaluate, "random", 5, seed=0, progress=False)
    assert [len(trial.measurements) for trial in result.trials] == [12] * 5
    with pytest.raises(ValueError, match="after epochs 200 alone"):
        invented.evaluator("cifar10", "test_accuracy", budget=200, curve=True)
    with pytest.raises(ValueError, match="single `metric`"):
        invented.evaluator("cifar10", ("valid_accuracy", "flops"), curve=True)


def test_evaluators_can_be_sent_to_workers(
    invented: NASBench201, mini_table: Path
) -> None:
    for benchmark in (invented, NASBench201.load(mini_table)):
        evaluate = benchmark.evaluator("cifar10")
        copy = pickle.loads(pickle.dumps(evaluate))
        assert copy(11) == evaluate(11)
    # A table that lies in a file is not sent, but opened again.
    assert len(pickle.dumps(evaluate)) < 1000


def test_random_seeds_are_those_that_an_architecture_has(mini_table: Path) -> None:
    benchmark = NASBench201.load(mini_table)
    random.seed(0)
    drawn = {benchmark.query(0, seed="random") for _ in range(50)}
    assert drawn == {85.62, 86.18, 85.79}
    assert {benchmark.query(1000, seed="random") for _ in range(9)} == {
        benchmark.query(1000, seed=777)
    }
    batch = benchmark.query_many(np.zeros(50, dtype=int), seed="random")
    assert set(batch.tolist()) == drawn
    evaluate = benchmark.evaluator("cifar10", seed="random")
    assert {evaluate(0) for _ in range(50)} == {62.712, 64.016}
    with pytest.raises(ValueError, match="architecture 5"):
        benchmark.query(5, seed="random")


def test_costs_have_their_optimum_at_the_least(invented: NASBench201) -> None:
    best = invented.optimum("cifar10", "params")
    assert best.value == pytest.approx(0.073306)
    assert invented.regret(1.0, "cifar10", "params") == pytest.approx(1 - 0.073306)


def test_sizes_are_those_of_the_closed_form(invented: NASBench201) -> None:
    for dataset, (classes, size) in {
        "cifar10": (10, 32),
        "cifar100": (100, 32),
        "ImageNet16-120": (120, 16),
    }.items():
        for index in (0, 11, 284, 6111):
            params = cells.num_parameters(index, classes) / 1e6
            flops = cells.num_multiply_adds(index, classes, size) / 1e6
            assert invented.query(index, dataset, "params") == pytest.approx(params)
            assert invented.query(index, dataset, "flops") == pytest.approx(flops)


def test_invented_tables_say_so_and_repeat(invented: NASBench201) -> None:
    assert "invented" in repr(invented) and "invented" in repr(invented.evaluator())
    again, other = NASBench201.synthetic(0), NASBench201.synthetic(1)
    assert again.query(3) == invented.query(3) != other.query(3)


# --- the simulated clock --------------------------------------------------------------


def test_the_clock_adds_training_and_one_validation(mini_table: Path) -> None:
    simulation = NASBench201.load(mini_table).simulate("cifar10")
    assert simulation(0) == pytest.approx(63.364)
    # 12 epochs and one pass, as in the authors' record of architecture 0.
    assert simulation.elapsed == pytest.approx(
        12 * 7.221092998981476 + 2.5489792369660877
    )
    simulation(11)
    assert simulation.elapsed == pytest.approx(
        89.2020952247 + 12 * 12.462056795756022 + 4.151251713434855
    )
    assert simulation.cost(284) == pytest.approx(58.5095 + 2.3895, abs=1e-3)
    assert simulation.num_evaluations == 2 and simulation.is_over() is None


@pytest.mark.parametrize("crossing", ["drop", "keep"])
def test_the_evaluation_that_crosses_the_budget(
    mini_table: Path, crossing: Any
) -> None:
    benchmark = NASBench201.load(mini_table)
    simulation = benchmark.simulate("cifar10", 100.0, crossing=crossing)
    simulation(0)  # 89.2 seconds.
    if crossing == "keep":
        assert simulation(0) == pytest.approx(63.364)
        assert simulation.elapsed == pytest.approx(2 * 89.2020952247)
    else:
        with pytest.raises(sn.benchmarks.TimeIsUp, match="100 seconds .* after 1 eval"):
            simulation(0)
        assert simulation.elapsed == pytest.approx(89.2020952247)
    assert simulation.is_over() == "the simulated 100 seconds are over"
    with pytest.raises(sn.benchmarks.TimeIsUp):
        simulation(284)


@pytest.mark.parametrize("crossing", ["drop", "keep"])
def test_the_clock_ends_a_search(invented: NASBench201, crossing: Any) -> None:
    simulation = invented.simulate("cifar10", 3_000, crossing=crossing)
    result = sn.search(
        invented.space,
        simulation,
        "random",
        seed=0,
        stop_rules=[simulation.is_over],
        progress=False,
    )
    assert result.num_failed == (crossing == "drop")
    assert simulation.num_evaluations == len(result.trials) - result.num_failed
    assert (simulation.elapsed > 3_000) == (crossing == "keep")
    costs = [simulation.cost(np.array(t.genotype)) for t in result.trials]
    counted = costs if crossing == "keep" else costs[:-1]
    assert simulation.elapsed == pytest.approx(sum(counted))


def test_bad_clocks_are_refused(invented: NASBench201) -> None:
    with pytest.raises(ValueError, match="'drop' or 'keep', got 'half'"):
        invented.simulate("cifar10", 10, crossing="half")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`seconds` must be more than 0"):
        invented.simulate("cifar10", 0)
    with pytest.raises(TypeError, match="workers=1"):
        pickle.dumps(invented.simulate("cifar10"))


def test_a_table_without_times_has_no_clock(real: NASBench201) -> None:
    with pytest.raises(ValueError, match="no training times"):
        real.simulate("cifar10")


def test_the_split_of_cifar_10_is_the_published_one():
    """Acceptance check 4."""
    train, valid = sn.benchmarks.NASBench201.cifar10_split()
    assert [train[0], train[10], train[111]] == [0, 26, 203]
    assert [valid[0], valid[10], valid[111]] == [1, 18, 242]
    assert sorted([*train, *valid]) == list(range(50_000))

"""Comparing algorithms on a table, in Python and from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import symnas as sn
from symnas.benchmarks import NASBench201, compare, locations
from symnas.cli import app

ALGORITHMS = {
    "random_search": sn.algorithms.RandomSearch(),
    "regularized_evolution": sn.algorithms.RegularizedEvolution.nas_bench_201(),
    "local_search": sn.algorithms.LocalSearch(),
}


@pytest.fixture(scope="module")
def benchmark() -> NASBench201:
    return NASBench201.synthetic()


@pytest.fixture(scope="module")
def comparison(benchmark):
    return compare(benchmark, ALGORITHMS, seeds=12, queries=40)


def test_runs_are_those_of_the_sample_loop(benchmark, comparison):
    evaluate = benchmark.evaluator("cifar10")
    for name, algorithm in ALGORITHMS.items():
        samples = sn.sample(
            benchmark.space, algorithm.clone(), 40, seed=3, duplicates="allow"
        )
        asked = []
        for example, feedback in samples:
            asked.append(benchmark.index(example))
            feedback(evaluate(example))
        assert comparison.queries[name][3].tolist() == asked


def test_incumbents_are_the_best_so_far_by_the_signal(benchmark, comparison):
    for name in ALGORITHMS:
        found = comparison.incumbents(name)
        for seed, asked in enumerate(comparison.queries[name][:3]):
            signals = [
                benchmark.query(int(i), "cifar10-valid", "valid_accuracy", budget=12)
                for i in asked
            ]
            best = [
                asked[np.argmax(signals[: n + 1])]  # The first of equal ones.
                for n in range(len(asked))
            ]
            assert found[seed].tolist() == best


def test_what_is_reported_is_the_test_accuracy_of_the_incumbent(benchmark, comparison):
    for name in ALGORITHMS:
        final = comparison.incumbents(name)[:, -1]
        for dataset in comparison.datasets:
            expected = [benchmark.query(int(i), dataset) for i in final]
            assert comparison.values(name, dataset)[:, -1].tolist() == expected
            regret = comparison.regret(name, dataset)
            assert regret.shape == (12, 40)
            best = benchmark.optimum(dataset).value
            assert regret[:, -1] == pytest.approx(best - np.array(expected))
            assert regret.min() >= 0


def test_scores_have_the_published_ones_beside_them(comparison):
    scores = {(s.algorithm, s.dataset): s for s in comparison.scores()}
    assert list(scores)[:2] == [
        ("random_search", "cifar10"),
        ("random_search", "cifar100"),
    ]
    evolution = scores["regularized_evolution", "cifar100"]
    assert evolution.published == (71.84, 0.99)
    values = comparison.values("regularized_evolution", "cifar100")[:, -1]
    assert evolution.mean == pytest.approx(values.mean())
    assert evolution.std == pytest.approx(np.std(values, ddof=1))
    assert scores["local_search", "cifar10"].published is None
    assert scores["random_search", "cifar10"].p_value is None
    assert 0 <= evolution.p_value <= 1


def test_workers_change_nothing(benchmark, comparison):
    seen = []
    parallel = compare(
        benchmark,
        ALGORITHMS,
        seeds=12,
        queries=40,
        workers=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    for name in ALGORITHMS:
        assert (parallel.queries[name] == comparison.queries[name]).all()
        assert parallel.seconds[name] > 0
    assert seen[-1] == (36, 36)


def test_a_search_that_ends_early_keeps_its_best(benchmark):
    grid = {"grid": sn.algorithms.GridSearch()}
    found = compare(benchmark, grid, seeds=1, queries=15_700)
    assert len(np.unique(found.queries["grid"])) == 15_625
    assert (found.queries["grid"][0, 15_625:] == found.queries["grid"][0, 15_624]).all()


def test_without_duplicates_no_query_is_repeated(benchmark):
    found = compare(benchmark, ALGORITHMS, seeds=2, queries=100, duplicates="avoid")
    for asked in found.queries.values():
        assert all(len(np.unique(row)) == 100 for row in asked)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "at least 1, got 110 and 0"),
        ({"dataset": "cifar"}, "Did you mean 'cifar10'"),
        ({"metric": "accuracy"}, "Unknown `metric` 'accuracy'"),
        ({"budget": 13}, "got 13"),
        ({"duplicates": "never"}, "never"),
    ],
)
def test_bad_input_is_named(benchmark, options, message):
    with pytest.raises(ValueError, match=message):
        compare(benchmark, ALGORITHMS, **options)


@pytest.mark.parametrize("name", ["Hyperband", "SuccessiveHalving", "ASHA", "BOHB"])
def test_algorithms_with_budgets_are_refused(benchmark, name):
    algorithm = getattr(sn.algorithms, name)()
    with pytest.raises(ValueError, match=f"{name} ends evaluations early"):
        compare(benchmark, {"it": algorithm}, seeds=1)


# --- the figure -------------------------------------------------------------------------


def test_the_figure_has_a_band_and_a_mean_for_each_algorithm(comparison):
    figure = sn.plots.regret(comparison)
    assert len(figure.data) == 2 * 3 * 3
    means = [trace for trace in figure.data if trace.name is not None]
    for trace in means:
        panel = 0 if trace.xaxis == "x" else int(trace.xaxis[1:]) - 1
        regret = comparison.regret(trace.name, comparison.datasets[panel])
        above = np.array(trace.y) > min(trace.y)
        assert np.array(trace.y)[above] == pytest.approx(regret.mean(axis=0)[above])
    assert all(axis.type == "log" for axis in figure.select_yaxes())


def test_regrets_of_zero_can_be_drawn(benchmark):
    everything = compare(
        benchmark, {"grid": sn.algorithms.GridSearch()}, seeds=1, queries=15_625
    )
    figure = sn.plots.regret(everything)
    assert all(min(trace.y) > 0 for trace in figure.data)


# --- the command ------------------------------------------------------------------------


@pytest.fixture
def with_table(benchmark, tmp_path, monkeypatch):
    """A folder in which the command finds the invented table."""
    from symnas.benchmarks import table_file

    monkeypatch.setenv("SYMNAS_DATA", str(tmp_path))
    table_file.write(benchmark.table, locations.target("nas_bench_201"))
    return tmp_path


def test_the_command_prints_and_writes(with_table, monkeypatch):
    monkeypatch.chdir(with_table)
    arguments = [
        "compare",
        "random_search",
        "local_search",
        "tpe()",
        "--seeds",
        "3",
        "--queries",
        "15",
    ]
    result = CliRunner().invoke(app, [*arguments, "--workers", "1", "--output", "out"])
    assert result.exit_code == 0, result.output
    for text in (
        "random_search",
        "local_search",
        "tpe()",
        "93.70±0.36",
        "3 seeds, 15 queries",
    ):
        assert text in result.stdout
    scores = json.loads((with_table / "out" / "scores.json").read_text())["scores"]
    assert len(scores) == 9 and scores[0]["published"] == [93.7, 0.36]
    page = (with_table / "out" / "regret.html").read_text()
    assert "local_search" in page and 'src="http' not in page
    picture = with_table / "out" / "regret.png"
    if picture.exists():  # There is a browser.
        assert picture.read_bytes().startswith(b"\x89PNG")
    else:
        assert "No regret.png" in result.stderr


def test_the_setting_of_the_paper_is_what_a_name_stands_for(with_table):
    arguments = [
        "compare",
        "regularized_evolution",
        "regularized_evolution()",
        "regularized_evolution(population_size=10, tournament_size=3)",
        "--seeds=2",
        "--queries=60",
        "--workers=1",
        "--json",
    ]
    result = CliRunner().invoke(app, arguments)
    scores = json.loads(result.stdout)["scores"]
    paper, default, written = scores[0], scores[3], scores[6]
    assert paper["mean"] == written["mean"] != default["mean"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tpo"], "Did you mean 'tpe'"),
        (["tpe", "--dataset", "cifar"], "Did you mean 'cifar10'"),
        (["tpe", "--output", "/dev/null/x"], "/dev/null"),
        (["hyperband"], "ends evaluations early"),
    ],
)
def test_bad_input_ends_with_one_message(with_table, arguments, message):
    result = CliRunner().invoke(
        app, ["compare", *arguments, "--seeds=1", "--workers=1"]
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_without_a_table_it_says_where_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMNAS_DATA", str(tmp_path))
    monkeypatch.setattr(locations, "folders", lambda: [tmp_path])
    result = CliRunner().invoke(app, ["compare", "tpe"])
    assert result.exit_code == 2
    assert "github.com/D-X-Y/NATS-Bench" in result.stderr

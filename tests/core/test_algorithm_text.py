"""Algorithms that are written as text."""

from __future__ import annotations

import pytest

import symnas as sn
from symnas.algorithm_text import algorithm_from_text


def test_a_name_alone_has_the_defaults():
    for name, kind in sn.algorithms.by_name().items():
        algorithm = algorithm_from_text(name)
        assert type(algorithm) is kind
        assert sn.to_json(algorithm) == sn.to_json(kind())


def test_fields_and_settings_are_set():
    evolution = algorithm_from_text(
        " regularized_evolution(population_size=20, tournament_size=+5) "
    )
    assert (evolution.population_size, evolution.tournament_size) == (20, 5)
    assert algorithm_from_text("reinforce.nas_bench_201").learning_rate == 0.01


def test_searches_take_it():
    result = sn.search(
        sn.oneof(range(9)), float, "tpe(num_startup=3)", 5, seed=0, progress=False
    )
    assert len(result.trials) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpo", "There is no algorithm 'tpo'. Did you mean 'tpe'"),
        ("tpe(num_startups=3)", "no field `num_startups`. Did you mean `num_startup`"),
        ("tpe(num_startup='many')", "num_startup"),
        ("tpe(num_startup=0)", "at least 1, got 0"),
        ("tpe.fast", "no setting 'fast'. It has none."),
        ("reinforce.nb201", "no setting 'nb201'. It has nas_bench_201."),
        ("tpe(3)", "There is no algorithm"),
        ("tpe(", "There is no algorithm"),
        ("", "There is no algorithm ''"),
        ("tpe.__class__", "no setting '__class__'"),
        ("tpe(num_startup=open('x','w'))", "There is no algorithm"),
        ("__import__('os').system('touch x')", "There is no algorithm"),
        ("tpe(**{'num_startup': 3})", "There is no algorithm"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_executed(
    text, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        algorithm_from_text(text)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())

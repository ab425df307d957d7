"""Slices and parallel coordinates: rewards over decisions."""

from __future__ import annotations

import numpy as np
import pytest

import symnas as sn


@pytest.fixture
def conditional():
    inner = {"k": sn.oneof([1, 3, 5], name="k")}
    space = {
        "op": sn.oneof([inner, "pool"], name="op"),
        "rate": sn.floatv(1e-4, 1e-1, "log", name="rate"),
    }

    def evaluate(example):
        return example["rate"] + (example["op"] == "pool")

    return sn.search(space, evaluate, "random", 60, seed=0, progress=False)


def test_slices_show_each_trial_where_its_decision_is_active(conditional):
    figure = conditional.plot_slices()
    assert [figure.layout[f"xaxis{i or ''}"].title.text for i in ("", 2, 3)] == [
        "op",
        "k",
        "rate",
    ]
    for axis, name in (("x", "op"), ("x2", "k"), ("x3", "rate")):
        points = next(t for t in figure.data if t.xaxis == axis and t.mode == "markers")
        active = [t for t in conditional.trials if name in t.decisions]
        assert sorted(points.y) == sorted(t.reward for t in active)
        if name == "rate":
            assert sorted(points.x) == sorted(t.decisions["rate"] for t in active)
        if name == "k":
            choices = [1, 3, 5]
            nearest = [choices[round(x)] for x in points.x]
            assert nearest == [t.decisions["k"] for t in active]
    assert figure.layout.xaxis3.type == "log"
    assert figure.layout.xaxis2.ticktext == ("1", "3", "5")


def test_the_line_of_a_choice_is_the_median_of_its_trials(conditional):
    figure = conditional.plot_slices(["k"])
    medians = next(t for t in figure.data if t.mode == "lines")
    for i, k in enumerate([1, 3, 5]):
        of_k = [t.reward for t in conditional.trials if t.decisions.get("k") == k]
        assert medians.y[3 * i] == np.median(of_k)


def test_each_slot_has_a_slice():
    space = {"ops": sn.manyof(2, ["a", "b", "c"])}
    result = sn.search(
        space, lambda e: len(set(e["ops"])), "random", 6, seed=0, progress=False
    )
    figure = result.plot_slices()
    titles = [figure.layout[f"xaxis{i or ''}"].title.text for i in ("", 2)]
    assert titles == ["ops[0]", "ops[1]"]


def test_lines_of_parallel_coordinates_lie_at_the_values(conditional):
    figure = conditional.plot_parallel_coordinates()
    lines = [t for t in figure.data if t.mode == "lines"]
    assert [t.name for t in lines] == ["others", "next 20%", "best 5%"]
    assert [len(t.x) // 5 for t in lines] == [45, 12, 3]
    rewards = sorted(t.reward for t in conditional.trials)
    low, high = (float(a.text) for a in figure.layout.annotations[-3:-1])
    x = np.concatenate([t.x for t in lines]).reshape(-1, 5)
    np.testing.assert_allclose(sorted(low + x[:, 3] * (high - low)), rewards, atol=0.01)
    inactive = sum("k" not in t.decisions for t in conditional.trials)
    assert (x[:, 1] < 0).sum() == inactive
    rates = [np.log10(t.decisions["rate"]) / 3 + 4 / 3 for t in conditional.trials]
    np.testing.assert_allclose(sorted(x[:, 2]), sorted(rates))


def test_several_objectives_are_axes_and_the_front_stands_out(study, line):
    values = np.random.default_rng(0).normal(size=(50, 2))
    result = study(line, list(values), ["a", "-b"])
    figure = result.plot_parallel_coordinates()
    lines = {t.name: t for t in figure.data if t.mode == "lines"}
    assert set(lines) == {"others", "Pareto front"}
    assert len(lines["Pareto front"].x) // 4 == len(result.pareto_front())
    texts = [a.text for a in figure.layout.annotations]
    assert [t for t in texts if t.startswith("<b>")] == [
        "<b>x</b>",
        "<b>b</b>",
        "<b>a</b>",
    ]


def test_unknown_decisions_and_constant_spaces_are_refused(study, line):
    result = study(line, [1.0, 2.0])
    with pytest.raises(ValueError, match="`decisions` must be names or paths.*'y'"):
        result.plot_slices(["y"])
    with pytest.raises(ValueError, match="one value only"):
        study({"a": sn.oneof(["only"])}, [1.0]).plot_slices()


def test_names_are_no_markup(study):
    evil = "<a href='javascript:alert(1)'>x</a>"
    result = study({"e": sn.oneof([evil, "b"], name=evil)}, [0.0, 1.0, 2.0], [evil])
    for figure in (
        result.plot_slices(),
        result.plot_parallel_coordinates(),
        result.plot_best_so_far(),
        result.plot_timeline(),
    ):
        assert "<a" not in str(figure.to_dict())

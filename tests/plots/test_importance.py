"""Which decisions matter, and when that is not known."""

from __future__ import annotations

import numpy as np
import pytest

import symnas as sn
from symnas.importances import decision_importances


def searched(space, evaluate, n, **options):
    options = {"seed": 0, "progress": False, **options}
    return sn.search(space, evaluate, "random", n, **options)


def test_shares_of_a_sum_are_those_of_its_variance():
    space = {name: sn.floatv(0.0, 1.0) for name in "abc"}
    result = searched(space, lambda e: 2 * e["a"] + e["b"], 1000)
    found = decision_importances(result)
    assert list(found.shares)[:2] == ["a", "b"]
    # The variance of 2 a is four times that of b.
    assert found.shares["a"] == pytest.approx(0.8, abs=0.05)
    assert found.shares["b"] == pytest.approx(0.2, abs=0.05)
    assert found.shares["c"] < 0.01
    assert found.score > 0.9
    assert found.num_trials == 1000


def test_slots_and_choices_count_as_one_decision():
    space = {
        "ops": sn.manyof(2, ["a", "b", "c"], distinct=False),
        "width": sn.oneof(range(100)),
        "other": sn.oneof([1, 2, 3]),
    }
    result = searched(space, lambda e: e["ops"].count("b") + e["width"] / 1000, 400)
    found = decision_importances(result)
    assert list(found.shares) == ["ops", "width", "other"]


def test_noise_is_not_shown_as_truth():
    rng = np.random.default_rng(0)
    space = {name: sn.oneof([1, 2]) for name in "abc"}
    # With eight examples asked again and again, a forest could learn them by heart.
    result = searched(space, lambda e: rng.normal(), 500, duplicates="allow")
    with pytest.raises(ValueError, match="there are 8"):
        decision_importances(result)
    space = {name: sn.floatv(0.0, 1.0) for name in "abc"}
    result = searched(space, lambda e: rng.normal(), 300)
    assert not decision_importances(result).reliable
    with pytest.raises(ValueError, match="do not tell which decisions matter"):
        result.plot_importance()


def test_a_decision_is_shuffled_only_where_it_is_active():
    inner = {"k": sn.floatv(0.0, 1.0)}
    space = {"op": sn.oneof([inner, *range(9)], name="op"), "x": sn.floatv(0.0, 1.0)}

    def evaluate(example):
        op = example["op"]
        return (3 + op["k"] if isinstance(op, dict) else 0) + example["x"] / 10

    found = decision_importances(searched(space, evaluate, 600))
    # In one of ten trials: ranks within the best tenth are all that `k` decides.
    assert next(iter(found.shares)) == "x"
    assert 0 < found.shares["op[=0/10].k"] < 0.05


def test_too_few_trials_and_equal_rewards_are_said():
    space = {"x": sn.floatv(0.0, 1.0)}
    with pytest.raises(ValueError, match="from 20 different completed trials on"):
        searched(space, lambda e: e["x"], 19).plot_importance()
    with pytest.raises(ValueError, match="the same reward"):
        searched(space, lambda e: 1.0, 30).plot_importance()
    with pytest.raises(ValueError, match="`objective` must be one of"):
        searched(space, lambda e: 1.0, 30).plot_importance("loss")


def test_bars_are_the_shares():
    space = {name: sn.floatv(0.0, 1.0) for name in "ab"}
    result = searched(space, lambda e: e["a"], 100)
    found = decision_importances(result)
    (bars,) = result.plot_importance().data
    assert list(bars.x) == [max(share, 0.0) for share in found.shares.values()]

"""Tests of `symnas.SearchSpace`."""

from __future__ import annotations

import json
import math
import random
import sys
import time
from typing import Any

import numpy as np
import pyglove as pg
import pytest
import torch

import symnas as sn

BAD_DNA = [
    ("flat", pg.DNA([0, 1]), "3 values are needed"),
    ("flat", pg.DNA([0, 1, 2, 0]), "3 values are needed"),
    ("flat", pg.DNA([0, 1, 3]), "`c` has 3 candidates, got 3"),
    ("flat", pg.DNA([0, -1, 1]), "`b` has 3 candidates, got -1"),
    ("flat", pg.DNA([0, 0.5, 1]), "`b` has 3 candidates, got 0.5"),
    ("flat", pg.DNA([(0, 1), 1, 1]), "`a` has nothing to decide below 0"),
    ("flat", pg.DNA(None), "3 values are needed"),
    ("one_point", pg.DNA(None), "`a` needs 1 values, got 0"),
    ("conditional", pg.DNA([0, 1]), "`op.*x` needs 1 values, got 0"),
    ("conditional", pg.DNA([(1, 0), 1]), "2 values are needed"),
    ("floats", pg.DNA([0.0, 0.5, 2.0]), "`rlog` must be a float from 0.5 to 0.99"),
    ("floats", pg.DNA([0.0, 0.5, 1]), "`rlog` must be a float"),
    ("floats", pg.DNA([math.nan, 0.5, 0.6]), "`linear` must be a float"),
    ("many_distinct", pg.DNA([1, 1]), "`ops` needs distinct choices"),
    ("many_sorted", pg.DNA([1, 0]), "`ops` needs sorted choices"),
    ("many_any", pg.DNA([1, 0, 2]), "`ops` needs 2 values, got 3"),
]


def rows_of(space: sn.SearchSpace, n: int = 20, seed: int = 0) -> np.ndarray:
    return space.layout.random(np.random.default_rng(seed), n)


def shown(example: Any) -> str:
    """Text that is equal for equal examples."""
    return repr(example)


def same(left: Any, right: Any) -> bool:
    """Whether two examples are equal, up to the rounding of floats."""
    if isinstance(left, float):
        return left == pytest.approx(right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            same(left[k], right[k]) for k in left
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


# --- decisions ------------------------------------------------------------------------


def test_decisions_have_paths_kinds_and_conditions(toys):
    decisions = toys["conditional"].compile().decisions
    assert [d.path for d in decisions] == [
        "op",
        "op[=0/3].x",
        "op[=1/3].y",
        "op[=1/3].z",
        "last",
    ]
    assert [d.kind for d in decisions] == [
        "choice",
        "choice",
        "choice",
        "int",
        "choice",
    ]
    assert [d.count for d in decisions] == [3, 3, 2, 2, 2]
    assert [d.when for d in decisions] == [
        "",
        "candidate 0 of `op`",
        "candidate 1 of `op`",
        "candidate 1 of `op`",
        "",
    ]
    assert list(decisions[1].choices) == [1, 2, 3]
    assert list(decisions[3].choices) == [6, 7]


def test_values_are_those_of_the_active_decisions(toys):
    space = toys["conditional"].compile()
    assert space.values([1, -1, 0, 1, 0]) == {
        "op": "{'y': oneof([4, 5]), 'z': intv(6, 7)}",
        "op[=1/3].y": 4,
        "op[=1/3].z": 7,
        "last": "a",
    }
    assert toys["tied"].compile().values([2]) == {"width": 32}
    assert toys["many_any"].compile().values([2, 2]) == {"ops": ["c", "c"]}


def test_a_name_stands_for_the_decision_in_values(toys):
    values = toys["mixed"].compile().values(rows_of(toys["mixed"].compile())[0])
    assert {"width", "rate", "steps", "order"} <= values.keys()


def test_bool_floats_and_numpy_genotypes_are_the_same(toys):
    space = toys["flat"].compile()
    for genotype in ([0, 1, 2], (0.0, 1.0, 2.0), np.array([0, 1, 2])):
        assert space.build(genotype) == {"a": 1, "b": 2, "c": 3}


def test_the_repr_says_how_large_it_is(toys):
    assert repr(toys["flat"].compile()) == "SearchSpace(3 decisions, 27 examples)"
    assert "infinitely many" in repr(toys["floats"].compile())
    assert "at most" in repr(toys["constraint"].compile())


# --- examples -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "genotype", "expected"),
    [
        ("flat", [2, 0, 1], {"a": 3, "b": 1, "c": 2}),
        ("conditional", [0, 2, -1, -1, 0], {"op": {"x": 3}, "last": "a"}),
        ("conditional", [1, -1, 1, 0, 1], {"op": {"y": 5, "z": 6}, "last": "b"}),
        ("conditional", [2, -1, -1, -1, 1], {"op": 8, "last": "b"}),
        ("many_distinct", [3, 1], {"ops": ["d", "b"]}),
        ("many_any", [3, 3], {"ops": ["d", "d"]}),
        ("one_of_many", [1, 0], [[2], 1]),
        ("permutation", [3, 0, 2, 1], [["d", "a", "c", "b"]]),
        ("ints", [4, 1], {"a": 7, "b": 0}),
        ("tied", [1], {"a": 16, "b": 16, "c": 32}),
        ("constant_float", [0.0, 2], {"a": 2.0, "b": 3}),
        ("floats", [0.5, 0.5, 0.0], {"linear": 1.0, "log": 1e-2, "rlog": 0.5}),
        ("large_ints", [10**12, 0], {"a": 10**12, "b": 1}),
        ("traced", [0, 2, 1, -1, -1], ("conv", 5, 3)),
        ("traced", [1, -1, -1, 0, 2], ("pool", ["max", "min"])),
    ],
)
def test_an_example_is_what_python_would_have_made(toys, name, genotype, expected):
    assert same(toys[name].compile().build(genotype), expected)


def test_examples_of_constructors_are_what_they_would_have_made(toys, block):
    deep = toys["many_deep_any"].compile()
    assert deep.build([1, 0, 0, 1, -1, 0, -1]) == [7, [block(2), block(1)]]
    nested = toys["conditionally_tied"].compile()
    assert nested.build([1, 2, 1]) == {"op": block(32, 2)}
    assert nested.build([0, 0, -1]) == {"op": block(8)}


def test_an_object_that_stands_in_two_places_is_made_once(toys, block):
    first, other, number = toys["shared"].compile().build([2, 1, 0, 1])
    assert first is other["again"]
    assert (first, number) == (block(3, block(5)), 8)
    both = toys["conditionally_shared"].compile().build([0, 1, 0])
    assert both[0].width is both[1].width


def test_each_genotype_is_another_example(small_toy):
    space = small_toy.compile()
    examples = [shown(space.build(genotype)) for genotype in space.enumerate()]
    assert len(set(examples)) == small_toy.size
    if not small_toy.traced:
        assert len(examples) == small_toy.size


def test_examples_are_new_each_time(toys):
    space = toys["mixed"].compile()
    genotype = rows_of(space)[0]
    first, second = space.build(genotype), space.build(genotype)
    assert first is not second
    assert first["model"] is not second["model"]
    assert type(first["model"]) is torch.nn.Sequential


def test_the_symbolic_form_of_an_example_builds_the_same(toys):
    space = toys["shared"].compile()
    for genotype in space.enumerate():
        assert sn.build(space.symbolic(genotype)) == space.build(genotype)
    with pytest.raises(ValueError, match="no symbolic form"):
        toys["traced"].compile().symbolic([0, 0, 0, -1, -1])


def test_building_what_is_open_raises(toys):
    with pytest.raises(ValueError, match="3 decisions are open"):
        sn.build(toys["flat"].make())


def test_a_space_can_be_compiled_from_a_compiled_one(toy):
    first = toy.compile()
    second = sn.SearchSpace(first)
    genotype = rows_of(first)[0]
    assert second.num_columns == first.num_columns
    assert second.constraint is first.constraint
    assert shown(second.build(genotype)) == shown(
        first.build(genotype)
    ) or toy.size == (math.inf)


@pytest.mark.parametrize("space", [{"a": 1}, [1, 2], 5, lambda: 3, pg.dna_spec({})])
def test_a_space_without_decisions_raises(space):
    with pytest.raises(ValueError, match="nothing to search"):
        sn.SearchSpace(space)


def test_where_that_selects_nothing_raises(toys):
    with pytest.raises(ValueError, match="no hyper-value selected"):
        sn.SearchSpace(toys["flat"].make(), where=lambda value: False)


def test_where_is_asked_once_for_each_hyper_value(toys):
    asked = []
    space = toys["conditional"].make()
    sn.SearchSpace(space, where=lambda value: asked.append(value) or True)
    assert len(asked) == 5


def test_where_makes_a_decision_below_an_open_one_unconditional(toys):
    space = sn.SearchSpace(
        toys["conditional"].make(),
        where=lambda value: isinstance(value, sn.hyper.OneOf) and 4 in value.candidates,
    )
    assert [d.when for d in space.decisions] == [""]
    rest = sn.SearchSpace(space.build([1]))
    assert [d.count for d in rest.decisions] == [3, 3, 2, 2]
    assert rest.build([1, -1, 0, 0]) == {"op": {"y": 5, "z": 6}, "last": "a"}


# --- constraints ----------------------------------------------------------------------


def test_all_random_genotypes_satisfy_the_constraint(toys):
    space = toys["constraint"].compile()
    for n in (1, 200):
        for genotype in space.random(np.random.default_rng(0), n):
            assert sum(space.values(genotype).values()) % 2 == 0
            assert space.is_feasible(genotype)
    assert len(list(space.enumerate())) == toys["constraint"].size


def test_a_constraint_that_is_seldom_satisfied_is(toys):
    space = toys["narrow"].compile()
    assert (space.random(np.random.default_rng(0), 5)[:, 0] == 37).all()


def test_a_constraint_that_nothing_satisfies_raises_and_says_so(toys):
    space = sn.SearchSpace(toys["flat"].make(), lambda values: False)
    with pytest.raises(ValueError, match="refused 100,000 random examples in a row"):
        space.random(np.random.default_rng(0), 1)


# --- PyGlove --------------------------------------------------------------------------


def test_a_genotype_comes_back_from_its_dna(toy):
    space = toy.compile()
    if not toy.listed:
        with pytest.raises(ValueError, match="PyGlove lists them all"):
            space.to_dna(rows_of(space)[0])
        return
    for genotype in rows_of(space, 10):
        back = space.from_dna(space.to_dna(genotype))
        assert np.allclose(back, genotype, rtol=0, atol=1e-9)


def test_random_dna_of_pyglove_is_accepted(toy):
    if not toy.listed:
        return
    space = toy.compile()
    rng = random.Random(0)
    for _ in range(10):
        dna = pg.random_dna(space.dna_spec, rng)
        genotype = space.from_dna(dna)
        assert space.check(genotype).tolist() == genotype.tolist()
        again = space.from_dna(space.to_dna(genotype))
        assert np.allclose(again, genotype, rtol=0, atol=1e-9)


def test_pyglove_makes_the_same_example_of_the_same_dna(untied_toy):
    space = untied_toy.make()
    if isinstance(space, pg.DNASpec):
        return
    compiled = untied_toy.compile()
    rng = random.Random(0)
    value = pg.List(space) if isinstance(space, list) else pg.Dict(space)
    spec = pg.dna_spec(value)
    for _ in range(8):
        dna = pg.random_dna(spec, rng)
        expected = sn.build(pg.materialize(value, dna))
        assert same(compiled.build(compiled.from_dna(dna)), expected)


def test_the_spec_has_as_many_points_as_the_space(small_toy):
    space = small_toy.compile()
    spec = space.dna_spec
    if small_toy.tied:  # What stands in several places is always decided there.
        assert spec.space_size >= small_toy.size
    elif any(d.kind == "float" for d in space.decisions):
        assert spec.space_size == -1
    elif small_toy.constraint is None and not small_toy.traced:
        assert spec.space_size == small_toy.size


def test_pyglove_sees_names_values_and_places(toys):
    spec = toys["conditional"].compile().dna_spec
    ids = [str(point.id) for point in spec.decision_points]
    assert ids == ["op", "op[=0/3].x", "op[=1/3].y", "op[=1/3].z", "last"]
    named = toys["tied"].compile().dna_spec
    assert [point.name for point in named.decision_points] == ["width"]
    assert named.decision_points[0].literal_values == [8, 16, 32]


def test_each_decision_has_a_place_in_pyglove(toy):
    if not toy.listed:
        return
    space = toy.compile()
    ids = [str(point.id) for point in space.dna_spec.decision_points]
    assert len(set(ids)) == len(ids)
    assert len(ids) >= len(space.decisions)


@pytest.mark.parametrize(
    ("name", "dna", "message"), BAD_DNA, ids=[f"{n}-{d}" for n, d, _ in BAD_DNA]
)
def test_dna_that_does_not_fit_raises(toys, name, dna, message):
    with pytest.raises(ValueError, match=message):
        toys[name].compile().from_dna(dna)


@pytest.mark.parametrize("dna", [None, [0, 1, 2], "0", 3])
def test_what_is_no_dna_raises(toys, dna):
    with pytest.raises(TypeError, match=r"`pg.DNA` is needed"):
        toys["flat"].compile().from_dna(dna)


def test_a_custom_decision_of_pyglove_raises():
    class Custom(pg.hyper.CustomHyper):
        def custom_decode(self, dna: pg.DNA) -> str:
            return dna.value

    with pytest.raises(ValueError, match="custom decision"):
        sn.SearchSpace(pg.dna_spec(pg.Dict(a=Custom())))


def test_shared_spaces_run_in_pyglove_through_for_pyglove(toys):
    made = []
    for make in pg.iter(toys["tied"].compile().for_pyglove()):
        made.append(make())
    assert made == [{"a": w, "b": w, "c": 2 * w} for w in (8, 16, 32)]
    space = toys["shared"].compile()
    for make, feedback in pg.sample(space.for_pyglove(), pg.geno.Random(0), 5):
        first, other, _ = make()
        assert first is other["again"]
        feedback(1.0)


# --- JSON and fingerprints ------------------------------------------------------------


def test_a_space_comes_back_from_json(toy):
    space = toy.compile()
    text = space.to_json()
    json.loads(text)
    back = sn.SearchSpace.from_json(text, toy.constraint, allow=toy.allow)
    assert back.size == space.size
    assert back.size_is_exact == space.size_is_exact
    assert back.fingerprint == space.fingerprint
    if isinstance(toy.make(), pg.DNASpec):
        return  # The slots of its `manyof` share what is below them when they come back.
    for genotype in rows_of(space, 5):
        again = back.check(genotype)
        assert again.tolist() == genotype.tolist()
        if not toy.traced:
            assert same_model(back.build(genotype), space.build(genotype))


def same_model(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and "model" in left:
        left, right = {**left, "model": 0}, {**right, "model": 0}
    return same(left, right)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"decisions": 3, "branches": [[]]}',
        '{"decisions": [], "branches": []}',
        '{"decisions": [{"kind": "choice"}], "branches": [[]]}',
        '{"space": {"_type": "builtins.eval"}}',
        "[" * 100_000,
    ],
)
def test_what_is_not_the_json_of_a_space_raises(text):
    with pytest.raises((ValueError, TypeError)):
        sn.SearchSpace.from_json(text)


def test_equal_spaces_have_equal_fingerprints(toy):
    assert toy.compile().fingerprint == toy.compile().fingerprint
    assert len(toy.compile().fingerprint) == 64


def test_a_lambda_has_no_fingerprint():
    space = sn.SearchSpace({"a": sn.derive(lambda x: 2 * x, sn.oneof([1, 2]))})
    with pytest.raises(TypeError, match="Define it with `def`"):
        space.fingerprint  # noqa: B018


def test_different_spaces_have_different_fingerprints(toys):
    found = [
        toy.compile().fingerprint
        for toy in toys.values()
        if toy.constraint is None  # A constraint is no part of it.
    ]
    assert len(set(found)) == len(found)


# --- size and speed -------------------------------------------------------------------


def test_deep_spaces_do_not_hit_the_recursion_limit(make_chain):
    """PyGlove fails beyond 80 levels."""
    space = sn.SearchSpace(make_chain(500))
    rng = np.random.default_rng(0)
    assert space.size == 501
    deepest = np.array([[1.0] * 500])
    assert space.check(deepest[0]).tolist() == deepest[0].tolist()
    example, levels = space.build(deepest[0])["chain"], 0
    while isinstance(example, dict):
        example, levels = example["next"], levels + 1
    assert (example, levels) == ("last", 499)
    assert len(space.random(rng, 20)) == 20
    assert (
        (space.mutate(np.repeat(deepest, 20, axis=0), rng) != deepest).any(axis=1).all()
    )
    assert space.mutate(deepest, rng).shape == (1, 500)
    assert len(space.neighbors(deepest[0])) == 500
    assert np.array_equal(space.decode(space.encode(deepest)), deepest)
    assert len(list(space.enumerate())) == 501
    start = time.process_time()
    assert len(space.values(deepest[0])) == 500
    assert time.process_time() - start < 0.5
    assert space.decisions[-1].path.count("next") == 499


def wide(number: int) -> Any:
    blocks = [
        {"op": sn.oneof([{"size": sn.oneof([1, 3, 5])}, "pool", "skip"])}
        for _ in range(number // 2)
    ]
    return sn.symbolic(blocks) if hasattr(blocks, "sym_path") else blocks


def calls_to_compile(number: int) -> int:
    """How many functions are called to compile a space of that many decisions."""
    space = sn.oneof([wide(number), 0])
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        sn.SearchSpace(space)
    finally:
        sys.setprofile(None)
    return count


def test_compiling_takes_time_in_proportion_to_the_decisions():
    assert calls_to_compile(2000) < 2.3 * calls_to_compile(1000)


def test_ten_thousand_conditional_decisions_can_be_drawn_and_changed():
    compiled = sn.SearchSpace(sn.oneof([wide(10_000), 0]))
    assert len(compiled.decisions) == 10_001
    rng = np.random.default_rng(0)
    genotypes = compiled.random(rng, 10)
    assert compiled.mutate(genotypes, rng).shape == (10, 10_001)


@pytest.mark.parametrize("n", [256, 257, 20_000])
def test_a_choice_may_have_many_candidates(n):
    space = sn.SearchSpace({"x": sn.oneof(range(n)), "y": sn.manyof(2, range(n))})
    assert space.size == n * n * (n - 1)
    assert space.build([n - 1, 0, n - 1]) == {"x": n - 1, "y": [0, n - 1]}
    assert sn.SearchSpace.from_json(space.to_json()).size == space.size

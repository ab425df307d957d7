"""Tests of `symnas.genotype`: operations on rows against slow, obvious versions."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyglove as pg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import symnas as sn
from symnas.counting import enumerate_rows, size, size_is_exact
from symnas.genotype import Decision
from symnas.layout import Layout

Row = tuple[float, ...]


# --- slow, obvious versions -----------------------------------------------------------


def slow_active(layout: Layout, row: Sequence[float | None]) -> list[bool]:
    """Opens branches until no more can be opened."""
    there = {0}
    while True:
        opened = {
            branch
            for branch, entries in enumerate(layout.branches)
            for entry in entries
            if entry.parent in there
            and (entry.column < 0 or row[entry.column] == entry.value)
            and (entry.column < 0 or there & set(layout.owner[entry.column].branches))
        }
        if opened <= there:
            return [bool(there & set(d.branches)) for d in layout.owner]
        there |= opened


def slow_activate(layout: Layout, row: Sequence[float]) -> Row:
    active = slow_active(layout, row)
    return tuple(g if a else -1.0 for g, a in zip(row, active, strict=True))


def ways(decision: Decision, resolution: int = 3) -> list[Row]:
    """All genes that a decision can have, in order."""
    if decision.kind == "float":
        if not decision.can_change:
            return [(0.0,)]
        return [(i / (resolution - 1),) for i in range(resolution)]
    found = []
    for genes in itertools.product(range(decision.count), repeat=decision.slots):
        if decision.distinct and len(set(genes)) < len(genes):
            continue
        if decision.sorted and list(genes) != sorted(genes):
            continue
        found.append(tuple(map(float, genes)))
    return found


def all_rows(layout: Layout) -> list[Row]:
    """All genotypes in lexicographic order: decides what is active and still open."""

    def expand(row: list[float | None]) -> Iterator[Row]:
        active = slow_active(layout, row)
        for decision in layout.decisions:
            if active[decision.column] and row[decision.column] is None:
                for genes in ways(decision):
                    following = list(row)
                    following[decision.column : decision.column + len(genes)] = genes
                    yield from expand(following)
                return
        yield tuple(-1.0 if g is None else g for g in row)

    return sorted(expand([None] * layout.num_columns))


def genes_of(decision: Decision, row: Sequence[float]) -> Row:
    return tuple(row[decision.column : decision.column + decision.slots])


def differing(layout: Layout, a: Sequence[float], b: Sequence[float]) -> list[Decision]:
    """Decisions that are active in both and differ."""
    return [
        d
        for d in layout.decisions
        if a[d.column] >= 0 and b[d.column] >= 0 and genes_of(d, a) != genes_of(d, b)
    ]


def one_step(decision: Decision, a: Row, b: Row) -> bool:
    if decision.kind == "float":
        return math.isclose(b[0], min(a[0] + 0.1, 1.0)) or math.isclose(
            b[0], max(a[0] - 0.1, 0.0), abs_tol=1e-12
        )
    if decision.kind == "int":
        return abs(a[0] - b[0]) == 1
    removed = Counter(a) - Counter(b)
    if decision.sorted:
        return removed.total() == 1
    changed = sum(x != y for x, y in zip(a, b, strict=True))
    return changed == 1 or (decision.distinct and not removed and changed == 2)


def is_neighbor(layout: Layout, a: Row, b: Row) -> bool:
    changed = differing(layout, a, b)
    if len(changed) != 1:
        return False
    first = all(
        genes_of(d, b) == ways(d)[0]
        for d in layout.decisions
        if a[d.column] < 0 <= b[d.column]
    )
    return first and one_step(
        changed[0], genes_of(changed[0], a), genes_of(changed[0], b)
    )


def probability(layout: Layout, row: Row) -> float:
    """Of a genotype whose decisions are all drawn uniformly on their scales."""
    result = 1.0
    for decision in layout.decisions:
        if row[decision.column] < 0:
            continue
        if decision.kind == "int" and decision.scale == "log":
            low, high = decision.choices[0], decision.choices[-1] + 1
            value = decision.choices[int(row[decision.column])]
            result *= math.log((value + 1) / value) / math.log(high / low)
        else:
            result /= len(ways(decision))
    return result


def layout_of(toy: Any) -> Layout:
    return toy.compile().layout


# --- activity -------------------------------------------------------------------------


def test_one_row_and_a_batch_have_the_same_active_columns_as_a_slow_version(toy):
    layout = layout_of(toy)
    rng = np.random.default_rng(0)
    full = np.floor(rng.random((60, layout.num_columns)) * np.maximum(layout.counts, 1))
    expected = [slow_activate(layout, row) for row in full.tolist()]
    assert [tuple(layout.activate_row(row)) for row in full.tolist()] == expected
    assert layout.activate(full.copy()).tolist() == [list(row) for row in expected]


def test_when_names_the_candidates_that_open_a_decision(toys):
    when = {d.label: d.when for d in layout_of(toys["conditionally_tied"]).decisions}
    assert when["op"] == ""
    assert when["width"] == "candidate 0 or 1 of `op`"
    assert when["op[=1/3].inner"] == "candidate 1 of `op`"


def test_a_decision_that_always_stands_somewhere_has_no_condition(toys):
    assert [d.when for d in layout_of(toys["tied"]).decisions] == [""]
    shared = [d.when for d in layout_of(toys["shared"]).decisions]
    assert shared[0] == shared[1] == shared[3] == ""
    assert shared[2].startswith("candidate 1 of ")


# --- random genotypes -----------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 200])
def test_random_genotypes_are_valid(toy, n):
    layout = layout_of(toy)
    genotypes = layout.random(np.random.default_rng(0), n)
    assert genotypes.shape == (n, layout.num_columns)
    assert genotypes.dtype == np.float64
    for genotype in genotypes:
        if not toy.traced:
            assert layout.check(genotype).tolist() == genotype.tolist()


@pytest.mark.parametrize("batched", [False, True])
def test_random_genotypes_are_uniform_in_each_decision(small_toy, batched):
    layout = layout_of(small_toy)
    rows = all_rows(layout)
    chances = np.array([probability(layout, row) for row in rows])
    assert chances.sum() == pytest.approx(1)
    rng = np.random.default_rng(1)
    n = 4000
    drawn = (
        layout.random(rng, n).tolist()
        if batched
        else [layout.random_row(rng) for _ in range(n)]
    )
    counts = Counter(map(tuple, drawn))
    assert set(counts) <= set(rows)
    common = chances * n > 5  # The test needs that many of each.
    if common.sum() > 1:
        observed = np.array([counts[row] for row in rows])
        observed = np.append(observed[common], observed[~common].sum())
        expected = np.append(chances[common], chances[~common].sum()) * n
        used = expected > 0
        assert chisquare(observed[used], expected[used]).pvalue > 1e-4


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    ("make", "median"),
    [
        (lambda: sn.floatv(1e-4, 1.0, "log"), 1e-2),
        (lambda: sn.floatv(-1.0, 3.0), 1.0),
        # 'rlog' mirrors 'log' at the middle of the interval.
        (lambda: sn.floatv(1e-4, 1.0, "rlog"), 1.0001 - 1e-2),
        (lambda: sn.intv(1, 10_000, log=True), 100),
        (lambda: sn.intv(1, 10_000), 5000),
    ],
    ids=["log", "linear", "rlog", "log int", "int"],
)
def test_numbers_are_uniform_on_their_scale(make, median, batched):
    """Acceptance check 4: PyGlove's log-scaled floats (defect 3) have median 0.48."""
    space = sn.SearchSpace([make()])
    rng = np.random.default_rng(0)
    rows = (
        space.random(rng, 10_000)
        if batched
        else [space.layout.random_row(rng) for _ in range(10_000)]
    )
    values = [space.decisions[0].value(row[0]) for row in rows]
    assert np.median(values) == pytest.approx(median, rel=0.1)


def test_sorted_choices_with_repetition_are_equally_likely_whatever_they_repeat():
    layout = sn.SearchSpace(sn.manyof(2, [0, 1], distinct=False, sorted=True)).layout
    counts = Counter(map(tuple, layout.random(np.random.default_rng(0), 3000).tolist()))
    assert all(900 < counts[pair] < 1100 for pair in [(0, 0), (0, 1), (1, 1)])


def test_a_float_of_one_value_has_one_gene():
    layout = sn.SearchSpace([sn.floatv(2.0, 2.0), sn.oneof([1, 2])]).layout
    rng = np.random.default_rng(0)
    assert (layout.random(rng, 20)[:, 0] == 0).all()
    assert layout.random_row(rng)[0] == 0
    assert layout.check([0.7, 1]).tolist() == [0, 1]
    assert layout.decode(np.array([[0.9, 0.9]])).tolist() == [[0, 1]]


# --- mutation and crossover -----------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 60])
def test_a_mutated_child_differs_from_its_parent_in_exactly_one_decision(toy, n):
    """Acceptance check 4; a fifth of the children of PyGlove's mutator are equal to
    their parents (defect 2)."""
    layout = layout_of(toy)
    rng = np.random.default_rng(0)
    for _ in range(2 + 60 // n):
        parents = layout.random(rng, n)
        before = parents.copy()
        children = layout.mutate(parents, rng)
        assert np.array_equal(parents, before)
        assert children.shape == parents.shape
        for parent, child in zip(parents, children, strict=True):
            if not toy.traced:
                assert layout.check(child).tolist() == child.tolist()
            assert len(differing(layout, parent, child)) == (toy.size > 1)
            if toy.size == 1:
                assert child.tolist() == parent.tolist()


def one_child(layout, parent, rng):
    return layout.mutate(np.array([parent], dtype=float), rng)[0].tolist()


@pytest.mark.parametrize("batched", [False, True])
def test_mutation_can_make_every_change_of_one_decision(small_toy, batched):
    layout = layout_of(small_toy)
    rng = np.random.default_rng(0)
    rows = all_rows(layout)
    parent = rows[len(rows) // 2]
    if batched:
        children = layout.mutate(np.tile(parent, (3000, 1)), rng).tolist()
    else:
        children = [one_child(layout, parent, rng) for _ in range(3000)]
    allowed = {parent} if len(rows) == 1 else set()
    for row in rows:
        changed = differing(layout, parent, row)
        if len(changed) == 1:
            old, new = genes_of(changed[0], parent), genes_of(changed[0], row)
            if changed[0].slots == 1 or one_step(changed[0], old, new):
                allowed.add(row)
    reached = {tuple(child) for child in children}
    assert reached <= allowed
    if min(probability(layout, row) for row in allowed) > 1e-3:
        assert reached == allowed


def test_each_decision_is_mutated_equally_often():
    layout = sn.SearchSpace(
        [sn.oneof([1, 2]), sn.oneof(range(9)), sn.floatv(0, 1)]
    ).layout
    rng = np.random.default_rng(0)
    parent = layout.random_row(rng)
    for children in (
        layout.mutate(np.tile(parent, (3000, 1)), rng),
        np.array([one_child(layout, parent, rng) for _ in range(3000)]),
    ):
        changes = (children != parent).sum(axis=0)
        assert chisquare(changes).pvalue > 1e-4


def test_ints_on_a_logarithmic_scale_are_mutated_on_it():
    layout = sn.SearchSpace([sn.intv(1, 10_000, log=True)]).layout
    rng = np.random.default_rng(0)
    for children in (
        layout.mutate(np.full((3000, 1), 5000.0), rng)[:, 0],
        [one_child(layout, [5000.0], rng)[0] for _ in range(3000)],
    ):
        assert 5000 not in children
        assert np.median(children) == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize("n", [1, 80])
def test_crossover_takes_each_decision_from_one_of_the_parents(toy, n):
    layout = layout_of(toy)
    rng = np.random.default_rng(0)
    first, second = layout.random(rng, n), layout.random(rng, n)
    children = layout.crossover(first, second, rng)
    for a, b, child in zip(first, second, children, strict=True):
        if not toy.traced:
            assert layout.check(child).tolist() == child.tolist()
        for decision in layout.decisions:
            options = [
                genes_of(decision, parent)
                for parent in (a, b)
                if parent[decision.column] >= 0
            ]
            if child[decision.column] >= 0 and options:
                assert genes_of(decision, child) in options


def test_crossover_of_equal_parents_returns_them(toy):
    layout = layout_of(toy)
    rng = np.random.default_rng(0)
    parents = layout.random(rng, 20)
    assert np.array_equal(layout.crossover(parents, parents, rng), parents)


def test_crossover_mixes_both_parents_evenly():
    layout = sn.SearchSpace([sn.oneof([1, 2]) for _ in range(4)]).layout
    first, second = np.zeros((3000, 4)), np.ones((3000, 4))
    children = layout.crossover(first, second, np.random.default_rng(0))
    counts = Counter(map(tuple, children.tolist()))
    assert chisquare([counts[row] for row in all_rows(layout)]).pvalue > 1e-4


# --- neighbours, enumeration, size ----------------------------------------------------


def test_neighbors_are_complete(small_toy):
    layout = layout_of(small_toy)
    rows = all_rows(layout)
    for row in rows:
        found = [tuple(other) for other in layout.neighbors(list(row)).tolist()]
        expected = [other for other in rows if is_neighbor(layout, row, other)]
        assert sorted(found) == expected


def test_neighbors_of_floats_are_a_tenth_of_the_scale_away():
    layout = sn.SearchSpace([sn.floatv(1e-4, 1.0, "log"), sn.floatv(3.0, 3.0)]).layout
    assert np.allclose(layout.neighbors([0.5, 0]), [[0.4, 0], [0.6, 0]])
    assert np.allclose(layout.neighbors([0.0, 0]), [[0.1, 0]])
    assert np.allclose(layout.neighbors([0.95, 0]), [[0.85, 0], [1.0, 0]])


def test_neighbors_of_a_single_point_are_none(toys):
    assert layout_of(toys["one_point"]).neighbors([0]).shape == (0, 1)


def test_enumeration_is_complete_ordered_and_without_duplicates(small_toy):
    layout = layout_of(small_toy)
    rows = [tuple(row) for row in enumerate_rows(layout)]
    assert len(set(rows)) == len(rows)
    assert sorted(rows) == all_rows(layout)
    if not small_toy.tied:  # A tied decision may depend on one that stands behind it.
        assert rows == sorted(rows)


def test_enumeration_takes_floats_at_equal_distances(toys):
    layout = layout_of(toys["float_below"])
    rows = [tuple(row) for row in enumerate_rows(layout, 3)]
    assert rows == all_rows(layout)
    assert [row[1] for row in rows[::2]] == [0.0, 0.5, 1.0, -1.0, -1.0]
    assert [row[1] for row in enumerate_rows(layout, 1)] == [0.0, 0.0, -1, -1, -1, -1]


def test_enumeration_of_large_spaces_starts_at_once(toys):
    rows = itertools.islice(enumerate_rows(layout_of(toys["large_ints"])), 3)
    assert list(rows) == [[0, 0], [0, 1], [0, 2]]


def test_the_size_is_the_number_of_genotypes(small_toy):
    layout = layout_of(small_toy)
    number = len(all_rows(layout))
    if small_toy.constraint is None and not small_toy.traced:
        assert number == small_toy.size
    if size_is_exact(layout):
        assert size(layout) == number
    else:
        assert size(layout) > number


def test_sizes_of_large_spaces_are_exact(toys):
    assert toys["large_ints"].compile().size == toys["large_ints"].size
    assert toys["floats"].compile().size == math.inf
    assert sn.SearchSpace(sn.permutate(range(30))).size == math.factorial(30)
    assert sn.SearchSpace(sn.manyof(9, range(50), sorted=True)).size == math.comb(50, 9)


def test_sizes_equal_those_of_pyglove_where_nothing_is_tied(untied_toy):
    space = untied_toy.make()
    if isinstance(space, list):
        space = pg.List(space)
    spec = space if isinstance(space, pg.DNASpec) else pg.dna_spec(space)
    if any(d.kind == "float" for d in layout_of(untied_toy).decisions):
        assert spec.space_size == -1  # Also when the float has one value only.
    else:
        assert spec.space_size == untied_toy.size


# --- encoding -------------------------------------------------------------------------


def test_decoding_returns_what_was_encoded(toy):
    layout = layout_of(toy)
    genotypes = layout.random(np.random.default_rng(0), 100)
    points = layout.encode(genotypes)
    assert points.shape == genotypes.shape
    assert (points >= 0).all() and (points <= 1).all()
    assert np.array_equal(layout.decode(points), genotypes)
    if not toy.listed:
        with pytest.raises(ValueError, match="a one-hot code is limited"):
            layout.encode(genotypes, one_hot=True)
        return
    points = layout.encode(genotypes, one_hot=True)
    assert points.shape == (100, np.maximum(layout.counts, 1).sum())
    assert np.array_equal(layout.decode(points), genotypes)


def test_any_point_decodes_to_a_valid_genotype(toy):
    layout = layout_of(toy)
    rng = np.random.default_rng(0)
    widths = [layout.num_columns]
    if toy.listed:
        widths.append(int(np.maximum(layout.counts, 1).sum()))
    for width in widths:
        for points in (
            rng.normal(0.5, 1.0, (50, width)),
            np.zeros((2, width)),
            np.ones((2, width)),
            np.full((1, width), np.inf),
        ):
            for genotype in layout.decode(points):
                checked = layout.check(genotype)
                assert toy.traced or checked.tolist() == genotype.tolist()


def test_uniform_points_decode_to_uniform_genotypes():
    layout = sn.SearchSpace([sn.oneof(range(4)), sn.intv(1, 9, log=True)]).layout
    decoded = layout.decode(np.random.default_rng(0).random((8000, 2)))
    rows = all_rows(layout)
    counts = Counter(map(tuple, decoded.tolist()))
    expected = [8000 * probability(layout, row) for row in rows]
    assert chisquare([counts[row] for row in rows], expected).pvalue > 1e-4


def test_candidates_lie_in_the_middle_of_their_part_of_the_cube():
    layout = sn.SearchSpace([sn.oneof(range(4)), sn.floatv(0.0, 8.0)]).layout
    assert layout.encode(np.array([[1.0, 0.25]])).tolist() == [[0.375, 0.25]]
    one_hot = layout.encode(np.array([[1.0, 0.25]]), one_hot=True)
    assert one_hot.tolist() == [[0, 1, 0, 0, 0.25]]


def test_what_cannot_be_decoded_raises(toys):
    layout = layout_of(toys["flat"])
    for points in (np.zeros((1, 4)), np.zeros(3), np.zeros((1, 1, 3))):
        with pytest.raises(ValueError, match=r"\(n, 3\), or \(n, 9\)"):
            layout.decode(points)
    with pytest.raises(ValueError, match="NaN"):
        layout.decode(np.array([[0.1, np.nan, 0.2]]))


def test_numbers_and_genes_are_inverse(toys):
    for decision in layout_of(toys["floats"]).decisions:
        for gene in (0.0, 0.1, 0.5, 1.0):
            assert decision.gene(decision.value(gene)) == pytest.approx(gene)
        assert decision.value(0.0) == pytest.approx(decision.choices[0])
        assert decision.value(1.0) == decision.choices[1]


# --- validation -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "genotype", "message"),
    [
        ("flat", [0, 1], "has 3 numbers, got shape"),
        ("flat", [0, 1, 2, 0], "has 3 numbers, got shape"),
        ("flat", [[0, 1, 2]], "has 3 numbers, got shape"),
        ("flat", [0, 1, 3], "`c`.* a whole number from 0 to 2, got 3"),
        ("flat", [0, -2, 1], "`b`.* a whole number from 0 to 2"),
        ("flat", [0.5, 1, 1], "`a`.* a whole number"),
        ("flat", [0, math.nan, 1], "`b`.* a whole number from 0 to 2, got nan"),
        ("flat", [0, math.inf, 1], "`b`.* a whole number from 0 to 2, got inf"),
        ("flat", [0, -1, 1], "`b`.* is active here and needs a value"),
        ("floats", [0.5, 1.01, 0], "`log`.* a number from 0 to 1"),
        ("floats", [math.nan, 1.0, 0], "`linear`.* a number from 0 to 1, got nan"),
        ("many_distinct", [1, 1], "`ops` needs distinct choices"),
        ("many_sorted", [2, 1], "`ops` needs sorted choices"),
        ("many_any_sorted", [2, 1], "`ops` needs sorted choices"),
        ("many_distinct", [1, -1], "active together or not at all"),
        ("conditional", [0, -1, -1, -1, 0], "is active here and needs a value"),
        ("traced", [1, -1, -1, 0, -1], "active together or not at all"),
    ],
)
def test_a_genotype_that_does_not_fit_raises(toys, name, genotype, message):
    with pytest.raises(ValueError, match=message):
        layout_of(toys[name]).check(genotype)


def test_what_is_inactive_is_set_to_minus_one(toys):
    layout = layout_of(toys["conditional"])
    assert layout.check([2, 1, 1, 1, 0]).tolist() == [2, -1, -1, -1, 0]


def test_equal_genotypes_have_equal_bytes(toys):
    layout = layout_of(toys["flat"])
    assert layout.check([-0.0, 1, 2]).tobytes() == layout.check([0, 1, 2]).tobytes()


def test_checking_leaves_its_argument_alone(toys):
    genotype = np.array([2.0, 1, 1, 1, 0])
    layout_of(toys["conditional"]).check(genotype)
    assert genotype.tolist() == [2, 1, 1, 1, 0]


# --- any space ------------------------------------------------------------------------


def spaces() -> st.SearchStrategy[Any]:
    """Descriptions of nested spaces: what is made of them must be new each time."""

    def nested(inner: Any) -> Any:
        candidates = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            st.tuples(st.just("list"), candidates),
            st.tuples(st.just("oneof"), candidates),
            st.tuples(st.just("manyof"), candidates, st.booleans(), st.booleans()),
        )

    leaves = st.one_of(
        st.just(0),
        st.tuples(st.just("named"), st.integers(0, 1)),
        st.tuples(st.just("int"), st.integers(1, 3), st.booleans()),
    )
    return st.recursive(leaves, nested, max_leaves=7)


def made(description: Any) -> Any:
    match description:
        case ("list", items):
            return [made(item) for item in items]
        case ("oneof", items):
            return sn.oneof([made(item) for item in items])
        case ("manyof", items, distinct, ordered):
            k = min(2, len(items))
            return sn.manyof(k, [made(item) for item in items], distinct, ordered)
        case ("named", number):
            return sn.oneof(["x", "y"], name=f"name {number}")
        case ("int", high, log):
            return sn.intv(1, high, log=log)
    return description


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(spaces(), st.integers(0, 1000))
def test_all_operations_agree_on_any_space(description, seed):
    layout = sn.SearchSpace([made(description), sn.oneof(["first", "second"])]).layout
    number = size(layout)
    if number > 400:
        return
    rows = all_rows(layout)
    listed = [tuple(row) for row in enumerate_rows(layout)]
    assert sorted(listed) == rows
    assert number == len(rows) if size_is_exact(layout) else number >= len(rows)
    rng = np.random.default_rng(seed)
    genotypes = layout.random(rng, 8)
    known = set(rows)
    for batch in (
        genotypes,
        layout.mutate(genotypes, rng),
        layout.mutate(genotypes[:2], rng),
        layout.crossover(genotypes, genotypes[::-1].copy(), rng),
        layout.decode(rng.random((8, layout.num_columns))),
        layout.decode(layout.encode(genotypes, one_hot=True)),
        layout.neighbors(genotypes[0].tolist()),
    ):
        assert {tuple(row) for row in batch.tolist()} <= known
    assert np.array_equal(layout.decode(layout.encode(genotypes)), genotypes)
    found = sorted(map(tuple, layout.neighbors(list(rows[0])).tolist()))
    assert found == [row for row in rows if is_neighbor(layout, rows[0], row)]

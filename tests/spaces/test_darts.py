"""DARTS: genotypes as text, and the authors' networks."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import symnas as sn
from symnas.spaces import DARTS, darts

# The cells of the paper's second-order search, as its code gives them.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
# What the authors' code prints as "param size"; it leaves the second classifier out. The
# paper rounds it to 3.3 million.
DARTS_V2_PARAMETERS = 3_349_342

EDGES = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4


def uniform(operation: str) -> darts.Genotype:
    edges = [(operation, 0), (operation, 1)] * 4
    return darts.Genotype(edges, range(2, 6), edges)


def num_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# --- genotypes ------------------------------------------------------------------------


def test_the_text_of_a_genotype_gives_it_back():
    assert str(darts.parse(DARTS_V2)) == DARTS_V2
    with_range = DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)")
    assert str(darts.parse(with_range)) == with_range
    assert darts.parse(with_range).normal_concat == range(2, 6)


def test_published_genotypes_are_read():
    folders = [os.environ.get("SYMNAS_DATA", ""), "../shared/data"]
    name = "darts/swap_darts_archs_cifar10.csv.gz"
    found = [Path(f, name) for f in folders if f and Path(f, name).exists()]
    if not found:
        pytest.skip(f"{name} is in neither SYMNAS_DATA nor ../shared/data")
    with gzip.open(found[0], "rt") as file:
        texts = [text for text, _ in csv.reader(file)]
    assert len(texts) == 1000
    for i, text in enumerate(texts):
        genotype = darts.parse(text)
        assert str(genotype) == text
        if i % 100 == 0:
            model = DARTS(genotype, channels=4, num_cells=3).eval()
            assert model(torch.zeros(1, 3, 16, 16)).shape == (1, 10)


def edited(old: str, new: str) -> str:
    assert old in DARTS_V2
    return DARTS_V2.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a DARTS genotype"),
        ("Genotype(", "not a DARTS genotype"),
        ("Genotype\x00()", "not a DARTS genotype|null"),
        ("-" * 9_999, "not a DARTS genotype"),
        ("Genotype(" + "-" * 9_000 + "1)", "without|not a DARTS genotype"),
        ("x" + ".x" * 4_000, "is written|not a DARTS genotype"),
        (" " * 10_001, "at most 10000 characters, got 10001"),
        ("__import__('os').system('ls')", "is written `Genotype"),
        (edited("Genotype", "eval"), "is written `Genotype"),
        (edited("[('sep_conv_3x3', 0)", "[open('x')"), "got open\\('x'\\)"),
        (edited("'sep_conv_3x3', 0", "'sep_conv_3x3', 0, 0"), "\\('operation', source"),
        (edited("'sep_conv_3x3', 0", "'sep_conv_3x3', '0'"), "\\('operation', source"),
        (edited("'sep_conv_3x3', 0", "'sep_conv_9x9', 0"), "`normal\\[0\\]`.*conv_9x9"),
        (edited("'sep_conv_3x3', 0", "'sep_conv_3x3', 2"), "node 2.*between 0 and 1"),
        (edited("'sep_conv_3x3', 0", "'sep_conv_3x3', True"), "node 2.*got True"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "node 5.*0 and 4"),
        (edited(", ('dil_conv_3x3', 2)", ""), "`normal` needs 8 edges, got 7"),
        (edited("[2, 3, 4, 5]", "[2, 3, 4, 6]"), "`normal_concat` must list"),
        (edited("[2, 3, 4, 5]", "[]"), "`normal_concat` must list"),
        (edited("[2, 3, 4, 5]", "[2, x]"), "nodes or `range"),
        (edited("[2, 3, 4, 5]", "range(2, 10**9)"), "nodes or `range"),
        (edited("[2, 3, 4, 5]", "range(2, 1000000000000)"), "must list"),
        (edited("normal_concat=[2, 3, 4, 5], ", ""), "without `normal_concat`"),
        (edited("normal=", ""), "not a DARTS genotype|without `normal`"),
        (edited("normal_concat=", "reduce_concat="), "once each|not a DARTS genotype"),
        (edited("normal=", "normals="), "got `normals`"),
        (edited("normal_concat=[2, 3, 4, 5]", "**x"), "got `None`"),
    ],
)
def test_any_other_text_is_refused_with_the_part_that_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        darts.parse(text)
    with pytest.raises(ValueError, match=message):
        DARTS(text)


@pytest.mark.parametrize("genotype", [3, (1, 2), ["x"]])
def test_what_is_no_genotype_is_refused(genotype):
    with pytest.raises(TypeError, match="`genotype` must be a Genotype or its text"):
        DARTS(genotype)


def test_an_edge_that_is_no_pair_is_refused():
    broken = uniform("skip_connect")._replace(reduce=[("none", 0), 3] * 4)
    with pytest.raises(ValueError, match="`reduce\\[1\\]` must be"):
        DARTS(broken)


# --- the space ------------------------------------------------------------------------


def test_the_space_has_as_many_cells_as_the_paper_says():
    # "about 10^9" for one cell: prod over nodes k of (k + 1) k / 2 x 7^2.
    one = sn.SearchSpace([darts._open_node("normal", node) for node in darts.NODES])
    assert one.size == darts.NUM_CELLS == 1_037_664_180
    whole = sn.SearchSpace(DARTS())
    assert whole.size == 1_037_664_180**2
    assert whole.size_is_exact


def test_examples_are_derived_cells():
    space = sn.SearchSpace(darts.open_genotype())
    for genotype in space.random(np.random.default_rng(0), 50):
        read = darts._checked(space.build(genotype))
        assert darts.parse(str(read)) == read
        for edges in (read.normal, read.reduce):
            assert "none" not in {operation for operation, _ in edges}
            for first, second in zip(edges[::2], edges[1::2], strict=True):
                assert first[1] < second[1]


# --- the network ----------------------------------------------------------------------


def test_the_network_of_the_paper_has_as_many_parameters_as_its_code_prints():
    with torch.device("meta"):
        model = DARTS(DARTS_V2)
        with_auxiliary = DARTS(DARTS_V2, auxiliary=True)
    assert num_parameters(model) == DARTS_V2_PARAMETERS
    # 1x1 from 576 to 128, 2x2 to 768, two norms, 10 classes.
    extra = 576 * 128 + 128 * 768 * 4 + 2 * (128 + 768) + 769 * 10
    assert num_parameters(with_auxiliary) == DARTS_V2_PARAMETERS + extra


@pytest.mark.parametrize("operation", darts.OPERATIONS)
@pytest.mark.parametrize("num_cells", [1, 2, 5])
def test_every_operation_runs_in_both_cells(operation, num_cells):
    model = DARTS(uniform(operation), channels=2, num_cells=num_cells, num_classes=4)
    logits = model(torch.randn(2, 3, 16, 16))
    assert logits.shape == (2, 4)
    logits.sum().backward()


def test_reduction_cells_stand_at_a_third_and_two_thirds():
    model = DARTS(DARTS_V2, channels=4)
    shapes = []
    for cell in model.cells:
        cell.register_forward_hook(lambda _, __, y: shapes.append(tuple(y.shape[1:3])))
    model(torch.zeros(2, 3, 32, 32))
    assert shapes == [(16, 32)] * 6 + [(32, 16)] * 7 + [(64, 8)] * 7


def test_a_cell_is_the_sum_written_out():
    edges = [
        *[("sep_conv_3x3", 0), ("max_pool_3x3", 1)],
        *[("skip_connect", 2), ("dil_conv_5x5", 0)],
        *[("none", 3), ("avg_pool_3x3", 2)],
        *[("skip_connect", 4), ("skip_connect", 1)],
    ]
    genotype = darts.Genotype(edges, [3, 5], edges)
    cell = darts.Cell(genotype, (3, 5), 4, reduces=False, reduced=False).eval()
    before, last = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 8, 8)
    ops = cell.operations
    zero, one = cell.first(before), cell.second(last)
    two = ops[0](zero) + ops[1](one)
    three = two + ops[3](zero)
    four = ops[5](two)
    five = four + one
    expected = torch.cat([three, five], dim=1)
    assert torch.allclose(cell(before, last), expected, atol=1e-6)


def test_the_second_classifier_works_in_training_only():
    model = DARTS(DARTS_V2, channels=4, num_cells=3, auxiliary=True)
    x = torch.randn(2, 3, 32, 32)
    logits, auxiliary = model(x)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert model.eval()(x).shape == (2, 10)


def test_the_second_classifier_fits_cells_of_unequal_width():
    edges = darts.parse(DARTS_V2).normal
    genotype = darts.Genotype(edges, [2, 3, 4], edges, [4, 5])
    model = DARTS(genotype, channels=4, num_cells=3, auxiliary=True)
    assert len(model(torch.randn(2, 3, 32, 32))) == 2


def test_dropped_paths_keep_the_mean_and_spare_identities():
    edges = [("max_pool_3x3", 0), ("skip_connect", 1)] * 4
    genotype = darts.Genotype(edges, range(2, 6), edges)
    cell = darts.Cell(genotype, (2, 2), 2, reduces=False, reduced=False)
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 2, 2)
    dropped = cell._edge(0, x, 0.25)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    # An image is dropped as a whole.
    assert (dropped == dropped[:, :1, :1, :1]).all()
    assert torch.equal(cell._edge(1, x, 0.25), x)


def test_paths_are_dropped_in_training_only():
    model = DARTS(DARTS_V2, channels=4, num_cells=3, drop_path=0.5)
    x = torch.randn(2, 3, 16, 16)
    torch.manual_seed(0)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    model.train().drop_path = 0.0
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("num_cells", [0, -1])
def test_a_network_without_cells_is_refused(num_cells):
    with pytest.raises(ValueError, match="`num_cells` must be at least 1"):
        DARTS(DARTS_V2, num_cells=num_cells)

"""NAS-Bench-201: strings, indices, equal cells, and networks equal to the benchmark's."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import symnas as sn
from symnas.spaces import NASBench201, nas_bench_201

# Indices of the released files.
ANCHORS = {
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+"
    "|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    1: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    9: "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    11: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
    "|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
    123: "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+"
    "|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    284: "|skip_connect~0|+|skip_connect~0|skip_connect~1|+"
    "|none~0|nor_conv_1x1~1|none~2|",
    6111: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    11472: "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
    15624: "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+"
    "|none~0|nor_conv_1x1~1|nor_conv_1x1~2|",
}
UNIFORM = {1462: "nor_conv_3x3", 1651: "none", 1835: "skip_connect"}

# (parameters, multiply-adds in millions) without convolutions in the cells, and what a
# 3x3 and a 1x1 convolution add; from the benchmark's records, by classes and image size.
CLOSED_FORMS = {
    (10, 32): ((73_306, 7.78305), (243_040, 35.38944), (28_000, 3.93216)),
    (100, 32): ((79_156, 7.78890), (243_040, 35.38944), (28_000, 3.93216)),
    (120, 16): ((80_456, 1.95340), (243_040, 8.84736), (28_000, 0.98304)),
}


def random_indices(n: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    return rng.integers(nas_bench_201.NUM_ARCHITECTURES, size=n).tolist()


def closed_form(index: int, num_classes: int, size: int) -> tuple[int, float]:
    operations = nas_bench_201.operations_of(index)
    base, large, small = CLOSED_FORMS[num_classes, size]
    n3, n1 = operations.count("nor_conv_3x3"), operations.count("nor_conv_1x1")
    parameters, millions = (
        b + n3 * three + n1 * one
        for b, three, one in zip(base, large, small, strict=True)
    )
    return parameters, millions


def num_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def measured_multiply_adds(model: torch.nn.Module, size: int) -> int:
    """Those of convolutions and linear layers, counted while they run."""
    counts = []

    def count(layer: torch.nn.Module, _: object, y: torch.Tensor) -> None:
        counts.append(y.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size))
    return sum(counts)


# --- strings and indices --------------------------------------------------------------


def test_indices_are_those_of_the_released_files():
    for index, text in ANCHORS.items():
        assert nas_bench_201.string_at(index) == text
        assert nas_bench_201.index_of(text) == index
    for index, operation in UNIFORM.items():
        assert nas_bench_201.operations_of(index) == (operation,) * 6


def test_every_architecture_comes_back_from_string_index_names_and_genotype():
    ids = nas_bench_201.operation_ids()
    assert len(np.unique(ids, axis=0)) == len(ids) == 5**6
    assert nas_bench_201.indices_of(ids).tolist() == list(range(5**6))
    space = sn.SearchSpace(nas_bench_201.operations_space())
    for index in range(5**6):
        text = nas_bench_201.string_at(index)
        operations = nas_bench_201.from_string(text)
        assert nas_bench_201.to_string(operations) == text
        assert nas_bench_201.index_of(operations) == index
        assert space.build(ids[index]) == list(operations)


def test_networks_and_their_symbolic_forms_are_architectures():
    space = sn.SearchSpace(NASBench201(channels=1, cells_per_stage=1))
    for index in random_indices(20):
        genotype = nas_bench_201.operation_ids()[index]
        symbolic = space.symbolic(genotype)
        model = space.build(genotype)
        for form in (symbolic, model, sn.symbolic(model), sn.build(symbolic)):
            assert nas_bench_201.index_of(form) == index


def test_all_rows_of_the_published_table_have_their_index():
    folders = [os.environ.get("SYMNAS_DATA", ""), "../shared/data"]
    files = [Path(folder, "nb201/nb201.csv.gz") for folder in folders if folder]
    found = [file for file in files if file.exists()]
    if not found:
        pytest.skip("nb201/nb201.csv.gz is in neither SYMNAS_DATA nor ../shared/data")
    classes: dict[str, str] = {}
    with gzip.open(found[0], "rt") as file:
        for row in csv.DictReader(file):
            index = int(row["arch_index"])
            assert nas_bench_201.index_of(row["arch_str"]) == index
            # The table gives millions of parameters and multiply-adds.
            parameters = nas_bench_201.num_parameters(index)
            assert parameters / 1e6 == pytest.approx(float(row["params_M"]), abs=1e-6)
            cost = nas_bench_201.num_multiply_adds(index)
            assert cost / 1e6 == pytest.approx(float(row["flops_M"]), abs=1e-5)
            key = nas_bench_201.canonical(index)
            assert classes.setdefault(key, row["iso_id"]) == row["iso_id"]
    assert len(classes) == len(set(classes.values())) == 6466


# --- equal cells ----------------------------------------------------------------------


def test_there_are_as_many_different_cells_as_published():
    # 6,466 is in the paper. 4,930 is our own count, whose classes the test below checks.
    for key, count in (
        ("paper", 6466),
        ("skips", 12751),
        ("functional", 4930),
    ):
        texts = {nas_bench_201.canonical(i, key) for i in range(5**6)}
        assert len(texts) == count


def test_341_cells_have_no_path_from_input_to_output():
    texts = [nas_bench_201.canonical(i, "functional") for i in range(5**6)]
    assert texts.count("") == 341


def test_cells_with_one_functional_key_compute_the_same_function():
    groups: dict[str, list[int]] = {}
    for index in random_indices(600):
        key = nas_bench_201.canonical(index, "functional")
        groups.setdefault(key, []).append(index)
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    pairs = [group[:2] for group in groups.values() if len(group) > 1]
    assert len(pairs) > 10
    for pair in pairs:
        outputs = []
        for index in pair:
            cell = nas_bench_201.Cell(nas_bench_201.operations_of(index), 2).double()
            for parameter in cell.parameters():
                # Convolutions of one size get the same weights wherever they stand.
                if parameter.dim() == 4:
                    generator = torch.Generator().manual_seed(parameter.numel())
                    parameter.data.normal_(generator=generator)
            outputs.append(cell.eval()(x))
        assert torch.allclose(*outputs)


@pytest.mark.parametrize("key", ["iso", None])
def test_an_unknown_key_is_refused(key):
    with pytest.raises(ValueError, match="'paper', 'skips' or 'functional'"):
        nas_bench_201.canonical(0, key)


# --- the network ----------------------------------------------------------------------


@pytest.mark.parametrize(("num_classes", "size"), list(CLOSED_FORMS))
def test_sizes_and_costs_are_those_of_the_benchmark(num_classes, size):
    for index in random_indices(100):
        parameters, millions = closed_form(index, num_classes, size)
        assert nas_bench_201.num_parameters(index, num_classes) == parameters
        cost = nas_bench_201.num_multiply_adds(index, num_classes, size)
        assert cost / 1e6 == pytest.approx(millions, abs=6e-6)


def test_networks_have_these_sizes_and_costs():
    data_sets = itertools.cycle(CLOSED_FORMS)
    for index, (num_classes, size) in zip(random_indices(21), data_sets, strict=False):
        model = NASBench201(index, num_classes=num_classes)
        parameters = nas_bench_201.num_parameters(index, num_classes)
        assert num_parameters(model) == parameters
        # The benchmark counts the bias of the linear layer too.
        cost = measured_multiply_adds(model, size) + num_classes
        assert cost == nas_bench_201.num_multiply_adds(index, num_classes, size)


@pytest.mark.parametrize("options", [{"channels": 4, "cells_per_stage": 2}])
def test_sizes_of_other_networks_are_right_too(options):
    for index in random_indices(5):
        model = NASBench201(index, **options, num_classes=7, image_channels=1)
        expected = nas_bench_201.num_parameters(
            index, **options, num_classes=7, image_channels=1
        )
        assert num_parameters(model) == expected


@pytest.mark.parametrize("size", [32, 16])
def test_every_operation_runs_on_every_edge(size):
    x = torch.zeros(2, 3, size, size)
    for edge in range(6):
        for operation in nas_bench_201.OPERATIONS:
            operations = ["skip_connect"] * 6
            operations[edge] = operation
            model = NASBench201(operations, channels=4, cells_per_stage=1)
            assert model(x).shape == (2, 10)


def test_without_operations_the_output_does_not_depend_on_the_input():
    """The residual blocks between the stages see zeros."""
    model = NASBench201(["none"] * 6, channels=4, cells_per_stage=1).eval()
    logits = model(torch.randn(5, 3, 32, 32))
    assert torch.equal(logits, logits[:1].expand(5, -1))


def test_norm_and_relu_come_before_pooling():
    """A well-known reimplementation lost five points without them."""
    kinds = [type(module) for module in NASBench201(0, channels=4).head]
    assert kinds[:3] == [
        torch.nn.BatchNorm2d,
        torch.nn.ReLU,
        torch.nn.AdaptiveAvgPool2d,
    ]
    features = NASBench201(0, channels=4).features(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 16)
    assert (features >= 0).all()


def test_a_cell_is_the_sum_written_out():
    operations = list(nas_bench_201.OPERATIONS) + ["nor_conv_3x3"]
    cell = nas_bench_201.Cell(operations, 3).eval()
    x = torch.randn(2, 3, 8, 8)
    _, skip, conv1, conv3, pool, last = cell.edges
    one = torch.zeros_like(x)
    two = skip(x) + conv1(one)
    assert torch.allclose(cell(x), conv3(x) + pool(one) + last(two))
    assert torch.equal(skip(x), x)
    # The mean leaves padding out: of ones it is one, at the border too.
    assert torch.equal(pool(torch.ones_like(x)), torch.ones_like(x))


def test_norms_without_weights_come_with_biases():
    plain = NASBench201(1462, channels=4, cells_per_stage=1)
    bare = NASBench201(
        1462, channels=4, cells_per_stage=1, affine=False, track_running_stats=False
    )
    for model, affine in ((plain, True), (bare, False)):
        cells = [m for m in model.blocks if isinstance(m, nas_bench_201.Cell)]
        assert len(cells) == 3
        for cell in cells:
            for _, conv, norm in cell.edges:
                assert (conv.bias is None) == norm.affine == affine
                assert norm.track_running_stats == affine
        residual = model.blocks[1].branch[0]
        assert residual[1].bias is None
        assert residual[2].affine


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "3 nodes joined by `\\+`, got 1"),
        ("|none~0|+|none~0|none~1|", "3 nodes joined by `\\+`, got 2"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "Node 2 .* is written"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "Node 1 .* got 'none~0'"),
        ("|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", "expected `~0`.*none~1"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "node 1 .* are 0 to 0"),
        ("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", "expected `~1`.*none~2"),
        ("|none|+|none~0|none~1|+|none~0|none~1|none~2|", "expected `~0`, got 'none'"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|conv~2|", "'conv' on edge 2->3"),
        (
            "|skip~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            "'skip' on edge 0->1 .*Did you mean 'skip_connect'",
        ),
    ],
)
def test_a_bad_string_is_refused_with_the_part_that_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        nas_bench_201.from_string(text)
    with pytest.raises(ValueError, match=message):
        NASBench201(text)


@pytest.mark.parametrize("index", [-1, 15625, 10**30])
def test_an_index_out_of_range_is_refused(index):
    for function in (nas_bench_201.string_at, NASBench201, nas_bench_201.index_of):
        with pytest.raises(ValueError, match=f"between 0 and 15624, got {index}"):
            function(index)


@pytest.mark.parametrize(
    ("operations", "error", "message"),
    [
        (["none"] * 5, ValueError, "needs 6 operations, got 5"),
        (["none"] * 7, ValueError, "needs 6 operations, got 7"),
        (["none"] * 5 + ["pool"], ValueError, "'pool' on edge 2->3"),
        (["none"] * 5 + [3], ValueError, "'3' on edge 2->3"),
        ({"none"}, TypeError, "six names"),
        (1.5, TypeError, "six names"),
        (True, TypeError, "six names"),
    ],
)
def test_bad_operations_are_refused(operations, error, message):
    for function in (NASBench201, nas_bench_201.index_of):
        with pytest.raises(error, match=message):
            function(operations)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[0] * 5], "shape \\(n, 6\\), got \\(1, 5\\)"),
        ([0] * 6, "shape \\(n, 6\\), got \\(6,\\)"),
        ([[0] * 5 + [5]], "from 0 to 4"),
        ([[0] * 5 + [-1]], "from 0 to 4"),
        ([[0] * 5 + [0.5]], "from 0 to 4"),
    ],
)
def test_bad_ids_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        nas_bench_201.indices_of(ids)


@pytest.mark.parametrize("name", ["channels", "cells_per_stage", "num_classes"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3"])
def test_bad_sizes_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
        NASBench201(0, **{name: value})

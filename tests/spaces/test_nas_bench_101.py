"""NAS-Bench-101: pruning, validity, the authors' hash, and their networks."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import symnas as sn
from symnas.spaces import NASBench101, nas_bench_101

CONV3, CONV1, POOL = nas_bench_101.OPERATIONS

# The cell like one of Inception that the authors query in their notebook (NASBench.ipynb
# at 9aacc18), with the number of parameters that they print, and its key in their table.
INCEPTION = [
    [0, 1, 1, 1, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0],
]
INCEPTION_OPERATIONS = [CONV1, CONV3, CONV3, CONV3, POOL]
INCEPTION_PARAMETERS = 2_694_282
INCEPTION_HASH = "28cfc7874f6d200472e1a9dcd8650aa0"

# Different cells with exactly so many vertices. Their sum is the 423,624 of the paper.
CELLS = {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}


def connected_graphs(vertices: int) -> list[list[int]]:
    """Bits of all graphs with up to nine edges and every vertex on a path to the output."""
    pairs = list(itertools.combinations(range(vertices), 2))
    codes = np.arange(2 ** len(pairs), dtype=np.int64)
    bits = [((codes >> k) & 1).astype(bool) for k in range(len(pairs))]
    keep = sum(bit.astype(np.int8) for bit in bits) <= 9
    for vertex in range(vertices):
        into = [b for b, (_, j) in zip(bits, pairs, strict=True) if j == vertex]
        out_of = [b for b, (i, _) in zip(bits, pairs, strict=True) if i == vertex]
        if vertex > 0:
            keep &= np.logical_or.reduce(into)
        if vertex < vertices - 1:
            keep &= np.logical_or.reduce(out_of)
    return np.stack(bits, axis=1)[keep].astype(int).tolist()


def count_cells(vertices: int) -> int:
    """How many different hashes there are.

    Isomorphic cells have isomorphic graphs, so one graph of each kind will do.
    """
    inner = vertices - 2
    kinds = {
        nas_bench_101.graph_hash(bits, [CONV3] * inner): bits
        for bits in connected_graphs(vertices)
    }
    return len(
        {
            nas_bench_101.graph_hash(bits, operations)
            for bits in kinds.values()
            for operations in itertools.product(nas_bench_101.OPERATIONS, repeat=inner)
        }
    )


def relabelled(matrix, operations, order):
    """The same cell with its inner vertices in another order."""
    places = [0, *(1 + i for i in order), len(matrix) - 1]
    rows = [[matrix[i][j] for j in places] for i in places]
    return rows, [operations[i] for i in order]


# --- graphs ---------------------------------------------------------------------------


def test_the_number_of_cells_is_that_of_the_paper():
    assert sum(CELLS.values()) == nas_bench_101.NUM_CELLS


@pytest.mark.parametrize("vertices", [2, 3, 4, 5])
def test_small_cells_are_as_many_as_published(vertices):
    assert count_cells(vertices) == CELLS[vertices]


@pytest.mark.slow
@pytest.mark.parametrize("vertices", [6, 7])
def test_large_cells_are_as_many_as_published(vertices):
    assert count_cells(vertices) == CELLS[vertices]


def test_the_hash_is_the_key_of_the_authors_table():
    found = nas_bench_101.graph_hash(INCEPTION, INCEPTION_OPERATIONS)
    assert found == INCEPTION_HASH


def test_the_hash_does_not_depend_on_the_order_of_vertices():
    for order in itertools.permutations(range(5)):
        matrix, operations = relabelled(INCEPTION, INCEPTION_OPERATIONS, order)
        if not any(matrix[i][j] for i in range(7) for j in range(i)):
            found = nas_bench_101.graph_hash(matrix, operations)
            assert found == INCEPTION_HASH


def test_other_operations_or_edges_have_another_hash():
    operations = [CONV3, *INCEPTION_OPERATIONS[1:]]
    assert nas_bench_101.graph_hash(INCEPTION, operations) != INCEPTION_HASH
    matrix = [row.copy() for row in INCEPTION]
    matrix[0][5], matrix[4][5] = 0, 1
    assert nas_bench_101.graph_hash(matrix, INCEPTION_OPERATIONS) != INCEPTION_HASH


def test_vertices_that_lead_nowhere_or_come_from_nowhere_are_pruned():
    # 1 leads nowhere, 3 comes from nowhere.
    matrix = [
        [0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ]
    graph = nas_bench_101.prune(matrix, [CONV3, CONV1, POOL])
    assert graph == (((0, 1, 0), (0, 0, 1), (0, 0, 0)), (CONV1,))
    assert nas_bench_101.prune(graph.matrix, graph.operations) == graph


def test_both_forms_of_an_adjacency_and_named_ends_are_read():
    flat = [INCEPTION[i][j] for i in range(7) for j in range(i + 1, 7)]
    named = ["input", *INCEPTION_OPERATIONS, "output"]
    expected = nas_bench_101.prune(INCEPTION, INCEPTION_OPERATIONS)
    for matrix in (flat, np.array(flat), np.array(INCEPTION), INCEPTION):
        for operations in (INCEPTION_OPERATIONS, named):
            assert nas_bench_101.prune(matrix, operations) == expected


def test_edges_are_counted_after_pruning():
    full = [1] * 21
    assert not nas_bench_101.is_valid(full, [CONV3] * 5)
    # Vertex 1 is connected to all, but nothing leads to it: nine of 15 edges are used.
    matrix = np.zeros((7, 7), dtype=int)
    matrix[1, 2:] = 1
    for i, j in [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (5, 6),
        (0, 6),
        (0, 3),
        (2, 4),
        (3, 5),
    ]:
        matrix[i, j] = 1
    assert matrix.sum() == 14
    assert nas_bench_101.is_valid(matrix, [CONV3] * 5)
    matrix[2, 6] = 1
    assert not nas_bench_101.is_valid(matrix, [CONV3] * 5)


def test_published_cells_are_valid_and_have_one_accuracy_per_hash():
    folders = [os.environ.get("SYMNAS_DATA", ""), "../shared/data"]
    name = "nb101/nb1shot1_space2_nb101_3609.csv.gz"
    found = [Path(f, name) for f in folders if f and Path(f, name).exists()]
    if not found:
        pytest.skip(f"{name} is in neither SYMNAS_DATA nor ../shared/data")
    short = {"c3": CONV3, "c1": CONV1, "mp": POOL}
    accuracies: dict[str, set[str]] = {}
    with gzip.open(found[0], "rt") as file:
        for row in csv.DictReader(file):
            bits = list(map(int, row["adj"]))
            operations = [short[name] for name in row["ops"].split("|")]
            assert nas_bench_101.is_valid(bits, operations)
            key = nas_bench_101.graph_hash(bits, operations)
            accuracies.setdefault(key, set()).add(row["val1_acc"])
    assert len(accuracies) == 3258
    assert all(len(values) == 1 for values in accuracies.values())


# --- the space ------------------------------------------------------------------------


def test_the_constraint_accepts_what_can_be_built():
    space = sn.SearchSpace(NASBench101(channels=8, cells_per_stack=1))
    outcomes = set()
    for genotype in space.random(np.random.default_rng(0), 60):
        valid = NASBench101.constraint(space.values(genotype))
        outcomes.add(valid)
        if valid:
            space.build(genotype)
        else:
            with pytest.raises(ValueError, match=r"at most 9 edges|must depend on"):
                space.build(genotype)
    assert outcomes == {True, False}


# --- the network ----------------------------------------------------------------------


def test_a_network_has_as_many_parameters_as_the_authors_count():
    with torch.device("meta"):
        model = NASBench101(INCEPTION, INCEPTION_OPERATIONS)
    assert sum(p.numel() for p in model.parameters()) == INCEPTION_PARAMETERS


def test_channels_are_shared_in_front_of_the_output_and_inherited_elsewhere():
    # Four vertices share 128 channels; the one behind them has those of its target.
    graph = nas_bench_101.prune(INCEPTION, INCEPTION_OPERATIONS)
    widths = nas_bench_101.vertex_channels(graph.matrix, 128, 128)
    assert widths == [128, 32, 32, 32, 32, 32, 128]
    # Three share 128: 43, 43, 42. Vertex 1 feeds the widest of its two targets.
    matrix = np.zeros((6, 6), dtype=int)
    for i, j in [(0, 1), (1, 2), (1, 4), (0, 3), (2, 5), (3, 5), (4, 5)]:
        matrix[i, j] = 1
    widths = nas_bench_101.vertex_channels(matrix.tolist(), 64, 128)
    assert widths == [64, 43, 43, 43, 42, 128]


def test_a_cell_adds_truncates_and_concatenates_as_written_out():
    matrix = np.zeros((5, 5), dtype=int)
    for i, j in [(0, 1), (1, 2), (0, 3), (1, 3), (2, 4), (3, 4), (0, 4)]:
        matrix[i, j] = 1
    graph = nas_bench_101.prune(matrix, [CONV3, CONV1, POOL])
    cell = nas_bench_101.Cell(graph, inputs=4, outputs=7).eval()
    assert cell.widths == [4, 4, 4, 3, 7]
    x = torch.randn(2, 4, 6, 6)
    project, (first, second, third) = cell.projections, cell.operations
    one = first(project["1"](x))
    two = second(one)
    three = third(one[:, :3] + project["3"](x))
    expected = torch.cat([two, three], dim=1) + project["4"](x)
    assert torch.allclose(cell(x), expected)


def test_a_cell_without_operations_is_a_projection():
    model = NASBench101([1], [], channels=4, cells_per_stack=1)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    assert len(model.blocks[1].operations) == 0


def test_too_few_channels_for_a_cell_are_refused():
    with pytest.raises(ValueError, match="4 vertices share the 2 channels"):
        NASBench101(INCEPTION, INCEPTION_OPERATIONS, channels=2)


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adjacency", "operations", "message"),
    [
        ([1, 0], [CONV3], "matrix of 3 x 3 or a list of 3 bits"),
        ([[0, 1], [0, 0]], [CONV3], "matrix of 3 x 3"),
        ([[0, 1, 0], [0, 0], [0, 0, 0]], [CONV3], "matrix of 3 x 3"),
        ([1, 2, 1], [CONV3], "0 or 1 above its diagonal .* got 2 in row 0, column 2"),
        ([1, 0.5, 1], [CONV3], "got 0.5 in row 0, column 2"),
        ([1, "1", 1], [CONV3], "a list of 3 bits, got .*'1'"),
        ([[0, 1, 1], [1, 0, 1], [0, 0, 0]], [CONV3], "got 1 in row 1, column 0"),
        ([[1, 1, 1], [0, 0, 1], [0, 0, 0]], [CONV3], "got 1 in row 0, column 0"),
        ([1, 0, 1], ["conv5x5"], "`operations\\[0\\]` must be one of .*'conv5x5'"),
        ([1] * 28, [CONV3] * 6, "at most 5 operations, got 6"),
        ([0, 0, 1], [CONV3], "must depend on its input"),
        ([1] * 21, [CONV3] * 5, "at most 9 edges, got 21"),
    ],
)
def test_a_bad_cell_is_refused_with_the_part_that_is_wrong(
    adjacency, operations, message
):
    with pytest.raises(ValueError, match=message):
        NASBench101(adjacency, operations)
    with pytest.raises(ValueError, match=message.replace("9 edges", ".*")):
        nas_bench_101.graph_hash(adjacency, operations)


def test_operations_in_a_string_are_refused():
    with pytest.raises(TypeError, match="list of names"):
        NASBench101([1, 0, 1], CONV3)


def test_pruning_agrees_with_a_search_for_paths():
    rng = random.Random(0)
    for _ in range(200):
        bits = [rng.random() < 0.4 for _ in range(21)]
        matrix = np.zeros((7, 7), dtype=int)
        matrix[np.triu_indices(7, 1)] = bits
        reach = np.linalg.matrix_power(matrix + np.eye(7, dtype=int), 7) > 0
        used = [v for v in range(7) if reach[0, v] and reach[v, 6]]
        graph = nas_bench_101.prune(bits, [CONV3] * 5)
        if not reach[0, 6]:
            assert graph is None
        else:
            assert graph.matrix == tuple(
                map(tuple, matrix[np.ix_(used, used)].tolist())
            )

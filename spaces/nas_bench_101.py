"""NAS-Bench-101: 423,624 cells with up to seven vertices and nine edges [1].

Cell: a directed acyclic graph; operations at the inner vertices, any edges between them.

    input -> 1 -> 2 -> 3 -> 4 -> 5 -> output     (and any edge that skips some of these)

    into an inner vertex:  the sum of its inputs, then its operation
    into the output:       a concatenation, plus the projected input of the cell

Network, with C = 128 channels:

    conv 3x3 -> 3 cells, C -> max pool, stride 2 -> 3 cells, 2C -> max pool, stride 2
    -> 3 cells, 4C -> global mean -> linear

[1] C. Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
    ICML 2019. https://arxiv.org/abs/1902.09635
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from symnas.constructors import symbolize
from symnas.primitives import oneof
from symnas.spaces.space_by_default import SpaceByDefault

if TYPE_CHECKING:
    import networkx as nx

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
MAX_VERTICES = 7
MAX_EDGES = 9
EDGES = tuple((i, j) for i in range(MAX_VERTICES) for j in range(i + 1, MAX_VERTICES))
NUM_CELLS = 423_624  # Valid ones, no two of them isomorphic.

CHANNELS = 128
NUM_STACKS = 3
CELLS_PER_STACK = 3
BATCH_NORM_MOMENTUM = 0.003  # As torch counts it; 0.997 in the authors' TensorFlow.

# --- Cells as graphs --------------------------------------------------------------


class Graph(NamedTuple):
    """A cell without vertices and edges that no signal from input to output passes.

    Attributes:
      matrix: row i, column j is 1 for an edge from vertex i to a later vertex j. Vertex 0
        is the input, the last one the output.
      operations: of the inner vertices, in their order.
    """

    matrix: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]

    @property
    def num_edges(self) -> int:
        return sum(map(sum, self.matrix))


def prune(adjacency: Any, operations: Sequence[str]) -> Graph | None:
    """What is used of a cell; None if its output does not depend on its input.

    Args:
      adjacency: a square matrix of 0 and 1, or its part above the diagonal as a flat
        list, row by row.
      operations: of the inner vertices; 'input' and 'output' may stand at the ends.

    Raises:
      ValueError: the shapes do not fit, or something else is in them.

    Example:

    >>> from symnas.spaces import nas_bench_101
    >>> matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    >>> nas_bench_101.prune(matrix, ["conv3x3-bn-relu", "maxpool3x3"])
    Graph(matrix=((0, 1, 0), (0, 0, 1), (0, 0, 0)), operations=('conv3x3-bn-relu',))
    """
    names = _checked_operations(operations)
    last = len(names) + 1
    rows = _checked_matrix(adjacency, last + 1)
    from_input = {0}
    for j in range(1, last + 1):
        if any(rows[i][j] for i in from_input):
            from_input.add(j)
    to_output = {last}
    for i in range(last - 1, -1, -1):
        if any(rows[i][j] for j in to_output):
            to_output.add(i)
    kept = sorted(from_input & to_output)
    if 0 not in kept or last not in kept:
        return None
    matrix = tuple(tuple(rows[i][j] for j in kept) for i in kept)
    return Graph(matrix, tuple(names[i - 1] for i in kept[1:-1]))


def graph_hash(adjacency: Any, operations: Sequence[str]) -> str:
    """A text that isomorphic cells share, the key of the authors' table.

    Args:
      adjacency, operations: as in `prune`.

    Raises:
      ValueError: the output of the cell does not depend on its input.

    Example:

    >>> from symnas.spaces import nas_bench_101
    >>> first = nas_bench_101.graph_hash([1, 0, 1], ["maxpool3x3"])
    >>> with_a_dead_end = nas_bench_101.graph_hash(
    ...     [1, 1, 0, 0, 1, 0], ["maxpool3x3", "maxpool3x3"]
    ... )
    >>> first == with_a_dead_end
    True
    """
    graph = _valid(adjacency, operations)
    matrix, vertices = graph.matrix, range(len(graph.matrix))
    labels = [-1, *map(OPERATIONS.index, graph.operations), -2]
    into = [[w for w in vertices if matrix[w][v]] for v in vertices]
    out_of = [[w for w in vertices if matrix[v][w]] for v in vertices]
    hashes = [_md5(str((len(out_of[v]), len(into[v]), labels[v]))) for v in vertices]
    for _ in vertices:  # Nothing is further away than the number of vertices.
        hashes = [
            _md5(
                f"{_joined(hashes, into[v])}|{_joined(hashes, out_of[v])}|{hashes[v]}",
            )
            for v in vertices
        ]
    return _md5(str(sorted(hashes)))


def is_valid(adjacency: Any, operations: Sequence[str]) -> bool:
    """Whether a cell is one of the benchmark: connected, with at most nine edges in use.

    Args:
      adjacency, operations: as in `prune`.

    Example:

    >>> from symnas.spaces import nas_bench_101
    >>> nas_bench_101.is_valid([0, 0, 1], ["maxpool3x3"])
    False
    """
    graph = prune(adjacency, operations)
    return graph is not None and graph.num_edges <= MAX_EDGES


def _valid(adjacency: Any, operations: Sequence[str]) -> Graph:
    graph = prune(adjacency, operations)
    if graph is None:
        raise ValueError(
            "The output of a NASBench101 cell must depend on its input, and no path leads "
            f"from one to the other in {adjacency!r}."
        )
    if graph.num_edges > MAX_EDGES:
        raise ValueError(
            f"A cell of NASBench101 has at most {MAX_EDGES} edges, got {graph.num_edges}."
        )
    return graph


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _joined(hashes: list[str], vertices: list[int]) -> str:
    return "".join(sorted(hashes[v] for v in vertices))


def _checked_operations(operations: Sequence[str]) -> list[str]:
    if isinstance(operations, str) or not isinstance(operations, Sequence):
        raise TypeError(f"`operations` must be a list of names, got {operations!r}.")
    names = list(operations)
    if names[:1] == ["input"] and names[-1:] == ["output"]:
        names = names[1:-1]
    if len(names) > MAX_VERTICES - 2:
        raise ValueError(
            f"A cell of NASBench101 has at most {MAX_VERTICES - 2} operations, got "
            f"{len(names)}."
        )
    for i, name in enumerate(names):
        if name not in OPERATIONS:
            raise ValueError(
                f"`operations[{i}]` must be one of {', '.join(map(repr, OPERATIONS))}, "
                f"got {name!r}."
            )
    return names


def _checked_matrix(adjacency: Any, vertices: int) -> list[list[int]]:
    """The full matrix of an adjacency in either form."""
    items = adjacency.tolist() if hasattr(adjacency, "tolist") else list(adjacency)
    flat = vertices * (vertices - 1) // 2
    if len(items) == flat and not any(isinstance(item, Sequence) for item in items):
        bits = iter(items)
        items = [
            [next(bits) if j > i else 0 for j in range(vertices)]
            for i in range(vertices)
        ]
    square = all(isinstance(row, Sequence) and len(row) == vertices for row in items)
    if len(items) != vertices or not square:
        raise ValueError(
            f"With {vertices - 2} operations the `adjacency` of NASBench101 must be a "
            f"matrix of {vertices} x {vertices} or a list of {flat} bits, got "
            f"{adjacency!r}."
        )
    for i, row in enumerate(items):
        for j, bit in enumerate(row):
            if bit not in (0, 1) or (bit and j <= i):
                raise ValueError(
                    "The `adjacency` of NASBench101 must be 0 or 1 above its diagonal "
                    f"and 0 elsewhere, got {bit!r} in row {i}, column {j}."
                )
    return [[int(bit) for bit in row] for row in items]


# --- The network ------------------------------------------------------------------


def _open_adjacency() -> list[int]:
    return [oneof([0, 1], name=f"{i}->{j}") for i, j in EDGES]


def _open_operations() -> list[str]:
    return [oneof(OPERATIONS, name=f"op{i}") for i in range(1, MAX_VERTICES - 1)]


@symbolize
class NASBench101(torch.nn.Module, metaclass=SpaceByDefault):
    """The network of NAS-Bench-101 for one cell; without a cell, the space of all.

    Called without an adjacency and operations, or with open ones, it is a search space:
    21 edges that are there or not and five operations, about 510 million genotypes.
    Of these, some are no cells of the benchmark: search with `NASBench101.constraint`, as
    below. The others stand for 423,624 different cells, told apart by `graph_hash`.

    Args:
      adjacency: a square matrix of 0 and 1, or its part above the diagonal as a flat
        list, row by row.
      operations: of the inner vertices.
      channels: of the stem and the first stack; each later stack has twice as many.
      batch_norm_momentum: the authors' default suits long trainings only. After a few
        hundred steps statistics are still near their initial values, so raise it, say
        to 0.1, where trainings are short.

    Example:

    >>> import symnas as sn, torch
    >>> from symnas.spaces import NASBench101
    >>> space = sn.SearchSpace(NASBench101(channels=8), NASBench101.constraint)
    >>> space
    SearchSpace(26 decisions, at most 509,607,936 examples)
    >>> model = NASBench101([1, 0, 1], ["conv3x3-bn-relu"])
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    _open: ClassVar = {"adjacency": _open_adjacency, "operations": _open_operations}

    def __init__(
        self,
        adjacency: Any = None,
        operations: Any = None,
        *,
        channels: int = CHANNELS,
        num_stacks: int = NUM_STACKS,
        cells_per_stack: int = CELLS_PER_STACK,
        num_classes: int = 10,
        image_channels: int = 3,
        batch_norm_momentum: float = BATCH_NORM_MOMENTUM,
    ) -> None:
        super().__init__()
        self.graph = _valid(adjacency, operations)
        blocks = [_conv_norm_relu(image_channels, channels, 3, batch_norm_momentum)]
        inputs = channels
        for stack in range(num_stacks):
            outputs = channels * 2**stack
            if stack:
                blocks.append(torch.nn.MaxPool2d(2, stride=2))
            for _ in range(cells_per_stack):
                blocks.append(Cell(self.graph, inputs, outputs, batch_norm_momentum))
                inputs = outputs
        self.blocks = torch.nn.Sequential(*blocks)
        self.classifier = torch.nn.Linear(inputs, num_classes)

    @staticmethod
    def constraint(decisions: Mapping[str, Any]) -> bool:
        """Whether the decisions of the space make a cell of the benchmark."""
        adjacency = [decisions[f"{i}->{j}"] for i, j in EDGES]
        operations = [decisions[f"op{i}"] for i in range(1, MAX_VERTICES - 1)]
        return is_valid(adjacency, operations)

    def features(self, x: Tensor) -> Tensor:
        """x: (N, image_channels, H, W) -> what the classifier sees, (N, 4 * channels)."""
        return self.blocks(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, image_channels, H, W) -> logits (N, num_classes)."""
        return self.classifier(self.features(x))

    def architecture_graphs(self) -> dict[str, nx.DiGraph]:
        """The cell: operations, and what flows from one to the other."""
        import networkx as nx

        cell = nx.DiGraph()
        cell.add_node(0, label="input")
        for i, operation in enumerate(self.graph.operations, 1):
            cell.add_node(i, label=operation, kind=operation)
        cell.add_node(len(cell), label="output")
        for i, row in enumerate(self.graph.matrix):
            cell.add_edges_from((i, j) for j, bit in enumerate(row) if bit)
        return {"cell": cell}


class Cell(torch.nn.Module):
    """One cell of a graph that is pruned.

    Args:
      inputs: channels of its input.
      outputs: channels of its output; inner vertices share them.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: int,
        outputs: int,
        momentum: float = BATCH_NORM_MOMENTUM,
    ) -> None:
        super().__init__()
        self.widths = vertex_channels(graph.matrix, inputs, outputs)
        self.last = len(graph.matrix) - 1
        vertices = range(1, self.last)
        self.sources = [
            [i for i in range(1, j) if graph.matrix[i][j]]
            for j in range(self.last + 1)  # Inner ones; the input is projected instead.
        ]
        self.projections = torch.nn.ModuleDict(
            {
                str(j): _conv_norm_relu(inputs, self.widths[j], 1, momentum)
                for j in range(1, self.last + 1)
                if graph.matrix[0][j]
            }
        )
        self.operations = torch.nn.ModuleList(
            _operation(graph.operations[j - 1], self.widths[j], momentum)
            for j in vertices
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) -> (N, outputs, H, W)."""
        at = [x]
        for j, operation in enumerate(self.operations, 1):
            # A source with more channels than its target loses the last ones.
            terms = [at[i][:, : self.widths[j]] for i in self.sources[j]]
            at.append(operation(self._sum(terms, x, j)))
        last = [at[i] for i in self.sources[self.last]]
        return self._sum([torch.cat(last, dim=1)] if last else [], x, self.last)

    def _sum(self, terms: list[Tensor], x: Tensor, vertex: int) -> Tensor:
        """The sum of `terms` and, where there is an edge for it, of the projected input."""
        if str(vertex) in self.projections:
            terms = [*terms, self.projections[str(vertex)](x)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def vertex_channels(
    matrix: Sequence[Sequence[int]], inputs: int, outputs: int
) -> list[int]:
    """The channels at each vertex of a pruned graph.

    Inner vertices in front of the output share its channels, the first ones taking what
    does not divide; any other has as many as the widest vertex it leads to.

    Example:

    >>> from symnas.spaces import nas_bench_101
    >>> nas_bench_101.vertex_channels(((0, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0,) * 4), 8, 9)
    [8, 5, 4, 9]
    """
    last = len(matrix) - 1
    widths = [inputs] + [0] * (last - 1) + [outputs]
    in_front = [i for i in range(1, last) if matrix[i][last]]
    for rank, i in enumerate(in_front):
        share, rest = divmod(outputs, len(in_front))
        widths[i] = share + (rank < rest)
    for i in range(last - 1, 0, -1):
        if not matrix[i][last]:
            widths[i] = max(widths[j] for j in range(i + 1, last) if matrix[i][j])
    if 0 in widths:
        raise ValueError(
            f"{len(in_front)} vertices share the {outputs} channels of a NASBench101 cell: "
            "make `channels` larger."
        )
    return widths


def _operation(name: str, channels: int, momentum: float) -> torch.nn.Module:
    if name == "maxpool3x3":
        return torch.nn.MaxPool2d(3, stride=1, padding=1)
    kernel = 3 if name == "conv3x3-bn-relu" else 1
    return _conv_norm_relu(channels, channels, kernel, momentum)


def _conv_norm_relu(
    inputs: int, outputs: int, kernel: int, momentum: float
) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        torch.nn.BatchNorm2d(outputs, momentum=momentum),
        torch.nn.ReLU(),
    )

"""NAS-Bench-201, the topology space of NATS-Bench: 15,625 cells of six operations [1, 2].

Cell: four nodes, an operation on each edge from a node to a later one, sums at the nodes.

    0 ---> 1 ---> 2 ---> 3        0->1, 0->2, 1->2, 0->3, 1->3, 2->3
    |      +-------------^        in this order, as in the strings of the benchmark:
    +-------------^      |        |op~0|+|op~0|op~1|+|op~0|op~1|op~2|
    +--------------------^

Network, with C = 16 channels and N = 5 cells in a stage:

    conv 3x3 -> N cells, C -> residual, stride 2 -> N cells, 2C -> residual, stride 2
    -> N cells, 4C -> norm, ReLU -> global mean -> linear

[1] X. Dong and Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
    Architecture Search", ICLR 2020. https://arxiv.org/abs/2001.00326
[2] X. Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and
    Size", TPAMI 2021. https://arxiv.org/abs/2009.00437
"""

from __future__ import annotations

import difflib
import functools
import itertools
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from symnas.constructors import symbolize
from symnas.primitives import oneof
from symnas.spaces.space_by_default import SpaceByDefault

if TYPE_CHECKING:
    import networkx as nx

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # From and to which node.
NUM_NODES = 4
NUM_ARCHITECTURES = len(OPERATIONS) ** len(EDGES)

CHANNELS = 16  # C in [1].
CELLS_PER_STAGE = 5  # N in [1].
NUM_STAGES = 3

_SHUFFLE_SEED = 88  # Of the list whose positions are the indices.

# --- Architectures: names, strings, indices ---------------------------------------


def operations_space() -> list[str]:
    """The six decisions of a cell alone, for work on tables: examples are lists of names.

    Choose it over `NASBench201()` when no network is needed: an example takes
    microseconds. Column j of a genotype holds the position in `OPERATIONS` of the
    operation on edge j of `EDGES`, here as there.

    Example:

    >>> import symnas as sn
    >>> from symnas.spaces import nas_bench_201
    >>> space = sn.SearchSpace(nas_bench_201.operations_space())
    >>> space.size, [decision.label for decision in space.decisions]
    (15625, ['0->1', '0->2', '1->2', '0->3', '1->3', '2->3'])
    >>> nas_bench_201.index_of(space.build([3, 3, 3, 3, 3, 3]))
    1462
    """
    return [oneof(OPERATIONS, name=f"{source}->{node}") for source, node in EDGES]


def operations_of(architecture: Any) -> tuple[str, ...]:
    """The six operations of an architecture, in the order of `EDGES`.

    Args:
      architecture: six names, a string of the benchmark, an index, a `NASBench201`
        network, or its symbolic form.

    Raises:
      ValueError: it is not in the space; the error names the part that is wrong.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.operations_of(1462)[0]
    'nor_conv_3x3'
    """
    operations = getattr(architecture, "operations", architecture)
    if isinstance(operations, str):
        return from_string(operations)
    if isinstance(operations, (int, np.integer)) and not isinstance(operations, bool):
        return _at(int(operations))
    if not isinstance(operations, Sequence):
        raise TypeError(
            "An architecture of NASBench201 is six names of operations, a string, an "
            f"index or a network, got {architecture!r}."
        )
    return _checked(list(operations))


def to_string(architecture: Any) -> str:
    """The string of an architecture, as the benchmark writes it.

    Args:
      architecture: anything that `operations_of` takes.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.to_string(["skip_connect"] * 6)
    '|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|'
    """
    edges = zip(EDGES, operations_of(architecture), strict=True)
    terms: list[list[str]] = [[] for _ in range(NUM_NODES)]
    for (source, node), operation in edges:
        terms[node].append(f"{operation}~{source}")
    return "+".join(f"|{'|'.join(incoming)}|" for incoming in terms[1:])


def from_string(text: str) -> tuple[str, ...]:
    """The six operations of a string `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

    Raises:
      ValueError: it is no such string; the error names the part that is wrong.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.from_string("|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv~2|")
    Traceback (most recent call last):
        ...
    ValueError: 'nor_conv' on edge 2->3 is not an operation of NASBench201. Did you mean 'nor_conv_3x3' or 'nor_conv_1x1'?
    """
    shown = text if len(text) <= 200 else text[:197] + "..."
    nodes = text.strip().split("+")
    if len(nodes) != NUM_NODES - 1:
        raise ValueError(
            f"A cell of NASBench201 has {NUM_NODES - 1} nodes joined by `+`, got "
            f"{len(nodes)}: {shown!r}."
        )
    return _checked(
        [
            operation
            for node, incoming in enumerate(nodes, 1)
            for operation in _incoming(node, incoming)
        ]
    )


def index_of(architecture: Any) -> int:
    """The index of an architecture in the benchmark, 0 to 15,624.

    Args:
      architecture: anything that `operations_of` takes.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.index_of(["nor_conv_3x3"] * 6)
    1462
    """
    ids = [OPERATIONS.index(operation) for operation in operations_of(architecture)]
    return int(indices_of([ids])[0])


def string_at(index: int) -> str:
    """The string of the architecture that has this index in the benchmark.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.string_at(1651)
    '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'
    """
    return to_string(_at(index))


def operation_ids() -> NDArray[np.int8]:
    """All architectures (15,625, 6) by index, as positions in `OPERATIONS`.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.operation_ids()[1462]
    array([3, 3, 3, 3, 3, 3], dtype=int8)
    """
    return _order()[0]


def indices_of(ids: ArrayLike) -> NDArray[np.int64]:
    """The indices (n,) of many architectures.

    Args:
      ids: (n, 6) positions in `OPERATIONS`, as the genotypes of `operations_space()` and
        `NASBench201()` hold them.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.indices_of([[3, 3, 3, 3, 3, 3], [0, 0, 0, 0, 0, 0]])
    array([1462, 1651])
    """
    digits = np.asarray(ids)
    if digits.ndim != 2 or digits.shape[1] != len(EDGES):
        raise ValueError(f"`ids` must have the shape (n, 6), got {digits.shape}.")
    whole = digits.astype(np.int64)
    if ((whole != digits) | (whole < 0) | (whole >= len(OPERATIONS))).any():
        raise ValueError("`ids` must be integers from 0 to 4.")
    return _order()[1][whole @ _PLACES]


_PLACES = len(OPERATIONS) ** np.arange(len(EDGES))[::-1]


@functools.cache
def _order() -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Operation ids (15,625, 6) by index, and indices (15,625,) by number in base 5."""
    listed = list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))
    random.Random(_SHUFFLE_SEED).shuffle(listed)
    ids = np.array(listed, dtype=np.int8)
    indices = np.empty(NUM_ARCHITECTURES, dtype=np.int64)
    indices[ids @ _PLACES] = np.arange(NUM_ARCHITECTURES)
    for array in (ids, indices):
        array.setflags(write=False)
    return ids, indices


def _at(index: int) -> tuple[str, ...]:
    if not 0 <= index < NUM_ARCHITECTURES:
        raise ValueError(
            f"An index of NASBench201 lies between 0 and {NUM_ARCHITECTURES - 1}, got "
            f"{index}."
        )
    return tuple(OPERATIONS[i] for i in _order()[0][index])


def _incoming(node: int, text: str) -> list[str]:
    """The operations on the edges into one node, of `|op~0|op~1|`."""
    terms = text.strip("|").split("|")
    if len(terms) != node or text != f"|{'|'.join(terms)}|":
        raise ValueError(
            f"Node {node} of NASBench201 is written `|"
            f"{'|'.join(f'op~{source}' for source in range(node))}|`, got {text[:200]!r}."
        )
    operations = []
    for source, term in enumerate(terms):
        operation, _, number = term.partition("~")
        if number != str(source):
            raise ValueError(
                f"The sources of node {node} of NASBench201 are 0 to {node - 1}, in this "
                f"order: expected `~{source}`, got {term[:200]!r} in {text[:200]!r}."
            )
        operations.append(operation)
    return operations


def _checked(operations: list[Any]) -> tuple[str, ...]:
    if len(operations) != len(EDGES):
        raise ValueError(
            f"NASBench201 has {NUM_NODES} nodes per cell, so `operations` needs "
            f"{len(EDGES)} operations, got {len(operations)}: {str(operations)[:200]}."
        )
    for (source, node), operation in zip(EDGES, operations, strict=True):
        if operation not in OPERATIONS:
            close = difflib.get_close_matches(str(operation)[:200], OPERATIONS, 2, 0.4)
            names = " or ".join(map(repr, close)) or ", ".join(map(repr, OPERATIONS))
            raise ValueError(
                f"{str(operation)[:200]!r} on edge {source}->{node} is not an operation "
                f"of NASBench201. Did you mean {names}?"
            )
    return tuple(operations)


# --- Equal cells, size and cost ---------------------------------------------------

Key = Literal["paper", "skips", "functional"]


def canonical(architecture: Any, key: Key = "paper") -> str:
    """A text that equal cells share.

    Args:
      architecture: anything that `operations_of` takes.
      key: 'paper' is the one of [1], which finds 6,466 different cells. It does not see
        that zeros vanish from sums and that a sum passed on by a `skip_connect` may be
        dissolved. 'functional' sees both, finds 4,930, and gives '' for the 341 cells
        that no signal passes. 'skips' knows of `skip_connect` only, and finds 12,751.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> first, second = ["none"] * 6, ["none"] * 5 + ["nor_conv_3x3"]
    >>> nas_bench_201.canonical(first) == nas_bench_201.canonical(second)
    False
    >>> nas_bench_201.canonical(first, "functional")
    ''
    """
    if key not in _TERMS:
        raise ValueError(
            f"`key` must be 'paper', 'skips' or 'functional', got {key!r}."
        )
    into = _TERMS[key]
    nodes: list[list[str]] = [["0"]] + [[] for _ in range(NUM_NODES - 1)]
    for (source, node), operation in zip(
        EDGES, operations_of(architecture), strict=True
    ):
        # Edges into a node come after all those into its sources.
        nodes[node] += into(sorted(nodes[source]), operation)
    return "+".join(sorted(nodes[-1]))


def _paper_terms(source: list[str], operation: str) -> list[str]:
    text = "+".join(source)
    if operation == "none" or text == "#":
        return ["#"]
    return [text if operation == "skip_connect" else f"({text})@{operation}"]


def _skip_terms(source: list[str], operation: str) -> list[str]:
    text = "+".join(source)
    return [text if operation == "skip_connect" else f"({text})@{operation}"]


def _functional_terms(source: list[str], operation: str) -> list[str]:
    if operation == "none" or not source:
        return []
    return (
        source if operation == "skip_connect" else [f"({'+'.join(source)})@{operation}"]
    )


_TERMS = {
    "paper": _paper_terms,
    "skips": _skip_terms,
    "functional": _functional_terms,
}


def num_parameters(
    architecture: Any,
    num_classes: int = 10,
    channels: int = CHANNELS,
    cells_per_stage: int = CELLS_PER_STAGE,
    image_channels: int = 3,
) -> int:
    """The number of parameters of the network, without making it.

    Operations that no signal passes count too, here as in the benchmark.

    Args:
      architecture: anything that `operations_of` takes.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.num_parameters(1462)  # Six 3x3 convolutions.
    1531546
    """
    operations = operations_of(architecture)
    widths = _widths(channels)
    total = 9 * image_channels * channels + 2 * channels
    for kernel in _kernels(operations):
        cell = sum(kernel**2 * width**2 + 2 * width for width in widths)
        total += cells_per_stage * cell
    for width in widths[1:]:
        total += _residual_weights(width) + 4 * width
    return total + 2 * widths[-1] + (widths[-1] + 1) * num_classes


def num_multiply_adds(
    architecture: Any,
    num_classes: int = 10,
    image_size: int = 32,
    channels: int = CHANNELS,
    cells_per_stage: int = CELLS_PER_STAGE,
    image_channels: int = 3,
) -> int:
    """The multiply-adds of the network for one image, which the benchmark calls FLOPs.

    As there, those of convolutions and of the linear layer with its bias.

    Args:
      architecture: anything that `operations_of` takes.
      image_size: height and width; 16 for ImageNet16-120.

    Example:

    >>> from symnas.spaces import nas_bench_201
    >>> nas_bench_201.num_multiply_adds(1462) / 1e6
    220.11969
    """
    operations = operations_of(architecture)
    widths = _widths(channels)
    # Convolutions with stride 2 round up.
    sizes = [-(-image_size // 2**stage) for stage in range(NUM_STAGES)]
    total = image_size**2 * 9 * image_channels * channels
    for kernel in _kernels(operations):
        for size, width in zip(sizes, widths, strict=True):
            total += cells_per_stage * size**2 * kernel**2 * width**2
    for size, width in zip(sizes[1:], widths[1:], strict=True):
        total += size**2 * _residual_weights(width)
    return total + (widths[-1] + 1) * num_classes


def _widths(channels: int) -> list[int]:
    return [channels * 2**stage for stage in range(NUM_STAGES)]


def _kernels(operations: Sequence[str]) -> list[int]:
    """The kernel sizes of the convolutions in a cell."""
    kernels = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
    return [kernels[operation] for operation in operations if operation in kernels]


def _residual_weights(width: int) -> int:
    """Weights of the convolutions in the residual block that leads to `width` channels."""
    return 9 * width * (width // 2) + 9 * width**2 + width * (width // 2)


# --- The network ------------------------------------------------------------------


@symbolize
class NASBench201(torch.nn.Module, metaclass=SpaceByDefault):
    """The network of NAS-Bench-201 for one cell; without a cell, the space of all 15,625.

    Called with operations it is an ordinary module. Called without, or with open ones, it
    is a search space over them; other arguments may be open as well. Decisions are named
    '0->1' and so on, so two spaces of this kind in one program decide alike: pass
    operations with other names where they should not.

    Args:
      operations: of the six edges, in the order of `EDGES`; or anything that
        `operations_of` takes.
      channels: C, of the first stage; each later stage has twice as many.
      cells_per_stage: N.
      affine: whether the norms inside cells have weights. The benchmark's have; those of
        its weight-sharing networks have not. Where they have not, convolutions inside
        cells have biases.
      track_running_stats: whether the norms inside cells keep statistics for evaluation.

    Example:

    >>> import symnas as sn, torch
    >>> from symnas.spaces import NASBench201
    >>> sn.SearchSpace(NASBench201(channels=4)).size
    15625
    >>> model = NASBench201("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    _open: ClassVar = {"operations": operations_space}

    def __init__(
        self,
        operations: Any = None,
        *,
        channels: int = CHANNELS,
        cells_per_stage: int = CELLS_PER_STAGE,
        num_classes: int = 10,
        image_channels: int = 3,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        _check_positive(
            channels=channels,
            cells_per_stage=cells_per_stage,
            num_classes=num_classes,
            image_channels=image_channels,
        )
        self.operations = operations_of(operations)
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(image_channels, channels, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(channels),
        )
        blocks: list[torch.nn.Module] = []
        for width in _widths(channels):
            if blocks:
                blocks.append(_Residual(width // 2, width))
            for _ in range(cells_per_stage):
                cell = Cell(self.operations, width, affine, track_running_stats)
                blocks.append(cell)
        self.blocks = torch.nn.Sequential(*blocks)
        # [1] does not mention the first two; its code has them, and without them
        # accuracies are some points lower.
        self.head = torch.nn.Sequential(
            torch.nn.BatchNorm2d(width),
            torch.nn.ReLU(inplace=True),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
        )
        self.classifier = torch.nn.Linear(width, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """x: (N, image_channels, H, W) -> what the classifier sees, (N, 4 * channels)."""
        return self.head(self.blocks(self.stem(x)))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, image_channels, H, W) -> logits (N, num_classes).

        The authors' networks return the features as well: see `features`.
        """
        return self.classifier(self.features(x))

    def architecture_graphs(self) -> dict[str, nx.DiGraph]:
        """The cell: feature maps, joined by operations."""
        import networkx as nx

        cell = nx.DiGraph()
        for node in range(NUM_NODES):
            ends = {0: "input", NUM_NODES - 1: "output"}
            cell.add_node(node, label=ends.get(node, str(node)))
        for (source, node), operation in zip(EDGES, self.operations, strict=True):
            faint = operation == "none"
            cell.add_edge(source, node, label=operation, faint=faint)
        return {"cell": cell}


class Cell(torch.nn.Module):
    """One cell: its nodes are sums over their incoming edges.

    Args:
      operations: six names, in the order of `EDGES`.
      channels: of its input, its output and all in between.
    """

    def __init__(
        self,
        operations: Sequence[str],
        channels: int,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.edges = torch.nn.ModuleList(
            _operation(name, channels, affine, track_running_stats)
            for name in operations
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, channels, H, W) -> the same shape."""
        nodes: list[Tensor | None] = [x, None, None, None]
        for (source, node), edge in zip(EDGES, self.edges, strict=True):
            y, total = edge(nodes[source]), nodes[node]
            nodes[node] = y if total is None else total + y
        result = nodes[-1]
        assert result is not None
        return result


class Zero(torch.nn.Module):
    """`none`: multiplies by 0."""

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape -> zeros of this shape."""
        return x * 0.0


class _Residual(torch.nn.Module):
    """The block between two stages, with stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = torch.nn.Sequential(
            _relu_conv_norm(inputs, outputs, 3, stride=2),
            _relu_conv_norm(outputs, outputs, 3),
        )
        self.shortcut = torch.nn.Sequential(
            # The benchmark's images have even sizes, where rounding up changes nothing.
            torch.nn.AvgPool2d(2, stride=2, ceil_mode=True),
            torch.nn.Conv2d(inputs, outputs, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) -> (N, outputs, H / 2, W / 2), rounded up."""
        return self.shortcut(x) + self.branch(x)


def _operation(
    name: str, channels: int, affine: bool, track_running_stats: bool
) -> torch.nn.Module:
    if name == "none":
        return Zero()
    if name == "skip_connect":
        return torch.nn.Identity()
    if name == "avg_pool_3x3":
        return torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    kernel = _kernels([name])[0]
    return _relu_conv_norm(channels, channels, kernel, 1, affine, track_running_stats)


def _relu_conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    affine: bool = True,
    track_running_stats: bool = True,
) -> torch.nn.Module:
    padding, bias = kernel // 2, not affine
    return torch.nn.Sequential(
        torch.nn.ReLU(),
        torch.nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias),
        torch.nn.BatchNorm2d(
            outputs, affine=affine, track_running_stats=track_running_stats
        ),
    )


def _check_positive(**numbers: Any) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"`{name}` must be at least 1, got {number!r}.")

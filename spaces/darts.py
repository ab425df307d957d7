"""The cell space of DARTS, which NAS-Bench-301 has too: about 10^18 pairs of cells [1, 2].

Cell: four nodes, each the sum of two operations on different earlier nodes or inputs.

    0 (cell before the last) --+--> 2 --> 3 --> 4 --> 5      node i takes two of 0 ... i-1
    1 (last cell) -------------+
    output: concatenation of nodes 2 to 5

Network for CIFAR, with C = 36 channels and 20 cells; * is a reduction cell, after a third
and two thirds of the cells, which halves the image and doubles the channels:

    conv 3x3 -> 6 cells, C -> * -> 6 cells, 2C -> * -> 6 cells, 4C -> global mean -> linear

[1] H. Liu, K. Simonyan and Y. Yang, "DARTS: Differentiable Architecture Search", ICLR
    2019. https://arxiv.org/abs/1806.09055
[2] A. Zela et al., "Surrogate NAS Benchmarks: Going Beyond the Limited Search Spaces of
    Tabular NAS Benchmarks", ICLR 2022. https://arxiv.org/abs/2008.09777
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from symnas.constructors import register, symbolize
from symnas.primitives import manyof, oneof
from symnas.spaces.space_by_default import SpaceByDefault

if TYPE_CHECKING:
    import networkx as nx

OPERATIONS = (
    "none",  # A weight-sharing search has it; derived cells have not.
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NUM_INPUTS = 2
NUM_NODES = 4
NODES = range(NUM_INPUTS, NUM_INPUTS + NUM_NODES)
NUM_CELLS = 1 * 3 * 6 * 10 * 7**8  # Pairs of sources of each node; 7 operations.

CHANNELS = 36
NUM_CELLS_IN_NETWORK = 20
STEM_MULTIPLIER = 3
AUXILIARY_CHANNELS = (128, 768)

# --- Genotypes --------------------------------------------------------------------

Edge = tuple[str, int]


@register
class Genotype(NamedTuple):
    """Two cells, as the authors write them; `str` gives the text that `parse` reads.

    Attributes:
      normal: two (operation, source) for each of nodes 2 to 5, or a `Node` in their place.
      normal_concat: the nodes that make the output.
      reduce: the same of the reduction cell.
      reduce_concat: the same of the reduction cell.

    Example:

    >>> from symnas.spaces import darts
    >>> edges = [("skip_connect", 0), ("skip_connect", 1)] * 4
    >>> darts.Genotype(edges, range(2, 6), edges).reduce_concat
    range(2, 6)
    """

    normal: Sequence[Any]
    normal_concat: Sequence[int]
    reduce: Sequence[Any]
    reduce_concat: Sequence[int] = NODES


@register
class Node(NamedTuple):
    """The edges into one node, as decisions make them: a genotype takes it for two edges.

    Attributes:
      operations: two names.
      sources: of these operations.

    Example:

    >>> from symnas.spaces import DARTS, darts
    >>> nodes = [darts.Node(["skip_connect", "sep_conv_3x3"], [0, 1])] * 4
    >>> DARTS(darts.Genotype(nodes, range(2, 6), nodes), channels=4).genotype.normal[:2]
    [('skip_connect', 0), ('sep_conv_3x3', 1)]
    """

    operations: Sequence[str]
    sources: Sequence[int]


_LONGEST_TEXT = 10_000  # Characters; an ordinary genotype has 500.


def parse(text: str) -> Genotype:
    """The genotype of `Genotype(normal=[('sep_conv_3x3', 0), ...], ...)`.

    Only such text is read; nothing in it is executed.

    Raises:
      ValueError: it is something else; the error names the part that is wrong.

    Example:

    >>> from symnas.spaces import darts
    >>> edges = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    >>> genotype = darts.Genotype(edges, range(2, 6), edges, range(2, 6))
    >>> darts.parse(str(genotype)) == genotype
    True
    >>> darts.parse("Genotype(normal=__import__('os'))")
    Traceback (most recent call last):
        ...
    ValueError: `normal` of a DARTS genotype must be a list of ('operation', source), got __import__('os').
    """
    if len(text) > _LONGEST_TEXT:
        raise ValueError(
            f"A DARTS genotype has at most {_LONGEST_TEXT} characters, got {len(text)}."
        )
    try:
        return _checked(_read(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"This is not a DARTS genotype: {text[:200]!r}.") from None


def _read(node: ast.expr) -> Genotype:
    if not isinstance(node, ast.Call) or not _is_name(node.func, "Genotype"):
        raise ValueError(
            "A DARTS genotype is written `Genotype(normal=[...], normal_concat=[...], "
            f"reduce=[...], reduce_concat=[...])`, got {_code(node)}."
        )
    fields: dict[str, Any] = {}
    for keyword in node.keywords:
        name = str(keyword.arg)
        if name not in Genotype._fields or name in fields:
            known = ", ".join(f"`{field}`" for field in Genotype._fields)
            raise ValueError(f"A DARTS genotype has {known} once each, got `{name}`.")
        read = _read_nodes if name.endswith("_concat") else _read_edges
        fields[name] = read(name, keyword.value)
    missing = [name for name in Genotype._fields if name not in fields]
    if missing or node.args:
        what = f"without `{missing[0]}`" if missing else "with unnamed arguments"
        raise ValueError(f"A DARTS genotype has four named arguments, got one {what}.")
    return Genotype(**fields)


def _read_edges(name: str, node: ast.expr) -> list[Edge]:
    edges: list[Edge] = []
    for item in node.elts if isinstance(node, ast.List) else [node]:
        match item:
            case ast.Tuple([ast.Constant(str(operation)), ast.Constant(int(source))]):
                edges.append((operation, source))
            case _:
                raise ValueError(
                    f"`{name}` of a DARTS genotype must be a list of ('operation', "
                    f"source), got {_code(item)}."
                )
    return edges


def _read_nodes(name: str, node: ast.expr) -> Sequence[int]:
    match node:
        case ast.Call(
            ast.Name("range"), [ast.Constant(int(low)), ast.Constant(int(high))], []
        ):
            return range(low, high)
        case ast.List(items):
            values = [item.value for item in items if isinstance(item, ast.Constant)]
            nodes = [value for value in values if isinstance(value, int)]
            if len(nodes) == len(items):
                return nodes
    raise ValueError(
        f"`{name}` of a DARTS genotype must be a list of nodes or `range(2, 6)`, got "
        f"{_code(node)}."
    )


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _code(node: ast.expr) -> str:
    return ast.unparse(node)[:200]


def _checked(genotype: Genotype) -> Genotype:
    """The genotype with flat lists of edges, all of them valid."""
    cells = []
    for name in ("normal", "reduce"):
        given, concat = getattr(genotype, name), getattr(genotype, f"{name}_concat")
        edges = [_edge(name, i, item) for i, item in enumerate(_flat(given))]
        if len(edges) != 2 * NUM_NODES:
            raise ValueError(
                f"A cell of DARTS has {NUM_NODES} nodes with two inputs each, so "
                f"`{name}` needs {2 * NUM_NODES} edges, got {len(edges)}."
            )
        if not len(concat) or len(concat) > NUM_NODES or not set(concat) <= set(NODES):
            raise ValueError(
                f"`{name}_concat` must list some of nodes {NODES[0]} to {NODES[-1]}, got "
                f"{concat!r}."
            )
        cells += [edges, concat]
    return Genotype(*cells)


def _flat(edges: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for item in edges:
        if isinstance(item, Node):
            flat += zip(item.operations, item.sources, strict=True)
        elif isinstance(item, list) and item and isinstance(item[0], (tuple, list)):
            flat += item  # All edges of a node.
        else:
            flat.append(item)
    return flat


def _edge(name: str, index: int, edge: Any) -> Edge:
    try:
        operation, source = edge
    except (TypeError, ValueError):
        raise ValueError(
            f"`{name}[{index}]` must be ('operation', source), got {edge!r}."
        ) from None
    node = NUM_INPUTS + index // 2
    if operation not in OPERATIONS:
        raise ValueError(
            f"The operation of `{name}[{index}]` must be one of "
            f"{', '.join(map(repr, OPERATIONS))}, got {operation!r}."
        )
    if isinstance(source, bool) or source not in range(node):
        raise ValueError(
            f"`{name}[{index}]` leads to node {node}, so its source must lie between 0 "
            f"and {node - 1}, got {source!r}."
        )
    return operation, source


def open_genotype(per_edge: bool = False) -> Genotype:
    """All decisions of the space: for each node of both cells two sources, two operations.

    As in derived cells, the sources of a node differ and 'none' is no operation; `parse`
    and `DARTS` take genotypes with both.

    Args:
      per_edge: operations belong to the sources of a node, as in the supernet of DARTS,
        instead of to its two inputs. Examples are the same.

    Example:

    >>> import symnas as sn
    >>> from symnas.spaces import darts
    >>> space = sn.SearchSpace(darts.open_genotype())
    >>> space.size == darts.NUM_CELLS**2, len(space.decisions)
    (True, 22)
    >>> space = sn.SearchSpace(darts.open_genotype(per_edge=True))
    >>> space.size == darts.NUM_CELLS**2, len(space.decisions)
    (True, 34)
    """
    open_node = _open_edges if per_edge else _open_node
    return Genotype(
        [open_node("normal", node) for node in NODES],
        NODES,
        [open_node("reduce", node) for node in NODES],
        NODES,
    )


def _open_node(cell: str, node: int) -> Node:
    sources: Any = list(range(node))
    if node > NUM_INPUTS:
        sources = manyof(2, sources, sorted=True, name=f"{cell}_{node}_sources")
    first, second = (
        oneof(OPERATIONS[1:], name=f"{cell}_{node}_{which}")
        for which in ("first", "second")
    )
    return Node([first, second], sources)


def _open_edges(cell: str, node: int) -> Any:
    edges = [
        (oneof(OPERATIONS[1:], name=f"{cell}_{node}_from_{source}"), source)
        for source in range(node)
    ]
    if node == NUM_INPUTS:
        return edges
    return manyof(2, edges, sorted=True, name=f"{cell}_{node}_sources")


# --- The network ------------------------------------------------------------------


@symbolize
class DARTS(torch.nn.Module, metaclass=SpaceByDefault):
    """The CIFAR network of DARTS for two cells; without them, the space of all.

    Called with a genotype it is an ordinary module. Called without, or with an open one,
    it is a search space: `open_genotype()` shows its decisions. Genotypes that differ in
    the order of nodes may stand for the same cell.

    Args:
      genotype: a `Genotype`, or its text.
      channels: C, of the first cells; 36 in the authors' evaluation, 16 in their search.
      num_cells: 20 in their evaluation, 8 in their search.
      auxiliary: a second classifier, for images of 32 x 32. In training, `forward` then
        returns a pair.
      drop_path: the probability with which operations are dropped in training. The
        authors let it grow from 0 to 0.2: assign to the attribute before each epoch.

    Example:

    >>> import symnas as sn, torch
    >>> from symnas.spaces import DARTS, darts
    >>> f"{sn.SearchSpace(DARTS(channels=4)).size:.2e}"
    '1.08e+18'
    >>> edges = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    >>> model = DARTS(darts.Genotype(edges, range(2, 6), edges), channels=4, num_cells=3)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    _open: ClassVar = {"genotype": open_genotype}

    def __init__(
        self,
        genotype: Any = None,
        *,
        channels: int = CHANNELS,
        num_cells: int = NUM_CELLS_IN_NETWORK,
        num_classes: int = 10,
        image_channels: int = 3,
        auxiliary: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if num_cells < 1:
            raise ValueError(f"`num_cells` must be at least 1, got {num_cells}.")
        self.genotype = _genotype(genotype)
        self.drop_path = drop_path
        width = STEM_MULTIPLIER * channels
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(image_channels, width, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(width),
        )
        cells: list[Cell] = []
        reductions = {num_cells // 3, 2 * num_cells // 3}
        widths, reduced = (width, width), False  # Of the last two outputs.
        for i in range(num_cells):
            reduces = i in reductions
            channels *= 2 if reduces else 1
            cell = Cell(self.genotype, widths, channels, reduces, reduced)
            cells.append(cell)
            widths, reduced = (widths[1], cell.width), reduces
        self.cells = torch.nn.ModuleList(cells)
        self._auxiliary_at = max(reductions)
        seen = cells[self._auxiliary_at].width
        self.auxiliary = _Auxiliary(seen, num_classes) if auxiliary else None
        self.classifier = torch.nn.Linear(widths[1], num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """x: (N, image_channels, H, W) -> logits (N, num_classes).

        With an auxiliary classifier, in training, a pair of such logits: those of the
        network, and of that classifier.
        """
        auxiliary = None
        before = last = self.stem(x)
        for i, cell in enumerate(self.cells):
            drop_path = self.drop_path if self.training else 0.0
            before, last = last, cell(before, last, drop_path)
            if i == self._auxiliary_at and self.auxiliary and self.training:
                auxiliary = self.auxiliary(last)
        logits = self.classifier(last.mean(dim=(2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)

    def architecture_graphs(self) -> dict[str, nx.MultiDiGraph]:
        """Both cells, as the authors draw them: nodes, joined by operations."""
        normal, reduce = self.genotype.normal, self.genotype.reduce
        return {
            "normal cell": _cell_graph(normal, self.genotype.normal_concat),
            "reduction cell": _cell_graph(reduce, self.genotype.reduce_concat),
        }


def _cell_graph(edges: Sequence[Edge], concat: Sequence[int]) -> nx.MultiDiGraph:
    import networkx as nx

    cell = nx.MultiDiGraph()
    cell.add_node(0, label="c_{k-2}")
    cell.add_node(1, label="c_{k-1}")
    for node in NODES:  # Figures begin to count behind the inputs.
        cell.add_node(node, label=str(node - NUM_INPUTS))
    cell.add_node("output", label="c_{k}")
    for i, (operation, source) in enumerate(edges):
        faint = operation == "none"
        cell.add_edge(source, NUM_INPUTS + i // 2, label=operation, faint=faint)
    cell.add_edges_from((node, "output") for node in concat)
    return cell


def _genotype(genotype: Any) -> Genotype:
    if isinstance(genotype, str):
        return parse(genotype)
    if not isinstance(genotype, Sequence) or len(genotype) != len(Genotype._fields):
        raise TypeError(f"`genotype` must be a Genotype or its text, got {genotype!r}.")
    return _checked(Genotype(*genotype))


class Cell(torch.nn.Module):
    """A normal or a reduction cell.

    Args:
      inputs: the channels of its two inputs.
      channels: of each node.
      reduces: whether it halves the image: operations on its inputs have stride 2.
      reduced: whether the cell before did, so the first input is twice as large.
    """

    def __init__(
        self,
        genotype: Genotype,
        inputs: tuple[int, int],
        channels: int,
        reduces: bool,
        reduced: bool,
    ) -> None:
        super().__init__()
        edges = genotype.reduce if reduces else genotype.normal
        concat = genotype.reduce_concat if reduces else genotype.normal_concat
        self.concat, self.width = list(concat), len(concat) * channels
        self.first = (
            _HalfSize(inputs[0], channels)
            if reduced
            else _relu_conv_norm(inputs[0], channels)
        )
        self.second = _relu_conv_norm(inputs[1], channels)
        self.sources = [source for _, source in edges]
        self.operations = torch.nn.ModuleList(
            _operation(name, channels, 2 if reduces and source < NUM_INPUTS else 1)
            for name, source in edges
        )

    def forward(self, before: Tensor, last: Tensor, drop_path: float = 0.0) -> Tensor:
        """before, last: (N, inputs[i], H, W) -> (N, width, H, W), or half of H and W."""
        nodes = [self.first(before), self.second(last)]
        for i in range(0, 2 * NUM_NODES, 2):
            left, right = (
                self._edge(j, nodes[self.sources[j]], drop_path) for j in (i, i + 1)
            )
            nodes.append(left + right)
        return torch.cat([nodes[node] for node in self.concat], dim=1)

    def _edge(self, index: int, x: Tensor, drop_path: float) -> Tensor:
        operation = self.operations[index]
        y = operation(x)
        if not drop_path or isinstance(operation, torch.nn.Identity):
            return y
        kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= drop_path
        return y / (1.0 - drop_path) * kept


def _operation(name: str, channels: int, stride: int) -> torch.nn.Module:
    """An operation as the final network has it: norms with weights, none after pooling."""
    if name == "none":
        return _Zero(stride)
    if name == "max_pool_3x3":
        return torch.nn.MaxPool2d(3, stride, padding=1)
    if name == "avg_pool_3x3":
        return torch.nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    if name == "skip_connect":
        return torch.nn.Identity() if stride == 1 else _HalfSize(channels, channels)
    kernel = int(name[-1])
    if name.startswith("dil"):
        return torch.nn.Sequential(*_separable(channels, kernel, stride, dilation=2))
    return torch.nn.Sequential(
        *_separable(channels, kernel, stride), *_separable(channels, kernel, 1)
    )


def _separable(
    channels: int, kernel: int, stride: int, dilation: int = 1
) -> list[torch.nn.Module]:
    return [
        torch.nn.ReLU(),
        torch.nn.Conv2d(
            channels,
            channels,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=channels,
            bias=False,
        ),
        torch.nn.Conv2d(channels, channels, 1, bias=False),
        torch.nn.BatchNorm2d(channels),
    ]


def _relu_conv_norm(inputs: int, outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.ReLU(),
        torch.nn.Conv2d(inputs, outputs, 1, bias=False),
        torch.nn.BatchNorm2d(outputs),
    )


class _Zero(torch.nn.Module):
    """`none`: zeros, of half the size with stride 2."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, C, H / stride, W / stride), rounded up."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class _HalfSize(torch.nn.Module):
    """The factorized reduction: two 1x1 convolutions that see different pixels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = torch.nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        rest = outputs - outputs // 2
        self.odd = torch.nn.Conv2d(inputs, rest, 1, stride=2, bias=False)
        self.norm = torch.nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) with even H and W -> (N, outputs, H / 2, W / 2)."""
        x = torch.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


class _Auxiliary(torch.nn.Sequential):
    """The second classifier, on features of 8 x 8."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        narrow, wide = AUXILIARY_CHANNELS
        super().__init__(
            torch.nn.ReLU(),
            torch.nn.AvgPool2d(5, stride=3, count_include_pad=False),
            torch.nn.Conv2d(inputs, narrow, 1, bias=False),
            torch.nn.BatchNorm2d(narrow),
            torch.nn.ReLU(),
            torch.nn.Conv2d(narrow, wide, 2, bias=False),
            torch.nn.BatchNorm2d(wide),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(wide, num_classes),
        )

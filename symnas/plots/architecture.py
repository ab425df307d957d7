"""Architectures as drawings: cells as graphs, other models layer by layer."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch

from symnas.plots import style

if TYPE_CHECKING:
    import networkx as nx
    import plotly.graph_objects as go

    from symnas.plots.layered import Placed, Point

_MARGIN = 12.0
_PADDING = 12.0  # Within a frame.
_LINE = 16.0  # Pixels of a line of text.
_TITLE = 24.0
_COLUMN = 350.0  # A drawing is no wider without need, so that it fits a phone.
_LONGEST_LINE = 34  # Characters.
_MOST_LINES = 2
_MOST_LINES_OF_CODE = 32

_INK = "#22272e"  # On boxes, which are light on any page.
_GREY = "#808080"  # On the page itself, be it dark or light.
_PAPER = "#e9ecef"


@runtime_checkable
class HasGraphs(Protocol):
    """What a module offers to be drawn as something else than its layers."""

    def architecture_graphs(self) -> Mapping[str, nx.DiGraph]:
        """Graphs without cycles, by title.

        Nodes have a `label`, else they are shown by themselves, and may have a `kind`,
        which boxes of one colour share, a `hover` text, `times`, how often they follow
        one another, and `inner`, a graph to be drawn inside. Edges may have a `label`.
        What is `faint` is there without effect.
        """
        ...


def architecture(example: Any, width: int = 760) -> go.Figure:
    """A drawing of a model, or of a search space.

    Cells of the spaces of the literature are drawn as graphs. Of other modules the layers
    are drawn, with arrows where `torch.fx` can tell what flows; equal parts that follow
    one another are drawn once. Containers are opened while there are at most 60 boxes.

    Args:
      example: a module, or a symbolic object. A module of a class with a method
        `architecture_graphs` is drawn as that says: see `HasGraphs`.
      width: pixels that the figure may take. Drawings of several cells stand side by
        side, or below each other if there is no room. The size of the figure is fixed:
        boxes would overlap in a smaller one.

    Raises:
      TypeError: `example` is neither.

    Example:

    >>> import symnas as sn
    >>> from symnas import nn
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> figure = sn.plots.architecture(model)
    >>> [note.text for note in figure.layout.annotations]
    ['Linear(64, 32)', 'ReLU', 'Linear(32, 10)']
    """
    if width < 2 * _COLUMN / 3:
        raise ValueError(f"`width` must be at least 240 pixels, got {width}.")
    panels = [
        _panel(title, graph, width - 2 * _MARGIN)
        for title, graph in _graphs(example).items()
    ]
    return _figure(panels, width)


def _graphs(example: Any) -> Mapping[str, nx.DiGraph]:
    from symnas import space, tree
    from symnas.plots import module_graph

    if tree.is_symbolic(example):
        symbolic = tree.convert(example)
        try:
            # What is drawn are layers, so no weights are drawn for them.
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                built = space.build(symbolic)
        except Exception:  # It has open decisions, or cannot be made without data.
            built = None
        if not isinstance(built, torch.nn.Module):
            return {"": module_graph.of_symbolic(symbolic)}
        example = built
    if isinstance(example, HasGraphs):
        return example.architecture_graphs()
    if isinstance(example, torch.nn.Module):
        return {"": module_graph.of_module(example)}
    raise TypeError(
        "What can be drawn are modules and symbolic objects, got "
        f"{str(example)[:200]!r} of type {type(example).__name__}."
    )


# --- from graphs to boxes ---------------------------------------------------------


class _Box(NamedTuple):
    """A node that knows its size."""

    lines: list[str]
    data: Mapping[str, Any]
    inner: _Panel | None
    width: float
    height: float


class _Panel(NamedTuple):
    title: str
    boxes: dict[Hashable, _Box]
    edges: dict[Hashable, Mapping[str, Any]]
    placed: Placed
    width: float
    height: float


def _panel(title: str, graph: nx.DiGraph, width: float) -> _Panel:
    """A graph with places for its boxes; labels of edges become boxes as well."""
    import networkx as nx

    from symnas.plots import layered

    drawn = nx.MultiDiGraph(form=graph.graph.get("form"))
    for node, data in graph.nodes(data=True):
        drawn.add_node(node, **data)
    for i, (source, target, data) in enumerate(graph.edges(data=True)):
        if data.get("label"):
            drawn.add_node(("edge", i), kind=data["label"], **data, on_edge=True)
            drawn.add_edge(source, ("edge", i), **{**data, "head": False})
            drawn.add_edge(("edge", i), target, **data)
        else:
            drawn.add_edge(source, target, **data)
    boxes = {
        node: _box(data.get("label", str(node)), data, width)
        for node, data in drawn.nodes(data=True)
    }
    sizes = {node: (box.width, box.height) for node, box in boxes.items()}
    placed = layered.place(drawn, sizes, min(width, _COLUMN))
    edges: dict[Hashable, Mapping[str, Any]] = {}
    if drawn.graph["form"] != "stack":
        edges = {tuple(edge): data for *edge, data in drawn.edges(keys=True, data=True)}
    top = _TITLE if title else 0.0
    wide = max(placed.width, style.text_width(title))
    return _Panel(title, boxes, edges, placed, wide, placed.height + top)


def _box(label: str, data: Mapping[str, Any], width: float) -> _Box:
    times = f" x {data['times']}" if data.get("times", 1) > 1 else ""
    if data.get("inner") is not None:
        inner = _panel("", data["inner"], width - 2 * _PADDING)
        lines = [(line + times).strip() for line in _cut(label, 1) or [""]]
        lines = [line for line in lines if line]
        wide = max(inner.width, style.text_width(lines[0]) if lines else 0.0)
        top = _TITLE if lines else _PADDING
        size = (wide + 2 * _PADDING, inner.height + top + _PADDING)
        return _Box(lines, data, inner, *size)
    lines = data["code"].splitlines() if "code" in data else _cut(label, _MOST_LINES)
    if len(lines) > _MOST_LINES_OF_CODE:
        lines = [*lines[: _MOST_LINES_OF_CODE - 1], "..."]
    lines += [text for text in (data.get("note"), times.strip()) if text]
    wide = max(map(style.text_width, lines), default=0.0)
    return _Box(lines, data, None, wide + 18.0, len(lines) * _LINE + 8.0)


def _cut(text: str, most_lines: int) -> list[str]:
    """Lines of a text, the last one cut if there are too many."""
    lines = textwrap.wrap(text, _LONGEST_LINE)
    if len(lines) > most_lines:
        last = lines[most_lines - 1][: _LONGEST_LINE - 4]
        lines = [*lines[: most_lines - 1], f"{last} ..."]
    return lines


# --- from boxes to a figure -------------------------------------------------------


class _Drawing:
    """Shapes and texts, in pixels to the right and down."""

    def __init__(self) -> None:
        self.shapes: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self._kinds: dict[Any, str] = {}

    def panel(self, panel: _Panel, x: float, y: float) -> None:
        if panel.title:
            self._text(panel.title, x + panel.width / 2, y + _TITLE / 2, bold=True)
            y += _TITLE
        x += (panel.width - panel.placed.width) / 2
        for node, box in panel.boxes.items():
            across, down = panel.placed.centers[node]
            self._box(box, x + across, y + down)
        for edge, data in panel.edges.items():
            points = [(x + i, y + j) for i, j in panel.placed.routes[edge]]
            self._arrow(points, data)

    def _box(self, box: _Box, x: float, y: float) -> None:
        left, top = x - box.width / 2, y - box.height / 2
        faint, open_ = box.data.get("faint"), box.data.get("open")
        ends = {"x0": left, "y0": top, "x1": left + box.width, "y1": top + box.height}
        line = {"color": _GREY, "width": 1, "dash": "dash" if open_ else "solid"}
        if box.inner is not None:
            fill = style.faded(_GREY, 0.10)
            self.shapes.append(
                {"type": "rect", **ends, "line": line, "fillcolor": fill}
            )
            if box.lines:
                hover = box.data.get("hover")
                self._text(box.lines[0], x, top + _TITLE / 2, hover=hover)
            inside = top + (_TITLE if box.lines else _PADDING)
            self.panel(box.inner, x - box.inner.width / 2, inside)
            return
        if not faint:
            fill = self._color(None if "code" in box.data else box.data.get("kind"))
            line = {**line, "width": 1 if open_ else 0}
            self.shapes.append(
                {"type": "rect", **ends, "line": line, "fillcolor": fill}
            )
        self._text(
            "\n".join(box.lines),
            x,
            y,
            color=_GREY if faint else _INK,
            hover=box.data.get("hover") or box.data.get("label"),
            size=(box.width, box.height),
        )

    def _color(self, kind: Any) -> str:
        """Light, one for each kind of box, in the order in which they are met."""
        if kind is None:
            return _PAPER
        if kind not in self._kinds:
            self._kinds[kind] = style.light(style.color(len(self._kinds)))
        return self._kinds[kind]

    def _text(
        self,
        text: str,
        x: float,
        y: float,
        color: str = _GREY,
        hover: Any = None,
        size: Point | None = None,
        bold: bool = False,
    ) -> None:
        shown = style.escaped(text)
        note = {"x": x, "y": y, "text": f"<b>{shown}</b>" if bold else shown}
        note |= {"showarrow": False, "font": {"size": 12, "color": color}}
        if hover:
            note["hovertext"] = style.escaped(str(hover))
        if size is not None:  # So that all of the box answers to the mouse.
            code = shown.count("<br>") > 1
            note |= {"width": size[0] - (18 if code else 2), "height": size[1] - 2}
            note["align"] = "left" if code else "center"
        self.notes.append(note)

    def _arrow(self, points: list[Point], data: Mapping[str, Any]) -> None:
        line = {"color": _GREY, "width": 1.4}
        if data.get("faint"):
            line = {"color": _GREY, "width": 1, "dash": "dot"}
        head = data.get("head", True)
        path = _path(points[:-1], (points[-1][0], points[-1][1] - 5.0 * head))
        self.shapes.append({"type": "path", "path": path, "line": line})
        if head:
            x, y = points[-1]
            tip = f"M {x - 4} {y - 7} L {x + 4} {y - 7} L {x} {y} Z"
            tip_line = {"color": _GREY, "width": 0}
            self.shapes.append(
                {"type": "path", "path": tip, "line": tip_line, "fillcolor": _GREY}
            )


def _path(points: list[Point], end: Point) -> str:
    """A curve that is vertical where it enters and leaves a layer."""
    pieces = [f"M {points[0][0]:.1f} {points[0][1]:.1f}"]
    previous = points[0]
    for x, y in [*points[1:], end]:
        if x == previous[0]:
            pieces.append(f"L {x:.1f} {y:.1f}")
        else:
            middle = (previous[1] + y) / 2
            pieces.append(
                f"C {previous[0]:.1f} {middle:.1f} {x:.1f} {middle:.1f} {x:.1f} {y:.1f}"
            )
        previous = x, y
    return " ".join(pieces)


def _figure(panels: list[_Panel], width: int) -> go.Figure:
    import plotly.graph_objects as go

    drawing = _Drawing()
    right = bottom = 0.0
    for panel, x, y in _arranged(panels, width):
        drawing.panel(panel, x, y)
        right, bottom = max(right, x + panel.width), max(bottom, y + panel.height)
    size = right + _MARGIN, bottom + _MARGIN
    figure = style.plain(go.Figure())
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        width=round(size[0]),
        height=round(size[1]),
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={**hidden, "range": [0, size[0]]},
        yaxis={**hidden, "range": [size[1], 0]},
        shapes=drawing.shapes,
        annotations=drawing.notes,
    )
    return figure


def _arranged(
    panels: list[_Panel], width: float
) -> Iterator[tuple[_Panel, float, float]]:
    """Panels with their upper left corners, in rows that fit."""
    x = y = _MARGIN
    height = 0.0
    for panel in panels:
        if x > _MARGIN and x + panel.width + _MARGIN > width:
            x, y, height = _MARGIN, y + height + 2 * _MARGIN, 0.0
        yield panel, x, y
        x += panel.width + 2 * _MARGIN
        height = max(height, panel.height)

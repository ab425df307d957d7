"""What a module consists of, as a graph of boxes that may hold graphs of boxes."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import networkx as nx
import torch

from symnas import hyper, tree
from symnas.description import describe
from symnas.tree import Call

Box = dict[str, Any]

_MOST_BOXES = 60  # Containers are opened, level by level, while there are no more.
_HEAD, _TAIL = 40, 19  # Of a longer chain.
_MOST_IN_FLOW = 150  # Of a larger graph nobody sees the branches.
_LONGEST_PERIOD = 8  # Of layers that repeat together.
_LONGEST_HOVER = 1500

_LOOKS = frozenset(("getattr", "size", "dim", "numel"))  # At shapes: no data flows.
_UNSEEN = frozenset(("getitem", "contiguous"))  # It flows through them as it is.


def of_module(module: torch.nn.Module) -> nx.MultiDiGraph:
    """The layers of a module; what flows between them where `torch.fx` can tell.

    The module is not changed. Nodes have a `label`, and may have `kind`, which boxes of
    one colour share, `hover`, `times` and `inner`, a graph that is drawn inside.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _opened(lambda depth: _module_graph(_twin(module), depth))


def of_symbolic(node: Any) -> nx.MultiDiGraph:
    """The calls of a symbolic object, with the candidates of its open decisions."""
    return _opened(lambda depth: _beside([_symbolic_box(node, depth)]))


def _twin(module: torch.nn.Module) -> torch.nn.Module:
    """A copy that shares its tensors: tracing runs a module's own code."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _opened(make: Callable[[int], nx.MultiDiGraph]) -> nx.MultiDiGraph:
    """The graph in as much depth as can be read."""
    best = _shortened(make(0))
    for depth in itertools.count(1):
        boxes = list(_boxes(best))
        if not any(box.get("closed") for box in boxes):
            break
        graph = make(depth)
        if len(list(_boxes(graph))) > _MOST_BOXES:
            break
        best = graph
    return best


def _boxes(graph: nx.MultiDiGraph) -> Iterator[Box]:
    """The boxes that hold no others."""
    for _, box in graph.nodes(data=True):
        if box.get("inner") is None:
            yield box
        else:
            yield from _boxes(box["inner"])


def _shortened(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """The beginning and the end of a long chain."""
    form = {"chain": _chain, "stack": _stack}.get(graph.graph.get("form", ""))
    if form is None or len(graph) <= _MOST_BOXES:
        return graph
    nodes = list(nx.topological_sort(graph))
    kept = [dict(graph.nodes[node]) for node in nodes]
    left = len(nodes) - _HEAD - _TAIL
    gap = {"label": f"... {left} more ...", "kind": None}
    return form([*kept[:_HEAD], gap, *kept[-_TAIL:]])


# --- modules ----------------------------------------------------------------------

_CONTAINERS = (torch.nn.ModuleList, torch.nn.ModuleDict)


def _module_graph(module: torch.nn.Module, depth: int) -> nx.MultiDiGraph:
    """The inside of a module, or its own box if there is none."""
    if not _opens(module):
        return _beside([_module_box(module, "", 0)])
    if isinstance(module, torch.nn.Sequential):
        return _chain(_repeats(list(_links(module, "", depth)), _chain))
    flow = None if isinstance(module, _CONTAINERS) else _flow(module, depth)
    if flow is not None:
        return _folded(flow)
    boxes = [_module_box(m, name, depth) for name, m in _children(module)]
    return _stack(_repeats(boxes, _stack))


def _opens(module: torch.nn.Module) -> bool:
    """Whether it has parts to show; layers of torch are shown whole."""
    if not _children(module):
        return False
    containers = (torch.nn.Sequential, *_CONTAINERS)
    ours = isinstance(module, containers) or "Transformer" in type(module).__name__
    return ours or not type(module).__module__.startswith("torch.nn.")


def _children(module: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """All of them; `named_children` leaves out those that stand in a second place."""
    return [(k, child) for k, child in module._modules.items() if child is not None]


def _links(module: torch.nn.Sequential, path: str, depth: int) -> Iterator[Box]:
    """The boxes of a chain; chains in it that have no name of their own join in."""
    for name, child in _children(module):
        inside = f"{path}.{name}" if path else name
        nameless = name.isdecimal() and depth > 0
        if nameless and type(child) is torch.nn.Sequential and len(child):
            yield from _links(child, inside, depth)
        else:
            yield _module_box(child, inside, depth)


def _module_box(module: torch.nn.Module, name: str, depth: int) -> Box:
    label = _described(module)
    kind = type(module).__name__
    size = sum(p.numel() for p in module.parameters())
    weights = f"{size:,} parameters" if size else "no parameters"
    hover = "\n".join(filter(None, [name, weights, _cut(repr(module))]))
    last = name.rpartition(".")[2]
    box = {"label": label, "kind": kind, "hover": hover}
    if not _opens(module):
        return box
    if isinstance(module, (torch.nn.Sequential, *_CONTAINERS)) and last:
        box["label"] = last if not last.isdecimal() else kind
    if depth:
        return {**box, "inner": _module_graph(module, depth - 1)}
    return {**box, "note": weights, "closed": True}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_HOVER else f"{text[:_LONGEST_HOVER]}..."


def _described(module: torch.nn.Module) -> str:
    """What one would write to make it, without what is as by default."""
    kind = type(module)
    parameters = dict(inspect.signature(kind.__init__).parameters)
    arguments = [
        _argument(*item.partition("="), parameters)
        for item in _items(module.extra_repr())
    ]
    if not arguments:
        # It says nothing, so what it keeps under the names of its parameters does.
        arguments = [
            _argument(name, "=", repr(value), parameters)
            for name in parameters
            if isinstance(value := vars(module).get(name), (bool, int, float, str))
        ]
    shown = ", ".join(filter(None, arguments))
    return f"{kind.__name__}({shown})" if shown else kind.__name__


def _argument(
    name: str, equals: str, value: str, parameters: Mapping[str, inspect.Parameter]
) -> str:
    """`name=value` as short as it can be written; nothing for a default."""
    default = parameters[name].default if name in parameters and equals else name
    alike = re.sub(r"\((\d+)(?:, \1)+\)", r"\1", value)  # (3, 3) can be written 3.
    if repr(default) in (value, alike):
        return ""
    if default is inspect.Parameter.empty:
        name = equals = ""  # It is required, so its place says which it is.
    short = re.sub(r"\d+\.\d{4,}", lambda found: f"{float(found[0]):.4g}", alike)
    return f"{name}{equals}{short}"


def _items(text: str) -> list[str]:
    """The items of a list in code, by the commas that are in no bracket."""
    items, nested, start = [], 0, 0
    for i, character in enumerate(f"{text},"):
        nested += (character in "([{") - (character in ")]}")
        if character == "," and not nested:
            items.append(text[start:i].strip())
            start = i + 1
    return [item for item in items if item]


# --- what flows between them ------------------------------------------------------


class _Tracer(torch.fx.Tracer):
    """Follows the code of one module; what that calls stays closed."""

    def is_leaf_module(self, m: torch.nn.Module, name: str) -> bool:
        return True


def _flow(module: torch.nn.Module, depth: int) -> nx.MultiDiGraph | None:
    """The boxes that one forward passes; None if `torch.fx` cannot follow it."""
    try:
        plain = {
            p.name: p.default
            for p in inspect.signature(module.forward).parameters.values()
            if p.default is not p.empty
        }
        traced = _Tracer().trace(module, concrete_args=plain or None)
    except Exception:
        return None  # It depends on values, or does what tracing does not know.
    graph = nx.DiGraph()
    inputs = [n for n in traced.nodes if n.op == "placeholder" and n.name not in plain]
    for node in traced.nodes:
        if node.op == "call_module":
            child = module.get_submodule(str(node.target))
            box = _module_box(child, str(node.target), depth)
        elif node.op in ("call_function", "call_method"):
            box = {
                "label": _function(node),
                "kind": None,
                "unseen": _name(node) in _LOOKS | _UNSEEN,
            }
        elif node.op in ("placeholder", "output"):
            # With one input and one output the ends of the drawing say as much.
            box = {"label": str(node.target), "kind": None}
            box["unseen"] = node not in inputs or len(inputs) < 2
        else:
            box = {"label": str(node.target), "kind": None, "unseen": True}
        graph.add_node(node, **box)
        if _name(node) not in _LOOKS:
            graph.add_edges_from((source, node) for source in node.all_input_nodes)
    end = next(node for node in graph if node.op == "output")
    used = nx.ancestors(graph, end) | {end}
    for node in list(graph):
        if node not in used:
            graph.remove_node(node)
        elif graph.nodes[node].get("unseen"):
            _contract(graph, node)
    return nx.MultiDiGraph(graph) if 0 < len(graph) <= _MOST_IN_FLOW else None


def _name(node: torch.fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))


def _function(node: torch.fx.Node) -> str:
    """A call of a function as one would write it, without the tensors."""
    name = _name(node).strip("_")
    rest = node.args if node.op == "call_function" else node.args[1:]
    shown = [repr(a) for a in rest if not _has_nodes(a)]
    named = {k: a for k, a in node.kwargs.items() if k != "inplace"}
    shown += [f"{k}={a!r}" for k, a in named.items() if not _has_nodes(a)]
    symbol = {"add": "+", "iadd": "+", "mul": "x", "imul": "x", "sub": "-"}.get(name)
    if symbol and not shown:
        return symbol
    return f"{name}({', '.join(shown)})" if shown else name


def _has_nodes(argument: Any) -> bool:
    found: list[Any] = []
    torch.fx.node.map_arg(argument, found.append)
    return bool(found)


def _contract(graph: nx.DiGraph, node: Hashable) -> None:
    """Takes a node out; its sources lead to its targets."""
    ends = list(itertools.product(graph.predecessors(node), graph.successors(node)))
    graph.remove_node(node)
    graph.add_edges_from(ends)


# --- symbolic objects -------------------------------------------------------------


def _symbolic_box(node: Any, depth: int) -> Box:
    """A call, or a decision that is open, with the calls inside."""
    whole = describe(node)
    parts = [] if not isinstance(node, tree.SymbolicObject) else list(_parts(node))
    decision = isinstance(node, hyper.HyperValue)
    name = describe(node, width=None).partition("(")[0]
    if not parts or not depth:
        box = {"label": name, "code": describe(node, width=46), "kind": name}
        return {**box, "open": decision, "closed": bool(parts)}
    boxes = [_symbolic_box(part, depth - 1) for part in parts]
    if decision:
        inner = _beside(boxes)
    else:
        form = _chain if node.sym_target is torch.nn.Sequential else _stack
        inner = form(_repeats(boxes, form))
    if decision and dict(tree.children(node)).get("name"):
        name = f"{name}: {dict(tree.children(node))['name']}"
    box = {"label": name, "kind": name, "hover": _cut(whole), "inner": inner}
    return {**box, "open": decision}


def _parts(node: Any) -> Iterator[Any]:
    """The nearest calls below, and the decisions between calls."""
    for _, child in tree.children(node):
        if isinstance(child, Call) or _decides_calls(child):
            yield child
        else:
            yield from _parts(child)


def _decides_calls(node: Any) -> bool:
    below = itertools.islice(tree.walk(node), 1, None)
    return isinstance(node, hyper.HyperValue) and any(
        isinstance(n, Call) for n in below
    )


# --- chains and repeats -----------------------------------------------------------


def _chain(boxes: Iterable[Box]) -> nx.MultiDiGraph:
    """Boxes below each other, with arrows."""
    graph = _beside(boxes)
    graph.add_edges_from(itertools.pairwise(list(graph)))
    graph.graph["form"] = "chain"
    return graph


def _stack(boxes: Iterable[Box]) -> nx.MultiDiGraph:
    """Boxes below each other, of which it is not known what flows between them."""
    graph = _chain(boxes)
    graph.graph["form"] = "stack"
    return graph


def _beside(boxes: Iterable[Box]) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(enumerate(boxes))
    return graph


def _folded(graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """The graph with equal parts that follow one another as one, drawn so many times."""
    for chain in list(_chains(graph)):
        boxes = _repeats([dict(graph.nodes[node]) for node in chain], _chain)
        # The new boxes take the places of the first old ones.
        kept, gone = chain[: len(boxes)], chain[len(boxes) :]
        targets = list(graph.successors(chain[-1]))
        graph.remove_nodes_from(gone)
        for node, box in zip(kept, boxes, strict=True):
            graph.nodes[node].clear()
            graph.nodes[node].update(box)
        if gone:
            graph.add_edges_from((kept[-1], target) for target in targets)
    return graph


def _chains(graph: nx.MultiDiGraph) -> Iterator[list[Hashable]]:
    """The longest paths whose inner nodes have one source and one target."""
    single = {
        source: target
        for source, target in nx.DiGraph(graph).edges
        if graph.out_degree(source) == 1 and graph.in_degree(target) == 1
    }
    inner = set(single.values())
    for node in graph:
        if node not in inner:
            chain = [node]
            while chain[-1] in single:
                chain.append(single[chain[-1]])
            yield chain


def _repeats(
    boxes: Sequence[Box], form: Callable[[Iterable[Box]], nx.MultiDiGraph]
) -> list[Box]:
    keys = [_key(box) for box in boxes]
    result: list[Box] = []
    i = 0
    while i < len(boxes):
        period, times = _best_repeat(keys, i)
        if times == 1:
            result.append(boxes[i])
            i += 1
            continue
        if period == 1:
            result.append({**boxes[i], "times": times})
        else:
            inner = form(boxes[i : i + period])
            result.append({"label": "", "kind": None, "inner": inner, "times": times})
        i += period * times
    return result


def _best_repeat(keys: Sequence[Any], start: int) -> tuple[int, int]:
    """The period and the count that cover most, the shortest period of equal ones."""
    best = 1, 1
    for period in range(1, _LONGEST_PERIOD + 1):
        times = 1
        first = keys[start : start + period]
        while keys[start + period * times : start + period * (times + 1)] == first:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = period, times
    return best


def _key(box: Box) -> Any:
    """What boxes that look alike share."""
    inner = box.get("inner")
    inside = None
    if inner is not None:
        rank = {node: i for i, node in enumerate(inner)}
        inside = (
            [_key(data) for _, data in inner.nodes(data=True)],
            sorted((rank[s], rank[t]) for s, t, *_ in inner.edges),
        )
    # A hover begins with a name, which differs.
    hover = "\n".join(str(box.get("hover", "")).split("\n")[1:])
    return box["label"], box.get("times"), box.get("note"), hover, inside

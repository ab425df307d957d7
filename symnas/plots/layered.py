"""Places boxes and arrows of a graph so that none lies on another: a layered drawing [1].

[1] K. Sugiyama, S. Tagawa and M. Toda, "Methods for Visual Understanding of Hierarchical
    System Structures", IEEE Trans. SMC 11(2), 1981.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from scipy.optimize import isotonic_regression

Point = tuple[float, float]  # Pixels, to the right and down.
Layers = list[list[Hashable]]

GAP = 14.0  # Pixels between two boxes of a layer.
RISE = 26.0  # Pixels between two layers.
_LANE = 2.0  # Pixels that an arrow takes where it passes a layer,
_LANE_GAP = 9.0  # and those beside it.
_SWEEPS = 12
_STARTS = 8  # Orders from which crossings are taken away.
_MOST_STEPS = 200  # Larger graphs start once.


class Placed(NamedTuple):
    """A drawing whose upper left corner is (0, 0).

    Attributes:
      centers: of the boxes.
      routes: of each edge the points that its arrow passes, from the lower side of one
        box to the upper side of another; vertical where two points have the same x.
      width, height: pixels.
    """

    centers: dict[Hashable, Point]
    routes: dict[Hashable, list[Point]]
    width: float
    height: float


class _Lane(NamedTuple):
    """The place of an edge in a layer that it only passes."""

    edge: Hashable
    layer: int


def place(
    graph: nx.MultiDiGraph, sizes: Mapping[Hashable, Point], width: float
) -> Placed:
    """Boxes of these sizes, edges downwards.

    Args:
      graph: without cycles.
      sizes: width and height of each node.
      width: that the drawing should have at most; with less it grows downwards.
    """
    widths = {node: sizes[node][0] for node in graph}
    layers, chains = _layers_with_lanes(graph, widths, width)
    limit = width
    while _width(layers, widths) > width and limit > width / 2:
        limit -= width / 12  # Arrows that pass beside the boxes take room as well.
        layers, chains = _layers_with_lanes(graph, widths, limit)
    at = {node: i for i, layer in enumerate(layers) for node in layer}
    steps = [step for chain in chains.values() for step in itertools.pairwise(chain)]
    layers = _ordered(layers, steps)
    xs, total = _columns(layers, steps, widths)
    tops, heights, y = [], [], 0.0
    for layer in layers:
        tops.append(y)
        heights.append(max((sizes[n][1] for n in layer if n in sizes), default=0.0))
        y += heights[-1] + RISE
    centers = {node: (xs[node], tops[at[node]] + sizes[node][1] / 2) for node in graph}
    routes = {}
    for edge, chain in chains.items():
        source, target = chain[0], chain[-1]
        x, top = xs[source], tops[at[source]]
        route = [(x, top + sizes[source][1]), (x, top + heights[at[source]])]
        for lane in chain[1:-1]:
            top = tops[lane.layer]  # type: ignore[attr-defined]
            bottom = top + heights[lane.layer]  # type: ignore[attr-defined]
            route += [(xs[lane], top), (xs[lane], bottom)]
        routes[edge] = [*route, (xs[target], tops[at[target]])]
    return Placed(centers, routes, total, max(y - RISE, 0.0))


def _layers_with_lanes(
    graph: nx.MultiDiGraph, widths: Mapping[Hashable, float], limit: float
) -> tuple[Layers, dict[Hashable, list[Hashable]]]:
    """Layers, and for each edge its source, its lanes and its target."""
    layers = _layers(graph, widths, limit)
    at = {node: i for i, layer in enumerate(layers) for node in layer}
    chains: dict[Hashable, list[Hashable]] = {}
    for edge in graph.edges(keys=True):
        source, target, _ = edge
        lanes = [_Lane(edge, i) for i in range(at[source] + 1, at[target])]
        for lane in lanes:
            layers[lane.layer].append(lane)
        chains[edge] = [source, *lanes, target]
    return layers, chains


def _layers(
    graph: nx.MultiDiGraph, widths: Mapping[Hashable, float], limit: float
) -> Layers:
    """Each node behind its sources; those with the longest way ahead come first."""
    ahead: dict[Hashable, int] = {}
    for node in reversed(list(nx.topological_sort(graph))):
        ahead[node] = 1 + max((ahead[n] for n in graph.successors(node)), default=0)
    order = {node: i for i, node in enumerate(graph)}
    waiting = {node: len(set(graph.predecessors(node))) for node in graph}
    free = [node for node, count in waiting.items() if not count]
    layers: Layers = []
    while free:
        layer: list[Hashable] = []
        used = -GAP
        for node in sorted(free, key=lambda n: (-ahead[n], order[n])):
            needed = widths[node] + GAP
            if not layer or used + needed <= limit:
                layer.append(node)
                used += needed
        layers.append(layer)
        free = [node for node in free if node not in layer]
        for node in layer:
            for target in dict.fromkeys(graph.successors(node)):
                waiting[target] -= 1
                if not waiting[target]:
                    free.append(target)
    return layers


Step = tuple[Hashable, Hashable]


def _ordered(layers: Layers, steps: Sequence[Step]) -> Layers:
    """Layers in the order with the fewest crossings that sweeps of averages find."""
    above: dict[Hashable, list[Hashable]] = {n: [] for layer in layers for n in layer}
    below: dict[Hashable, list[Hashable]] = {n: [] for layer in layers for n in layer}
    for source, target in steps:
        below[source].append(target)
        above[target].append(source)
    best, fewest = layers, _crossings(layers, below)
    rng = np.random.default_rng(0)
    for start in range(_STARTS if len(steps) <= _MOST_STEPS else 1):
        current = [list(layer) for layer in layers]
        if start:
            current = [
                [layer[i] for i in rng.permutation(len(layer))] for layer in layers
            ]
        for order in _sweeps(current, above, below):
            crossings = _crossings(order, below)
            if crossings < fewest:
                best, fewest = [list(layer) for layer in order], crossings
            if not fewest:
                return best
    return best


def _sweeps(
    current: Layers,
    above: Mapping[Hashable, list[Hashable]],
    below: Mapping[Hashable, list[Hashable]],
) -> Iterator[Layers]:
    """Orders in which each layer in turn follows the one before, down and up."""
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for i in range(1, len(current)) if down else range(len(current) - 2, -1, -1):
            beside = {
                n: rank for rank, n in enumerate(current[i - 1 if down else i + 1])
            }
            own = {node: rank for rank, node in enumerate(current[i])}
            current[i].sort(
                key=lambda node, near=near, beside=beside, own=own: (  # type: ignore[misc]
                    sum(beside[n] for n in near[node]) / len(near[node])
                    if near[node]
                    else own[node]
                )
            )
        yield current


def _crossings(layers: Layers, below: Mapping[Hashable, list[Hashable]]) -> int:
    total = 0
    for upper, lower in itertools.pairwise(layers):
        rank = {node: i for i, node in enumerate(lower)}
        before: list[int] = []  # Where the edges further left end, in order.
        for node in upper:
            ends = [rank[target] for target in below[node]]
            total += sum(len(before) - bisect.bisect_right(before, e) for e in ends)
            for end in ends:
                bisect.insort(before, end)
    return total


def _columns(
    layers: Layers, steps: Sequence[Step], widths: Mapping[Hashable, float]
) -> tuple[dict[Hashable, float], float]:
    """The x of each node and lane, near those it is joined to, and the width of all."""
    joined: dict[Hashable, list[tuple[Hashable, float]]] = {
        node: [] for layer in layers for node in layer
    }
    for step in steps:
        # Long arrows should be straight where they pass layers.
        weight = (1.0, 2.0, 8.0)[sum(isinstance(end, _Lane) for end in step)]
        for one, other in (step, step[::-1]):
            joined[one].append((other, weight))
    halves = _halves(layers, widths)
    offsets = [_offsets(layer, halves) for layer in layers]
    total = _width(layers, widths)
    xs: dict[Hashable, float] = {}
    for layer, offset in zip(layers, offsets, strict=True):
        start = (total - offset[-1] - halves[layer[-1]]) / 2
        xs.update(zip(layer, (start + offset).tolist(), strict=True))
    for _ in range(_SWEEPS):
        for i in [*range(len(layers)), *reversed(range(len(layers)))]:
            layer, offset = layers[i], offsets[i]
            wanted = [_mean(xs, joined[node], xs[node]) for node in layer]
            weights = [sum(w for _, w in joined[n]) or 1e-3 for n in layer]
            # Neighbours keep their distance: what is left once it is taken away grows.
            rest = total - offset[-1] - halves[layer[-1]]
            shifts = isotonic_regression(np.array(wanted) - offset, weights=weights).x
            shifts = shifts.clip(0.0, rest)
            xs.update(zip(layer, (shifts + offset).tolist(), strict=True))
    return xs, total


def _halves(layers: Layers, widths: Mapping[Hashable, float]) -> dict[Hashable, float]:
    return {node: widths.get(node, _LANE) / 2 for layer in layers for node in layer}


def _width(layers: Layers, widths: Mapping[Hashable, float]) -> float:
    """What the widest layer takes; about the same in any order."""
    halves = _halves(layers, widths)
    ends = [_offsets(layer, halves)[-1] + halves[layer[-1]] for layer in layers]
    return max(ends, default=0.0)


def _offsets(layer: Sequence[Hashable], halves: Mapping[Hashable, float]) -> Any:
    """How far each center is from the left end of a layer that is packed."""
    spaces = [halves[layer[0]]]
    for one, other in itertools.pairwise(layer):
        gap = _LANE_GAP if isinstance(one, _Lane) or isinstance(other, _Lane) else GAP
        spaces.append(halves[one] + gap + halves[other])
    return np.cumsum(spaces)


def _mean(
    xs: Mapping[Hashable, float],
    joined: Sequence[tuple[Hashable, float]],
    otherwise: float,
) -> float:
    weight = sum(w for _, w in joined)
    return sum(xs[n] * w for n, w in joined) / weight if weight else otherwise

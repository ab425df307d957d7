"""Boxes lie apart and arrows keep off them."""

import itertools

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from symnas.plots import layered


@st.composite
def graphs(draw):
    """Directed graphs without cycles, with a size for each node."""
    count = draw(st.integers(1, 12))
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(count))
    pairs = list(itertools.combinations(range(count), 2))
    if pairs:
        graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), max_size=20)))
    side = st.integers(10, 150)
    sizes = {node: (float(draw(side)), float(draw(side))) for node in graph}
    return graph, sizes


def rectangle(center, size):
    (x, y), (width, height) = center, size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


@settings(deadline=None)
@given(graphs())
def test_boxes_lie_apart_and_arrows_keep_off_them(drawn):
    graph, sizes = drawn
    placed = layered.place(graph, sizes, 350.0)
    boxes = {n: rectangle(placed.centers[n], sizes[n]) for n in graph}
    tiny = 1e-6
    for left, top, right, bottom in boxes.values():
        assert left >= -tiny and top >= -tiny
        assert right <= placed.width + tiny and bottom <= placed.height + tiny
    for one, other in itertools.combinations(boxes.values(), 2):
        apart = (
            one[2] < other[0] + tiny
            or other[2] < one[0] + tiny
            or one[3] < other[1] + tiny
            or other[3] < one[1] + tiny
        )
        assert apart
    for edge in graph.edges(keys=True):
        for (x, y), (across, down) in itertools.pairwise(placed.routes[edge]):
            assert down >= y
            for left, top, right, bottom in boxes.values():
                # A piece is drawn as a curve within the rectangle of its two ends.
                beside = max(x, across) <= left + tiny or min(x, across) >= right - tiny
                assert beside or down <= top + tiny or y >= bottom - tiny


@settings(deadline=None)
@given(graphs())
def test_arrows_lead_down_from_box_to_box(drawn):
    graph, sizes = drawn
    placed = layered.place(graph, sizes, 350.0)
    for edge in graph.edges(keys=True):
        source, target, _ = edge
        route = placed.routes[edge]
        x, y = placed.centers[source]
        assert route[0] == (x, y + sizes[source][1] / 2)
        x, y = placed.centers[target]
        assert route[-1] == (x, y - sizes[target][1] / 2)


def test_a_graph_that_needs_no_crossing_gets_none():
    cell = nx.MultiDiGraph(
        [(0, "a"), ("a", 1), (0, "b"), ("b", 2), (1, "c"), ("c", 2), (0, "d"), ("d", 3)]
        + [(1, "e"), ("e", 3), (2, "f"), ("f", 3)]
    )
    sizes = dict.fromkeys(cell, (80.0, 24.0))
    layers, chains = layered._layers_with_lanes(cell, dict.fromkeys(cell, 80.0), 350.0)
    steps = [step for chain in chains.values() for step in itertools.pairwise(chain)]
    below = {
        node: [t for s, t in steps if s == node] for node in itertools.chain(*layers)
    }
    assert layered._crossings(layered._ordered(layers, steps), below) == 0
    assert layered.place(cell, sizes, 350.0).width <= 350.0

"""What is drawn of models, cells and spaces."""

import pickle

import networkx as nx
import pytest
import torch

import symnas as sn
from symnas import nn
from symnas.demo import ConvNet, search_space
from symnas.plots import architecture
from symnas.spaces import DARTS, MobileNetV3, NASBench101, NASBench201, darts


def texts(example, **options):
    return [note.text for note in architecture(example, **options).layout.annotations]


def arrows(example):
    """The number of heads."""
    return sum("Z" in (s.path or "") for s in architecture(example).layout.shapes)


# --- cells ------------------------------------------------------------------------


def test_nas_bench_201_labels_its_edges_and_leaves_none_faint():
    model = NASBench201(
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|",
        channels=4,
        cells_per_stage=1,
    )
    drawn = texts(model)
    assert drawn.count("none") == 3
    assert {"nor_conv_3x3", "skip_connect", "avg_pool_3x3", "input", "1", "2"} <= {
        *drawn
    }
    assert arrows(model) == 6
    dotted = [s for s in architecture(model).layout.shapes if s.line.dash == "dot"]
    assert len(dotted) == 2 * 3


def test_nas_bench_101_has_operations_as_boxes():
    matrix = [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0] * 4]
    model = NASBench101(matrix, ["conv3x3-bn-relu", "maxpool3x3"], channels=8)
    expected = ["<b>cell</b>", "input", "conv3x3-bn-relu", "maxpool3x3", "output"]
    assert texts(model) == expected
    assert arrows(model) == 4


EDGES = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4


def test_darts_draws_its_cells_side_by_side_or_below_each_other():
    reduction = [("max_pool_3x3", 0), ("dil_conv_5x5", 1)] * 4
    model = DARTS(
        darts.Genotype(EDGES, range(2, 6), reduction), channels=4, num_cells=3
    )
    wide, narrow = architecture(model), architecture(model, width=390)
    assert wide.layout.width <= 760
    assert narrow.layout.width <= 390
    assert narrow.layout.height > wide.layout.height
    drawn = texts(model)
    assert {"<b>normal cell</b>", "<b>reduction cell</b>", "c_{k-2}", "c_{k-1}"} <= {
        *drawn
    }
    assert [drawn.count(operation) for operation, _ in EDGES[:2] + reduction[:2]] == [
        4
    ] * 4
    assert arrows(model) == 2 * (8 + 4)


def test_two_operations_between_the_same_nodes_are_both_drawn():
    twice = [("sep_conv_3x3", 0), ("skip_connect", 0)] * 4
    model = DARTS(darts.Genotype(twice, range(2, 6), twice), channels=4, num_cells=3)
    assert texts(model).count("skip_connect") == 8


def test_mobilenet_shows_its_stages():
    model = MobileNetV3([[(3, 3), (5, 6)]] * 5)
    drawn = texts(model)
    assert "stage 4: 112 channels, stride 1" in drawn
    assert drawn.count("kernel 5, expansion 6") == 5


def test_a_symbolic_form_is_drawn_like_its_model_without_drawing_weights():
    space = sn.SearchSpace(NASBench201(channels=4, cells_per_stage=1))
    genotype = [1, 2, 3, 4, 0, 1]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = texts(space.symbolic(genotype))
    assert torch.equal(before, torch.get_rng_state())
    assert drawn == texts(space.build(genotype))


def test_any_class_may_say_how_it_is_drawn():
    class Own(torch.nn.Module):
        def architecture_graphs(self):
            graph = nx.DiGraph()
            graph.add_edge("this", "that", label="through this")
            return {"mine": graph}

    assert sorted(texts(Own())) == ["<b>mine</b>", "that", "this", "through this"]


# --- layers -----------------------------------------------------------------------


def test_a_chain_is_drawn_as_one_would_write_it():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Dropout(0.123456789),
        nn.MultiheadAttention(8, 2),
    )
    assert texts(model) == [
        "Conv2d(1, 8, 3, padding=1)",
        "BatchNorm2d(8)",
        "Dropout(p=0.1235)",
        "MultiheadAttention(8, 2, kdim=8,<br>vdim=8)",
    ]
    assert arrows(model) == 3


def test_repeats_are_drawn_once():
    repeated = [layer for _ in range(5) for layer in (nn.Linear(8, 8), nn.ReLU())]
    model = nn.Sequential(nn.Linear(4, 8), *repeated, nn.Linear(8, 2))
    assert texts(model).count("Linear(8, 8)") == 1
    assert "x 5" in texts(model)
    assert "Linear(8, 8)<br>x 3" in texts(nn.Sequential(*[nn.Linear(8, 8)] * 3))


class Residual(torch.nn.Module):
    def __init__(self, calls=()):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.calls = list(calls)

    def forward(self, x):
        self.calls.append(1)
        return torch.relu(self.layer(x) + x.view(x.size(0), -1))


def test_branches_are_drawn_where_they_can_be_traced():
    drawn = texts(Residual())
    assert sorted(drawn) == ["+", "Linear(4, 4)", "relu", "view(-1)"]
    assert arrows(Residual()) == 3


def test_without_a_trace_there_are_no_arrows():
    class Branching(Residual):
        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    assert texts(Branching()) == ["Linear(4, 4)"]
    encoder = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    assert "Linear(8, 2048)" in texts(encoder)
    assert arrows(encoder) == 0


def test_the_model_and_the_generator_stay_as_they_were():
    class Noisy(Residual):
        def forward(self, x):
            return super().forward(x) + torch.rand(4)

    model = Noisy()
    torch.manual_seed(0)
    before = torch.get_rng_state(), pickle.dumps(model.state_dict()), vars(model).keys()
    architecture(model)
    assert torch.equal(before[0], torch.get_rng_state())
    assert pickle.dumps(model.state_dict()) == before[1]
    assert vars(model).keys() == before[2]
    assert model.calls == []


def test_long_chains_are_cut_in_the_middle():
    model = nn.Sequential(*[nn.Linear(i, i + 1) for i in range(1, 501)])
    drawn = texts(model)
    assert len(drawn) == 60
    assert "... 441 more ..." in drawn
    assert drawn[-1] == "Linear(500, 501)"


def test_large_graphs_get_no_arrow_that_is_not_there():
    class Wide(torch.nn.Module):
        def __init__(self, count):
            super().__init__()
            self.layers = torch.nn.ModuleList(
                torch.nn.Linear(4, i) for i in range(1, count)
            )

        def forward(self, x):
            return torch.cat([layer(x) for layer in self.layers], 1)

    assert arrows(Wide(71)) == 70  # Into the concatenation.
    assert arrows(Wide(401)) == 0
    assert texts(Wide(401)) == ["layers<br>401,000 parameters"]


def test_deep_models_stay_readable():
    class Block(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layers = torch.nn.Sequential(
                *[torch.nn.Linear(width + i, width + i + 1) for i in range(10)]
            )

        def forward(self, x):
            return self.layers(x)

    model = torch.nn.Sequential(*[Block(i) for i in range(1, 21)])
    drawn = texts(model)
    assert len(drawn) == 20 * 2
    assert drawn[:2] == ["Block", "layers<br>505 parameters"]


def test_names_of_users_are_text_and_not_markup():
    class Odd(torch.nn.Module):
        def extra_repr(self):
            return f"what=<script>alert(1)</script>&amp;, long={'x' * 300}"

    (note,) = architecture(Odd()).layout.annotations
    assert "<script>" not in note.text + note.hovertext
    assert "&lt;script&gt;" in note.text
    assert len(note.text) < 200
    assert "x" * 300 in note.hovertext


# --- spaces and bad input ---------------------------------------------------------


def test_an_open_space_shows_its_decisions():
    layer = sn.oneof([nn.ReLU(), nn.Tanh()], name="which")
    drawn = texts(nn.Sequential(nn.Linear(4, sn.oneof([8, 16])), layer))
    assert "oneof: which" in drawn
    assert {"nn.ReLU()", "nn.Tanh()"} <= {*drawn}
    assert any("oneof([8, 16])" in text for text in drawn)
    assert "oneof([3, 5])" in texts(search_space())[0]


def test_models_of_the_demo_are_drawn_to_their_layers():
    assert "Conv2d(32, 64, 3, padding=1)" in texts(ConvNet())


@pytest.mark.parametrize("example", [3, {"x": 0.5}, torch.zeros(2)])
def test_what_is_no_architecture_is_refused(example):
    with pytest.raises(TypeError, match="What can be drawn are modules"):
        architecture(example)


def test_a_figure_needs_some_width():
    with pytest.raises(ValueError, match="`width` must be at least 240 pixels, got 10"):
        architecture(nn.Linear(1, 1), width=10)

"""epsinas: closed forms, where it is defined, and what it does not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from symnas.proxies import Epsinas
from symnas.spaces import NASBench201, nas_bench_201

GREY = (torch.arange(64) / 64).view(64, 1, 1, 1).expand(64, 3, 32, 32)
# Order of NASLib's codes, and where its edges stand in ours.
CODES = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
PLACES = (0, 1, 3, 2, 4, 5)


def cell(*codes: int) -> NASBench201:
    return NASBench201([CODES[codes[place]] for place in PLACES])


def test_a_linear_network_scores_0():
    """Outputs scale with w to the depth, which normalisation takes out."""
    layers = [nn.Linear(6, 6, bias=False) for _ in range(3)]
    score = Epsinas(low=1e-3)(nn.Sequential(*layers), torch.randn(32, 6))
    assert score.value == pytest.approx(0, abs=1e-5)


class Bends(nn.Module):
    """Outputs w * x + w^2 * y; the order of samples may change with w."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.norm.weight
        return w * x[:, :1] + w**2 * x[:, 1:]


def test_by_hand():
    x = torch.tensor([[0.0, 0.0], [1.0, 3.0], [2.0, 8.0], [4.0, 16.0]])
    found = []
    for w in (0.01, 1.0):
        y = (w * x[:, 0] + w**2 * x[:, 1]).double().numpy()
        v = (y - y.min()) / (y.max() - y.min())
        found.append(np.where(v == 0, np.nan, v))
    both = np.stack(found)
    expected = np.nanmean(np.abs(both[0] - both[1])) / np.nanmean(both)
    assert Epsinas(low=0.01)(Bends(), x).value == pytest.approx(expected, rel=1e-4)


def test_two_samples():
    alike = torch.tensor([[0.0, 1.0], [1.0, 2.0]])
    assert Epsinas(low=0.01)(Bends(), alike).value == 0
    opposite = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    score = Epsinas(low=0.01)(Bends(), opposite)
    assert math.isnan(score.value)
    assert score.reason.startswith("No sample has outputs that are not 0")


def has_path_without_convolutions(index: int) -> bool:
    passes = [
        name in ("skip_connect", "avg_pool_3x3")
        for name in nas_bench_201.operations_of(index)
    ]
    reached = {0}
    for (source, node), passed in zip(nas_bench_201.EDGES, passes, strict=True):
        if passed and source in reached:
            reached.add(node)
    return 3 in reached


def test_the_rule_of_coverage_counts_9226_cells():
    assert sum(map(has_path_without_convolutions, range(15_625))) == 9_226


def check_coverage(indices):
    for index in indices:
        score = Epsinas()(NASBench201(index), GREY[:8])
        assert score.is_defined == has_path_without_convolutions(index), index
        assert score.is_defined or "all outputs are 0" in score.reason


def test_single_precision_defines_it_for_paths_without_convolutions():
    check_coverage([0, 1, 2, 3, 17, 1462, 1651, 6111])


@pytest.mark.slow
def test_single_precision_defines_it_for_paths_without_convolutions_in_100_cells():
    """Specification, check 3."""
    indices = np.random.default_rng(0).permutation(15_625)
    covered = [i for i in indices.tolist() if has_path_without_convolutions(i)][:50]
    others = [i for i in indices.tolist() if not has_path_without_convolutions(i)][:50]
    check_coverage(covered + others)


def test_double_precision_does_not_underflow():
    network = cell(4, 4, 2, 4, 3, 2)
    images = torch.randn(16, 3, 32, 32)
    score = Epsinas()(network, images)
    assert math.isnan(score.value)
    assert score.reason == "With weights of 1e-07 all outputs are 0."
    assert 0 < Epsinas(precision="float64")(network, images).value < 1


def test_a_cell_with_a_known_score():
    """Specification, check 7: 0.19 to 0.20 with grey images."""
    assert 0.185 < Epsinas()(cell(0, 4, 0, 0, 4, 2), GREY).value < 0.205


class Scaled(nn.Module):
    def __init__(self, network: nn.Module, factor: float, shift: float) -> None:
        super().__init__()
        self.network, self.factor, self.shift = network, factor, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.network(x) + self.shift


def test_what_it_does_not_depend_on():
    network = cell(0, 4, 0, 0, 4, 2)
    score = Epsinas()(network, GREY)
    # The same sums in another order, at most.
    one_output = NASBench201(network.operations, num_classes=1)
    for other in (Epsinas(seed=3)(network, GREY), Epsinas()(one_output, GREY)):
        assert other.value == pytest.approx(score.value, rel=1e-5)
    scaled = Epsinas()(Scaled(network, 4.0, 0.0), GREY)
    assert scaled.value == pytest.approx(score.value, rel=1e-5)
    order = torch.randperm(64)
    shuffled = Epsinas()(network, GREY[order])
    assert shuffled.value == pytest.approx(score.value, rel=1e-4)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (cell(1, 1, 1, 1, 1, 1), GREY[:4]),
        (cell(0, 0, 0, 0, 0, 0), torch.ones(4, 3, 32, 32)),
        (cell(0, 0, 0, 0, 0, 0), GREY[:1]),
    ],
)
def test_constant_outputs_are_a_reason(network, inputs):
    score = Epsinas()(network, inputs)
    assert math.isnan(score.value)
    assert "all outputs are" in score.reason


def test_overflow_is_a_reason():
    deep = nn.Sequential(*(nn.Linear(50, 50) for _ in range(30)))
    score = Epsinas(low=1e-3, high=10.0)(deep, torch.rand(4, 50))
    assert score.reason == "Its outputs are not finite."


def test_weights_that_are_computed_are_refused():
    network = nn.utils.parametrizations.weight_norm(nn.Linear(3, 1))
    reason = Epsinas()(network, torch.randn(4, 3)).reason
    assert reason == "The weight of '' is computed of others."


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="above 0 and in this order, got 1.0 and 0.1"):
        Epsinas(low=1.0, high=0.1)
    with pytest.raises(ValueError, match="`precision` must be .*, got 'half'"):
        Epsinas(precision="half")

"""SWAP: closed forms, bounds, invariances, packing, the regulariser."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from symnas.proxies import SWAP, LinearRegions
from symnas.proxies.swap import Patterns
from symnas.proxies.watching import Call
from symnas.spaces import NASBench201, nas_bench_201


def count(*activations: torch.Tensor) -> int:
    """The patterns of the outputs of layers, each (samples, ...)."""
    patterns = Patterns()
    for activation in activations:
        patterns(Call(torch.relu, (), {}, activation))
    return patterns.count()


def naive(*activations: torch.Tensor) -> int:
    columns = torch.cat([(a > 0).flatten(1) for a in activations], 1)
    return len(columns.unique(dim=1).T)


def test_closed_forms():
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert SWAP()(nn.ReLU(), x).value == 2  # 101 and 010.
    assert LinearRegions()(nn.ReLU(), x).value == 2
    assert SWAP()(nn.ReLU(), torch.randn(1, 50).expand(16, 50)).value == 2
    assert SWAP()(nn.ReLU(), torch.randn(1, 50)).value == 2
    assert SWAP()(nn.ReLU(), -torch.ones(16, 50)).value == 1


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 16, 17, 24, 31, 32, 63, 64, 65, 200])
def test_packed_patterns_are_counted_as_unpacked_ones(samples):
    torch.manual_seed(samples)
    few = torch.randn(samples, 1, 4, 4).expand(samples, 3, 4, 4)
    layers = [few, torch.randn(samples, 40), few.transpose(2, 3)]
    assert count(*layers) == naive(*layers)


@given(st.integers(1, 20), st.integers(1, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_bounds_and_invariances(samples, values, seed):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.standard_normal((samples, values)))
    y = torch.tensor(rng.standard_normal((samples, 5)))
    found = count(x, y)
    assert 1 <= found <= min(values + 5, 2**samples)
    shuffled = torch.tensor(rng.permutation(samples))
    assert count(x[shuffled], y[shuffled]) == found
    assert count(x[:, torch.tensor(rng.permutation(values))], y) == found
    assert count(y, x) == found
    assert count(x, y, x) == found
    assert count(x * torch.tensor(rng.uniform(0.1, 9.0, values)), y) == found
    # Never less with more samples or more layers.
    assert count(x) <= found
    assert count(x[: max(samples - 1, 1)]) <= count(x)


def test_a_layer_that_runs_twice_changes_nothing():
    layer = nn.ReLU()
    x = torch.randn(16, 90)
    once, twice = SWAP()(layer, x), SWAP()(nn.Sequential(layer, layer), x)
    assert once.value == twice.value
    assert twice.seen["activations"] == 2


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 500), nn.ReLU(), nn.Linear(500, 3))


def test_the_regulariser():
    network, x = model(), torch.randn(16, 8)
    size = sum(p.numel() for p in network.parameters()) / 1000
    plain = SWAP()(network, x).value
    assert SWAP(mu=size, sigma=2.0)(network, x).value == pytest.approx(math.log(plain))
    below, above = (
        SWAP(mu=size + away, sigma=2.0)(network, x).value for away in (-1.5, 1.5)
    )
    assert below == pytest.approx(above)
    assert math.exp(above) == pytest.approx(plain * math.exp(-(1.5**2) / 2))
    # exp(-(1000 ** 2) / 2) is 0 in double precision.
    assert SWAP(mu=size + 1000, sigma=2.0)(network, x).value == pytest.approx(
        math.log(plain) - 500_000
    )
    assert SWAP(mu=size * 1000, sigma=2.0, params_unit=1)(network, x).value == (
        pytest.approx(math.log(plain))
    )


def test_an_auxiliary_head_does_not_count_as_size():
    network, x = model(), torch.randn(16, 8)
    regularised = SWAP(mu=1.0, sigma=2.0)
    before = regularised(network, x).value
    network.auxiliary = nn.Linear(100, 100)
    network.forward = lambda x: network[:3](x)
    assert regularised(network, x).value == pytest.approx(before, abs=0.1)


def test_with_eight_samples_every_convolutional_cell_has_every_pattern():
    """Specification, check 5: exactly 256, which says nothing."""
    x = torch.randn(8, 3, 32, 32)
    for index in range(0, 15_625, 2_000):
        network = NASBench201(index)
        if any("conv" in name for name in nas_bench_201.operations_of(index)):
            assert SWAP(batch_size=8)(network, x).value == 256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0, "mu": 1.0}, "`sigma` must be above 0, got 0.0"),
        ({"mu": 1.0}, "`mu` and `sigma` must both be given"),
        ({"params_unit": 0}, "`params_unit` must be above 0, got 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SWAP(**options)


def test_complex_activations_are_a_reason():
    network = nn.Module()
    network.forward = lambda x: torch.tanh(torch.complex(x, x)).real
    score = SWAP()(network, torch.randn(4, 3))
    assert math.isnan(score.value)
    assert score.reason == "An activation is complex."

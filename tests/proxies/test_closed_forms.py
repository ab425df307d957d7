"""Proxies of networks so small that their values can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import symnas as sn
from symnas.proxies.jacob_cov import correlation

P = sn.proxies


def total(outputs, _):
    return outputs.sum()


def linear(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(*reversed(weight.shape), bias=False)
    layer.weight.data = weight
    return layer


def test_one_linear_layer():
    """y = W x, loss sum(y): the gradient is 1 x^T for one sample."""
    torch.manual_seed(0)
    x, weight = torch.randn(1, 4), torch.randn(3, 4)
    model = linear(weight)
    expected = {
        P.GradNorm(): x.norm() * math.sqrt(3),
        P.SNIP(): (weight * x).abs().sum(),
        P.Plain(): (weight @ x.T).sum(),
        P.GraSP(): 0.0,  # The loss is linear in the weights.
        P.SynFlow(): weight.abs().sum().log(),
        P.L2Norm(): weight.norm(),
        P.Params(): 12,
        P.FLOPs(): 12,
    }
    for proxy, value in expected.items():
        assert proxy(model, x, x, total).value == pytest.approx(float(value), rel=1e-5)


def test_attention_is_counted_and_has_second_derivatives():
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    model, x = nn.Sequential(layer, nn.Flatten()), torch.randn(4, 5, 6)
    per_place = 6 * 18 + 6 * 6 + 2 * 6 * 8
    products = 2 * 5 * 5 * 6  # Of queries with keys, and of what they give with values.
    assert P.FLOPs()(model, x).value == 5 * per_place + products
    assert P.GraSP()(model, x, torch.arange(4)).is_defined


def test_the_gradient_of_a_sum_is_not_a_sum_of_norms():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    model = linear(torch.ones(1, 2))
    assert not P.GradNorm()(model, x, x, total).value


def test_synflow_removes_norms_and_stands_values_beyond_single_precision():
    deep = nn.Sequential(*(linear(torch.full((50, 50), 20.0)) for _ in range(20)))
    normed = nn.Sequential(*(nn.Sequential(m, nn.LayerNorm(50)) for m in deep))
    x = torch.zeros(2, 50)
    # Every path of 21 units has the product 20^20, and there are 50^21 of them; each of
    # the 20 layers sees all of it.
    expected = math.log(20) + 21 * math.log(50) + 20 * math.log(20)
    assert P.SynFlow()(deep, x).value == pytest.approx(expected)
    assert P.SynFlow()(normed, x).value == pytest.approx(expected)
    assert P.SynFlow()(linear(torch.zeros(2, 50)), x).reason.startswith("Nothing flows")


def test_jacob_cov_of_uncorrelated_and_of_equal_samples():
    eye = torch.eye(4, dtype=torch.float64)
    shifted = torch.linalg.eigvalsh(eye) + 1e-5
    assert -(shifted.log() + 1 / shifted).sum().item() == pytest.approx(-4, abs=1e-9)
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2))
    same = torch.ones(4, 5)
    assert P.JacobCov()(model, same).value < -2e5
    assert P.JacobCov()(linear(torch.ones(2, 5)), same).reason == (
        "The gradient of a sample is constant."
    )


def test_the_correlation_is_numpys():
    rows = torch.randn(5, 30)
    np.testing.assert_allclose(
        correlation(rows).numpy(), np.corrcoef(rows.numpy()), atol=1e-6
    )


def test_nwot_is_the_determinant_of_the_hamming_kernel():
    x = torch.randn(6, 7)
    codes = (x > 0).double()
    kernel = codes @ codes.T + (1 - codes) @ (1 - codes).T
    expected = np.linalg.slogdet(kernel.numpy())[1]
    assert P.NWOT()(nn.ReLU(), x).value == pytest.approx(expected)
    opposite = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    assert P.NWOT()(nn.ReLU(), opposite).value == pytest.approx(2 * math.log(3))
    twice = torch.ones(2, 3)
    assert P.NWOT()(nn.ReLU(), twice).reason.startswith("Two samples switch")


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus(), nn.ELU()],
)
@pytest.mark.parametrize("proxy", [P.NWOT(), P.SWAP(init="given")])
def test_activations_are_on_above_what_they_make_of_0(proxy, activation):
    x = torch.randn(6, 40)
    assert proxy(activation, x).value == proxy(nn.ReLU(), x).value


@pytest.mark.parametrize(
    "function",
    [torch.relu, torch.Tensor.relu, lambda x: x.clone().relu_(), lambda x: x.clamp(0)],
)
def test_functions_are_seen_like_modules(function):
    model = nn.Module()
    model.forward = function
    x = torch.randn(6, 40)
    assert P.NWOT()(model, x).value == P.NWOT()(nn.ReLU(), x).value


def test_fisher_of_channels():
    """Two channels of 9 weights, loss sum(y): half the mean of squared sums."""
    x = torch.randn(3, 1, 4, 4)
    layer = nn.Conv2d(1, 2, 3)
    outputs = layer(x).detach()
    expected = 9 * outputs.sum((2, 3)).square().mean(0).sum() / 2
    found = P.Fisher()(layer, x, x, total).value
    assert found == pytest.approx(expected.item(), rel=1e-5)
    inplace = nn.Sequential(layer, nn.ReLU(inplace=True))
    masked = 9 * (outputs * (outputs > 0)).sum((2, 3)).square().mean(0).sum() / 2
    assert P.Fisher()(inplace, x, x, total).value == pytest.approx(masked.item())


def test_gradsign_counts_samples_that_agree():
    x = torch.tensor([[1.0, 1.0], [2.0, -1.0], [3.0, 1.0]])
    assert P.GradSign()(linear(torch.ones(1, 2)), x, x, total).value == 4


def test_epe_nas_by_hand():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    x, y = torch.randn(7, 6), torch.tensor([0, 0, 0, 1, 1, 1, 2])
    inputs = x.clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(model(inputs).sum(), inputs)
    expected = 0.0
    for label in range(3):
        matrix = np.corrcoef(jacobian[y == label].numpy())
        expected += abs(np.log(np.abs(matrix) + 1e-5).sum())
    assert P.EPENAS()(model, x, y).value == pytest.approx(expected, rel=1e-4)


def test_zico_by_hand():
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False)
    x, y = torch.randn(8, 3), torch.tensor([0, 1] * 4)
    gradients = []
    for part in (slice(0, 4), slice(4, 8)):
        loss = nn.functional.cross_entropy(model(x[part]), y[part])
        gradients.append(torch.autograd.grad(loss, model.weight)[0].numpy())
    both = np.stack(gradients)
    expected = math.log((np.abs(both).mean(0) / both.std(0)).sum())
    assert P.ZiCo()(model, x, y).value == pytest.approx(expected, rel=1e-4)


def test_the_tangent_kernel_of_a_linear_layer_is_that_of_its_inputs():
    x = torch.randn(5, 9)
    eigenvalues = np.linalg.eigvalsh((x @ x.T).double().numpy())
    found = P.NTKCondition()(linear(torch.ones(1, 9)), x).value
    assert found == pytest.approx(-eigenvalues[-1] / eigenvalues[0], rel=1e-4)
    twice = torch.ones(2, 9)
    reason = P.NTKCondition()(linear(torch.ones(1, 9)), twice).reason
    assert reason == "Its tangent kernel is singular."


def test_zen_of_a_linear_layer_without_norms():
    """f(x) - f(x + 0.01 e) is 0.01 W e, whatever x is."""
    model = linear(torch.ones(1, 400))
    values = [
        P.Zen(init="given", seed=seed)(model, torch.zeros(500, 400)).value
        for seed in range(3)
    ]
    # |N(0, 0.01^2 * 400)| has the mean 0.2 * sqrt(2 / pi).
    assert np.mean(values) == pytest.approx(
        math.log(0.2 * math.sqrt(2 / math.pi)), abs=0.1
    )


def test_expressivity_is_the_entropy_of_the_spectrum():
    """Equal variances of C channels: log C, and a rank of one: 0."""
    wide = nn.Sequential(nn.Identity(), nn.Identity())
    found = P.Expressivity()(wide, torch.zeros(64, 4, 16, 16)).value
    assert found == pytest.approx(3 * math.log(4), abs=0.01)
    alike = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.Identity())
    alike[0].weight.data.fill_(1.0)
    proxies = [P.Expressivity(init="given"), P.Progressivity(init="given")]
    all_, least = P.score(alike, proxies, torch.zeros(64, 4, 16, 16))
    assert all_.value == pytest.approx(math.log(4), abs=0.01)
    assert least.value == pytest.approx(-math.log(4), abs=0.01)


def test_trainability_of_scaling_and_of_nothing():
    x = torch.zeros(64, 4, 16, 16)
    scaling = nn.Sequential(
        nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)
    )
    for layer in scaling:
        layer.weight.data = 0.5 * torch.eye(4)[:, :, None, None]
    # What comes back is half of what went in: the largest singular value is 1/2.
    found = P.Trainability(init="given")(scaling, x).value
    assert found == pytest.approx(2 - 0.5 - 2, abs=0.05)
    identity = nn.Sequential(nn.Identity(), nn.Identity())
    assert P.Trainability()(identity, x).reason == (
        "A block gives back exactly what it gets."
    )


def test_meco_of_uncorrelated_channels():
    x = torch.zeros(1, 3, 64, 64)
    assert P.MeCo()(nn.Identity(), x).value == pytest.approx(1, abs=0.1)

"""What every proxy promises: any network, nothing left behind, no exception."""

from __future__ import annotations

import copy
import inspect
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import symnas as sn

PROXIES: list[type[sn.proxies.Proxy]] = [
    kind
    for kind in vars(sn.proxies).values()
    if inspect.isclass(kind)
    and issubclass(kind, sn.proxies.Proxy)
    and kind is not sn.proxies.Proxy
]


class ConvNet(nn.Module):
    """Functional activations, norms, pooling, a layer that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)),
            nn.ReLU(inplace=True),
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)),
        )
        self.head = nn.Linear(8, 4)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.blocks(x))
        return self.head(F.dropout(x.mean((2, 3)), 0.5, self.training))


class RecurrentNet(nn.Module):
    """A language model with tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.decoder = nn.Linear(6, 11)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.lstm(self.embedding(tokens))[0])


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x), None


def batches() -> dict[str, tuple[nn.Module, Any, torch.Tensor]]:
    """A model, its inputs and its targets, by the kind of model."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.randn(12, 3, 8, 8)
        tokens = torch.randint(0, 11, (12, 9))
        labels = torch.arange(12) % 4
        following = torch.randint(0, 11, (12, 9))
        return {
            "convolutional": (ConvNet(), images, labels),
            "recurrent": (RecurrentNet(), tokens, following),
            "transformer": (Transformer(), (tokens,), following),
        }


KINDS = list(batches())
# What has no meaning for a kind of network, and why.
UNDEFINED = {
    ("recurrent", "EPENAS"): "a class for each sample",
    ("transformer", "EPENAS"): "a class for each sample",
    ("recurrent", "Zen"): "which no noise changes",
    ("transformer", "Zen"): "which no noise changes",
    ("recurrent", "Expressivity"): "no sequence of blocks",
    ("recurrent", "Progressivity"): "no sequence of blocks",
    ("recurrent", "Trainability"): "no sequence of blocks",
}


def state(model: nn.Module) -> list:
    """All that a proxy could leave changed, the contents of tensors included."""
    found = []
    for module in model.modules():
        own = [*module._parameters.items(), *module._buffers.items()]
        found += [module.training, list(module._forward_hooks)]
        for name, tensor in own:
            if tensor is not None:
                found += [name, id(tensor), tensor.detach().tolist()]
                found += [tensor.requires_grad, tensor.grad, tensor._version]
        if isinstance(module, nn.RNNBase):
            found.append([id(weight) for weight in module._flat_weights])
    return found


def generators() -> list:
    return [random.getstate(), np.random.get_state()[1].tolist()] + [
        torch.get_rng_state().tolist()
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proxy", PROXIES)
def test_it_scores_networks_of_every_kind_and_leaves_them_as_they_were(proxy, kind):
    model, inputs, targets = batches()[kind]
    model.eval()
    before, drawn = state(model), generators()
    first = proxy()(model, inputs, targets)
    assert state(model) == before
    assert generators() == drawn
    torch.manual_seed(5)
    assert repr(proxy()(model, inputs, targets)) == repr(first)
    expected = UNDEFINED.get((kind, proxy.__name__))
    if expected:
        assert math.isnan(first.value)
        assert expected in first.reason
    else:
        assert first.is_defined, first.reason
        assert math.isfinite(first.value)


def test_together_they_score_as_alone():
    model, inputs, targets = batches()["convolutional"]
    proxies = [proxy() for proxy in PROXIES]
    together = sn.proxies.score(model, proxies, inputs, targets)
    alone = [proxy(model, inputs, targets) for proxy in proxies]
    for proxy, one, other in zip(proxies, together, alone, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-4), proxy


def test_proxies_that_share_a_pass_run_the_network_once():
    model, inputs, targets = batches()["convolutional"]
    calls = []
    model.head.register_forward_hook(lambda *_: calls.append(1))
    p = sn.proxies
    sharing = [p.NWOT(), p.JacobCov(), p.SNIP(), p.GradNorm(), p.Fisher(), p.EPENAS()]
    sharing.append(p.SWAP(init="given"))  # Of 16 samples at most; there are 12.
    sn.proxies.score(model, sharing, inputs, targets)
    assert len(calls) == 1


class Raises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.layer(x)
        raise RuntimeError("no such layer")


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_network_that_raises_is_undefined_and_left_as_it_was(proxy):
    model = Raises()
    before = state(model)
    score = proxy()(model, torch.randn(6, 4), torch.zeros(6, dtype=torch.long))
    assert state(model) == before
    if proxy.needs.inputs != "none":
        assert math.isnan(score.value)
        assert "raised RuntimeError: no such layer" in score.reason


def with_nan_weights() -> nn.Module:
    model = ConvNet()
    model.head.weight.data[0, 0] = math.nan
    return model


def frozen() -> nn.Module:
    model = ConvNet()
    return model.requires_grad_(False)


def constant() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4))
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


HARD = {
    "no activations": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
    "no parameters": nn.Flatten,
    "NaN weights": with_nan_weights,
    "frozen": frozen,
    "lazy": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)),
    "constant outputs": constant,
    "half precision": lambda: ConvNet().half(),
    "bfloat16": lambda: ConvNet().bfloat16(),
    "returns no tensor": lambda: type("A", (nn.Module,), {"forward": lambda s, x: 3})(),
}


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("proxy", PROXIES)
def test_hard_networks_get_a_value_or_a_reason(proxy, hard):
    """Never an exception, never a sentinel."""
    _, inputs, targets = batches()["convolutional"]
    model = HARD[hard]()
    training = copy.copy([module.training for module in model.modules()])
    score = proxy()(model, inputs, targets)
    assert (score.reason is None) == math.isfinite(score.value)
    assert score.reason is None or score.reason
    assert [module.training for module in model.modules()] == training


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_batch_of_one_gets_a_value_or_a_reason(proxy):
    model, inputs, targets = batches()["convolutional"]
    score = proxy()(model, inputs[:1], targets[:1])
    assert (score.reason is None) == math.isfinite(score.value)


@pytest.mark.parametrize("proxy", PROXIES)
def test_what_is_missing_is_named(proxy):
    model, inputs, targets = batches()["convolutional"]
    if proxy.needs.inputs != "none":
        with pytest.raises(ValueError, match=f"{proxy.__name__} needs `inputs`"):
            proxy()(model)
        with pytest.raises(ValueError, match="`inputs` must be finite, got NaN"):
            proxy()(model, inputs * math.nan, targets)
    if proxy.needs.labels:
        with pytest.raises(ValueError, match=f"{proxy.__name__} needs `targets`"):
            proxy()(model, inputs)


@pytest.mark.parametrize("proxy", PROXIES)
def test_an_empty_batch_is_refused(proxy):
    model, inputs, targets = batches()["convolutional"]
    with pytest.raises(ValueError, match=r"`inputs` hold nothing: .* \(0, 3, 8, 8\)"):
        proxy()(model, inputs[:0], targets[:0])


def test_a_network_that_changes_its_inputs_changes_neither_them_nor_other_scores():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 9), nn.ReLU(inplace=True))
    inputs = torch.randn(5, 6)
    before = inputs.clone()
    proxies = [sn.proxies.NWOT(), sn.proxies.JacobCov()]
    first, second = sn.proxies.score(model, proxies, inputs)
    assert first == sn.proxies.NWOT()(model, inputs)
    assert second.is_defined
    assert torch.equal(inputs, before)


def test_labels_that_the_network_does_not_know_are_a_reason():
    model, inputs, targets = batches()["convolutional"]
    score = sn.proxies.SNIP()(model, inputs, targets + 90)
    assert "The loss raised IndexError: Target 9" in score.reason


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="`init` must be one of .*, got 'xavier'"):
        sn.proxies.NWOT(init="xavier")
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        sn.proxies.NWOT(batch_size=0)
    with pytest.raises(ValueError, match="`repeats` must be at least 1, got 0"):
        sn.proxies.NWOT(repeats=0)
    with pytest.raises(ValueError, match="`num_batches` must be at least 2, got 1"):
        sn.proxies.ZiCo(num_batches=1)


def test_repeats_are_means_over_seeds():
    model, inputs, _ = batches()["convolutional"]
    swap = sn.proxies.SWAP(repeats=3, batch_size=8)
    values = [
        sn.proxies.SWAP(seed=seed, batch_size=8)(model, inputs).value
        for seed in range(3)
    ]
    assert len(set(values)) > 1
    assert swap(model, inputs).value != values[0]


def test_tied_weights_are_one():
    model = RecurrentNet()
    tied = sum(parameter.numel() for parameter in model.parameters())
    assert sn.proxies.Params()(model).value == tied


def test_a_search_by_a_proxy_records_why_a_network_has_no_score():
    space = sn.nn.Sequential(
        sn.nn.Linear(4, 64), sn.oneof([sn.nn.ReLU(), sn.nn.Identity()])
    )
    evaluate = sn.proxies.NWOT().on(torch.randn(6, 4))
    result = sn.search(space, evaluate, "grid", progress=False)
    statuses = {trial.status for trial in result.trials}
    assert statuses == {"completed", "failed"}
    (failed,) = [trial for trial in result.trials if trial.status == "failed"]
    assert "No activation function was seen." in failed.error

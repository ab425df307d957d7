"""Fresh weights for a network, as new tensors beside its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

Parameters = dict[str, Tensor]


def drawn(model: nn.Module, parameters: Parameters, init: str) -> Parameters:
    """Weights (two or more dimensions) drawn anew, biases 0, scales of norms 1.

    Args:
      parameters: by their names in the model; what is none of these stays.
      init: 'normal' or 'kaiming', from torch's generator of the CPU.
    """
    return {
        name: _drawn(tensor, init)
        if tensor.ndim > 1
        else _reset(model, name, tensor, 1.0)
        for name, tensor in parameters.items()
    }


def constant(model: nn.Module, parameters: Parameters, value: float) -> Parameters:
    """All weights and scales of norms equal, biases 0, embeddings drawn from U(0, 1)."""
    filled = {}
    for name, tensor in parameters.items():
        if isinstance(_owner(model, name), (nn.Embedding, nn.EmbeddingBag)):
            filled[name] = torch.rand(tensor.shape).to(tensor)
        elif tensor.ndim > 1:
            filled[name] = torch.full_like(tensor, value)
        else:
            filled[name] = _reset(model, name, tensor, value)
    return filled


def _drawn(tensor: Tensor, init: str) -> Tensor:
    noise = torch.randn(tensor.shape)
    if init == "kaiming":
        noise *= math.sqrt(2 / tensor[0].numel())
    return noise.to(tensor)


def _reset(model: nn.Module, name: str, tensor: Tensor, scale: float) -> Tensor:
    """A vector: a bias, the scale of a norm, or something else, which stays."""
    last = name[name.rfind(".") + 1 :]
    if "bias" in last:
        return torch.zeros_like(tensor)
    if last == "weight" and "Norm" in type(_owner(model, name)).__name__:
        return torch.full_like(tensor, scale)
    return tensor


def _owner(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])

"""Scores networks on a device that is not the processor; run by test_devices.py.

PyTorch lets a device be written in Python. This one computes on the processor, and like a
GPU refuses to mix its tensors with those of the processor.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from symnas.proxies.proxy_text import by_name

DEVICE = "elsewhere"
# They take tensors of both on a GPU, too.
MIXED = ("copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_")


class Elsewhere(Tensor):
    """A tensor of the other device; what it holds is in `held`."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, requires_grad: bool = False) -> Self:
        made: Any = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=f"{DEVICE}:0",
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(function, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl


class Device(TorchDispatchMode):
    """Makes new tensors of the device that is asked for."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(function, args, kwargs or {})


def computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    here = any(isinstance(t, Elsewhere) for t in tensors)
    name = function.overloadpacket.__name__
    if here and name not in MIXED:
        for t in tensors:
            if not isinstance(t, Elsewhere) and t.dim():
                raise RuntimeError(f"{name} got a tensor of the processor {t.shape}.")
    device = kwargs.get("device")
    if device is not None:
        here = torch.device(device).type == DEVICE
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    if name.endswith("_") and not name.startswith("_") and tensors:
        return tensors[0]
    return tree_map(_wrapped, out) if here else out


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Elsewhere) else value


def _wrapped(value: Any) -> Any:
    return Elsewhere(value) if isinstance(value, Tensor) else value


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = self.inner(x[:, 0])
        for step in range(1, x.shape[1]):
            state = torch.tanh(self.inner(x[:, step]) + self.outer(state))
        return self.head(state)


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(0)
    convolutional = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    transformer = nn.Sequential(layer, nn.Flatten(), nn.Linear(30, 3))
    return {
        "convolutional": (convolutional, torch.randn(8, 3, 6, 6)),
        "recurrent": (Recurrent(), torch.randn(8, 5, 6)),
        "transformer": (transformer, torch.randn(8, 5, 6)),
    }


def scores(model: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
    found = {}
    for name, proxy in by_name().items():
        torch.manual_seed(0)
        score = proxy()(model, inputs, targets)
        found[name] = [score.value, score.reason]
    return found


def main() -> None:
    _setup_privateuseone_for_python_backend(DEVICE)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    found = {}
    for name, (model, inputs) in networks().items():
        targets = torch.arange(8) % 3
        here = scores(model, inputs, targets)
        with Device():
            there = copy.deepcopy(model)._apply(Elsewhere)
            moved = (Elsewhere(inputs), Elsewhere(targets))
            found[name] = [here, scores(there, *moved)]
    print(json.dumps(found), flush=True)
    os._exit(0)  # PyTorch's threads of such a device do not end by themselves.


if __name__ == "__main__":
    main()

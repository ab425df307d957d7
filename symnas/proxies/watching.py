"""Seeing calls inside a network, of modules and of functions alike.

A torch function mode sees every call of torch's Python interface while the network runs:
`nn.ReLU()`, `F.relu(x)`, `torch.relu(x)` and `x.relu_()`. Nothing is attached to modules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode

ACTIVATION = "activation"
LAYER = "layer"  # Linear layers and convolutions.
NORM = "norm"
POOL = "pool"  # What takes means over places, perhaps.
EMBEDDING = "embedding"
MODULE = "module"  # Every module, itself and those inside it.


class Call(NamedTuple):
    """A call inside a network.

    Attributes:
      called: the function, or the module.
      at_zero: what an activation makes of 0, above which an output counts as on.
    """

    called: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any
    at_zero: float = 0.0

    def argument(self, position: int, name: str) -> Any:
        """An argument, however it was given; None if it was not."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get(name)

    @property
    def output(self) -> Tensor:
        """The result; of recurrent layers, which return more, their outputs."""
        return self.result[0] if isinstance(self.result, tuple) else self.result


# What a handler returns, if not None, takes the place of the result.
Handler = Callable[[Call], Any]
Handlers = Mapping[str, Handler]


def _functions(*names: str) -> list[Any]:
    """All functions of these names, as torch's namespaces and methods of tensors."""
    places = (F, torch, torch.Tensor, torch._C._nn, torch._VF)
    found = [
        getattr(place, name, None)
        for name in names + tuple(f"{name}_" for name in names)
        for place in places
    ]
    return [function for function in found if function is not None]


_AT_ZERO: dict[Any, float] = {
    function: value
    for value, names in {
        0.0: (
            *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu"),
            *("gelu", "silu", "mish", "hardswish", "hardtanh", "tanh", "softsign"),
            *("tanhshrink", "softshrink", "hardshrink", "glu", "threshold"),
            *("rnn_tanh", "rnn_relu", "lstm", "gru"),
            *("rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell"),
        ),
        0.5: ("sigmoid", "hardsigmoid"),
        math.log(2): ("softplus",),
        -math.log(2): ("logsigmoid", "log_sigmoid"),
    }.items()
    for function in _functions(*names)
}
_CLAMPS = set(_functions("clamp", "clamp_min", "clip"))
_DROPOUTS = set(
    _functions(
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "alpha_dropout",
        "feature_alpha_dropout",
        "feature_dropout",
    )
)

_KINDS: dict[Any, str] = {
    **dict.fromkeys([*_AT_ZERO, *_CLAMPS], ACTIVATION),
    **dict.fromkeys(
        _functions(
            "linear",
            "bilinear",
            "conv1d",
            "conv2d",
            "conv3d",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
        ),
        LAYER,
    ),
    **dict.fromkeys(
        _functions(
            "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"
        ),
        NORM,
    ),
    **dict.fromkeys(
        _functions(
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "adaptive_max_pool2d",
            "avg_pool2d",
            "mean",
        ),
        POOL,
    ),
    **dict.fromkeys(_functions("embedding"), EMBEDDING),
}


class Watch(TorchFunctionMode):
    """Calls the handlers of a pass; leaves dropout out."""

    def __init__(self, handlers: Sequence[Handlers]) -> None:
        super().__init__()
        by_kind: dict[str, list[Handler]] = {}
        for mapping in handlers:
            for kind, handler in mapping.items():
                by_kind.setdefault(kind, []).append(handler)
        self._of_modules = by_kind.get(MODULE, [])
        self._handlers = {
            function: by_kind[kind]
            for function, kind in _KINDS.items()
            if kind in by_kind
        }

    def __enter__(self) -> Any:
        if self._of_modules:
            self._hook = register_module_forward_hook(self._after_module)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._of_modules:
            self._hook.remove()

    def _after_module(self, module: Any, args: Any, result: Any) -> Any:
        call = Call(module, args, {}, result)
        for handler in self._of_modules:
            replaced = handler(call)
            call = call if replaced is None else call._replace(result=replaced)
        return call.result

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DROPOUTS:
            return args[0] if args else kwargs["input"]
        result = func(*args, **kwargs)
        handlers = self._handlers.get(func)
        if handlers is None:
            return result
        call = Call(func, args, kwargs, result, _AT_ZERO.get(func, 0.0))
        if func in _CLAMPS and not _is_relu(call):
            return result
        for handler in handlers:
            replaced = handler(call)
            call = call if replaced is None else call._replace(result=replaced)
        return call.result


def _is_relu(call: Call) -> bool:
    """Whether a clamp has only a lower bound, which is 0."""
    low, high = call.argument(1, "min"), call.argument(2, "max")
    return high is None and not isinstance(low, Tensor) and low == 0

"""`torch.nn` with constructors that also accept hyper-values.

`from symnas import nn` in place of `from torch import nn` is all that changes. Module
classes are wrapped when they are first asked for; everything else (`nn.Module`,
`nn.Parameter`, `nn.functional`, `nn.init`, `nn.utils`, ...) is torch's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.nn as _nn

from symnas.constructors import Constructor

if TYPE_CHECKING:
    from torch.nn import *
    from torch.nn import functional as functional  # noqa: PLC0414
    from torch.nn import init as init  # noqa: PLC0414
    from torch.nn import utils as utils  # noqa: PLC0414


def __getattr__(name: str) -> Any:
    value = getattr(_nn, name)
    if (
        isinstance(value, type)
        and issubclass(value, _nn.Module)
        and value is not _nn.Module
    ):
        value = Constructor(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return dir(_nn)

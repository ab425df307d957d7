"""Models as ONNX, which many other programs run."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Any

import torch

from symnas.export.torch_program import program
from symnas.seeding import generators_restored

_MOST_BYTES = (
    1_800_000_000  # A file of ONNX can hold 2 GB; more goes into a second one.
)


def to_onnx(model: torch.nn.Module, path: str | os.PathLike[str], inputs: Any) -> None:
    """Writes a model in evaluation mode as ONNX. Needs the extra `onnx`.

    Args:
      path: of the file. Weights of more than 1.8 GB get a second one beside it.
      inputs: a tensor, or a tuple of all that the forward pass takes. Of a batch of two
        or more the size stays free, if the model allows.

    Raises:
      ImportError: onnx or onnxscript is missing.

    Example:

    >>> import onnx, symnas as sn, tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sn.export.to_onnx(sn.nn.Linear(4, 2), f"{folder}/model.onnx", torch.zeros(2, 4))
    ...     print([item.name for item in onnx.load(f"{folder}/model.onnx").graph.input])
    ['input']
    """
    if not all(map(importlib.util.find_spec, ("onnx", "onnxscript"))):
        raise ImportError("ONNX needs onnx and onnxscript: pip install 'symnas[onnx]'.")
    size = sum(t.nbytes for t in model.state_dict().values())
    exported = program(model, inputs)
    with generators_restored(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What torch says about its own code.
        torch.onnx.export(
            exported,
            f=path,
            dynamo=True,
            external_data=size > _MOST_BYTES,
            verbose=False,
        )

"""Files of weights of LC-PFN: safetensors, with JSON that says how they were made."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from symnas.predictors.lc_pfn.network import CurveTransformer
from symnas.predictors.lc_pfn.prior import NUM_STEPS

_FORMAT = "symnas.lc_pfn.1"


def save_weights(
    path: Path,
    network: CurveTransformer,
    borders: Tensor,
    prior: Tensor,
    about: dict[str, Any],
) -> None:
    """Writes weights in half precision, borders in single.

    borders: (bins + 1,). prior: (100, bins) logits of a curve of which nothing is known.
    """
    tensors = {name: p.detach().half() for name, p in network.state_dict().items()}
    tables = {"borders": borders, "prior": prior.half()}
    write(path, {**tensors, **tables}, {"sizes": network.sizes, **about})


def load_weights(
    path: Path,
) -> tuple[CurveTransformer, Tensor, Tensor, dict[str, Any]]:
    """What `save_weights` has written, in single precision."""
    tensors, about = read(path)
    borders, prior = (
        tensors.pop(name, torch.zeros(0)).float() for name in ("borders", "prior")
    )
    try:
        with torch.device("meta"):  # Sizes in the file claim no memory.
            network = CurveTransformer(*map(int, about["sizes"]))
        network.load_state_dict(
            {name: tensor.float() for name, tensor in tensors.items()}, assign=True
        )
        if len(borders) != network.sizes[-1] + 1:
            raise ValueError(f"it has {len(borders)} borders")
        if prior.shape != (NUM_STEPS, network.sizes[-1]):
            raise ValueError(f"its prior has shape {tuple(prior.shape)}")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} holds no network of LC-PFN: {error}.") from None
    return network.eval().requires_grad_(False), borders, prior, about


def write(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Writes tensors and what is known about them, at once or not at all."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header = {
        "format": _FORMAT,
        "sha256": _checksum(tensors),
        "about": json.dumps(about, sort_keys=True),
    }
    partial = path.with_name(f"{path.name}.partial")
    save_file(tensors, partial, header)
    os.replace(partial, path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write` has written; anything else raises a ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of weights {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole file of safetensors: {error}.") from None
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is not a file of LC-PFN: its header says format "
            f"{header.get('format')!r}, not {_FORMAT!r}."
        )
    if header.get("sha256") != _checksum(tensors):
        raise ValueError(f"{path} was changed after it was written: its sum differs.")
    return tensors, json.loads(header["about"])


def _checksum(tensors: dict[str, Tensor]) -> str:
    """Of weights and borders together, which are of use only with each other."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()

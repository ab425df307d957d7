"""The global generators: seeded for a trial, and given back as they were."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seeds the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    if _has_accelerator():
        torch.manual_seed(seed)
    else:
        # `torch.manual_seed` spends 600 us on devices that are not there.
        torch.default_generator.manual_seed(seed)


@functools.cache
def _has_accelerator() -> bool:
    return torch.accelerator.is_available()


@contextmanager
def generators_restored() -> Iterator[None]:
    """Gives the global generators back as they were; those of other devices excepted."""
    python, numpy = random.getstate(), np.random.get_state()
    torch_state = torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.default_generator.set_state(torch_state)


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Within it torch's generator of the CPU, which draws initial weights, starts anew."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)

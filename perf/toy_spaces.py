"""The spaces of the performance scripts, for symnas, PyGlove and Optuna alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyglove as pg

import symnas as sn

# Each function takes the module that offers `oneof` and `floatv`.


def six(m: Any) -> Any:
    """6 choices of 5, as in the cells of NAS-Bench-201."""
    return {f"x{i}": m.oneof(list(range(5))) for i in range(6)}


def sixty(m: Any) -> Any:
    return {f"x{i}": m.oneof(list(range(5))) for i in range(60)}


def blocks(m: Any) -> Any:
    """500 decisions: 25 choices among 4 blocks, of which one has no decision inside."""
    return {f"b{i}": m.oneof([_block(m, n) for n in (0, 5, 6, 8)]) for i in range(25)}


def _block(m: Any, size: int) -> Any:
    return {"size": size, **{f"p{j}": m.oneof([1, 2, 3]) for j in range(size)}}


def chain(m: Any) -> Any:
    """60 decisions, each below the one before it."""
    value: Any = m.oneof([0, 1])
    for _ in range(59):
        value = m.oneof([0, {"inner": value}])
    return {"chain": value}


def mixed(m: Any) -> Any:
    """4 choices and 4 floats."""
    choices = {f"c{i}": m.oneof(["a", "b", "c"]) for i in range(4)}
    return {**choices, **{f"f{i}": m.floatv(1e-4, 1.0) for i in range(4)}}


SPACES: dict[str, Callable[[Any], Any]] = {
    "6 choices of 5": six,
    "60 choices of 5": sixty,
    "500 decisions in blocks": blocks,
    "chain of 60": chain,
    "4 choices, 4 floats": mixed,
}

OURS: Any = sn
PYGLOVE: Any = pg

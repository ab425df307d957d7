"""How long does it take to make a space and to compile it?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pyglove as pg
from measure import interleaved, report, seconds
from toy_spaces import OURS, PYGLOVE, blocks, chain

import symnas as sn


def flat(m: Any, size: int) -> Any:
    return {f"x{i}": m.oneof([1, 2, 3, 4, 5]) for i in range(size)}


def measured(make: Callable[[Any], Any], with_peer: bool = True) -> list[float | None]:
    """Milliseconds to make and compile a space with symnas, and with PyGlove."""
    source = sn.symbolic(make(OURS))
    ours = interleaved(
        {
            "make": lambda: seconds(lambda: sn.symbolic(make(OURS))),
            "compile": lambda: seconds(lambda: sn.SearchSpace(source)),
        },
        5,
    )
    if not with_peer:
        return [*(1e3 * value for value in ours.values()), None, None]
    theirs = pg.Dict(make(PYGLOVE))
    peer = interleaved(
        {
            "make": lambda: seconds(lambda: pg.Dict(make(PYGLOVE))),
            "compile": lambda: seconds(lambda: pg.dna_spec(theirs)),
        },
        1,  # It takes seconds.
    )
    return [1e3 * value for value in (*ours.values(), *peer.values())]


def main() -> None:
    rows: list[list[Any]] = []
    for size in (10, 100, 1_000, 10_000):
        make = functools.partial(flat, size=size)
        rows.append([f"{size:,} choices of 5", *measured(make, size <= 1_000)])
    rows.append(["500 decisions in blocks", *measured(blocks)])
    rows.append(["chain of 60", *measured(chain)])
    report(
        "making the symbolic object and compiling it, milliseconds",
        ["space", "symnas: make", "compile", "PyGlove: make", "dna_spec"],
        rows,
        "PyGlove takes about two minutes for 10,000 choices, so it is left out there.",
    )


if __name__ == "__main__":
    main()

"""Which pairs of algorithm and space run by default, and which with `-m slow`."""

from __future__ import annotations

from pathlib import Path

import pytest

# Together they have every kind of decision and condition; the two algorithms that others
# are made like run on all.
SPACES = {
    "mixed",
    "traced",
    "conditionally_tied",
    "constraint",
    "many_deep_distinct",
    "log_int",
}
ALGORITHMS = {"RandomSearch", "RegularizedEvolution"}


@pytest.hookimpl(tryfirst=True)  # Before marks select.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # Of all folders.
        if item.path.parent != Path(__file__).parent:
            continue
        call = getattr(item, "callspec", None)
        if call is None or "kind" not in call.params:
            continue
        toys = [
            value
            for name, value in call.params.items()
            if name in ("toy", "small_toy", "untied_toy")
        ]
        if call.params["kind"].__name__ in ALGORITHMS:
            continue
        if any(toy.name not in SPACES for toy in toys):
            item.add_marker(pytest.mark.slow)

"""What the documentation says about algorithms is true."""

import re
from pathlib import Path

import pytest

import symnas as sn

TABLE = (Path(__file__).parents[1] / "docs" / "algorithms.md").read_text()
ROWS = {
    row[0].strip("`"): row
    for row in (
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in re.findall(r"(?m)^\| `.*$", TABLE)
    )
}
NAMES = sorted(set(sn.algorithms.by_name()) - {"random", "grid"})


def test_every_algorithm_has_its_row() -> None:
    assert sorted(ROWS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_capabilities_are_as_written(name: str) -> None:
    kind = sn.algorithms.by_name()[name]
    several = "several" if kind.supports_multi_objective else "one"
    assert ROWS[name][1] == several
    algorithm = kind()
    algorithm.setup(sn.SearchSpace([sn.oneof(range(5))] * 3), 0)
    algorithm.ask(1)
    with_steps = ROWS[name][2] == "yes"
    assert with_steps == (algorithm.budget is not None)

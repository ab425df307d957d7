"""What the documentation says about algorithms is true."""

import re
from pathlib import Path

import pytest

import symnas as sn
from symnas.proxies.proxy_text import by_name

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


PROXIES = {
    row[0].strip("`"): row[1:6]
    for row in (
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in re.findall(
            r"(?m)^\| `.*$",
            (Path(__file__).parents[1] / "docs" / "proxies.md").read_text(),
        )
    )
}
KINDS = {kind.__name__: kind for kind in by_name().values()}


def test_every_proxy_has_its_row() -> None:
    assert sorted(PROXIES) == sorted(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_needs_are_as_written(name: str) -> None:
    kind = KINDS[name]
    needs = kind.needs
    labels = "yes" if needs.labels else "no"
    declared = [needs.inputs, labels, needs.gradients, needs.mode, kind().init]
    assert PROXIES[name] == declared

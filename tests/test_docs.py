"""What the documentation says is true, and its code runs and prints what it says."""

import re
import runpy
from pathlib import Path

import pytest

import symnas as sn
from symnas.proxies.proxy_text import by_name

DOCS = Path(__file__).parents[1] / "docs"
TABLE = (DOCS / "algorithms.md").read_text()
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
            (DOCS / "proxies.md").read_text(),
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


def code_of(page: Path) -> str:
    return "\n".join(re.findall(r"(?ms)^```python\n(.*?)^```$", page.read_text()))


def pages_with_code() -> list[object]:
    # One starts processes and waits for one, the other imports MLflow.
    slow = dict.fromkeys(("workers", "trackers"), pytest.mark.slow)
    return [
        pytest.param(page, marks=slow.get(page.stem, ()), id=page.stem)
        for page in sorted(DOCS.rglob("*.md"))
        if code_of(page)
    ]


@pytest.mark.parametrize("page", pages_with_code())
def test_the_code_of_a_page_prints_what_it_says(
    page: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "page.py"  # A file, so that workers find what it defines.
    script.write_text(code_of(page))
    runpy.run_path(str(script), run_name="__main__")
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    promised = re.findall(r"(?m)^# > ?(.*)$", code_of(page))
    assert [line for line in printed if line] == promised


def test_every_python_block_is_found() -> None:
    text = "".join(page.read_text() for page in DOCS.rglob("*.md"))
    blocks = re.findall(r"(?ms)^```python\n.*?^```$", text)
    assert len(blocks) == len(re.findall(r"``` ?py", text)) > 30

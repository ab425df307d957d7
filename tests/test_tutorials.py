"""Tutorials and README run as printed, and print what they say they print."""

import os
import re
import runpy
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))
# What each may take; the promise is a minute, on a machine that does nothing else.
_SECONDS = 60


def promised_lines(path: Path) -> list[str]:
    """The output that stands in the comments of a tutorial."""
    return re.findall(r"(?m)^ *# > ?(.*)$", path.read_text())


def printed_lines(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    runpy.run_path(str(path), run_name="__main__")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line]


def name(path: Path) -> str:
    return path.stem


def test_tutorials_are_numbered_from_one() -> None:
    numbers = [int(path.stem.split("_")[0]) for path in TUTORIALS]
    assert numbers == list(range(1, len(TUTORIALS) + 1))


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_a_tutorial_runs(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMNAS_QUICK", "1")
    printed = printed_lines(path, capsys)
    if "SYMNAS_QUICK" in path.read_text():  # A smaller budget prints other numbers.
        assert printed
    else:
        assert printed == promised_lines(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_a_tutorial_prints_what_its_comments_say(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of trained networks this holds with one thread, on a CPU like the author's."""
    monkeypatch.delenv("SYMNAS_QUICK", raising=False)
    if "NASBench201" in path.read_text():
        data = Path(os.environ.get("SYMNAS_DATA", ROOT.parent / "shared" / "data"))
        if not (data / "nb201").is_dir():
            pytest.skip(
                f"needs the table of NAS-Bench-201, and there is no {data}/nb201"
            )
        monkeypatch.setenv("SYMNAS_DATA", str(data))
    started = time.process_time()
    assert printed_lines(path, capsys) == promised_lines(path)
    assert time.process_time() - started < _SECONDS


def readme_blocks() -> list[str]:
    return re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("code", readme_blocks())
def test_the_readme_runs_as_printed(
    code: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "readme.py").write_text(code)
    runpy.run_path(str(tmp_path / "readme.py"), run_name="__main__")
    assert "trials, 0 failed" in capsys.readouterr().out


def test_the_readme_has_an_example_and_its_links_lead_somewhere() -> None:
    assert readme_blocks()
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link

"""The command line: what it prints, what it returns, how it ends."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import symnas as sn
from symnas import cli, demo

runner = CliRunner()


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EPOCHS", "FINAL_EPOCHS", "FINAL_SEEDS"):
        monkeypatch.setattr(demo, name, 1)


def test_version() -> None:
    result = runner.invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"symnas {sn.__version__}\n")


def test_help_names_the_commands_and_their_options() -> None:
    assert "demo" in runner.invoke(cli.app, ["--help"]).output
    result = runner.invoke(cli.app, ["demo", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for option in ("--seed", "--examples", "--output", "[default: 30]"):
        assert option in result.output


def test_the_module_is_a_program() -> None:
    command = [sys.executable, "-m", "symnas.cli", "--version"]
    assert subprocess.check_output(command, text=True) == f"symnas {sn.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--examples", "0"], ["--seed", "-1"], ["--seed", "x"]]
)
def test_bad_options_are_refused(arguments: list[str]) -> None:
    result = runner.invoke(cli.app, ["demo", *arguments])
    assert result.exit_code == 2 and arguments[0] in result.output


def test_an_output_that_is_a_file_is_refused_before_the_search(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    result = runner.invoke(cli.app, ["demo", "--output", str(path)])
    assert result.exit_code == 2 and "--output" in result.output
    assert path.read_text() == "mine"


@pytest.mark.usefixtures("short")
def test_demo_runs(tmp_path: Path) -> None:
    options = ["demo", "--examples", "2", "--output", str(tmp_path / "new" / "out")]
    result = runner.invoke(cli.app, options)
    assert result.exit_code == 0, result.output
    assert {f.name for f in (tmp_path / "new" / "out").iterdir()} == {
        "description.json",
        "model.py",
        "report.html",
        "weights.safetensors",
    }


@pytest.mark.usefixtures("short")
def test_ctrl_c_in_the_search_shows_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10))
    evaluate = demo.Classifier.__call__

    def interrupted(self: demo.Classifier, model: torch.nn.Module) -> object:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, model)

    monkeypatch.setattr(demo.Classifier, "__call__", interrupted)
    result = runner.invoke(
        cli.app, ["demo", "--examples", "5", "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == cli.INTERRUPTED == 130
    assert "3 trials" in result.output and "norm=" in result.output
    assert result.output.endswith("Interrupted.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("short")
def test_ctrl_c_in_the_final_training_ends_cleanly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: demo.Classifier, model: torch.nn.Module) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo.Classifier, "fit", interrupted)
    result = runner.invoke(
        cli.app, ["demo", "--examples", "1", "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == cli.INTERRUPTED
    assert "ConvNet(" in result.output and result.output.endswith("Interrupted.\n")
    assert not (tmp_path / "out").exists()

"""The commands that search, resume, show and describe: as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import symnas as sn
from symnas import cli

MODEL = """
import time
import symnas as sn
from symnas import nn

space = nn.Linear(4, sn.oneof([2, 4, 8], name="width"))
empty = nn.Linear(4, 2)
lots = {"a": sn.oneof([1, [sn.floatv(0.1, 10.0, "log", name="rate"), 2]], name="<script>"),
        "n": sn.intv(2, 10, 2)}
number = 3
wide = {"x": sn.oneof(list(range(1000)))}


def traced():
    return sn.oneof([1, 2], name="one") + 1


def evaluate(model):
    return model.out_features


def two_metrics(model):
    return {"accuracy": model.out_features, "size": -model.out_features}


def broken(model):
    raise RuntimeError("no such file <b>")


def with_nan(model):
    return {"reward": 1.0, "loss": float("nan")}


def slow(example):
    time.sleep(0.05)
    return example["x"]


def pair(model, data):
    return 1.0


class Trainer:
    def __call__(self, model):
        return 1.0
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the user, with a model, as the current one."""
    for name in ("user_model", "broken_model", "mistyped_model", "quitting_model"):
        sys.modules.pop(name, None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    (tmp_path / "user_model.py").write_text(MODEL)
    (tmp_path / "broken_model.py").write_text("import user_model\n\nx = 1 / 0\n")
    (tmp_path / "mistyped_model.py").write_text("space = (\n")
    (tmp_path / "quitting_model.py").write_text("import sys\nsys.exit(3)\n")


def run(*arguments: str, code: int = 0) -> str:
    """Runs a command; returns what it wrote to stdout."""
    result = CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "120"})
    assert result.exit_code == code, result.output
    return result.stdout


def said(*arguments: str) -> str:
    """The one line with which a command refuses."""
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


SEARCH = ("search", "user_model:space", "--evaluate", "user_model:evaluate")


def test_a_search_is_kept_shown_exported_and_deleted(tmp_path):
    out = run(*SEARCH, "--trials", "3", "--seed", "0")
    assert "width=8" in out
    assert json.loads(run("studies", "list", "--json"))[0]["name"] == "space"
    assert "3 of 3" in run("studies", "list")
    shown = run("studies", "show", "space")
    assert "width=8" in shown and "seed: 0" in shown
    for name in ("x.csv", "x.jsonl"):
        run("studies", "export", "space", "-o", name)
        assert len((tmp_path / name).read_text().splitlines()) in (3, 4)
    run("studies", "delete", "space", "--yes")
    assert "There are no studies" in run("studies", "list")


def test_the_outcome_as_json():
    out = run(*SEARCH, "--seed", "1", "--json", "--progress", "quiet")
    found = json.loads(out)
    assert found["best"]["decisions"] == {"width": 8}
    assert (found["trials"], found["seed"], found["failed"]) == (3, 1, 0)
    shown = json.loads(run("studies", "show", "space", "--json"))
    assert shown["best"] == found["best"]
    assert shown["environment"]["num_examples"] == 100


def test_a_search_that_ends_before_its_trials_says_why():
    result = CliRunner().invoke(cli.app, [*SEARCH, "--trials", "50"])
    assert "Ended after 3 of 50 trials: every example was proposed." in result.stderr
    result = CliRunner().invoke(cli.app, [*SEARCH, "--trials", "3"])
    assert "Ended" not in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        (*SEARCH, "--report"),
        ("report", "space", "-o"),
        ("studies", "export", "space", "-o"),
    ],
)
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("missing/x.csv", "There is no folder missing for x.csv: make it first.\n"),
        ("/proc/x.csv", "/proc/x.csv: No such file or directory. Name another file"),
    ],
)
def test_an_output_that_cannot_be_written(command, output, message):
    sn.search(
        sn.oneof(range(2)),
        abs,
        "grid",
        name="space",
        storage="symnas.db",
        progress=False,
    )
    assert said(*command, output).startswith(message)


def test_json_has_no_nan():
    run(
        "search", "user_model:space", "--evaluate", "user_model:with_nan", "--json"
    )  # fmt: skip
    shown = run("studies", "show", "space", "--json")
    assert json.loads(shown)["best"]["metrics"] == {"reward": 1.0, "loss": "nan"}


def test_a_second_search_gets_a_name_of_its_own():
    for name in ("space", "space-2"):
        out = run(*SEARCH, "--json", "--progress", "quiet")
        assert json.loads(out)["study"] == name
    assert "There is a study 'space'" in said(*SEARCH, "--name", "space")


def test_the_algorithm_and_objectives_are_chosen():
    out = run(
        "search", "user_model:space", "--evaluate", "user_model:two_metrics",
        "--algorithm", "nsga2(population_size=4)", "--objective", "accuracy",
        "--objective", "-size", "--json", "--trials", "3",
    )  # fmt: skip
    assert len(json.loads(out)["pareto_front"]) == 1
    study = sn.list_studies("symnas.db")[0]
    assert study.objectives == ("accuracy", "-size")
    assert study.algorithm.startswith("NSGA2(population_size=4")


def test_resume_goes_on_with_what_the_study_was_begun_with():
    options = ("--algorithm", "tpe(num_startup=3)", "--lag", "2", "--seed", "5")
    wide = ("user_model:wide", "--evaluate", "user_model:slow")
    run("search", *wide, *options, "--trials", "12", "--name", "whole")
    run("search", *wide, *options, "--trials", "5", "--name", "parts")
    run("resume", "parts", *wide, "--trials", "12")
    whole, parts = (sn.load_study("symnas.db", name) for name in ("whole", "parts"))
    assert [t.decisions for t in whole.trials] == [t.decisions for t in parts.trials]


def test_resume_runs_no_code_that_a_file_names():
    run(*SEARCH, "--trials", "1")
    line = said("resume", "space")
    assert "symnas resume space module:space --evaluate module:function" in line


def test_a_search_of_failures_says_so_and_exits_with_1():
    result = CliRunner().invoke(
        cli.app,
        ["search", "user_model:space", "--evaluate", "user_model:broken"],
    )
    assert result.exit_code == 1
    assert (
        "No trial was completed. Trial 1 is failed: RuntimeError: no such file <b>"
        in (result.stderr)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("describe", "user_modle:space"), "There is no module 'user_modle'"),
        (("describe", "user_modle:space"), "Did you mean user_model?"),
        (("describe", "none.py:space"), "There is no file none.py"),
        (("describe", "user_model:spcae"), "Did you mean user_model:space?"),
        (("describe", "user_model"), "Name yours as module:name"),
        (("describe", "nas_bench201"), "Did you mean nas_bench_201?"),
        (("describe", "user_model:empty"), "There is nothing to search"),
        (("describe", "user_model:number"), "user_model:number is no search space"),
        (("describe", "broken_model:x"), "ZeroDivisionError: division by zero"),
        (("describe", "broken_model:x"), "broken_model.py, line 3"),
        (("describe", "quitting_model:x"), "exit code 3"),
        (("describe", "mistyped_model:x"), "SyntaxError: '(' was never closed (mistyped_"),
        ((*SEARCH[:3], "evaluate"), "--evaluate must be module:name"),
        ((*SEARCH[:3], "user_model:pair"), "takes (model, data)"),
        ((*SEARCH[:3], "user_model:number"), "user_model:number is 3"),
        ((*SEARCH[:3], "user_model:Trainer"), "is a class"),
        ((*SEARCH, "--algorithm", "tpee"), "Did you mean 'tpe'"),
        ((*SEARCH, "--algorithm", "tpe(startup=1)"), "no field `startup`"),
        ((*SEARCH, "--storage", "no/folder/x.db"), "does not exist. Make it first"),
        (("resume", "none", "--storage", "none.db"), "There is no store at"),
        (("studies", "list", "--storage", "user_model.py"), "not a database"),
        (("studies", "export", "x", "-o", "x.txt"), ".csv or .jsonl"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_exit_with_2(arguments, message):
    assert message in said(*arguments)


@pytest.mark.parametrize(
    "arguments", [("studies", "show"), ("studies", "delete"), ("report",), ("resume",)]
)
def test_an_unknown_study_is_named(arguments):
    run(*SEARCH, "--trials", "1", "--name", "first")
    line = said(*arguments, "frist")
    assert "There is no study 'frist' in symnas.db" in line
    assert "Did you mean 'first'?" in line


@pytest.mark.parametrize("place", [0, 2])
def test_debug_shows_the_traceback(place):
    arguments = ["describe", "broken_model:x"]
    arguments.insert(place, "--debug")
    result = CliRunner().invoke(cli.app, arguments)
    assert isinstance(result.exception.__cause__, ZeroDivisionError)


def test_describe_tells_size_decisions_conditions_and_an_example():
    text = run("describe", "user_model:lots")
    assert "3 decisions, infinitely many examples" in text
    assert "0.1 to 10 (log scale)" in text and "2 to 10 in steps of 2" in text
    found = json.loads(run("describe", "user_model:lots", "--json"))
    names = [decision["name"] for decision in found["decisions"]]
    assert names == ["<script>", "rate", "n"]
    assert "<script>" in found["decisions"][1]["active_if"]
    assert "15,625 examples" in run("describe", "nas_bench_201")
    assert "2 examples" in run("describe", "user_model.py:traced")


def test_what_there_is():
    found = {row["name"]: row for row in json.loads(run("algorithms", "--json"))}
    assert {kind.__name__ for kind in sn.algorithms.by_name().values()} == {
        row["class"] for row in found.values()
    }
    assert found["regularized_evolution"]["defaults"]["tournament_size"] == 25
    assert "1802.01548" in found["regularized_evolution"]["source"]
    assert "tournament_size=25" in run("algorithms")
    spaces = {row["name"]: row for row in json.loads(run("spaces", "--json"))}
    assert spaces.keys() == sn.spaces.by_name().keys()
    assert spaces["nas_bench_201"]["size"] == 15_625
    assert "2001.00326" in spaces["nas_bench_201"]["source"]
    assert "15,625" in run("spaces")


def _hear_ctrl_c() -> None:
    """In a new process: what a shell runs in the background ignores Ctrl-C, as would this."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begin(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "symnas.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509
    )


def wait_for_trials(path: Path, number: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists():
            try:
                studies = sn.list_studies(path)
            except sn.StorageError:  # It is being made.
                studies = []
            if studies and studies[0].num_ended >= number:
                return
        time.sleep(0.05)
    raise AssertionError(f"no {number} trials in time")


WIDE = ("user_model:wide", "--evaluate", "user_model:slow")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(tmp_path, workers):
    process = begin("search", *WIDE, "--trials", "900", "--workers", workers)
    wait_for_trials(tmp_path / "symnas.db", 3)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "trials, " in out and "Traceback" not in error
    again = "symnas resume wide user_model:wide --evaluate user_model:slow"
    assert f"Go on with: {again}" in error
    assert sn.load_study("symnas.db", "wide").num_completed >= 3


def test_a_killed_search_is_resumed_as_if_it_had_not_been(tmp_path):
    process = begin("search", *WIDE, "--trials", "20", "--seed", "3")
    wait_for_trials(tmp_path / "symnas.db", 4)
    process.kill()
    process.communicate(timeout=60)
    run("resume", "wide", *WIDE)
    run("search", *WIDE, "--trials", "20", "--seed", "3", "--name", "whole")
    whole, parts = (sn.load_study("symnas.db", name) for name in ("whole", "wide"))
    assert len(parts.trials) == 20
    assert [t.decisions for t in whole.trials] == [t.decisions for t in parts.trials]
    assert [t.rewards for t in whole.trials] == [t.rewards for t in parts.trials]

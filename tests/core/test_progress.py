"""What a search shows while it runs, and the table of its result."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

import symnas as sn
from symnas.progress import Progress, results_table, sparkline


def space():
    return {"a": sn.oneof(["[/x]", "[bold]b"]), "x": sn.floatv(0.0, 1.0)}


def fail(example):
    raise ValueError("[/oops]")


def shown(evaluate, terminal, capsys=None, **options):
    text = io.StringIO()
    console = Console(file=text, width=90, force_terminal=terminal, color_system=None)
    samples = sn.sample(space(), "random", 5, seed=0, **options)
    with Progress(samples.result, 5, True, console) as display:
        for example, feedback in samples:
            display.began(feedback.id)
            try:
                feedback(evaluate(example))
            except ValueError as error:
                feedback.fail(error)
            display._shown = -1e9  # As if the last update were long ago.
            display.ended(feedback.id)
    return text.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_it_shows_the_best_so_far_the_time_left_and_the_count(terminal):
    text = shown(lambda example: example["x"], terminal)
    assert "5/5 trials" in text
    assert "best 0." in text
    assert terminal or "left" in text  # A terminal is drawn by a thread, at its times.


@pytest.mark.parametrize("terminal", [False, True])
def test_failures_are_counted_and_explained(terminal):
    text = shown(fail, terminal)
    assert "5 failed" in text
    assert "No trial was completed. Trial 1 is failed: ValueError: [/oops]" in text


def test_the_terminal_shows_decisions_speed_and_how_the_best_grew():
    text = shown(lambda example: example["x"], True)
    assert "best: a = [" in text
    assert "trials/s" in text
    assert "█" in text


def test_each_of_several_workers_has_a_line():
    console = Console(file=io.StringIO(), width=90, color_system=None)
    samples = sn.sample(space(), "random", 5, seed=0)
    display = Progress(samples.result, 5, True, console)
    (_, first), (_, second), (_, third) = (next(samples) for _ in range(3))
    display.began(first.id, 0)
    display.began(second.id, 1)
    first(1.0)
    display.ended(first.id)
    second.fail("broken")
    display.ended(second.id)
    display.began(third.id, 0)
    lines = display._worker_lines()
    assert lines[0].startswith("worker 1: 1 done, trial 3 for ")
    assert lines[1] == "worker 2: 1 done, 1 failed"
    assert "1 running" in display._line()


def test_a_resumed_search_estimates_by_what_it_has_done_itself(tmp_path):
    def score(example):
        return example["x"]

    path = str(tmp_path / "studies.db")
    options = {"seed": 0, "name": "a", "storage": path}
    sn.search(space(), score, "random", 4, progress=False, **options)
    samples = sn.sample(space(), "random", 10, **options)
    console = Console(file=io.StringIO(), color_system=None)
    display = Progress(samples.result, 10, True, console)
    assert display._line().startswith("4/10 trials, best ")
    assert "left" not in display._line()
    samples.close()


def test_plain_lines_can_be_asked_for_on_a_terminal():
    text = io.StringIO()
    console = Console(file=text, width=200, force_terminal=True)
    samples = sn.sample(space(), "random", 3, seed=0)
    with Progress(samples.result, 3, "log", console) as display:
        for example, feedback in samples:
            feedback(example["x"])
            display._shown = -1e9
            display.ended(feedback.id)
    assert text.getvalue().count(" trials, best") == 3
    assert "\x1b" not in text.getvalue()


def test_another_kind_of_progress_is_refused():
    with pytest.raises(ValueError, match="`progress` must be .* got 'loud'"):
        sn.search(space(), len, "random", 1, progress="loud")


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([], ""),
        ([math.nan], ""),
        ([1.0], "▁"),
        ([1.0, 1.0], "▁▁"),
        ([-2.0, math.nan, -1.0, -3.0, 0.0], "▁▁▄▄█"),
    ],
)
def test_sparklines(rewards, expected):
    assert sparkline(np.array(rewards)) == expected
    assert len(sparkline(np.arange(1000.0))) == 32


def test_values_that_look_like_markup_are_shown_as_they_are():
    result = sn.search(space(), lambda e: e["x"], "random", 9, seed=0, progress=False)
    text = str(result)
    assert "a=[/x]" in text
    assert "a=[bold]b" in text


def test_a_failed_search_keeps_its_result_whatever_the_errors_say(capsys):
    result = sn.search(space(), fail, "random", 3, seed=0)
    assert result.num_failed == 3
    assert "[/oops]" in capsys.readouterr().err


def test_lines_are_plain_when_the_output_is_no_terminal(capsys):
    sn.search(space(), lambda e: e["x"], "random", 3, seed=0)
    error = capsys.readouterr().err
    assert error.count("3/3 trials") == 1
    assert "\x1b" not in error


def test_nothing_is_shown_without_progress(capsys):
    sn.search(space(), lambda e: e["x"], "random", 3, seed=0, progress=False)
    assert capsys.readouterr() == ("", "")


def test_several_objectives_show_the_pareto_front():
    result = sn.search(
        {"x": sn.floatv(0.0, 1.0)},
        lambda e: {"a": e["x"], "b": e["x"]},
        "random",
        9,
        objectives=("a", "-b"),
        seed=0,
        progress=False,
    )
    assert len(result.pareto_front()) == 9
    assert results_table(result).row_count == 5


def test_a_notebook_shows_one_display_that_changes():
    pytest.importorskip("ipykernel", reason="notebooks need ipykernel")
    client = pytest.importorskip("nbclient", reason="notebooks need nbclient")
    from nbformat import v4

    code = """
import time, symnas as sn

def evaluate(example):
    time.sleep(0.1)
    return example["x"]

sn.search({"x": sn.floatv(0.0, 1.0)}, evaluate, "random", 9, seed=0)
"""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(code)])
    client.NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    shown = [output.get("data", {}) for output in notebook.cells[0].outputs]
    displays = [data["text/html"] for data in shown if "text/html" in data]
    assert len(displays) == 1
    assert "9/9 trials, best 0." in displays[0] and "█" in displays[0]

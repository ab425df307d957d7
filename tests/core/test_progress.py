"""What a search shows while it runs, and the table of its result."""

import io

import pytest
from rich.console import Console

import symnas as sn
from symnas.progress import Progress, results_table


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
            try:
                feedback(evaluate(example))
            except ValueError as error:
                feedback.fail(error)
            display._shown = -1e9  # As if the last update were long ago.
            display.update()
    return text.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_it_shows_the_best_so_far_the_time_left_and_the_count(terminal):
    text = shown(lambda example: example["x"], terminal)
    assert "5/5 trials" in text
    assert "best 0." in text
    assert "left" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_failures_are_counted_and_explained(terminal):
    text = shown(fail, terminal)
    assert "5 failed" in text
    assert "No trial was completed. Trial 1 is failed: ValueError: [/oops]" in text


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

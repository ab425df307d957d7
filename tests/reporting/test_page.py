"""What a report says, without a browser."""

from __future__ import annotations

import html
import re

import pytest

import symnas as sn
from symnas.reporting import summary
from symnas.reporting.failures import failures, reason_of
from symnas.reporting.trial_table import trial_table


def result_of(space, rewards, **options):
    """A study of rewards in the order of proposals; those that are texts have failed."""
    samples = sn.sample(space, "random", len(rewards), seed=0, **options)
    for (_, feedback), reward in zip(samples, rewards, strict=True):
        if isinstance(reward, str):
            feedback.fail(reward)
        else:
            feedback(reward)
    return sn.Result(feedback._study)


@pytest.fixture
def line():
    return {"x": sn.floatv(0.0, 1.0)}


def test_the_verdict_says_whether_it_still_improved(line):
    assert "still improving: trial 10, the last one" in summary.verdict(
        result_of(line, list(range(10)))
    )
    assert "still improving: trial 9, 1 trials before" in summary.verdict(
        result_of(line, [*range(9), 0])
    )
    assert summary.verdict(result_of(line, [9, *range(9)])) == (
        "Nothing better was found in the last 9 of 10 completed trials (90%)."
    )
    assert "nothing to compare" in summary.verdict(result_of(line, [1]))
    assert summary.verdict(result_of(line, ["no luck", "no"])) == (
        "No trial was completed. no luck (1 failed)"
    )
    minimised = result_of(line, [5, 4, 6, 7, 8, 9], objectives=["-loss"])
    assert "last 4 of 6" in summary.verdict(minimised)


def test_facts_count_trials_and_examples():
    result = result_of({"x": sn.oneof(range(8))}, [1.0, "no", 3.0])
    facts = {fact.name: fact for fact in summary.facts(result)}
    assert facts["best reward"].value == "3"
    assert facts["trials"].note == "2 completed, 1 failed"
    assert facts["examples in the space"].note == "37.50% tried"


def test_sizes_are_short():
    assert summary._count(15625) == "15,625"
    assert summary._count(5**60) == "8.67 \u00d7 10\u2074\u00b9"
    assert summary._count(5**10000) == "over 10\u2074\u2070\u2070\u2070"


def test_reasons_that_differ_in_numbers_are_one(line):
    errors = ["out of memory at 0x7f12", "out of memory at 0xab", "no", "no", "no"]
    groups = failures(result_of(line, [*errors, 1.0]))
    assert [(group.reason, len(group.ids)) for group in groups] == [
        ("no", 3),
        ("out of memory at 0x7f12", 2),
    ]


def test_the_reason_of_a_traceback_is_its_error():
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second\nof two") from error
    except ValueError as error:
        from symnas.trial import format_error

        assert reason_of(format_error(error)) == "ValueError: second"
    assert reason_of("plain words") == "plain words"
    assert reason_of("") == "no reason"


def test_the_table_holds_the_best_trials_and_their_active_decisions():
    space = {"op": sn.oneof([{"k": sn.oneof([1, 3])}, "pool"], name="op")}
    result = sn.search(
        space, lambda e: e["op"] == "pool", "grid", progress=False, seed=0
    )
    table = trial_table(result, ["op[=0/2].k", "op"])
    assert [cell.text for cell in table.columns][:4] == [
        "trial",
        "reward",
        "op[=0/2].k",
        "op",
    ]
    assert [row[2].text for row in table.rows] == ["", "1", "3"]
    assert [row[1].key for row in table.rows] == [1.0, 0.0, 0.0]


def test_what_is_not_known_is_said(tmp_path, line):
    path = tmp_path / "report.html"
    result_of(line, [2.0] * 25).report(path)
    page = path.read_text("utf-8")
    assert "All trials have the same reward." in page
    result_of(line, [2.0, 1.0]).report(path)
    assert "from 20 different completed trials on, there are 2" in path.read_text(
        "utf-8"
    )


def test_hostile_texts_stand_in_no_place_where_they_would_be_code(tmp_path, hostile):
    path = tmp_path / "report.html"
    hostile.report(path)
    page = path.read_text("utf-8")
    # Without the library, which has scripts and images of its own.
    parts = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "<script>alert" not in parts
    assert not re.search(r"<(img|svg|a) (src|onload|href=javascript)", parts)
    assert html.escape("<script>alert(1)</script>") in parts


def test_half_a_character_does_not_stop_the_report(tmp_path):
    path = tmp_path / "report.html"
    result_of({"x": sn.oneof([1, 2], name="\udcff")}, [1.0, "\ud800"]).report(path)
    assert path.read_bytes().decode("utf-8")

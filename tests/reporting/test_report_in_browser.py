"""Reports as a browser shows them."""

from __future__ import annotations

import math

import pytest

import symnas as sn
from symnas import nn

FIGURES = [
    "best_so_far",
    "over_time",
    "importance_0",
    *(f"slice_{i}" for i in range(4)),
    "parallel",
    "curves",
    "timeline",
]


def evaluate(example):
    if example["width"] == 24:
        raise ValueError(f"no width of {example['width']}")
    for step in range(4):
        yield step * example["width"] - math.log10(example["rate"])


@pytest.fixture(scope="module")
def result():
    space = {
        "width": sn.intv(8, 64, 8),
        "rate": sn.floatv(1e-4, 1e-1, "log"),
        "op": sn.oneof([{"k": sn.oneof([1, 3, 5])}, "pool"], name="op"),
    }
    return sn.search(space, evaluate, "random", 60, seed=0, progress=False)


@pytest.fixture(scope="module")
def desk(opened, result):
    """The report on a large screen, for tests that leave its figures alone."""
    return opened(result)


def test_all_figures_are_drawn(desk, result):
    names = (
        "Array.from(document.querySelectorAll('[data-figure]'), e => e.dataset.figure)"
    )
    assert desk.value(names) == FIGURES
    # Plotly draws in three layers.
    layers = desk.value("document.querySelectorAll('.plot .main-svg').length")
    assert layers == 3 * len(FIGURES)
    points = (
        "document.querySelectorAll('[data-figure=best_so_far] .points path').length"
    )
    assert desk.value(points) >= result.num_completed


def test_figures_are_drawn_without_being_asked_for(opened, result):
    page = opened(result, whole=False)
    page.wait("!document.querySelector('[data-figure]:not([data-drawn])')")
    assert page.complaints == []


def column(page, number):
    return page.texts(f"#table tbody tr:not([hidden]) td:nth-child({number + 1})")


def click(page, number):
    page.value(f"document.querySelectorAll('#table th button')[{number}].click()")


def test_a_click_sorts_the_table(desk, result):
    heads = desk.texts("#table th")
    assert heads[:2] == ["trial", "reward"]
    best = [str(trial.id) for trial in result.top(60)]
    assert column(desk, 0) == best
    click(desk, 0)
    assert column(desk, 0) == sorted(best, key=int)
    click(desk, 0)
    assert column(desk, 0) == sorted(best, key=int, reverse=True)
    rate = heads.index("rate")
    click(desk, rate)
    rates = [float(text) for text in column(desk, rate)]
    assert rates == sorted(rates)
    # Trials without the decision come last, whichever way it is sorted.
    inner = heads.index("op[=0/2].k")
    for _ in range(2):
        click(desk, inner)
        texts = column(desk, inner)
        without = texts.count("")
        assert without
        assert texts[-without:] == [""] * without


def test_words_filter_the_table(desk, result):
    desk.value("filter.value = 'POOL 64'; filter.dispatchEvent(new Event('input'))")
    left = [
        str(trial.id)
        for trial in result.trials
        if trial.decisions["op"] == "pool" and trial.decisions["width"] == 64
    ]
    shown = column(desk, 0)
    assert left
    assert {*left} <= {*shown}
    assert {*column(desk, desk.texts("#table th").index("op"))} == {"pool"}
    said = desk.value("shown.textContent")
    assert said == f"{len(shown)} of {result.num_completed} shown"
    desk.value("filter.value = ''; filter.dispatchEvent(new Event('input'))")
    assert len(column(desk, 0)) == result.num_completed


def test_failures_stand_by_reason_with_one_traceback(desk, result):
    (text,) = desk.texts(".failure")
    assert f"{result.num_failed} failed" in text
    assert "ValueError: no width of 24" in text
    assert "Traceback (most recent call last)" in text
    assert desk.value("document.querySelector('.failure').open") is False


def test_on_a_dark_phone_figures_are_narrow_and_follow_the_light(opened, result):
    page = opened(result, 390, "dark")
    widths = page.value(
        "Array.from(document.querySelectorAll('.plot .main-svg'),"
        "e => e.getBoundingClientRect().width)"
    )
    assert len(widths) == 3 * len(FIGURES)
    assert min(widths) > 300
    assert max(widths) < 390
    assert (
        page.value("getComputedStyle(document.body).backgroundColor")
        == "rgb(20, 23, 27)"
    )
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    dark = page.value(ink)
    page.prefer("light")
    page.wait("!document.querySelector('[data-drawn=dark]')")
    assert page.value(ink) != dark
    assert page.complaints == []


def test_several_objectives_have_a_front_and_no_single_best(opened):
    space = {"width": sn.intv(1, 99), "x": sn.floatv(0.0, 1.0)}

    def measure(example):
        return {"accuracy": example["width"] ** 0.5, "latency": example["width"]}

    names = ["accuracy", "-latency"]
    result = sn.search(
        space, measure, "random", 15, seed=0, objectives=names, progress=False
    )
    page = opened(result)
    assert (
        page.value("document.querySelector('[data-figure]').dataset.figure")
        == "pareto_front"
    )
    assert (
        page.value("document.querySelectorAll('[data-figure=best_so_far]').length") == 0
    )
    assert [text.split(":")[0] for text in page.texts(".winner h3")] == [
        "The best by accuracy",
        "The best by latency",
    ]
    assert "the largest accuracy and the smallest latency" in page.texts("header")[0]


def test_a_network_is_drawn_beside_its_code(opened, tmp_path):
    width = sn.oneof([8, 16], name="width")
    space = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    storage = tmp_path / "studies.db"
    found = sn.search(
        space,
        lambda model: -model[0].out_features,
        "random",
        2,
        seed=0,
        progress=False,
        storage=storage,
        name="stored",
    )
    page = opened(found, 390)
    code = sn.describe(space).replace("oneof([8, 16], name='width')", "8")
    assert page.texts(".winner pre") == [code]
    assert {"Linear(4, 8)", "ReLU", "Linear(8, 2)"} <= {*page.texts(".drawing text")}
    # The store has the decisions, but not the code.
    page = opened(sn.load_study(storage, "stored"))
    assert page.value("document.title") == "stored"
    assert page.texts(".winner pre") == ["width = 8"]
    assert "--space" in page.texts(".winner .note")[0]


def test_failures_alone_have_a_page(opened):
    samples = sn.sample(sn.oneof(range(50)), "random", 3, seed=0)
    for _, feedback in samples:
        feedback.fail("out of luck")
    page = opened(sn.Result(feedback._study), 390)
    assert "No trial was completed" in page.texts("header")[0]
    assert len(page.texts(".failure")) == 1
    assert page.texts(".winner, [data-figure=best_so_far], #table") == []


def test_one_trial_has_a_page_and_code_that_got_into_it_would_not_run(opened):
    page = opened(sn.search({"x": sn.oneof([1])}, len, "random", 1, progress=False))
    assert len(page.texts(".winner")) == 1
    page.value(
        "document.body.insertAdjacentHTML('beforeend',"
        "'<img src=http://example.invalid/ onerror=document.title=7>');"
        "document.body.appendChild(document.createElement('script')).textContent ="
        "'document.title = 7'; new Promise(done => setTimeout(done, 200))"
    )
    assert page.value("document.title") == "Search"
    assert any("Content Security Policy" in text for text in page.complaints)
    assert page.refused == ["http://example.invalid/"]
    assert page.requests == {}


def test_what_a_study_says_is_never_run(opened, hostile):
    page = opened(hostile)
    # Nothing became an element, in the page or in a figure.
    assert page.value("document.querySelectorAll('script').length") == 3
    made = "document.querySelectorAll('img, main a, main svg a, [onload], [onerror]')"
    assert page.value(f"{made}.length") == 0
    assert "fat" not in page.texts("main b, .plot tspan")
    # And every text is there, as it is.
    text = page.value("document.body.textContent")
    for said in ("<script>alert(1)</script>", "{{ 7 * 7 }} %{x}", "&lt;i&gt;"):
        assert said in text
    assert {"<b>fat</b>", "&lt;i&gt;"} <= {*page.texts(".xtick text")}
    # What stands at the pointer is text as well.
    hover = """
        Plotly.Fx.hover(document.querySelector('[data-figure=best_so_far]'),
                        [{curveNumber: 0, pointNumber: 0}]);
        document.querySelector('[data-figure=best_so_far] .hoverlayer').textContent
    """
    assert "<script>alert(1)</script>: " in page.value(hover)
    assert page.value("document.querySelectorAll('.hoverlayer a, img').length") == 0
    assert page.complaints == []


@pytest.mark.slow
def test_a_hundred_thousand_trials_fit_a_page(opened, tmp_path):
    space = {f"op{i}": sn.oneof(["conv", "pool", "skip"]) for i in range(6)}
    space["rate"] = sn.floatv(1e-4, 1e-1, "log")
    samples = sn.sample(space, "regularized_evolution", 100_000, seed=0)
    for example, feedback in samples:
        if feedback.id % 100 == 0:
            feedback.fail(f"out of luck after {feedback.id}")
            continue
        feedback.add_measurement(example["rate"], step=1)
        feedback(example["rate"] + (example["op3"] == "conv"))
    result = sn.Result(feedback._study)
    result.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 15e6
    page = opened(result)
    assert page.value("document.querySelectorAll('[data-drawn]').length") == 13
    assert "1,000 failed" in page.texts(".failure")[0]
    # A staircase of all trials, points of some.
    points = (
        "document.querySelectorAll('[data-figure=best_so_far] .points path').length"
    )
    assert 1000 <= page.value(points) < 4000

"""Reports as a browser shows them."""

from __future__ import annotations

import math

import pytest

import symnas as sn
from symnas import nn


def evaluate(example):
    for step in range(4):
        if example["width"] == 24:
            raise ValueError(f"no width of {example['width']}")
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
def several():
    def measure(example):
        return {"accuracy": example["width"] ** 0.5, "latency": example["width"]}

    space = {"width": sn.intv(1, 99), "x": sn.floatv(0.0, 1.0)}
    names = ["accuracy", "-latency"]
    return sn.search(
        space, measure, "random", 40, seed=0, objectives=names, progress=False
    )


@pytest.fixture
def opened(tab, tmp_path):
    """Writes a report, opens it, and checks what is true of all of them."""

    def open_report(result, width=1280, scheme="light"):
        path = tmp_path / "report.html"
        result.report(path)
        tab.open(path, width, scheme)
        assert tab.complaints == []
        assert tab.requests == []
        assert tab.value("document.documentElement.scrollWidth <= innerWidth")
        return tab

    return open_report


def figures(tab):
    """The names of the figures of the page, and how many of them were drawn."""
    names = (
        "Array.from(document.querySelectorAll('[data-figure]'), e => e.dataset.figure)"
    )
    return tab.value(names), tab.value(
        "document.querySelectorAll('.plot .main-svg').length"
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_all_figures_are_drawn_on_a_desk_and_on_a_phone(opened, result, width, scheme):
    tab = opened(result, width, scheme)
    names, drawn = figures(tab)
    assert names == [
        "best_so_far",
        "over_time",
        "importance_0",
        *(f"slice_{i}" for i in range(4)),
        "parallel",
        "curves",
        "timeline",
    ]
    assert drawn == 3 * len(names)  # Plotly draws in three layers.
    best_so_far = "document.querySelector('[data-figure=best_so_far]')"
    points = tab.value(f"{best_so_far}.querySelectorAll('.points path').length")
    assert points >= result.num_completed
    wide = tab.value(f"{best_so_far}.getBoundingClientRect().width")
    assert 300 < wide < width
    color = tab.value("getComputedStyle(document.body).backgroundColor")
    assert color == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


def test_figures_follow_when_the_page_gets_dark(opened, result):
    tab = opened(result)
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    light = tab.value(ink)
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    tab.send("Emulation.setEmulatedMedia", features=[feature])
    tab.wait(f"document.documentElement.dataset.drawn && {ink} !== '{light}'")
    assert tab.complaints == []


def column(tab, number):
    return tab.value(
        f"Array.from(document.querySelectorAll('#table tbody tr:not([hidden])'), "
        f"row => row.cells[{number}].textContent)"
    )


def click(tab, number):
    tab.value(f"document.querySelectorAll('#table th button')[{number}].click()")


def test_the_table_is_sorted_by_a_click_and_filtered_by_words(opened, result):
    tab = opened(result)
    heads = tab.value(
        "Array.from(document.querySelectorAll('#table th'), h => h.textContent)"
    )
    assert heads[:2] == ["trial", "reward"]
    best = [str(trial.id) for trial in result.top(60)]
    assert column(tab, 0) == best
    click(tab, 0)
    assert column(tab, 0) == sorted(best, key=int)
    click(tab, 0)
    assert column(tab, 0) == sorted(best, key=int, reverse=True)
    rate = heads.index("rate")
    click(tab, rate)
    rates = [float(text) for text in column(tab, rate)]
    assert rates == sorted(rates)
    # Trials without the decision come last, whichever way it is sorted.
    inner = heads.index("op[=0/2].k")
    for _ in range(2):
        click(tab, inner)
        texts = column(tab, inner)
        without = texts.count("")
        assert without
        assert texts[-without:] == [""] * without
    tab.value("filter.value = 'POOL 64'; filter.dispatchEvent(new Event('input'))")
    left = [
        str(t.id)
        for t in result.top(60)
        if t.decisions["op"] == "pool" and t.decisions["width"] == 64
    ]
    shown = column(tab, 0)
    assert left
    assert set(left) <= set(shown)
    assert all("pool" in text for text in column(tab, heads.index("op")))
    assert tab.value("shown.textContent") == f"{len(shown)} of {len(best)} shown"


def test_failures_stand_by_reason_with_one_traceback(opened, result):
    tab = opened(result)
    (text,) = tab.value(
        "Array.from(document.querySelectorAll('.failure'), e => e.textContent)"
    )
    assert f"{result.num_failed} failed" in text
    assert "ValueError: no width of 24" in text
    assert "Traceback (most recent call last)" in text
    assert tab.value("document.querySelector('.failure').open") is False


def test_several_objectives_have_a_front_and_no_single_best(opened, several):
    tab = opened(several)
    names, _ = figures(tab)
    assert names[0] == "pareto_front"
    assert "best_so_far" not in names
    assert tab.value("document.querySelectorAll('.winner').length") == 2
    text = tab.value("document.querySelector('header').textContent")
    assert "the largest accuracy and the smallest latency" in text


def test_a_network_is_drawn_beside_its_code(opened):
    width = sn.oneof([8, 16], name="width")
    space = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    result = sn.search(
        space, lambda m: -m[0].out_features, "random", 2, seed=0, progress=False
    )
    tab = opened(result, 390)
    text = tab.value("document.querySelector('.winner pre').textContent")
    assert text == sn.describe(space).replace("oneof([8, 16], name='width')", "8")
    notes = "Array.from(document.querySelectorAll('.drawing text'), e => e.textContent)"
    assert {"Linear(4, 8)", "ReLU", "Linear(8, 2)"} <= {*tab.value(notes)}


def test_a_study_without_its_space_shows_decisions_as_text(opened, tmp_path):
    storage = tmp_path / "studies.db"
    space = nn.Linear(4, sn.oneof([8, 16], name="width"))
    sn.search(
        space,
        lambda m: m.out_features,
        "random",
        2,
        seed=0,
        progress=False,
        storage=storage,
        name="stored",
    )
    tab = opened(sn.load_study(storage, "stored"))
    assert tab.value("document.title") == "stored"
    assert (
        tab.value("document.querySelector('.winner pre').textContent") == "width = 16"
    )
    assert "--space" in tab.value("document.querySelector('.winner .note').textContent")


def test_workers_have_rows_of_their_own(opened, tmp_path):
    result = sn.search(
        {"x": sn.floatv(0.0, 0.2)}, slow, "random", 8, seed=0, workers=2, progress=False
    )
    tab = opened(result)
    rows = "document.querySelectorAll('[data-figure=timeline] .ytick').length"
    assert tab.value(rows) == 2


def slow(example):
    import time

    time.sleep(0.1 + example["x"])
    return example["x"]


@pytest.mark.parametrize("rewards", [[1.0], [None], [None] * 30, [2.0] * 30, []])
def test_small_and_failed_studies_have_a_page(opened, rewards):
    space = sn.oneof(range(50))
    study = None
    for (_, feedback), reward in zip(
        sn.sample(space, "random", len(rewards), seed=0), rewards, strict=True
    ):
        study = feedback._study
        feedback.fail("out of luck") if reward is None else feedback(reward)
    if study is None:
        result = sn.search(space, slow, "random", 0, progress=False)
    else:
        result = sn.Result(study)
    tab = opened(result, 390)
    completed = result.num_completed
    assert bool(tab.value("document.querySelector('.winner')")) == (completed > 0)
    assert bool(tab.value("document.querySelector('.failure')")) == (None in rewards)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_a_study_says_is_never_run(opened, hostile, scheme):
    tab = opened(hostile, 1280, scheme)
    # Nothing became an element, in the page or in a figure.
    assert tab.value("document.querySelectorAll('script').length") == 3
    made = "document.querySelectorAll('img, main a, main svg a, [onload], [onerror]')"
    assert tab.value(f"{made}.length") == 0
    bold = tab.value(
        "Array.from(document.querySelectorAll('main b, .plot tspan'), e => e.textContent)"
    )
    assert "bold" not in bold
    # And every text is there, as it is.
    text = tab.value("document.body.textContent")
    for said in ("<script>alert(1)</script>", "{{ 7 * 7 }} %{x}", "&lt;i&gt;"):
        assert said in text
    labels = "Array.from(document.querySelectorAll('.xtick text'), e => e.textContent)"
    assert {"<b>bold</b>", "&lt;i&gt;"} <= {*tab.value(labels)}


def test_what_stands_at_the_pointer_is_text_as_well(opened, hostile):
    tab = opened(hostile)
    hover = """
        Plotly.Fx.hover(document.querySelector('[data-figure=best_so_far]'),
                        [{curveNumber: 0, pointNumber: 0}]);
        document.querySelector('[data-figure=best_so_far] .hoverlayer').textContent
    """
    assert "<script>alert(1)</script>: " in tab.value(hover)
    assert tab.value("document.querySelectorAll('.hoverlayer a, img').length") == 0
    assert tab.complaints == []


def test_code_that_got_into_the_page_would_not_run(opened, result):
    tab = opened(result)
    tab.value(
        "document.body.insertAdjacentHTML('beforeend',"
        "'<img src=http://example.invalid/ onerror=document.title=7>');"
        "document.body.appendChild(document.createElement('script')).textContent ="
        "'document.title = 7'; new Promise(done => setTimeout(done, 200))"
    )
    assert tab.value("document.title") == "Search"
    assert any("Content Security Policy" in text for text in tab.complaints)
    assert tab.requests == []

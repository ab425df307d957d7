"""Studies by name: listing, loading and deleting them, and stores that are not there."""

from __future__ import annotations

import dataclasses
import datetime
import os
import socket
import sys
import time
import traceback
from typing import Any

import pytest
import sqlalchemy as sa
import storage_workers as workers
import torch
from storage_workers import finish, in_steps, sample

import symnas as sn
from symnas.environment import environment
from symnas.storage.store import _url

# --- listing ----------------------------------------------------------------------------


def test_studies_are_listed_in_the_order_in_which_they_were_begun(storage):
    before = datetime.datetime.now(datetime.UTC)
    for name in ("one", "two", "a third"):
        samples = sample(storage, 4, name=name)
        finish(samples)
    samples = sn.sample(
        sn.oneof([1, 2, 3]),
        "random",
        name="left",
        storage=storage,
        objectives=("acc", "-time"),
    )
    next(samples)[1]({"acc": 1.0, "time": 2.0})
    next(samples)
    listed = sn.list_studies(storage)
    assert [study.name for study in listed] == ["one", "two", "a third", "left"]
    assert [study.num_trials for study in listed] == [4, 4, 4, 2]
    assert [study.num_ended for study in listed] == [4, 4, 4, 1]
    assert listed[0].objectives == ("reward",)
    assert listed[3].objectives == ("acc", "-time")
    assert listed[0].algorithm.startswith("RegularizedEvolution(")
    assert listed[3].algorithm == "RandomSearch()"
    after = datetime.datetime.now(datetime.UTC)
    assert before <= listed[0].created <= listed[3].created <= after


def test_studies_in_one_store_do_not_mix(storage):
    spaces = {"a": sn.oneof(range(5)), "b": {"x": sn.oneof(list("uvw"))}}
    loops = {
        name: sn.sample(space, "grid", name=name, storage=storage)
        for name, space in spaces.items()
    }
    for _ in range(3):
        for i, samples in enumerate(loops.values()):
            _, feedback = next(samples)
            feedback.add_measurement(float(i))
            feedback.done()
    for i, (name, space) in enumerate(spaces.items()):
        result = sn.load_study(storage, name, space)
        assert [t.rewards for t in result.trials] == [(float(i),)] * 3
        assert all(len(t.measurements) == 1 for t in result.trials)
    sn.delete_study(storage, "a")
    assert [study.name for study in sn.list_studies(storage)] == ["b"]
    assert len(sn.load_study(storage, "b").trials) == 3


@pytest.mark.parametrize("how", ["load", "delete"])
def test_a_study_that_is_not_there_is_named_beside_those_that_are(storage, how):
    function = sn.load_study if how == "load" else sn.delete_study
    finish(sample(storage, 1, name="one"))
    finish(sample(storage, 1, name="it's"))
    with pytest.raises(sn.StorageError) as caught:
        function(storage, "won")
    assert "There is no study 'won'; the studies are 'one', \"it's\"" in str(
        caught.value
    )
    sn.delete_study(storage, "one")
    sn.delete_study(storage, "it's")
    with pytest.raises(sn.StorageError, match="the studies are none"):
        function(storage, "one")
    assert sn.list_studies(storage) == []


def test_a_deleted_study_begins_anew(storage):
    first = finish(sample(storage, 5))
    sn.delete_study(storage, "study")
    second = finish(sample(storage, 5, seed=6))
    assert second.seed == 6
    assert [t.genotype for t in first.trials] != [t.genotype for t in second.trials]
    assert [t.id for t in second.trials] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["", None, 3, b"x"])
def test_a_stored_study_needs_a_name(sqlite, name):
    with pytest.raises(ValueError, match="needs a `name`"):
        sample(sqlite, 3, name=name)


def test_a_name_needs_a_store():
    with pytest.raises(ValueError, match="has a name but no `storage`"):
        sn.sample(workers.SPACE, name="a")


def test_paths_may_be_of_any_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    awkward = tmp_path / "a ?#%41&mode=ro \N{SNOWMAN}.db"
    for storage in (awkward, "relative.db", f"sqlite:///{tmp_path}/url.db"):
        finish(sample(storage, 2))
        finish(sample(storage, 4))
        assert len(sn.load_study(storage, "study").trials) == 4
    found = {path.name for path in tmp_path.glob("*.db")}
    assert found == {awkward.name, "relative.db", "url.db"}


# --- loading ----------------------------------------------------------------------------


def evaluated(toy: Any, storage: str | None, **options: Any) -> sn.Result:
    """Trials of all kinds on a toy."""
    samples = sn.sample(
        toy.make(),
        "random",
        12,
        seed=1,
        early_stopping=lambda feedback, study: True,
        constraint=toy.constraint,
        storage=storage,
        **options,
    )
    for _, feedback in samples:
        for step in (3, 1, 2):
            feedback.add_measurement(step / 3, step=step, metrics={"more": step})
        feedback.set_metadata("notes", {"list": [1, "two", None], "true": True})
        match feedback.id % 5:
            case 1:
                feedback(0.1 * feedback.id, metrics={"other": 1 / 3})
            case 2:
                assert feedback.should_stop_early()
                feedback.done()
            case 3:
                feedback.fail(RuntimeError("out of memory"))
            case 4:
                feedback.skip("too large")
            case _:
                feedback(-1)
    return samples.result


def compared(result: sn.Result) -> list[Any]:
    return [repr(dataclasses.replace(trial, seconds=0.0)) for trial in result.trials]


def test_a_loaded_study_equals_the_live_one(toy, sqlite):
    live = evaluated(toy, sqlite, name="toy")
    loaded = sn.load_study(sqlite, "toy")
    assert compared(loaded) == compared(live)
    for ours, theirs in zip(live.trials, loaded.trials, strict=True):
        assert list(ours.decisions) == list(theirs.decisions)
        assert [type(value) for value in ours.decisions.values()] == [
            type(value) for value in theirs.decisions.values()
        ]
        assert abs(ours.seconds - theirs.seconds) < 1e-6
    assert loaded.seed == live.seed
    assert loaded.objectives == live.objectives
    assert loaded.best == sn.load_study(sqlite, "toy").best
    assert str(loaded) == str(live)
    assert loaded.top(3) == [loaded.trials[t.id - 1] for t in live.top(3)]
    with pytest.raises(sn.StorageError, match="Pass the space"):
        loaded.best_model()
    space = toy.make() if toy.constraint is None else toy.compile()
    loaded = sn.load_study(sqlite, "toy", space)
    assert compared(loaded) == compared(live)
    for ours, theirs in zip(live.trials, loaded.trials, strict=True):
        assert repr(live.model(ours)) == repr(loaded.model(theirs))


def test_loaded_models_have_the_initial_weights_of_the_live_ones(storage):
    def make() -> Any:
        width = sn.oneof(range(2, 9), name="width")
        return sn.nn.Sequential(sn.nn.Linear(3, width), sn.nn.Linear(width, 2))

    weights = {}
    for model, feedback in sn.sample(
        make(), "random", 6, seed=0, name="a", storage=storage
    ):
        weights[feedback.id] = [p.tolist() for p in model.parameters()]
        feedback(-float(feedback.id % 4))
    loaded = sn.load_study(storage, "a", make())
    assert [p.tolist() for p in loaded.best_model().parameters()] == weights[4]
    for trial in loaded.trials:
        found = [p.tolist() for p in loaded.model(trial).parameters()]
        assert found == weights[trial.id]


def test_another_space_is_refused_with_what_was_searched(storage):
    finish(sample(storage, 2))
    with pytest.raises(ValueError, match=r"(?s)has searched, which was:.*a: .*0, 1, 2"):
        sn.load_study(storage, "study", {"a": sn.oneof(range(9))})


PLAIN = [None, True, False, 0, 1, 1.0, -0.0, 10**30, "1", "", "\ud800\0", 2**53 + 1]
FLOATS = [float("inf"), float("-inf"), 1e-320, 0.1 + 0.2]
CODE = [len, int, sn.oneof, sn.nn.ReLU(), [sn.nn.Identity()], [3], {}]


@pytest.mark.parametrize("candidates", [PLAIN, FLOATS, CODE])
def test_decisions_are_loaded_as_they_are_shown_live(sqlite, candidates):
    space = {"x": sn.oneof(candidates), "y": sn.oneof([1, 2])}
    samples = sn.sample(space, "grid", name="a", storage=sqlite)
    for _, feedback in samples:
        feedback(1.0)
    loaded = sn.load_study(sqlite, "a")
    assert [repr(t.decisions) for t in loaded.trials] == [
        repr(t.decisions) for t in samples.result.trials
    ]


def test_other_values_are_loaded_as_code_without_the_space_and_as_they_are_with_it(
    sqlite,
):
    space = {"x": sn.oneof([(1, 2), 1j, range(3)])}
    samples = sn.sample(space, "grid", name="a", storage=sqlite)
    for _, feedback in samples:
        feedback(1.0)
    decisions = [t.decisions["x"] for t in sn.load_study(sqlite, "a", space).trials]
    assert decisions == [(1, 2), 1j, range(3)]
    decisions = [t.decisions["x"] for t in sn.load_study(sqlite, "a").trials]
    assert decisions == ["(1, 2)", "1j", "range(0, 3)"]


def test_a_running_study_can_be_loaded(storage):
    samples = sample(storage, 5)
    _, feedback = next(samples)
    in_steps(feedback)
    _, feedback = next(samples)
    feedback.add_measurement(3.0)
    loaded = sn.load_study(storage, "study")
    assert [t.status for t in loaded.trials] == ["completed", "pending"]
    assert len(loaded.trials[1].measurements) == 1
    assert loaded.best.id == 1
    feedback(1.0)
    assert [t.status for t in loaded.trials] == ["completed", "pending"]


def test_loading_while_others_write_sees_one_state(processes, storage):
    """A result is never seen without its trial."""
    children = [
        processes.start(workers.run_to_the_end, storage, 60, {}) for _ in range(2)
    ]
    lengths = [0]
    while lengths[-1] < 60:
        try:
            result = sn.load_study(storage, "study")
        except sn.StorageError as error:
            assert "There is no" in str(error) or "holds no studies" in str(error)
            continue
        lengths.append(len(result.trials))
        for trial in result.trials:
            assert trial.status == "pending" or len(trial.measurements) == 2
    for child in children:
        child.join()
    assert lengths == sorted(lengths)


def test_many_trials_are_loaded(sqlite):
    number = 20_000
    finish(sample(sqlite, 2))
    engine = sa.create_engine(f"sqlite:///{sqlite}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "WITH RECURSIVE ids(i) AS "
                f"(SELECT 3 UNION ALL SELECT i + 1 FROM ids WHERE i < {number}) "
                "INSERT INTO symnas_trials SELECT study_id, i, "
                "printf('[%d.0, 1.0, 2.0, 3.0, 4.0, %d.0]', i % 10, i / 10 % 10), "
                + ", ".join(trial_columns_after_genotype())
                + " FROM symnas_trials, ids WHERE id = 2"
            )
        )
        connection.execute(
            sa.text(
                f"UPDATE symnas_studies SET num_trials={number}, num_ended={number}"
            )
        )
    result = sn.load_study(sqlite, "study")
    assert len(result.trials) == result.num_completed == number
    assert result.trials[-1].genotype[-1] == number / 10 % 10
    samples = sample(sqlite, number + 2)
    assert [f.id for _, f in samples if not in_steps(f)] == [number + 1, number + 2]


def trial_columns_after_genotype() -> list[str]:
    from symnas.storage.schema import trials

    names = [column.name for column in trials.columns][3:]
    return ["i" if name == "end_number" else name for name in names]


# --- stores that cannot be reached ------------------------------------------------------


SECRET = "s3cr3t-p4ssw0rd"


def require_clear_error(url: str, *parts: str) -> None:
    for function in (
        lambda: sample(url, 3),
        lambda: sn.load_study(url, "study"),
        lambda: sn.list_studies(url),
        lambda: sn.delete_study(url, "study"),
    ):
        with pytest.raises(sn.StorageError) as caught:
            function()
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown
        for part in parts:
            assert part in str(caught.value)


def test_a_server_that_is_not_there_gives_a_clear_error():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # Bound, so that nobody else answers there.
        port = unused.getsockname()[1]
        url = f"postgresql://someone:{SECRET}@127.0.0.1:{port}/studies"
        require_clear_error(url, "No server answers there", "someone:***", str(port))


def test_a_host_that_is_not_known_gives_a_clear_error():
    url = f"postgresql://someone:{SECRET}@no-such-host.invalid/studies"
    require_clear_error(url, "no-such-host.invalid", "host")


def test_a_wrong_password_gives_a_clear_error(postgresql):
    url = sa.make_url(postgresql).set(password=SECRET)
    text = url.render_as_string(hide_password=False)
    require_clear_error(text, "refuses the user or password", ":***@")


def test_a_wrong_user_gives_a_clear_error(postgresql):
    url = sa.make_url(postgresql).set(username="nobody", password=SECRET)
    require_clear_error(url.render_as_string(hide_password=False), "nobody:***@")


def test_a_database_that_is_not_there_gives_a_clear_error(postgresql):
    url = sa.make_url(postgresql).set(database="none")
    with pytest.raises(sn.StorageError, match="no such database"):
        sn.list_studies(url.render_as_string(hide_password=False))


@pytest.mark.parametrize("driver", ["psycopg2", "nonsense"])
def test_a_missing_driver_gives_a_clear_error(driver):
    if driver == "psycopg2":
        pytest.importorskip("psycopg", reason="the extra is not installed")
    url = f"postgresql+{driver}://someone:{SECRET}@127.0.0.1/studies"
    require_clear_error(url, "pip install 'symnas[postgresql]'")


def test_so_does_a_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = f"postgresql://someone:{SECRET}@127.0.0.1/studies"
    require_clear_error(url, "pip install 'symnas[postgresql]'")


@pytest.mark.parametrize("kind", ["mysql", "oracle+cx_oracle", "redis", "http"])
def test_other_databases_are_refused(kind):
    url = f"{kind}://someone:{SECRET}@127.0.0.1/studies"
    require_clear_error(url, "SQLite or PostgreSQL")


@pytest.mark.parametrize(
    "url", ["postgresql://u:{}@h:port/x", "://{}", "postgresql://u:{}@[h/x"]
)
def test_what_is_no_url_is_refused_without_showing_it(url):
    require_clear_error(url.format(SECRET))


def test_a_server_without_studies_says_so(postgresql):
    assert sn.list_studies(postgresql) == []
    url = postgresql.replace("postgresql+psycopg://", "postgresql://")
    finish(sample(url, 2))
    assert len(sn.load_study(postgresql, "study").trials) == 2


def test_a_server_that_restarts_is_connected_to_again(postgresql):
    """Between two trials its connections are cut."""
    samples = sample(postgresql, 6)
    for _, feedback in samples:
        in_steps(feedback)
        if feedback.id == 3:
            engine = sa.create_engine(postgresql, poolclass=sa.NullPool)
            query = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
            with engine.begin() as connection:
                connection.execute(sa.text(query))
    assert samples.result.num_completed == 6


def test_a_loaded_study_tells_when_where_and_with_what_it_ran(storage):
    before = time.time()
    finish(sample(storage, 3, name="a"))
    found = sn.load_study(storage, "a")
    assert found.name == "a"
    assert before <= found.created <= found.trials[0].begun <= time.time()
    assert found.trials[0].worker.endswith(f"/{os.getpid()}")
    assert found.environment["algorithm"].startswith("RegularizedEvolution(")
    assert found.environment["torch"] == torch.__version__


def test_a_store_of_an_earlier_version_knows_no_environment(storage):
    finish(sample(storage, 1, name="a"))
    engine = sa.create_engine(_url(storage), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE symnas_environments"))
    engine.dispose()
    assert list(sn.load_study(storage, "a").environment) == ["algorithm"]
    finish(sample(storage, 2, name="b"))
    assert "command" in sn.load_study(storage, "b").environment
    sn.delete_study(storage, "b")


def test_no_password_of_the_command_is_kept(monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "--storage", "postgresql://me:secret@h/db"])
    assert environment()["command"] == "x --storage postgresql://me:***@h/db"

"""Stores when processes are killed, disks are full and files are damaged."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import storage_workers as workers
from storage_workers import finish, in_steps, reward_of, sample

import symnas as sn
from symnas.storage import store


def described(result: sn.Result) -> list[Any]:
    return [
        (t.id, t.status, t.genotype, t.rewards, t.measurements, t.metadata)
        for t in result.trials
    ]


def without_storage(num_examples: int, **options: Any) -> list[Any]:
    options = {"storage": None, "name": None, **options}
    return described(finish(sample(num_examples=num_examples, **options)))


def query(path: str, text: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


# --- kills ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"lag": 3}, marks=pytest.mark.slow)],
    ids=["", "lag"],
)
def test_100_kills_change_nothing(processes, sqlite, options):
    """Issue 4: database intact, proposals equal to those of the uninterrupted run."""
    kill_often(processes, sqlite, 100, options)


def test_kills_change_nothing_on_a_server(processes, postgresql):
    kill_often(processes, postgresql, 12, {})


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"lag": 3}], ids=["", "lag"])
def test_500_kills_change_nothing(processes, storage, options):
    kill_often(processes, storage, 500, options)


def kill_often(processes: Any, storage: str, times: int, options: Any) -> None:
    """Runs a study in processes that are killed while they open it, or soon after."""
    rng = random.Random(times)
    child = processes.start(workers.run, storage, options)
    child.hear()
    begun = time.monotonic()
    child.hear()
    longest = 2 * (time.monotonic() - begun)
    child.kill()
    lengths = [0]
    for i in range(times):
        child = processes.start(workers.run, storage, options)
        child.hear()
        time.sleep(rng.uniform(0.0, longest))
        child.kill()
        assert child.process.exitcode == -signal.SIGKILL
        if i % 20 == 0 and storage.endswith(".db"):
            assert query(storage, "PRAGMA integrity_check") == [("ok",)]
        lengths.append(len(sn.load_study(storage, "study").trials))
        # Half of them shall get further, also when opening takes longer.
        longest *= 1.1 if lengths[-1] == lengths[-2] else 0.9
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > times / 5  # It was killed in the middle of something.
    total = lengths[-1] + 5
    result = finish(sample(storage, total, **options))
    expected = without_storage(total, **options)
    assert described(result) == expected
    assert described(sn.load_study(storage, "study")) == expected


# --- leases -----------------------------------------------------------------------------


def test_a_worker_that_hangs_loses_its_trial_and_is_refused_when_it_comes_back(
    processes, storage, short_leases
):
    child = processes.start(workers.begin_and_hang, storage, 0.4)
    assert child.hear() == 1
    os.kill(child.process.pid, signal.SIGSTOP)
    samples = sample(storage, 6)
    ids = []
    for _, feedback in samples:
        ids.append(feedback.id)
        in_steps(feedback)
        if feedback.id != 1 and len(ids) < 4:
            time.sleep(0.1)
    assert sorted(ids) == [1, 2, 3, 4, 5, 6]
    os.kill(child.process.pid, signal.SIGCONT)
    child.say()
    warned, rest, first = child.hear()
    child.join()
    assert len(warned) == 1
    assert "Trial 1 of 'study' was taken over by another worker" in warned[0]
    assert rest == []
    loaded = sn.load_study(storage, "study")
    assert loaded.trials[0].metadata == {"seed": loaded.trials[0].seed}
    assert first.rewards == loaded.trials[0].rewards
    assert first.metadata == loaded.trials[0].metadata
    assert len(first.measurements) == len(loaded.trials[0].measurements) == 2
    assert [t.status for t in loaded.trials] == ["completed"] * 6


def test_a_worker_that_comes_back_before_the_trial_has_ended_goes_on(
    processes, storage, short_leases
):
    child = processes.start(workers.begin_and_hang, storage, 0.4)
    child.hear()
    os.kill(child.process.pid, signal.SIGSTOP)
    samples = sample(storage, None)
    for _, held in samples:
        if held.id == 1:
            break
        in_steps(held)
        time.sleep(0.1)
    os.kill(child.process.pid, signal.SIGCONT)
    child.say()
    time.sleep(0.3)
    in_steps(held)
    for _, feedback in itertools.islice(samples, 6):
        in_steps(feedback)
    samples.close()
    warned, _, first = child.hear()
    child.join()
    assert len(warned) == 1
    loaded = sn.load_study(storage, "study")
    assert {t.status for t in loaded.trials} == {"completed"}
    assert len(loaded.trials[0].measurements) == 2
    assert first.rewards == loaded.trials[0].rewards


def test_a_trial_of_a_process_that_died_here_is_taken_over_at_once(processes, storage):
    """Without waiting for the lease, which is of a minute."""
    child = processes.start(workers.hold, storage, 60.0, None)
    child.hear()
    child.kill()
    begun = time.monotonic()
    _, feedback = next(sample(storage, 5))
    assert feedback.id == 1
    assert time.monotonic() - begun < 20


def test_also_if_its_parent_has_not_noticed(processes, storage):
    """As under a shell script or a scheduler: the process is still listed."""
    child = processes.start(workers.leave_unburied, storage)
    child.hear()
    child.say()
    child.hear()
    begun = time.monotonic()
    _, feedback = next(sample(storage, 5))
    assert feedback.id == 1
    assert time.monotonic() - begun < 20


def test_a_trial_of_a_worker_elsewhere_is_taken_over_after_its_lease(
    processes, storage, short_leases
):
    child = processes.start(workers.hold, storage, 0.4, "elsewhere")
    child.hear()
    child.kill()
    samples = sample(storage, 3)
    begun = time.monotonic()
    _, feedback = next(samples)
    waited = time.monotonic() - begun
    assert feedback.id == 1
    assert 0.3 < waited < 20
    in_steps(feedback)
    assert described(finish(samples)) == without_storage(3)


@pytest.mark.parametrize("jumps", [False, True])
def test_a_long_evaluation_keeps_its_lease_also_if_the_clock_jumps(
    processes, sqlite, jumps
):
    """Issue 4: a clock that jumps does not lose a lease."""
    children = [
        processes.start(workers.run_slowly, sqlite, 0.3, jumps) for _ in range(2)
    ]
    for child in children:
        child.hear()
    for child in children:
        child.join()
    rows = query(sqlite, "SELECT id, attempt, status FROM symnas_trials ORDER BY id")
    assert rows == [(i, 1, 1) for i in range(1, 5)]


def test_who_was_paused_itself_takes_nothing_from_the_living(processes, sqlite):
    """A laptop that was closed, a process that was stopped by its user."""
    stopped, alive = (
        processes.start(workers.run_slowly, sqlite, 0.3, False) for _ in range(2)
    )
    for child in (stopped, alive):
        child.hear()
    time.sleep(0.5)
    for child in (stopped, alive):
        os.kill(child.process.pid, signal.SIGSTOP)
    time.sleep(1.0)
    for child in (stopped, alive):
        os.kill(child.process.pid, signal.SIGCONT)
    for child in (stopped, alive):
        child.join()
    rows = query(sqlite, "SELECT id, attempt, status FROM symnas_trials ORDER BY id")
    assert rows == [(i, 1, 1) for i in range(1, 5)]


# --- full disks -------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("spare", [0, 3000, 600_000])
def test_a_full_disk_gives_a_clear_error_and_loses_nothing(
    processes, small_disk, spare
):
    storage = str(small_disk / "studies.db")
    (small_disk / "other").write_bytes(b"x" * spare)
    child = processes.start(workers.fill_the_disk, storage, None)
    message, sure = child.hear()
    child.join()
    assert storage in message
    assert "There is no space left" in message
    require_committed(storage, sure)
    with pytest.raises(sn.StorageError, match="no space left"):
        for _, feedback in sample(storage, None):
            feedback(reward_of(feedback), metadata={"text": "x" * 3000})
    require_committed(storage, sure)
    command = ["mount", "-o", "remount,size=20m", str(small_disk)]
    subprocess.run(command, check=True)
    require_that_it_goes_on(storage, len(sure) + 20)


def test_a_file_that_may_not_grow_gives_a_clear_error_and_loses_nothing(
    processes, sqlite
):
    child = processes.start(workers.fill_the_disk, sqlite, 1_000_000)
    message, sure = child.hear()
    child.join()
    assert sqlite in message
    assert "cannot be written" in message
    require_committed(sqlite, sure)
    require_that_it_goes_on(sqlite, len(sure) + 20)


def test_a_disk_that_is_full_from_the_start_gives_a_clear_error(small_disk):
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "other").write_bytes(b"x" * 3_000_000)
    storage = str(small_disk / "studies.db")
    with pytest.raises(sn.StorageError, match="no space left"):
        sample(storage, 5)
    (small_disk / "other").unlink()
    assert described(finish(sample(storage, 5))) == without_storage(5)


def require_committed(storage: str, sure: list[int]) -> None:
    result = sn.load_study(storage, "study")
    ended = [t.id for t in result.trials if t.status == "completed"]
    assert len(sure) > 10
    assert ended[: len(sure)] == sure
    assert len(ended) <= len(sure) + 1
    assert query(storage, "PRAGMA integrity_check") == [("ok",)]


def require_that_it_goes_on(storage: str, total: int) -> None:
    expected = [row[:4] for row in without_storage(total)]
    result = finish(sample(storage, total))
    assert [row[:4] for row in described(result)] == expected


# --- damaged files ----------------------------------------------------------------------


@pytest.fixture
def database(processes: Any, tmp_path: Path) -> Path:
    """A study of 12 trials in one file, and in `logged` the same before a checkpoint."""
    folder = tmp_path / "original"
    folder.mkdir()
    path = folder / "studies.db"
    child = processes.start(workers.make_database, str(path))
    child.hear()
    child.join()
    assert not path.with_name("studies.db-wal").exists()
    assert (folder / "logged" / "studies.db-wal").stat().st_size > 50_000
    return path


def cuts(size: int, number: int) -> list[int]:
    """Each multiple of 512 and its neighbours if there is time, and some in between."""
    rng = random.Random(size)
    places = {i + j for i in range(0, size, 512) for j in (-1, 0, 1)}
    places |= {rng.randrange(size) for _ in range(200)}
    possible = sorted(i for i in places if 0 <= i < size)
    return possible if number >= len(possible) else sorted(rng.sample(possible, number))


def require_a_prefix_or_an_error(path: Path, full: list[Any]) -> str:
    """What happened to the study in a damaged file, after trying to go on with it."""
    try:
        loaded = described(sn.load_study(path, "study"))
    except sn.StorageError as error:
        assert str(path) in str(error)
        loaded = None
    if loaded is not None:
        pending = [row for row in loaded if row[1] == "pending"]
        ended = [row for row in loaded if row[1] != "pending"]
        assert len(pending) <= 1
        assert ended == full[: len(ended)]
    try:
        result = finish(sample(str(path), 14))
    except sn.StorageError as error:
        assert str(path) in str(error)
        return "refused"
    assert described(result) == full
    assert query(str(path), "PRAGMA integrity_check") == [("ok",)]
    if loaded is None:
        return "begun anew"
    return f"{len(loaded)} trials"


@pytest.mark.parametrize(
    "number", [150, pytest.param(10**6, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_a_file_whose_end_is_missing_is_refused(database, tmp_path, number):
    """Issue 4: it opens with what was committed, or is refused."""
    full = without_storage(14)
    data = database.read_bytes()
    seen = {}
    for cut in [0, *cuts(len(data), number)]:
        path = tmp_path / f"{cut}.db"
        path.write_bytes(data[:cut])
        seen[cut] = require_a_prefix_or_an_error(path, full)
        if cut > 1:  # SQLite takes a file of one byte as empty.
            assert seen[cut] == "refused"
            assert path.read_bytes() == data[:cut]
        path.unlink()
    assert seen[0] == "begun anew"


@pytest.mark.parametrize(
    "number", [25, pytest.param(10**6, marks=pytest.mark.slow)], ids=["some", "all"]
)
@pytest.mark.parametrize("index", [True, False])
def test_a_log_whose_end_is_missing_loses_the_last_trials_only(
    database, tmp_path, number, index
):
    full = without_storage(14)
    logged = database.parent / "logged"
    data = (logged / "studies.db-wal").read_bytes()
    seen = set()
    for cut in cuts(len(data), number):
        folder = tmp_path / str(cut)
        shutil.copytree(logged, folder)
        (folder / "studies.db-wal").write_bytes(data[:cut])
        if not index:
            (folder / "studies.db-shm").unlink()
        seen.add(require_a_prefix_or_an_error(folder / "studies.db", full))
        shutil.rmtree(folder)
    assert "refused" not in seen
    assert len(seen) > 5


@pytest.mark.parametrize("number", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_a_file_with_wrong_bytes_gives_no_other_error(database, tmp_path, number):
    """It cannot be noticed always, but what is raised is clear."""
    data = database.read_bytes()
    rng = random.Random(0)
    refused = 0
    for i in range(number):
        path = tmp_path / f"{i}.db"
        damaged = bytearray(data)
        begin = rng.randrange(len(data))
        length = rng.choice((1, 8, 600, 5000))
        damaged[begin : begin + length] = rng.randbytes(len(damaged[begin:][:length]))
        path.write_bytes(damaged)
        try:
            described(sn.load_study(path, "study"))
            finish(sample(str(path), 14))
        except sn.StorageError:
            refused += 1
        except ValueError as error:
            assert "was begun with" in str(error)
            refused += 1
        path.unlink()
    assert refused > number / 10


# --- what is not a store ----------------------------------------------------------------


def foreign_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE trials (id INTEGER, name TEXT)")
        connection.execute("INSERT INTO trials VALUES (1, 'one')")


def foreign_log(path: Path) -> None:
    """A database of another program that was killed: it has a log."""
    source = path.with_name("source.db")
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE trials (id INTEGER, name TEXT)")
        connection.commit()
        for file in path.parent.glob("source.db*"):
            shutil.copy(file, path.with_name(file.name.replace("source.db", path.name)))
    source.unlink()


def text_file(path: Path) -> None:
    path.write_text("width,reward\n16,0.5\n")


def two_bytes(path: Path) -> None:
    path.write_bytes(b"SQ")


FOREIGN = {
    "another database": (foreign_database, "another program, with the tables trials"),
    "its log": (foreign_log, "another program, with the tables trials"),
    "a text": (text_file, "not a database"),
    "two bytes": (two_bytes, "not a database"),
    "a folder": (Path.mkdir, "is a folder"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("how", ["sample", "load", "list", "delete"])
def test_what_is_not_a_store_is_refused_and_left_as_it_is(tmp_path, kind, how):
    """Issue 4: a foreign file is refused."""
    make, message = FOREIGN[kind]
    path = tmp_path / "file.db"
    make(path)
    before = {
        file.name: file.read_bytes()
        for file in tmp_path.iterdir()
        if file.is_file() and file.suffix != ".db-shm"  # An index of the log.
    }
    functions = {
        "sample": lambda: sample(str(path), 3),
        "load": lambda: sn.load_study(path, "study"),
        "list": lambda: sn.list_studies(path),
        "delete": lambda: sn.delete_study(path, "study"),
    }
    with pytest.raises(sn.StorageError, match=message) as caught:
        functions[how]()
    assert str(path) in str(caught.value)
    after = {
        file.name: file.read_bytes()
        for file in tmp_path.iterdir()
        if file.is_file() and file.suffix != ".db-shm"  # An index of the log.
    }
    assert after == before


def test_a_missing_folder_is_refused(tmp_path):
    path = tmp_path / "none" / "studies.db"
    with pytest.raises(sn.StorageError, match="folder of .* does not exist"):
        sample(str(path), 3)
    for function in (sn.list_studies, lambda p: sn.load_study(p, "study")):
        with pytest.raises(sn.StorageError, match="There is no store at"):
            function(path)
    assert not path.parent.exists()


def test_reading_does_not_make_a_file(tmp_path):
    path = tmp_path / "studies.db"
    for function in (sn.load_study, sn.delete_study):
        with pytest.raises(sn.StorageError, match="There is no store at"):
            function(path, "study")
    assert list(tmp_path.iterdir()) == []
    path.touch()  # As in the moment in which another process begins a study.
    with pytest.raises(sn.StorageError, match="There is no study 'study'"):
        sn.load_study(path, "study")
    assert sn.list_studies(path) == []
    assert path.read_bytes() == b""
    assert len(finish(sample(str(path), 3)).trials) == 3


@pytest.mark.parametrize("storage", ["sqlite://", ":memory:", "sqlite:///:memory:", ""])
def test_a_database_in_memory_is_refused(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sn.StorageError):
        sample(storage, 3)
    assert list(tmp_path.iterdir()) == []


def test_another_format_is_refused(storage):
    import sqlalchemy as sa

    finish(sample(storage, 3))
    url = storage if "://" in storage else f"sqlite:///{storage}"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    for version, message in ((2, "a newer version .* format 2"), (0, "an older")):
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE symnas_version SET version={version}"))
        for function in (
            lambda: sample(storage, 3),
            lambda: sn.load_study(storage, "study"),
            lambda: sn.list_studies(storage),
            lambda: sn.delete_study(storage, "study"),
        ):
            with pytest.raises(sn.StorageError, match=message):
                function()


# --- files that cannot be written -------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_only_read_can_load_and_is_told_that_it_cannot_write(
    processes, clean, what
):
    """Issue 4: a read-only file can be read."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # pytest's are closed to others.
        storage = os.path.join(folder, "studies.db")
        if clean:
            finish(sample(storage, 5))
        else:
            child = processes.start(workers.run, storage, {})
            child.hear()
            while not os.path.exists(storage + "-wal"):
                time.sleep(0.01)
            time.sleep(0.3)
            child.kill()
        expected = [t.rewards for t in sn.load_study(storage, "study").trials]
        os.chmod(folder, 0o777 if what == "file" else 0o755)
        for file in os.listdir(folder):
            os.chmod(os.path.join(folder, file), 0o644)
        child = processes.start(workers.read_as_nobody, storage)
        loaded, listed, begun, deleted = child.hear()
    assert loaded == expected
    assert listed == ["study"]
    for refused in (begun, deleted):
        assert refused.startswith(f"StorageError: {storage}: It cannot be")
        assert "ermissions" in refused


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("logged", [False, True])
def test_a_study_on_a_read_only_disk_can_be_loaded(
    read_only_disk, database, tmp_path, logged
):
    source = database.parent / ("logged" if logged else ".")
    for file in source.glob("studies.db*"):
        shutil.copy(file, read_only_disk)
    expected = described(sn.load_study(database, "study"))
    command = ["mount", "-o", "remount,ro", str(read_only_disk)]
    subprocess.run(command, check=True)
    storage = read_only_disk / "studies.db"
    loaded = described(sn.load_study(storage, "study"))
    assert loaded[:11] == expected[:11]
    assert sn.list_studies(storage)[0].name == "study"
    for function in (
        lambda: sample(str(storage), 100),
        lambda: sn.delete_study(storage, "study"),
    ):
        with pytest.raises(sn.StorageError, match="cannot be (written|opened)"):
            function()


# --- hostile content --------------------------------------------------------------------


class Armed:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


HOSTILE = {
    "quotes": "'; DROP TABLE symnas_trials; -- \"`%s%(x)s:x?",
    "unicode": "\N{SNOWMAN} \N{PILE OF POO} \u202e e\u0301 \ufeff \uffff",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\r\n",
    "long": "x" * 20_000,
}
REFUSED = {"NUL": "a\0b", "half": "a\ud800b", "bytes": os.fsdecode(b"caf\xe9")}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_comes_back_as_it_went(storage, text):
    name = text if len(text) < 1000 else "long"
    space = {"x": sn.oneof([text, "b", "c"]), "y": sn.oneof([1, 2], name=name)}
    options: dict[str, Any] = {"seed": 0, "name": name, "storage": storage}
    options["objectives"] = (name.removeprefix("-"), "other")
    samples = sn.sample(space, "random", 4, **options)
    for _, feedback in samples:
        feedback.add_measurement({name: 1.0, "other": 2.0, text: 3.0})
        feedback.set_metadata(text, {text: [text, None, 1.5, True, {"_type": text}]})
        match feedback.id:
            case 1:
                feedback.done()
            case 2:
                feedback.fail(text)
            case 3:
                feedback.skip(text)
            case _:
                feedback.fail(ValueError(text))
    resumed = sn.sample(space, "random", 4, **options)
    assert list(resumed) == []
    for loaded in (resumed.result, sn.load_study(storage, name)):
        for ours, theirs in zip(samples.result.trials, loaded.trials, strict=True):
            assert ours.metadata == theirs.metadata
            assert ours.error == theirs.error
            assert ours.measurements == theirs.measurements
            assert ours.metrics == theirs.metrics
            assert ours.decisions == theirs.decisions
    assert [s.name for s in sn.list_studies(storage)] == [name]
    sn.delete_study(storage, name)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_text_that_no_database_holds_is_replaced_or_refused(storage, text):
    with pytest.raises(ValueError, match="`name` of a study cannot hold"):
        sample(storage, 3, name=text)
    space = {"x": sn.oneof([text, "b", "c"])}
    samples = sn.sample(space, "grid", 3, name="a", storage=storage)
    for _, feedback in samples:
        feedback.set_metadata(text, text)
        match feedback.id:
            case 1:
                feedback.fail(text)
            case 2:
                feedback.fail(ValueError(text))
            case _:
                feedback.skip(text)
    loaded = sn.load_study(storage, "a")
    for ours, theirs in zip(samples.result.trials, loaded.trials, strict=True):
        assert ours.error == theirs.error
        assert theirs.metadata == {text: text}
    assert "\\" in loaded.trials[0].error
    assert loaded.trials[0].decisions == {"x": text}
    with pytest.raises(sn.StorageError, match="There is no study"):
        sn.load_study(storage, text)


def test_an_evaluation_whose_error_no_database_holds_fails_its_trial_only(storage):
    def evaluate(example: Any) -> float:
        raise OSError(f"no file {os.fsdecode(b'caf' + bytes([0xE9]))}\0")

    result = sn.search(
        workers.SPACE,
        evaluate,
        "random",
        3,
        name="a",
        storage=storage,
        progress=False,
    )
    assert result.num_failed == 3


@pytest.mark.parametrize("step", [0, -5, 2**31, 2**62])
def test_steps_may_be_large(storage, step):
    samples = sample(storage, 1)
    _, feedback = next(samples)
    feedback.add_measurement(1.0, step=step)
    feedback.done()
    assert sn.load_study(storage, "study").trials[0].measurements[0].step == step


@pytest.mark.parametrize("reward", [1e308, -1e-308, 5e-324, 0.1 + 0.2, -0.0, 2.0**53])
def test_rewards_come_back_exactly(storage, reward):
    samples = sample(storage, 1)
    _, feedback = next(samples)
    feedback(reward, metrics={"nan": float("nan"), "inf": float("-inf")})
    trial = sn.load_study(storage, "study").trials[0]
    assert trial.reward.hex() == reward.hex()
    assert str(trial.metrics["nan"]) == "nan"
    assert trial.metrics["inf"] == float("-inf")


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), 1j, [lambda: 0]])
def test_metadata_that_is_not_json_is_refused_and_the_trial_stays_open(storage, value):
    samples = sample(storage, 1)
    _, feedback = next(samples)
    with pytest.raises(TypeError, match="must be JSON, got .* for `key`"):
        feedback.set_metadata("key", value)
    with pytest.raises(TypeError, match="must be JSON"):
        feedback(1.0, metadata={"key": value})
    feedback(1.0, metadata={"key": [1]})
    assert sn.load_study(storage, "study").trials[0].metadata == {"key": [1]}


def test_nothing_that_is_stored_is_executed(storage, tmp_path):
    """Issue 4: also what PyGlove or pickle would make objects of."""
    armed = tmp_path / "armed"
    pickled = pickle.dumps(Armed(str(armed)))
    texts = [
        pickled.decode("latin-1").replace("\0", ""),
        f"__import__('pathlib').Path({str(armed)!r}).touch()",
        f"{{{{open({str(armed)!r}, 'w')}}}}",
    ]
    hostile = {"_type": "builtins.open", "file": str(armed), "mode": "w"}
    opaque = {"_type": "opaque", "value": pickled.hex()}
    space = {"x": sn.oneof([*texts, 1]), "y": sn.oneof([1, 2])}
    samples = sn.sample(space, "random", 3, name="a", storage=storage)
    for _, feedback in samples:
        feedback.add_measurement({"reward": 1.0, texts[1]: 1.0})
        feedback.set_metadata("hostile", [hostile, opaque, *texts])
        feedback(1.0) if feedback.id < 3 else feedback.fail(texts[0])
    result = sn.load_study(storage, "a")
    assert result.trials[0].metadata["hostile"] == [hostile, opaque, *texts]
    str(result), repr(result), list(result.trials), result.to_dataframe()
    sn.list_studies(storage)
    resumed = sn.sample(space, "random", 4, name="a", storage=storage)
    next(resumed)[1](1.0)
    assert not armed.exists()


def test_loading_imports_nothing_that_is_named_in_the_store(processes, sqlite):
    """Neither the code of the space nor what a forged row names."""
    finish(sample(sqlite, 3))
    with contextlib.closing(sqlite3.connect(sqlite)) as connection, connection:
        forged = '{"_type": "antigravity", "py/object": "antigravity"}'
        connection.execute("UPDATE symnas_trials SET metadata = ?", (forged,))
        connection.execute("UPDATE symnas_studies SET algorithm = 'antigravity.x()'")
        connection.row_factory = sqlite3.Row
        (study,) = connection.execute("SELECT * FROM symnas_studies")
        checksum = store._checksum(dict(study))  # The forger is good.
        connection.execute("UPDATE symnas_studies SET checksum = ?", (checksum,))
    child = processes.start(workers.load, sqlite)
    shown, modules = child.hear()
    assert "antigravity" in shown
    assert "antigravity" not in modules
    assert "json" in modules


def test_a_megabyte_of_text_comes_back(storage):
    text = "0123456789" * 100_000
    samples = sample(storage, 1)
    _, feedback = next(samples)
    feedback.set_metadata("text", text)
    feedback.fail(text)
    trial = sn.load_study(storage, "study").trials[0]
    assert trial.error == trial.metadata["text"] == text

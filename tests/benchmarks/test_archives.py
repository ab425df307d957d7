"""The authors' archives: all containers, exact values, and everything that is refused."""

from __future__ import annotations

import bz2
import copy
import io
import os
import pickle
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from symnas.benchmarks import NASBench201, nats_archive, restricted_pickle


@pytest.fixture(scope="module")
def loaded(archive: Path) -> NASBench201:
    return NASBench201.load(archive, partial=True)


@pytest.fixture
def small(tmp_path: Path, archive: Path) -> Path:
    """An archive of two architectures, to be damaged."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in ("meta", "000000", "000011"):
        shutil.copy(archive / f"{name}.pickle.pbz2", folder)
    return folder


def test_values_are_those_of_the_official_records(loaded: NASBench201) -> None:
    # Means over the three trials, as `c10_test` of published tables has them.
    assert loaded.query(0) == pytest.approx(85.8633, abs=1e-4)
    assert loaded.query(11) == pytest.approx(91.5833, abs=1e-4)
    assert loaded.query(284) == pytest.approx(88.79, abs=1e-4)
    assert loaded.query(0, seed=888) == pytest.approx(86.18, abs=1e-5)
    options = {"metric": "valid_accuracy", "budget": 12}
    assert loaded.query(0, "cifar10-valid", **options) == pytest.approx(
        63.364, abs=1e-5
    )
    assert loaded.query(11, "cifar100", "valtest_accuracy") == pytest.approx(67.29)
    assert loaded.query(0, "cifar10", "flops") == 15.64737
    assert loaded.query(0, "cifar10", "params", budget=12) == 0.129306
    assert loaded.query(0, "cifar10", "latency") == pytest.approx(0.0139)
    # 86.65 s, 149.54 s and 58.51 s in the authors' data.
    seconds = loaded.query_many(
        [0, 11, 284], "cifar10-valid", "train_seconds", budget=12
    )
    assert seconds.tolist() == pytest.approx([86.653, 149.545, 58.510], abs=1e-3)


def test_curves_are_read_epoch_by_epoch(loaded: NASBench201) -> None:
    def value(epoch: int, metric: str = "valid_accuracy") -> float:
        return loaded.query(
            0, "cifar10-valid", metric, budget=12, epoch=epoch, seed=777
        )

    assert value(6) == pytest.approx(62.712 / 2, abs=1e-4)
    assert value(12) == pytest.approx(62.712, abs=1e-4)
    assert value(6, "train_seconds") == pytest.approx(6 * 7.221092998981476)
    with pytest.raises(ValueError, match="after epochs 200 alone"):
        loaded.query(0, "cifar100", "test_accuracy", epoch=100)


def test_the_last_epoch_alone_may_be_kept(
    loaded: NASBench201, mini_table: Path
) -> None:
    last = NASBench201.load(mini_table)
    assert mini_table.stat().st_size < 10e6
    assert last.query(0) == pytest.approx(loaded.query(0), abs=1e-5)
    with pytest.raises(ValueError, match="after epochs 12 alone"):
        last.query(0, "cifar10-valid", "valid_accuracy", budget=12, epoch=3)


def test_what_a_partial_table_lacks_is_an_error(loaded: NASBench201) -> None:
    with pytest.raises(ValueError, match="no `test_accuracy` .* of architecture 5"):
        loaded.query(5)
    with pytest.raises(ValueError, match="architecture 5"):
        loaded.query_many(np.array([0, 5, 11]))
    with pytest.raises(ValueError, match=r"`seed=888`.*it has seeds \[777\]"):
        loaded.query(1000, seed=888)
    assert loaded.optimum("cifar10").index == 11


def test_a_tar_holds_the_same(
    archive: Path, loaded: NASBench201, tmp_path: Path
) -> None:
    path = tmp_path / "NATS-tss-v1_0-3ffb9-simple.tar"
    with tarfile.open(path, "w") as file:
        for member in archive.iterdir():
            file.add(member, f"NATS-tss-v1_0-3ffb9-simple/{member.name}")
    assert_equal(NASBench201.load(path, partial=True), loaded)


def test_a_truncated_tar_is_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.tar"
    with tarfile.open(path, "w") as file:
        for member in sorted(archive.iterdir()):
            file.add(member, member.name)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(ValueError, match="cut.tar"):
        NASBench201.load(path, partial=True)


@pytest.fixture(scope="module")
def everything(records: Any, strings: list[str]) -> dict[str, Any]:
    few = {index: records[index] for index in (0, 11, 1000)}
    return {"meta_archs": strings, "arch2infos": few, "evaluated_indexes": set(few)}


def renamed(everything: dict[str, Any]) -> dict[str, Any]:
    """As NAS-Bench-201 calls the two budgets."""
    records = {
        index: {{"12": "less", "200": "full"}[k]: v for k, v in record.items()}
        for index, record in everything["arch2infos"].items()
    }
    return {**everything, "arch2infos": records}


def test_a_single_file_of_nats_bench(
    everything: Any, loaded: NASBench201, tmp_path: Path, pack: Callable[..., bytes]
) -> None:
    path = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(pack(everything))
    table = NASBench201.load(path, partial=True)
    assert table.query_many([0, 11]).tolist() == loaded.query_many([0, 11]).tolist()
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="refused|truncated"):
        NASBench201.load(path, partial=True)


@pytest.mark.parametrize("new", [False, True])
def test_a_single_file_of_torch(
    everything: Any, loaded: NASBench201, tmp_path: Path, new: bool
) -> None:
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(renamed(everything), path, _use_new_zipfile_serialization=new)
    table = NASBench201.load(path, partial=True)
    assert table.query_many([0, 11]).tolist() == loaded.query_many([0, 11]).tolist()
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(ValueError, match=r"\.pth"):
        NASBench201.load(path, partial=True)


def assert_equal(first: NASBench201, second: NASBench201) -> None:
    for one, other in zip(first.table.series, second.table.series, strict=True):
        assert (one.title, one.seeds, one.epochs) == (
            other.title,
            other.seeds,
            other.epochs,
        )
        np.testing.assert_array_equal(one.values, other.values)


# --- damaged and incomplete -------------------------------------------------------


def test_a_missing_architecture_is_refused(small: Path) -> None:
    with pytest.raises(
        ValueError, match=r"lacks 15,623 of 15,625 .*: 1, 2, 3, 4, 5, \.\.\."
    ):
        NASBench201.load(small)


def test_a_truncated_record_is_refused(small: Path) -> None:
    path = small / "000011.pickle.pbz2"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"000011.pickle.pbz2 is (truncated|damaged)"):
        NASBench201.load(small, partial=True)


def test_a_record_that_is_no_bz2_is_refused(small: Path) -> None:
    (small / "000011.pickle.pbz2").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(ValueError, match=r"000011.pickle.pbz2 is damaged"):
        NASBench201.load(small, partial=True)


def test_a_folder_without_meta_is_refused(small: Path) -> None:
    (small / "meta.pickle.pbz2").unlink()
    with pytest.raises(ValueError, match="no `meta.pickle.pbz2`"):
        NASBench201.load(small, partial=True)


def test_another_order_is_refused(
    small: Path, strings: list[str], pack: Callable[..., bytes]
) -> None:
    swapped = [strings[1], strings[0], *strings[2:]]
    (small / "meta.pickle.pbz2").write_bytes(pack({"meta_archs": swapped}))
    with pytest.raises(ValueError, match="another order .* architecture 0 is"):
        NASBench201.load(small, partial=True)
    (small / "meta.pickle.pbz2").write_bytes(pack({"meta_archs": strings[:100]}))
    with pytest.raises(ValueError, match="lists 100 architectures"):
        NASBench201.load(small, partial=True)


def test_an_architecture_that_is_there_twice_is_refused(small: Path) -> None:
    shutil.copy(small / "000011.pickle.pbz2", small / "11.pickle.pbz2")
    with pytest.raises(ValueError, match="architecture 11 is there twice"):
        NASBench201.load(small, partial=True)


def test_a_record_under_another_name_is_refused(small: Path) -> None:
    os.rename(small / "000011.pickle.pbz2", small / "000012.pickle.pbz2")
    with pytest.raises(ValueError, match="architecture 12 says that it is 11"):
        NASBench201.load(small, partial=True)


def _trial(record: dict[str, Any]) -> dict[str, Any]:
    return record["12"]["all_results"]["cifar10-valid", 777]


EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "nan": (
        lambda r: _trial(r)["eval_acc1es"].update({"x-valid@11": float("nan")}),
        "`valid_accuracy` is nan",
    ),
    "out of range": (
        lambda r: _trial(r)["eval_acc1es"].update({"x-valid@11": 100.5}),
        r"must lie in \[0, 100\], got 100.5",
    ),
    "out of range on the way": (
        lambda r: _trial(r)["eval_acc1es"].update({"x-valid@3": -1.0}),
        r"must lie in \[0, 100\], got -1.0",
    ),
    "epochs": (lambda r: _trial(r).update(epochs=13), "it says 13 epochs"),
    "short curve": (
        lambda r: _trial(r)["train_acc1es"].pop(11),
        "`train_accuracy` is nan",
    ),
    "budget": (
        lambda r: r.update({"90": r.pop("12")}),
        "budgets are 12 and 200, got '90'",
    ),
    "data set": (
        lambda r: r["12"]["all_results"].update({("svhn", 777): _trial(r)}),
        "'svhn'",
    ),
    "no curve": (lambda r: _trial(r).pop("train_losses"), "KeyError: 'train_losses'"),
    "text": (lambda r: _trial(r).update(flop="many"), "architecture 11"),
    "kind": (lambda r: r.update({"12": [1, 2]}), "TypeError"),
    "empty": (lambda r: r.clear(), "has no results"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_wrong_values_are_refused(
    edit: str, small: Path, records: Any, pack: Callable[..., bytes]
) -> None:
    change, message = EDITS[edit]
    record = copy.deepcopy(records[11])
    change(record)
    (small / "000011.pickle.pbz2").write_bytes(pack(record))
    with pytest.raises(ValueError, match=message):
        NASBench201.load(small, partial=True)


# --- hostile ------------------------------------------------------------------------


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def touch(path: str) -> None:
    Path(path).touch()


HOSTILE = {
    "os.system": lambda p: pickle.dumps(Call(os.system, f"touch {p}")),
    "builtins.eval": lambda p: pickle.dumps(Call(eval, f"open({str(p)!r}, 'w')")),
    "builtins.exec": lambda p: b"c__builtin__\nexec\n(S'open(\"x\")'\ntR.",
    "builtins.getattr": lambda p: pickle.dumps(Call(getattr, "x", "upper")),
    "importlib": lambda p: b"cimportlib\nimport_module\n(S'antigravity'\ntR.",
    "pathlib": lambda p: pickle.dumps(Path(p)),
    "io.open": lambda p: pickle.dumps(Call(io.open, str(p), "w")),
    "torch": lambda p: b"ctorch.storage\n_load_from_bytes\n(S'x'\ntR.",
    "tensor": lambda p: pickle.dumps(torch.zeros(2)),
    "nested name": lambda p: b"\x80\x04\x8c\x0bcollections\x8c\x0cabc.sys.path\x93.",
    "instance": lambda p: b"(S'touch'\nios\nsystem\n.",
    "object array": lambda p: pickle.dumps(np.array([Call(touch, str(p))], object)),
    "object scalar": lambda p: pickle.dumps(np.dtype("O")),
    "structure": lambda p: pickle.dumps(np.dtype([("a", "f8")])),
    "numpy": lambda p: b"cnumpy.testing._private.utils\nrunstring\n(S'1'\ntR.",
    "persistent": lambda p: b"Pstorage\n.",
    "extension": lambda p: b"\x80\x02\x82\x01.",
    "empty": lambda p: b"",
    "truncated": lambda p: pickle.dumps({"a": list(range(1000))})[:-100],
    "text": lambda p: b"<html>not found</html>",
    "stack": lambda p: b"0000.",
    "state": lambda p: b"cnats_bench.api_utils\nResultsCount\n)\x81S'x'\nb.",
    "two": lambda p: b"cnats_bench.api_utils\nResultsCount\n(S'x'\ntR.",
    "encoding": lambda p: b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
    "set": lambda p: b"c__builtin__\nset\n(I7\ntR.",
    "array": lambda p: b"cnumpy\nndarray\n)R.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_and_do_nothing(name: str, tmp_path: Path) -> None:
    target = tmp_path / "touched"
    before = os.listdir()
    with pytest.raises(ValueError, match="^the file was refused: "):
        restricted_pickle.loads(HOSTILE[name](target), "the file")
    assert not target.exists() and os.listdir() == before


def test_a_hostile_record_names_its_file(small: Path) -> None:
    data = bz2.compress(HOSTILE["os.system"](small / "touched"))
    (small / "000011.pickle.pbz2").write_bytes(data)
    with pytest.raises(ValueError, match=r"000011.*names '(posix|nt).system'"):
        NASBench201.load(small, partial=True)
    assert not (small / "touched").exists()


def test_an_archive_bomb_is_refused(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_archive, "_MOST_RECORD", 4 << 20)
    bomb = bz2.compress(b"\0" * (5 << 20), 1)
    assert len(bomb) < 10_000
    (small / "000011.pickle.pbz2").write_bytes(bomb)
    with pytest.raises(ValueError, match="too large"):
        NASBench201.load(small, partial=True)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_content_is_read_in_all_protocols(protocol: int) -> None:
    content = {
        "numbers": [1, 2.5, np.float64(3.5), np.float32(0.5), np.int64(7), None, True],
        ("cifar10", 777): "text",
        "bytes": b"\xff\0",
        "set": {1, 2},
    }
    result = restricted_pickle.loads(pickle.dumps(content, protocol), "the file")
    assert result == content
    assert [type(x) for x in result["numbers"][2:5]] == [float, float, int]


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_and_records_are_inert(
    protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the authors' package were installed.
    record = type("ResultsCount", (), {"__module__": "nats_bench.api_utils"})
    module = type(os)("nats_bench.api_utils")
    module.ResultsCount = record  # type: ignore[attr-defined]
    for name in ("nats_bench", "nats_bench.api_utils"):
        monkeypatch.setitem(sys.modules, name, module)
    trial = record()
    trial.params, trial.values = 1.5, np.asfortranarray(np.arange(6.0).reshape(2, 3))
    data = pickle.dumps(trial, protocol)
    monkeypatch.undo()
    result = restricted_pickle.loads(data, "the file")
    assert type(result) is restricted_pickle.Record and result["params"] == 1.5
    np.testing.assert_array_equal(result["values"].values, trial.values)

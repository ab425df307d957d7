"""`symnas data`: what is there, what is missing, importing and checking."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from symnas import cli
from symnas.benchmarks import NASBench201, RobustnessNB201, locations

runner = CliRunner()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's cache nor real data are seen here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SYMNAS_DATA", raising=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "robustness_linf_c10.npz"
    np.savez(
        path,
        columns=["pgd@Linf_eps-1.0"],
        acc_x10=np.full((15_625, 1), 475),
        arch_index=np.arange(15_625),
    )
    return path


def test_list_names_files_places_and_checksums(tmp_path: Path) -> None:
    result = runner.invoke(cli.app, ["data", "list"])
    assert result.exit_code == 0, result.output
    assert result.output.count("\n  missing\n") == len(locations.TABLES) == 5
    for text in (
        str(tmp_path / "cache" / "symnas"),
        "github.com/D-X-Y/NATS-Bench",
        "NATS-tss-v1_0-3ffb9-simple.tar",
        "NAS-Bench-201-v1_0-e61699.pth (md5 ends in e61699)",
        "nasbench_only108.tfrecord (sha256 4c39c3936e36a85269881d659e44e61a245",
        "github.com/GATECH-EIC/HW-NAS-Bench",
    ):
        assert text in result.output


def test_import_list_verify_load(source: Path, tmp_path: Path) -> None:
    result = runner.invoke(cli.app, ["data", "import", "robustness_nb201", str(source)])
    path = tmp_path / "cache" / "symnas" / "robustness_nb201.table"
    assert result.exit_code == 0, result.output
    assert result.output == f"Wrote {path} (0.1 MB).\n"
    assert f"present: {path}" in runner.invoke(cli.app, ["data", "list"]).output
    result = runner.invoke(cli.app, ["data", "verify"])
    assert result.exit_code == 0, result.output
    assert result.output == (
        f"robustness_nb201: {path}\n"
        "  ok: the checksums of its file\n"
        "  ok: 1 series, complete and in range\n"
    )
    assert RobustnessNB201.load().query(7) == 47.5
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600


def test_a_damaged_table_does_not_pass(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "cache" / "symnas" / "robustness_nb201.table"
    RobustnessNB201.convert(source)
    with open(output, "r+b") as file:
        file.seek(-200, 2)
        file.write(b"\x7f")
    result = runner.invoke(cli.app, ["data", "verify"])
    assert result.exit_code == 1 and "damaged" in result.output


def test_the_named_folder_comes_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "named"
    monkeypatch.setenv("SYMNAS_DATA", str(folder))
    assert RobustnessNB201.convert(source) == folder / "robustness_nb201.table"
    # A file as it was published is found as well, also in a folder below.
    (folder / "robustness_nb201.table").unlink()
    (folder / "nb201").mkdir()
    moved = source.rename(folder / "nb201" / source.name)
    assert f"to be imported: {moved}" in runner.invoke(cli.app, ["data", "list"]).output
    assert RobustnessNB201.load().query(7) == 47.5
    # A write-protected folder is left alone, even by the superuser.
    folder.chmod(0o555)
    try:
        path = RobustnessNB201.convert(moved)
    finally:
        folder.chmod(0o755)
    assert path == tmp_path / "cache" / "symnas" / "robustness_nb201.table"
    assert os.listdir(folder) == ["nb201"]


def test_missing_data_says_what_is_wanted_and_where_it_is_published(
    tmp_path: Path,
) -> None:
    for load in (NASBench201.load, lambda: NASBench201.load(tmp_path / "no.table")):
        with pytest.raises(FileNotFoundError) as error:
            load()
        for text in (
            "NAS-Bench-201",
            "NATS-tss-v1_0-3ffb9-simple.tar",
            "md5 ends in 096897",
            "github.com/D-X-Y/NATS-Bench",
            "symnas data import nas_bench_201 FILE",
        ):
            assert text in str(error.value)
    result = runner.invoke(cli.app, ["data", "verify", "nas_bench_101"])
    assert result.exit_code == 1 and "3d64db8180fb1b02" in result.output
    result = runner.invoke(cli.app, ["data", "verify"])
    assert result.exit_code == 2 and "no tables to verify" in result.output


def test_bad_arguments_are_refused(source: Path, tmp_path: Path) -> None:
    result = runner.invoke(cli.app, ["data", "import", "nasbench201", str(source)])
    assert result.exit_code == 2
    assert "Did you mean" in result.output and "nas_bench_201" in result.output
    result = runner.invoke(cli.app, ["data", "import", "darts", str(tmp_path / "no")])
    assert result.exit_code == 2 and "github.com/pym1024" in result.output
    result = runner.invoke(cli.app, ["data", "import", "nas_bench_201", str(source)])
    assert result.exit_code == 2 and "robustness_linf_c10.npz" in result.output
    assert not (tmp_path / "cache").exists()


def test_a_part_of_a_table(archive: Path, tmp_path: Path) -> None:
    arguments = ["data", "import", "nas_bench_201", str(archive), "--no-curves"]
    result = runner.invoke(cli.app, arguments)
    assert result.exit_code == 2 and "lacks 15,592 of 15,625" in result.output
    output = tmp_path / "part.table"
    options = ["--partial", "--output", str(output)]
    result = runner.invoke(cli.app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    assert NASBench201.load(output).query(0, seed=888) == 86.18

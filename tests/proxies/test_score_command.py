"""The command `symnas score`, on a table of invented values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from symnas import score_command
from symnas.benchmarks import NASBench201, table_file
from symnas.cli import app
from symnas.proxies.proxy_text import by_name, proxy_from_text

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    table_file.write(NASBench201.synthetic().table, folder / "nas_bench_201.table")
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(8, 32, 32, 3)).astype(np.uint8)
    np.savez(folder / "images.npz", x=x, y=np.arange(8))
    np.savez(folder / "others.npz", images=x)
    return folder


def run(folder, *arguments: str):
    env = {"SYMNAS_DATA": str(folder), "COLUMNS": "80"}
    return runner.invoke(app, ["score", *arguments], env=env)


SMALL = ("--networks=4", "--batch=4")


def test_a_table_of_correlations(folder):
    result = run(folder, "nwot(batch_size=2)", *SMALL)
    assert result.exit_code == 0, result.output
    assert "4 networks of nas_bench_201, cifar10, 4 images (noise)" in result.output
    for text in ("nwot(batch_s", "params", "all, log-rank", "100%", "Kendall"):
        assert text in result.output


def test_real_images_and_json(folder):
    images = folder / "images.npz"
    result = run(folder, "snip", f"--images={images}", "--json", *SMALL)
    rows = json.loads(result.stdout)
    assert [row["proxy"] for row in rows] == ["snip", "params", "all, log-rank sum"]
    assert rows[0]["found"]["num_defined"] == 4
    assert -1 <= rows[0]["found"]["spearman"] <= 1
    assert rows[0]["seconds"] > 0
    again = json.loads(
        run(folder, "snip", f"--images={images}", "--json", *SMALL).stdout
    )
    assert [row["found"] for row in again] == [row["found"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nwt"], "There is no proxy 'nwt'. Did you mean 'nwot'"),
        (
            ["swap(size=3)"],
            "`swap` has no field `size`. Did you mean `batch_size`? It has batch_size",
        ),
        (["swap(batch_size=0)"], "`batch_size` must be at least 1, got 0"),
        (["swap", "--dataset=cifar11"], "Did you mean 'cifar10'"),
        (["swap", "--networks=99999"], "has 15625 networks, got 99999"),
        (["swap", "--benchmark=nas_bench_20"], "Did you mean nas_bench_201?"),
        (["swap", "--benchmark=darts"], "There is no table"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_2(folder, arguments, message):
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", "").split())
    assert "Traceback" not in result.output


def test_images_of_another_form_are_refused(folder):
    result = run(folder, "swap", f"--images={folder / 'others.npz'}", *SMALL)
    assert (result.exit_code, "has no array `x`" in result.output) == (2, True)
    result = run(folder, "swap", f"--images={folder / 'images.npz'}", "--networks=4")
    assert result.exit_code == 2
    assert "must have at least 64 images" in result.output


def test_ctrl_c_shows_what_was_done(folder, monkeypatch):
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return original(*arguments)

    original = score_command.score
    monkeypatch.setattr(score_command, "score", interrupted)
    result = run(folder, "l2_norm", *SMALL)
    assert "Interrupted after 3 networks." in result.output
    assert "3 networks of nas_bench_201" in result.output


def test_every_proxy_has_a_name():
    names = by_name()
    assert {"swap", "te_nas", "epe_nas", "l2_norm", "linear_regions"} - {*names} == {
        "te_nas"
    }
    for name, kind in names.items():
        assert type(proxy_from_text(name)) is kind

"""The DARTS table, HW-NAS-Bench and the robustness table."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symnas as sn
from symnas.benchmarks import DARTSTable, HWNASBench, RobustnessNB201
from symnas.benchmarks.hw_nas_bench import _ANCHORS, METRICS
from symnas.spaces import darts

# --- DARTS ---------------------------------------------------------------------------

EDGES = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
OTHER = [("max_pool_3x3", 0), ("skip_connect", 1)] * 4
FIRST = darts.Genotype(EDGES, range(2, 6), EDGES, range(2, 6))
SECOND = darts.Genotype(EDGES, [2, 3, 4, 5], OTHER, [2, 3, 4, 5])


@pytest.fixture
def genotypes(tmp_path: Path) -> DARTSTable:
    path = tmp_path / "darts.csv"
    path.write_text(f'"{FIRST}",85.0\n"{SECOND}",80.5\n')
    return DARTSTable.load(path)


def test_a_genotype_is_found_in_any_form(genotypes: DARTSTable) -> None:
    lists = darts.Genotype(EDGES, [2, 3, 4, 5], EDGES, [2, 3, 4, 5])
    for form in (FIRST, str(FIRST), lists, str(lists), 0):
        assert genotypes.query(form) == 85.0
    assert genotypes.query_many([FIRST, SECOND]).tolist() == [85.0, 80.5]
    assert genotypes.query(genotypes.optimum().architecture) == 85.0
    assert genotypes.regret(80.5) == 4.5


def test_the_table_of_genotypes_is_searched(genotypes: DARTSTable) -> None:
    evaluate = genotypes.evaluator()
    result = sn.search(genotypes.space, evaluate, "grid", 5, progress=False)
    assert [trial.reward for trial in result.trials] == [85.0, 80.5]


def test_named_columns_of_genotypes(tmp_path: Path) -> None:
    path = tmp_path / "darts.csv"
    path.write_text(f'genotype,test_accuracy|cifar10|600\n"{FIRST}",97.0\n')
    table = DARTSTable.load(path)
    assert table.query(FIRST, metric="test_accuracy") == 97.0
    target = DARTSTable.convert(path, tmp_path / "t.table")
    assert DARTSTable.load(target).query(FIRST, metric="test_accuracy") == 97.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'"{FIRST}",85\n"{FIRST}",86\n', "row 2: this genotype is there twice"),
        (f'"{FIRST}",nan\n', "must be a number"),
        (f'"{FIRST}",101\n', r"\[0, 100\]"),
        ("\"__import__('os')\",85\n", "row 1: A DARTS genotype is written"),
        (f'"{FIRST}",85,1\n', "no column `genotype`"),
        ("", "no column `genotype`"),
    ],
)
def test_bad_genotype_tables_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "darts.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        DARTSTable.load(path)


def test_what_is_not_in_the_table_is_an_error(genotypes: DARTSTable) -> None:
    other = darts.Genotype(OTHER, range(2, 6), OTHER, range(2, 6))
    with pytest.raises(ValueError, match="does not have Genotype"):
        genotypes.query(other)
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        genotypes.query(2)
    with pytest.raises(ValueError, match="DARTS genotype"):
        genotypes.query("resnet")


def test_the_real_genotypes(data: Callable[[str], Path]) -> None:
    table = DARTSTable.load(data("darts/swap_darts_archs_cifar10.csv.gz"))
    assert len(table) == 1000
    assert table.optimum().value == pytest.approx(86.61)
    values = table.query_many(np.arange(1000))
    assert values.min() == pytest.approx(10.2, abs=0.05)


# --- HW-NAS-Bench -------------------------------------------------------------------------


def made_costs() -> dict[str, dict[str, list[float]]]:
    """The authors' content, with the values that they print and made ones."""
    values = np.linspace(1, 2, 15_625)
    result = {}
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        result[dataset] = {metric: values.tolist() for metric in METRICS}
        result[dataset]["edgetpu_latency"][5] = -1
    for metric, value in _ANCHORS.items():
        result["cifar10"][metric][0] = value
    return result


def test_the_authors_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    content = {"nasbench201": made_costs(), "fbnet": {"edgegpu_latency": {"op": 1.5}}}
    path.write_bytes(pickle.dumps(content))
    table = HWNASBench.load(path)
    assert table.query(0, "cifar10", "fpga_energy") == 18.01072
    assert table.query(0) == 5.807418537139893
    assert "as its authors print it" in str(table.verify())
    with pytest.raises(ValueError, match="no `edgetpu_latency` .* of architecture 5"):
        table.query(5, "cifar10", "edgetpu_latency")
    content["nasbench201"]["cifar10"]["fpga_energy"][0] = 18.1
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="`fpga_energy` of architecture 0 .* 18.01072"):
        HWNASBench.load(path)


def test_arrays_in_the_authors_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "other.pickle"
    costs: Any = made_costs()
    costs["cifar10"]["fpga_energy"] = np.array(costs["cifar10"]["fpga_energy"])
    path.write_bytes(pickle.dumps({"nasbench201": costs}))
    assert HWNASBench.load(path).query(0, "cifar10", "fpga_energy") == 18.01072


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("cifar100"), "KeyError: 'cifar100'"),
        (lambda c: c["cifar10"].pop("fpga_energy"), "KeyError: 'fpga_energy'"),
        (lambda c: c["cifar10"]["fpga_energy"].pop(), "has the shape"),
        (lambda c: c["cifar10"].update(fpga_energy=["x"] * 15_625), "ValueError"),
        (lambda c: c["cifar10"]["fpga_energy"].__setitem__(7, -2.0), "architecture 7"),
        (lambda c: c["cifar10"]["fpga_energy"].__setitem__(7, -1), "architecture 7"),
        (lambda c: c["cifar10"].update(fpga_energy=print), "names 'builtins.print'"),
    ],
)
def test_bad_costs_are_refused(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    path = tmp_path / "costs.pickle"
    costs = made_costs()
    change(costs)
    path.write_bytes(pickle.dumps({"nasbench201": costs}))
    with pytest.raises(ValueError, match=message):
        HWNASBench.load(path)


def test_costs_are_minimised(tmp_path: Path) -> None:
    path = tmp_path / "costs.pickle"
    path.write_bytes(pickle.dumps({"nasbench201": made_costs()}))
    table = HWNASBench.load(path)
    assert table.optimum("cifar100").index == 0
    assert table.regret(1.5, "cifar100") == 0.5
    assert table.evaluator("cifar100")(0) == -1.0
    ratio = table.optimum("cifar100", "eyeriss_arithmetic_intensity")
    assert ratio.index == 15_624  # Not a cost.


def test_the_real_costs(data: Callable[[str], Path]) -> None:
    table = HWNASBench.load(data("nb201/hw_nas_bench.npz"))
    for metric, value in _ANCHORS.items():
        assert table.query(0, "cifar10", metric) == pytest.approx(value, rel=1e-5)
    measured = table.table.find("cifar10", "edgetpu_latency", 0).values
    assert np.isnan(measured).sum() == 4699


# --- robustness ---------------------------------------------------------------------------


def save(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "columns": ["pgd@Linf_eps-1.0", "aa_square@Linf_eps-0.5"],
        "acc_x10": np.full((15_625, 2), 475, dtype=np.uint16),
        "arch_index": np.arange(15_625),
    }
    arrays.update(changes)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    np.savez(path, **arrays)
    return path


def test_made_robustness(tmp_path: Path) -> None:
    table = RobustnessNB201.load(save(tmp_path / "table.npz"))
    assert table.query(7) == 47.5
    assert table.query(["none"] * 6, metric="square_0.5_accuracy") == 47.5
    with pytest.raises(ValueError, match="Did you mean 'pgd_1.0_accuracy'"):
        table.query(7, metric="pgd_accuracy")
    with pytest.raises(ValueError, match="Unknown `dataset` 'cifar100'"):
        table.query(7, "cifar100")


BAD_ARRAYS = [
    ({"arch_index": np.arange(15_625)[::-1]}, "in this order"),
    ({"arch_index": np.zeros(15_625)}, "without gaps"),
    ({"acc_x10": np.full((15_624, 2), 1)}, r"shape \(15624, 2\)"),
    ({"acc_x10": np.full((15_625, 2), 1001)}, r"architecture 0: .* got 100.1"),
    ({"acc_x10": np.full((15_625, 2), np.nan)}, "architecture 0 has no value"),
    ({"acc_x10": np.full((15_625, 2), "x")}, "needs numbers"),
    ({"acc_x10": np.full((15_625, 2), None)}, "cannot be read: Object arrays"),
    ({"columns": ["pgd", "fgsm"]}, "named as 'pgd@Linf_eps-1.0', got 'pgd'"),
    ({"columns": ["pgd@Linf_eps-1.0"]}, "2 columns"),
    ({"columns": None}, "no array `columns`"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_ARRAYS)
def test_bad_arrays_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "table.npz", **changes)
    with pytest.raises(ValueError, match=message):
        RobustnessNB201.load(path)


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "table.npz")
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:100], b"", b"<html>", pickle.dumps({})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"table.npz"):
            RobustnessNB201.load(path)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"no file of `numpy.savez`"):
        RobustnessNB201.load(path)


def test_the_real_robustness(data: Callable[[str], Path]) -> None:
    table = RobustnessNB201.load(data("nb201/robustness_linf_c10.npz"))
    assert table.optimum().value == 58.8
    assert len(table.table.series) == 32
    dead = table.query(["none"] * 6)
    assert dead == pytest.approx(10.0, abs=0.1)

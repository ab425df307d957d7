"""The official archives of NATS-Bench (topology) and NAS-Bench-201 [1, 2].

Four containers hold the same records:

- a folder, or a tar of it, with `meta.pickle.pbz2` (a dict whose `meta_archs` lists the
  strings) and one `NNNNNN.pickle.pbz2` per architecture;
- one `.pickle.pbz2`, a dict of `meta_archs`, `arch2infos` and `evaluated_indexes`;
- one `.pth` of torch with the same dict, where '12' is 'less' and '200' is 'full'.

A record is a dict from a budget, '12' or '200', to a dict with `arch_index`, `arch_str`
and `all_results`: from (data set, seed) to the attributes of one trial, as

    train_acc1es {epoch: %}, train_losses {epoch: nats}, train_times {epoch: seconds},
    eval_acc1es {'x-valid@epoch': %}, eval_losses, eval_times, epochs, flop, params,
    latency [seconds]

[1] https://github.com/D-X-Y/NATS-Bench/blob/main/nats_bench/api_utils.py
[2] https://github.com/D-X-Y/NAS-Bench-201/blob/master/nas_201_api/api_201.py
"""

from __future__ import annotations

import bz2
import functools
import math
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from symnas.benchmarks import restricted_pickle
from symnas.benchmarks.csv_table import check_complete
from symnas.benchmarks.table import Series, Table
from symnas.spaces import nas_bench_201 as cells

# What the authors call the sets on which a network is evaluated, here and there.
_SETS = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test", "ori-test": "valtest"},
    "ImageNet16-120": {"x-valid": "valid", "x-test": "test", "ori-test": "valtest"},
}
_BUDGETS = {"12": 12, "less": 12, "200": 200, "full": 200}
_NAME = re.compile(r"(meta|\d{1,6})\.pickle\.pbz2")
_MOST_RECORD = 1 << 26  # Bytes of one record, several times what results can take.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # Of files that torch wrote before 1.6.

Record = Mapping[str, Any]


def read(path: Path, partial: bool, curves: bool) -> Table:
    """The table of an archive.

    Args:
      path: a folder, `.tar`, `.pbz2` or `.pth`.
      partial: accepts an archive that lacks architectures.
      curves: keeps the values after all epochs, and not after the last one alone.

    Raises:
      ValueError: it is damaged, incomplete, hostile, or in another order.
    """
    columns = _Columns(curves)
    seen = np.zeros(cells.NUM_ARCHITECTURES, dtype=bool)
    for index, record in _records(path):
        title = f"{path}, architecture {index}"
        if not 0 <= index < len(seen):
            raise ValueError(
                f"{path}: indices lie between 0 and {len(seen) - 1}, got {index}."
            )
        if seen[index]:
            raise ValueError(f"{title} is there twice.")
        seen[index] = True
        try:
            _read_record(columns, index, record, title)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(
                f"{title} is not what the authors' records are: "
                f"{type(error).__name__}: {error}."
            ) from None
    check_complete(path, seen, partial)
    return Table("nas_bench_201", columns.series(), source=path.name)


# --- containers -------------------------------------------------------------------


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    if path.is_dir() or path.name.endswith(".tar"):
        members = _folder(path) if path.is_dir() else _tar(path)
        for name, data in members:
            title = f"{path}/{name}"
            content = restricted_pickle.loads(_unpacked(data, title), title)
            if name.startswith("meta"):
                _check_order(content, title)
            elif not isinstance(content, dict):
                raise ValueError(f"{title} holds no record.")
            else:
                yield int(name.split(".")[0]), content
        return
    everything = _single_file(path)
    _check_order(everything, str(path))
    records = everything.get("arch2infos")
    if not isinstance(records, dict):
        raise ValueError(f"{path} has no `arch2infos`.")
    for index in sorted(records, key=str):
        if type(index) is not int or not isinstance(records[index], dict):
            raise ValueError(f"{path}: architecture {index!r} has no record.")
        yield index, records[index]


def _folder(path: Path) -> Iterator[tuple[str, bytes]]:
    names = sorted(file.name for file in path.iterdir() if _NAME.fullmatch(file.name))
    if "meta.pickle.pbz2" not in names:
        raise ValueError(
            f"{path} has no `meta.pickle.pbz2`, as the folder of NATS-Bench has."
        )
    for name in names:
        yield name, (path / name).read_bytes()


def _tar(path: Path) -> Iterator[tuple[str, bytes]]:
    has_meta = False
    try:
        with tarfile.open(path, "r|") as archive:  # Nothing is extracted to disk.
            for member in archive:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or not _NAME.fullmatch(name):
                    continue
                if member.size > _MOST_RECORD:
                    raise ValueError(f"{path}/{member.name} is too large.")
                content = archive.extractfile(member)
                assert content is not None
                has_meta |= name.startswith("meta")
                yield name, content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged or truncated: {error}.") from None
    if not has_meta:
        raise ValueError(
            f"{path} has no `meta.pickle.pbz2`, as the archive of NATS-Bench has."
        )


def _unpacked(data: bytes, title: str) -> bytes:
    reader = bz2.BZ2Decompressor()
    try:
        unpacked = reader.decompress(data, _MOST_RECORD)
    except (OSError, EOFError) as error:
        raise ValueError(f"{title} is damaged: {error}.") from None
    if not reader.eof:
        raise ValueError(f"{title} is truncated or too large.")
    return unpacked


def _single_file(path: Path) -> dict[str, Any]:
    """The dict in a `.pickle.pbz2` or `.pth`; it needs as much memory as its authors say."""
    try:
        if path.name.endswith(".pbz2"):
            with bz2.open(path) as file:
                content = restricted_pickle.load(file, str(path))
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                (name,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
                with archive.open(name) as file:
                    content = restricted_pickle.load(file, str(path))
        else:
            with open(path, "rb") as file:
                content = _old_torch_file(file, path)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged or truncated: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dict.")
    return content


def _old_torch_file(file: IO[bytes], path: Path) -> Any:
    """Torch wrote a magic number, a version, facts about the machine, then the object."""
    read = functools.partial(restricted_pickle.load, file, str(path))
    if read() != _TORCH_MAGIC:
        raise ValueError(f"{path} was not written by `torch.save`.")
    read(), read()
    return read()


def _check_order(content: Any, title: str) -> None:
    strings = content.get("meta_archs") if isinstance(content, dict) else None
    if not isinstance(strings, list):
        raise ValueError(f"{title} has no list `meta_archs`.")
    expected = _strings()
    if strings == expected:
        return
    if len(strings) != len(expected):
        raise ValueError(
            f"{title} lists {len(strings):,} architectures, and the benchmark has "
            f"{len(expected):,}."
        )
    first = next(i for i, s in enumerate(expected) if strings[i] != s)
    raise ValueError(
        f"{title} is in another order than the benchmark: architecture {first} is "
        f"{expected[first]}, got {str(strings[first])[:200]}."
    )


@functools.cache
def _strings() -> list[str]:
    """The strings of all architectures, in the order of the benchmark."""
    return [cells.string_at(index) for index in range(cells.NUM_ARCHITECTURES)]


# --- records ------------------------------------------------------------------------


class _Columns:
    """Arrays (E, A) for each trial, made when the first value comes."""

    def __init__(self, curves: bool) -> None:
        self._curves = curves
        self._arrays: dict[tuple[str, str, int], dict[int, NDArray[Any]]] = {}

    def put(
        self,
        key: tuple[str, str, int],
        seed: int,
        index: int,
        values: Sequence[float],
        title: str,
    ) -> None:
        """Stores the values of an architecture; NaN among them is refused."""
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{title}, seed {seed}: `{key[0]}` must be numbers, got "
                f"{str(values)[:200]}."
            ) from None
        if not np.isfinite(numbers[-1]):
            raise ValueError(f"{title}, seed {seed}: `{key[0]}` is {values[-1]!r}.")
        if not self._curves:
            numbers = numbers[-1:]
        trials = self._arrays.setdefault(key, {})
        if seed not in trials:
            # Single precision halves the curves; times add up and keep all digits.
            kind = np.float32 if len(numbers) > 1 else np.float64
            shape = (len(numbers), cells.NUM_ARCHITECTURES)
            trials[seed] = np.full(shape, np.nan, dtype=kind)
        trials[seed][:, index] = numbers

    def series(self) -> list[Series]:
        """All that was put in, which is gone then."""
        result = []
        for key in sorted(self._arrays):
            metric, dataset, budget = key
            trials = self._arrays.pop(key)
            seeds = tuple(sorted(trials))
            values = np.stack([trials.pop(seed) for seed in seeds])
            epochs: tuple[int, ...] = ()
            if metric.endswith(("accuracy", "loss")):
                # Some sets were evaluated after the last epoch alone.
                measured = ~np.isnan(values).all(axis=(0, 2))
                first = budget + 1 - values.shape[1]
                epochs = tuple((first + np.flatnonzero(measured)).tolist())
                values = values if measured.all() else values[:, measured]
            result.append(
                Series(
                    metric,
                    dataset,
                    budget,
                    values,
                    seeds if budget else (),
                    epochs,
                    metric == "train_seconds",
                )
            )
        return result


def _read_record(columns: _Columns, index: int, record: Record, title: str) -> None:
    if not record:
        raise ValueError(f"{title} has no results.")
    for name, results in record.items():
        if name not in _BUDGETS:
            raise ValueError(f"{title}: budgets are 12 and 200, got {name!r}.")
        found = results["arch_index"], results["arch_str"]
        if found != (index, _strings()[index]):
            raise ValueError(f"{title} says that it is {found[0]}, {found[1]!r}.")
        for (dataset, seed), trial in results["all_results"].items():
            if dataset not in _SETS or type(seed) is not int:
                raise ValueError(f"{title}: no trial is called {(dataset, seed)!r}.")
            budget = _BUDGETS[name]
            where = f"{title}, '{dataset}', {budget} epochs"
            if trial["epochs"] != budget:
                raise ValueError(f"{where}: it says {trial['epochs']!r} epochs.")
            for metric, values in _trial(trial, dataset, budget):
                columns.put((metric, dataset, budget), seed, index, values, where)
            # The same for all trials.
            columns.put(("flops", dataset, 0), 0, index, [trial["flop"]], where)
            columns.put(("params", dataset, 0), 0, index, [trial["params"]], where)


def _trial(
    trial: Mapping[str, Any], dataset: str, budget: int
) -> Iterator[tuple[str, Sequence[float]]]:
    """The metrics of one trial, after each epoch or as one number."""
    epochs = range(budget)
    yield "train_accuracy", _at(trial["train_acc1es"], epochs)
    yield "train_loss", _at(trial["train_losses"], epochs)
    if trial.get("train_times"):
        yield "train_seconds", _mean(_at(trial["train_times"], epochs))
    for theirs, ours in _SETS[dataset].items():
        if theirs not in trial["eval_names"]:
            continue
        keys = _keys(theirs, budget)
        yield f"{ours}_accuracy", _at(trial["eval_acc1es"], keys)
        if trial.get("eval_losses"):
            yield f"{ours}_loss", _at(trial["eval_losses"], keys)
        if trial.get("eval_times"):
            yield f"{ours}_seconds", _mean(_at(trial["eval_times"], keys))
    if trial.get("latency"):
        yield "latency", _mean(trial["latency"])


def _at(values: Any, keys: Sequence[Any]) -> list[float]:
    """The values at the keys, NaN where there is none."""
    if isinstance(values, list):
        values = dict(enumerate(values))
    missing = float("nan")
    return [values.get(key, missing) for key in keys]


def _mean(values: Sequence[float]) -> list[float]:
    """The mean of the values that are there."""
    there = [value for value in values if not math.isnan(value)]
    return [sum(there) / len(there)] if there else [float("nan")]


@functools.cache
def _keys(name: str, budget: int) -> list[str]:
    return [f"{name}@{epoch}" for epoch in range(budget)]

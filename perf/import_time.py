"""How long does `import symnas` take beyond what it is built on?"""

from __future__ import annotations

import subprocess
import sys

from measure import interleaved, report, seconds


def main() -> None:
    statements = {
        "import torch, pyglove": "import torch, pyglove",
        "import symnas": "import symnas",
    }
    figures = interleaved(
        {
            name: lambda code=code: seconds(
                lambda: subprocess.run([sys.executable, "-c", code], check=True)
            )
            for name, code in statements.items()
        },
        9,
    )
    base = figures["import torch, pyglove"]
    report(
        "a fresh process",
        ["statement", "seconds", "seconds more"],
        [[name, value, value - base] for name, value in figures.items()],
    )


if __name__ == "__main__":
    main()

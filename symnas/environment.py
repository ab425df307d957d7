"""What a search ran with: the command, the machine, the versions."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch


def without_password(text: str) -> str:
    """The text with `***` for the passwords of URLs in it.

    >>> without_password("postgresql://me:secret@host/studies")
    'postgresql://me:***@host/studies'
    """
    return re.sub(r"(://[^:/@\s]*:)[^/@\s]*@", r"\1***@", text)


def environment() -> dict[str, Any]:
    """The command without passwords, the machine and the versions, as JSON holds them.

    Example:

    >>> sorted(environment())
    ['command', 'cores', 'numpy', 'platform', 'python', 'symnas', 'torch']
    """
    from symnas import __version__

    return {
        "command": without_password(
            shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        ),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "symnas": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }

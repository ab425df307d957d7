"""Lets workers import what the tests here evaluate."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

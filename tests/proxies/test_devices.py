"""Scores do not depend on the device of the network."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("on_another_device.py")


def test_scores_on_another_device_are_those_on_the_processor() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for network, (here, there) in json.loads(done.stdout).items():
        for name, (value, reason) in here.items():
            other, other_reason = there[name]
            assert other_reason == reason, f"{name} of {network}"
            if not math.isnan(value):
                assert other == pytest.approx(value, rel=1e-5), f"{name} of {network}"

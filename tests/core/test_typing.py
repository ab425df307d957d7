"""What type checkers see in the code of users."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import torch
import symnas as sn
from symnas import nn

@sn.symbolize
class Net(torch.nn.Module):
    def __init__(self, width: int, rate: float = 0.0) -> None:
        super().__init__()
        self.fc = nn.Linear(3, width)

class Own(nn.Module):
    def head(self, layer: nn.Linear | None) -> nn.Module | None:
        return layer

def make() -> Net:
    return Net(sn.oneof([1, 2]))

space = Net(sn.oneof([16, 32]), sn.floatv(0.0, 0.5))
reveal_type(space)
reveal_type(nn.Linear(3, sn.intv(1, 4)))
reveal_type(nn.functional.relu(torch.ones(3)))
for model, feedback in sn.sample(space, "random", 3, seed=0):
    reveal_type(model)
    feedback(1.0)
for made, feedback in sn.sample(make, "random", 3):
    reveal_type(made)
for values, feedback in sn.sample({"a": sn.oneof([1, 2])}):
    reveal_type(values)
sn.search(space, lambda model: 1.0, "random", 3)
Net("wide")
sn.sample(space, seeds=0)
"""


# What `mypy --strict` asks beyond our own settings. It is asked of this file alone, so that
# what `make types` knows of torch is of use here.
STRICT = """
[[tool.mypy.overrides]]
module = "user"
disallow_subclassing_any = true
disallow_untyped_calls = true
disallow_untyped_decorators = true
warn_return_any = true
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typing")
    path, settings = folder / "user.py", folder / "pyproject.toml"
    path.write_text(CODE)
    settings.write_text(Path("pyproject.toml").read_text() + STRICT)
    command = [
        *(sys.executable, "-m", "mypy", "--no-error-summary"),
        *("--config-file", str(settings), str(path)),
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [line for line in output.splitlines() if "user.py:" in line]


def test_constructors_keep_their_types_with_hyper_values_inside(checked):
    revealed = [line.split('"')[1] for line in checked if "Revealed" in line]
    assert revealed == [
        "user.Net",
        "torch.nn.modules.linear.Linear",
        "torch._tensor.Tensor",
        "user.Net",
        "user.Net",
        "dict[str, int]",
    ]


def test_only_mistakes_are_reported(checked):
    errors = [line for line in checked if "error:" in line]
    mistakes = {CODE.splitlines()[int(line.split(":")[1]) - 1] for line in errors}
    assert mistakes == {'Net("wide")', "sn.sample(space, seeds=0)"}

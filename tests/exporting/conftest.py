"""A module of a user, which can be imported and does not know symnas."""

import sys

import pytest

import symnas as sn

BLOCKS = '''
import collections
import enum

import torch


class Color(enum.Enum):
    RED = 1


Pair = collections.namedtuple("Pair", ["left", "right"])


def doubled(value):
    return 2 * value


class Keep(torch.nn.Module):
    """Remembers what it was made with."""

    def __init__(self, *items, **named):
        super().__init__()
        self.kept = items, named


class Block(torch.nn.Module):
    """Its last layer is tied to its first."""

    def __init__(self, width, *, activation=torch.nn.ReLU, mode="plain", **options):
        super().__init__()
        self.first = torch.nn.Linear(width, width)
        self.norm = torch.nn.BatchNorm1d(width)
        self.activation = activation()
        self.last = torch.nn.Linear(width, width)
        self.last.weight = self.first.weight
        self.scale = options.get("a-b", 1.0)

    def forward(self, x):
        return self.scale * self.last(self.activation(self.norm(self.first(x))))
'''


@pytest.fixture(scope="session")
def blocks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "user_blocks.py").write_text(BLOCKS)
    sys.path.insert(0, str(folder))
    import user_blocks

    sn.symbolize(user_blocks.Block)
    sn.symbolize(user_blocks.Keep)
    user_blocks.doubled = sn.symbolize(user_blocks.doubled)
    yield user_blocks
    sys.path.remove(str(folder))
    del sys.modules["user_blocks"]

"""02 Your own model: three ways to say where you are unsure, and some finer points.

Run it with `python tutorials/02_your_own_model.py`. It takes some seconds on a
CPU; nothing is trained here, because this is about spaces.
"""

import numpy as np
import torch
from torch import Tensor

import symnas as sn
from symnas import nn

rng = np.random.default_rng(0)

# %% First way: arguments of your class
# You have a class. Put `@sn.symbolize` on it. It stays the class it was, but its
# arguments may now be hyper-values.


@sn.symbolize
class Mlp(torch.nn.Module):
    def __init__(self, hidden: list[int], activation: type = torch.nn.ReLU) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        inputs = 64
        for width in hidden:
            layers += [torch.nn.Linear(inputs, width), activation()]
            inputs = width
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 10))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 64) -> logits (N, 10)."""
        return self.layers(x)


print(type(Mlp([32])))  # An ordinary call makes an ordinary object.
# > <class '__main__.Mlp'>

space = sn.SearchSpace(
    Mlp(
        hidden=[sn.oneof([16, 32]), sn.oneof([16, 32, 64])],
        activation=sn.oneof([torch.nn.ReLU, torch.nn.Tanh]),
    )
)
print(space)
# > SearchSpace(3 decisions, 12 examples)
print([decision.label for decision in space.decisions])
# > ['hidden[0]', 'hidden[1]', 'activation']

genotype = space.random(rng)[0]
print(genotype, sn.describe(space.symbolic(genotype)))
# > [1. 0. 0.] Mlp(hidden=[32, 16], activation=nn.ReLU)
print(space.build(genotype)(torch.zeros(5, 64)).shape)
# > torch.Size([5, 10])

# %% Second way: in place
# No class, or no wish to touch it: take `nn` from symnas instead of torch and write
# the hyper-value into the line where you are unsure. A candidate may be anything,
# layers too, and it may hold hyper-values of its own. Those exist only when their
# candidate is chosen: a rate is decided for dropout, a number of groups for the norm,
# nothing for the identity.

block = sn.oneof(
    [
        nn.Dropout(sn.floatv(0.1, 0.5, name="rate")),
        nn.GroupNorm(sn.oneof([1, 2, 4], name="groups"), 32),
        nn.Identity(),
    ],
    name="block",
)
inline = nn.Sequential(nn.Linear(64, 32), block, nn.ReLU(), nn.Linear(32, 10))
for model, feedback in sn.sample(inline, "random", 3, seed=1):
    print(model[1], feedback.decisions)
    feedback.skip("we only look")
# > Dropout(p=0.13160519294196119, inplace=False) {'block': "nn.Dropout(p=floatv(0.1, 0.5, name='rate'))", 'rate': 0.13160519294196119}
# > Identity() {'block': 'nn.Identity()'}
# > GroupNorm(2, 32, eps=1e-05, affine=True, bias=True) {'block': "nn.GroupNorm(num_groups=oneof([1, 2, 4], name='groups'), num_channels=32)", 'groups': 2}

# %% Third way: inside your code
# Sometimes the code that makes the model is the natural place, with loops and
# branches that depend on what was decided. Then write hyper-values there as if they
# were values, and give the function itself to symnas. It runs the function to see
# which decisions it meets.


def make_model() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    inputs = 64
    for i in range(sn.oneof([1, 2, 3], name="depth")):
        width = sn.oneof([16, 32], name=f"width{i}")
        layers.append(torch.nn.Linear(inputs, width))
        if sn.oneof([False, True], name=f"norm{i}"):
            layers.append(torch.nn.BatchNorm1d(width))
        layers.append(torch.nn.ReLU())
        inputs = width
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 10))


for model, feedback in sn.sample(make_model, "random", 3, seed=0):
    print(len(model), feedback.decisions)
    feedback.skip("we only look")
# > 3 {'depth': 1, 'width0': 16, 'norm0': False}
# > 4 {'depth': 1, 'width0': 16, 'norm0': True}
# > 7 {'depth': 3, 'width0': 16, 'norm0': False, 'width1': 16, 'norm1': False, 'width2': 16, 'norm2': False}

# %% A program that is finished
# What symnas' constructors have made can be taken back to its description, and
# changed. So a model that was never meant to be searched becomes a space without an
# edit of its code.

finished = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
description = sn.symbolic(finished)
print(sn.describe(description))
# > nn.Sequential(
# >     nn.Linear(in_features=64, out_features=32),
# >     nn.ReLU(),
# >     nn.Linear(in_features=32, out_features=10),
# > )
description.rebind({"args[1]": sn.oneof([nn.ReLU(), nn.GELU()])})
print(sn.describe(description))
# > nn.Sequential(
# >     nn.Linear(in_features=64, out_features=32),
# >     oneof([nn.ReLU(), nn.GELU()]),
# >     nn.Linear(in_features=32, out_features=10),
# > )

# %% Values that belong together
# Unnamed hyper-values are independent of each other. One name is one decision. What
# follows from a decision is `derive`d from it.

dim = sn.oneof([16, 32, 64], name="dim")
attention = nn.MultiheadAttention(dim, num_heads=sn.derive(lambda d: d // 8, dim))
for model, feedback in sn.sample(attention, "grid"):
    print(model.embed_dim, model.num_heads)
    feedback.skip("we only look")
# > 16 2
# > 32 4
# > 64 8

# %% Rules
# Not all that can be written should be tried. `constraint` sees the decisions of an
# example and says whether to propose it.

funnel = Mlp(
    [sn.oneof([16, 32, 64], name="first"), sn.oneof([16, 32, 64], name="second")]
)
for _, feedback in sn.sample(
    funnel, "grid", constraint=lambda d: d["first"] > d["second"]
):
    print(feedback.decisions)
    feedback.skip("we only look")
# > {'first': 32, 'second': 16}
# > {'first': 64, 'second': 16}
# > {'first': 64, 'second': 32}

# %% One level at a time
# `where` selects the hyper-values that a loop decides. The others stay open, so each
# example is a search space itself, and loops nest: architectures outside, the rest
# inside. To have something to measure without training, we take the spread of the
# outputs of a fresh network.

torch.manual_seed(0)
x = torch.rand(100, 64)


def spread(model: torch.nn.Module) -> float:
    return model(x).std().item()


levels = Mlp(
    [sn.oneof([16, 32], hints="architecture")],
    activation=sn.oneof([torch.nn.ReLU, torch.nn.Tanh]),
)
outer = sn.sample(levels, "grid", where=lambda value: value.hints == "architecture")
for architecture, feedback in outer:
    inner = sn.search(architecture, spread, "grid", seed=0, progress=False)
    print(sn.describe(architecture), "->", inner.best.decisions)
    feedback(inner.best.reward)
# > Mlp(hidden=[16], activation=oneof([nn.ReLU, nn.Tanh])) -> {'activation': 'nn.Tanh'}
# > Mlp(hidden=[32], activation=oneof([nn.ReLU, nn.Tanh])) -> {'activation': 'nn.Tanh'}

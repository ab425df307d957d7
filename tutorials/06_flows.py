"""06 Flows: search in parts, loops within loops, one budget for all.

Run it with `python tutorials/06_flows.py`. It takes some seconds on a CPU; the objective
is made, since this is about the order of things.
"""

import os
import statistics
import tempfile

import symnas as sn

# %% Two kinds of decisions
# What a cell computes, and how it is wired. Names tell them apart.


def space():
    operations = {
        f"operation{i}": sn.oneof(["conv", "pool", "skip"], name=f"operation{i}")
        for i in range(4)
    }
    wires = {f"wire{i}": sn.oneof([0, 1, 2], name=f"wire{i}") for i in range(4)}
    return operations | wires


def is_operation(value):
    return value.name.startswith("operation")


def evaluate(cell):
    """Convolutions are good, each wants a wire of its own, and skips want wire 2."""
    wires = [cell[f"wire{i}"] for i in range(4)]
    reward = len(set(wires)) / 10
    for i, wire in enumerate(wires):
        operation = cell[f"operation{i}"]
        reward += {"conv": 1.0, "pool": 0.4, "skip": 0.6}[operation]
        reward += 0.5 * (wire == {"conv": i % 3, "pool": 0, "skip": 2}[operation])
    return reward


# %% Joint: one loop over everything
# This is what all tutorials so far have done.

joint = sn.search(
    space(), evaluate, "regularized_evolution", 300, seed=0, progress=False
)
print(f"joint: {joint.best.reward:.2f}")
# > joint: 6.30

# %% Factorized: a loop within a loop
# `where=` selects what the outer loop decides. What it yields is a space over the rest,
# which an inner search takes as any other. `within=outer` ties the two together: the
# trial knows its inner search, seeds follow from its seed, and the budget holds for both.

budget = sn.Budget(evaluations=300)
outer_loop = sn.sample(
    space(),
    sn.algorithms.RegularizedEvolution(population_size=10, tournament_size=3),
    where=is_operation,
    seed=0,
    budget=budget,
)
for cell, outer in outer_loop:
    inner = sn.search(cell, evaluate, "random", 16, within=outer)
    outer(statistics.mean(trial.reward for trial in inner.top(5)))
factorized = outer_loop.result
print(len(factorized.trials), "outer trials,", budget.evaluations_used, "evaluations")
# > 19 outer trials, 300 evaluations

# The budget ended within the last one. It is not lost, and says so.

last = factorized.trials[-1]
print(last.status, last.metadata["inner"])
# > completed {'evaluations': 12, 'partial': True}

best = factorized.best
print(best.decisions)
# > {'operation0': 'conv', 'operation1': 'conv', 'operation2': 'conv', 'operation3': 'conv'}
print(factorized.inner(best)[0].best.decisions)
# > {'wire0': 0, 'wire1': 1, 'wire2': 2, 'wire3': 0}

# %% Separate: one part after the other
# The operations first, each with the wires that a grid begins with, then the wires for
# the best of them. `best_model()` of a search with `where=` is the space that is left.

outer_loop = sn.sample(space(), "grid", where=is_operation, budget=sn.Budget(81))
for cell, outer in outer_loop:
    outer(sn.search(cell, evaluate, "grid", 1, within=outer).best.reward)
rest = sn.search(outer_loop.result.best_model(), evaluate, "grid", progress=False)
print(f"separate: {rest.best.reward:.2f} after {81 + len(rest.trials)} evaluations")
# > separate: 6.30 after 162 evaluations

# %% Hybrid: factorized, then the rest alone

rest = sn.search(
    factorized.best_model(), evaluate, "regularized_evolution", seed=0,
    budget=sn.Budget(evaluations=60), progress=False,
)  # fmt: skip
print(f"hybrid: {rest.best.reward:.2f}")
# > hybrid: 6.30

# Which is best depends on the space. On NAS-Bench-201 with 500 evaluations the joint
# search beats the factorized one; docs/results.md has the table.

# %% Settings of an algorithm are a space too
# An algorithm is a symbolic object, so its fields can be open. Here the outer loop
# searches for a population size with which evolution does well.

settings = sn.algorithms.RegularizedEvolution(
    population_size=sn.oneof([5, 20, 80]), tournament_size=sn.oneof([2, 5])
)
outer_loop = sn.sample(settings, "grid", seed=0)
for algorithm, outer in outer_loop:
    runs = [
        sn.search(space(), evaluate, algorithm.clone(), 150, within=outer)
        for _ in range(5)
    ]
    outer(statistics.mean(run.best.reward for run in runs))
print(outer_loop.result.best.decisions)
# > {'population_size': 20, 'tournament_size': 5}

# %% Hardware outside, architecture inside
# An outer decision may be a constraint of the inner search: here a number of wires in
# use, which the hardware has to provide and which costs something.

hardware = {"lanes": sn.oneof([1, 2, 3], name="lanes")}
outer_loop = sn.sample(hardware, "grid", seed=0)
for chip, outer in outer_loop:
    fits = sn.search(
        space(),
        evaluate,
        "regularized_evolution",
        150,
        constraint=lambda d, n=chip["lanes"]: (
            len({d[f"wire{i}"] for i in range(4)}) <= n
        ),
        within=outer,
    )
    outer(
        fits.best.reward - 0.3 * chip["lanes"], metrics={"accuracy": fits.best.reward}
    )
for trial in outer_loop.result.trials:
    accuracy = trial.metrics["accuracy"]
    print(trial.decisions, f"{accuracy:.2f} - cost = {trial.reward:.2f}")
# > {'lanes': 1} 5.10 - cost = 4.80
# > {'lanes': 2} 5.80 - cost = 5.20
# > {'lanes': 3} 6.30 - cost = 5.40

# %% Kill it, go on
# With `name=` and `storage=` the outer study is kept, and inner ones beside it, as
# `flow/1`, `flow/2` and so on. A flow that was killed continues in the middle of the
# inner loop in which it was, and counts what it has spent.

path = os.path.join(tempfile.mkdtemp(), "studies.db")


def stored(evaluations):
    flow = sn.sample(
        space(), "random", where=is_operation, seed=0,
        budget=sn.Budget(evaluations=evaluations), name="flow", storage=path,
    )  # fmt: skip
    for cell, outer in flow:
        outer(sn.search(cell, evaluate, "random", 16, within=outer).best.reward)
    return flow.result


stored(40)
result = stored(64)
print([trial.metadata["inner"]["evaluations"] for trial in result.trials])
# > [16, 16, 8, 16, 8]
print([study.name for study in sn.list_studies(path)])
# > ['flow', 'flow/1', 'flow/2', 'flow/3', 'flow/4', 'flow/5']

# Several processes may run the same flow: each takes other outer trials. `workers=` of an
# inner search evaluates in several processes as well.

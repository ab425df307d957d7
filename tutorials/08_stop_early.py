"""08 Stop early: train what promises something to the end, and nothing else.

Run it with `python tutorials/08_stop_early.py`. It takes half a minute on a CPU.
"""

import dataclasses
import functools
import os
import tempfile

import torch
from sklearn.datasets import load_digits

import symnas as sn
from symnas import nn

# The tests of symnas run this file with a smaller budget. You can ignore this line.
QUICK = bool(os.environ.get("SYMNAS_QUICK"))
TRIALS, EPOCHS = (4, 5) if QUICK else (30, 20)

# %% Trainings that report
# Handwritten digits again, and a search over networks and their learning rate. What matters
# here is `yield`: the evaluation reports after each epoch, so there is a learning curve to
# look at while it grows, and a moment in which to stop.

digits = load_digits()
images = torch.tensor(digits.data / 16, dtype=torch.float32)
labels = torch.tensor(digits.target)
trainer = sn.training.Classifier(
    (images[:600], labels[:600]),
    (images[600:], labels[600:]),
    epochs=EPOCHS,
    batch_size=64,
)
width = sn.oneof([4, 8, 16, 32, 64], name="width")
space = {
    "model": nn.Sequential(
        nn.Linear(64, width),
        sn.oneof([nn.ReLU(), nn.Tanh(), nn.Sigmoid()], name="activation"),
        nn.Linear(width, 10),
    ),
    "rate": sn.floatv(1e-5, 1.0, "log", name="rate"),
}


def evaluate(example):
    optimizer = functools.partial(torch.optim.AdamW, lr=example["rate"])
    for metrics in dataclasses.replace(trainer, optimizer=optimizer)(example["model"]):
        yield metrics["valid_accuracy"]


def searched(rule):
    return sn.search(
        space, evaluate, "random", TRIALS, seed=0, early_stopping=rule, progress=False
    )


def report(name, result):
    epochs = sum(len(trial.measurements) for trial in result.trials)
    print(f"{name}: {result.best.reward:.3f} after {epochs} epochs")


# %% Without a rule
# Every training runs to its end, however bad it looks.

whole = searched(None)
report("none", whole)
# > none: 0.924 after 600 epochs

# %% With a rule
# A rule is a value. `Patience(3)` gives up a trial that has not improved for three epochs,
# whatever others did; `SuccessiveHalving()` compares it, at epochs 1, 3 and 9, with
# those that got there before, and lets the best third go on; `MedianRule()` stops what is
# below the middle. `|` puts two together.

rules = sn.early_stopping
report("patience", searched(rules.Patience(3)))
report("median", searched(rules.MedianRule()))
report("halving", searched(rules.SuccessiveHalving()))
both = rules.SuccessiveHalving() | rules.Patience(3)
stopped = searched(both)
report("halving or patience", stopped)
# > patience: 0.922 after 321 epochs
# > median: 0.924 after 263 epochs
# > halving: 0.916 after 88 epochs
# > halving or patience: 0.922 after 64 epochs

# An accuracy on 1,197 images has a standard error of 0.008, so these are as good as each other,
# and the last one took a tenth of the epochs. The trials are the same thirty, so one can see
# what a rule missed. It stopped the best one when it had nothing new for three epochs:

best = whole.best
short = stopped.trials[best.id - 1]
print(f"the best one was stopped after {len(short.measurements)} of {EPOCHS} epochs")
# > the best one was stopped after 9 of 20 epochs

# %% Curves that are predicted
# LC-PFN, a small network that comes with symnas, has learned how learning curves go on. It
# says for each later epoch what will be measured, and how sure it is.

curves = {
    f"trial {trial.id}": [m.metrics["reward"] for m in trial.measurements]
    for trial in whole.trials[:5] + [best]
}
model = sn.predictors.LCPFN.load()
seen = EPOCHS // 5
curve = curves[f"trial {best.id}"]
predicted = model.predict(curve[:seen], steps=[EPOCHS])
low, high = predicted.quantile([0.05, 0.95])[0]
end = curve[-1]
print(f"from {seen} epochs: {low:.2f} to {high:.2f}, in the end it was {end:.2f}")
# > from 4 epochs: 0.84 to 0.97, in the end it was 0.92

# A page that shows such bands over the curves as they went on:

page = os.path.join(tempfile.mkdtemp(), "predicted.html")
sn.plots.predicted_curves(model, curves, observed=seen).write_html(page)
print(os.path.basename(page))
# > predicted.html

# `LearningCurve` stops a trial if no later epoch is likely to beat the best so far.

report("predicted", searched(rules.LearningCurve()))
# > predicted: 0.916 after 118 epochs

# Losses need a scale: `normalizer=sn.predictors.Normalizer.log_loss(untrained=2.3)`. Which rule
# is best depends on the curves; docs/early_stopping.md compares them on published ones.

# %% Your own rule, your own loop
# A rule is a class with `gives_up`. `curve` has the steps and values so far, `others` gives a
# number for each other trial. This one stops what is far behind the best.


@dataclasses.dataclass(frozen=True)
class FarBehind(rules.Rule):
    distance: float

    def gives_up(self, curve, others):
        bests = others.each(best_value)
        return len(bests) > 0 and curve.best < bests.max() - self.distance


def best_value(curve):
    return curve.best


# In a loop of your own you seed, report, ask, and end the trial.

samples = sn.sample(space, "random", TRIALS, seed=0, early_stopping=FarBehind(0.2))
for example, feedback in samples:
    torch.manual_seed(feedback.seed)
    for accuracy in evaluate(example):
        feedback.add_measurement(accuracy)
        if feedback.should_stop_early():
            break
    feedback.done()
report("far behind", samples.result)
# > far behind: 0.924 after 125 epochs

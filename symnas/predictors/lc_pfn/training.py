"""Training of LC-PFN: prior-data fitting [1], which can be cut and continued.

[1] S. Adriaensen et al., "Efficient Bayesian Learning Curve Extrapolation using
    Prior-Data Fitted Networks", NeurIPS 2023. https://arxiv.org/abs/2310.20447

Other than in [1], each curve of a batch has its own cutoff (these are spread evenly), and
the loss is the expectation over the noise of the targets, which is known in closed form
and has the same gradient on average, with less variance.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symnas.predictors.lc_pfn.bins import bin_masses, prior_borders, prior_logits
from symnas.predictors.lc_pfn.network import CurveTransformer
from symnas.predictors.lc_pfn.predictor import LCPFN
from symnas.predictors.lc_pfn.prior import (
    NUM_STEPS,
    add_noise,
    prior_hash,
    sample_curves,
)
from symnas.predictors.lc_pfn.weights import read, write

SIZES = {
    "small": {"num_layers": 4, "width": 64, "num_heads": 4, "hidden": 128},
    "base": {"num_layers": 6, "width": 256, "num_heads": 8, "hidden": 512},
}
_ASKING = 2  # The last layers, through which asked steps go too.
STEPS = {"small": 15_000, "base": 10_000}
CURVES_PER_STEP = {"small": 64, "base": 1_000}
LEARNING_RATE = {"small": 3e-3, "base": 1e-3}
_CHUNKS = 4  # Parts of a batch; curves of a part have similar cutoffs.
_ASKED = 32  # Later steps drawn of each curve; some repeatedly, if few are left.
_RISE = 400  # Steps of linear warm-up.
_FALL = 0.3  # Share of steps in which the rate falls to zero, linearly.


class Training:
    """The state of a training. Batch i comes from (seed, i), so any state can go on.

    Example:
        >>> training = Training("small", num_steps=10, batch_size=8)
        >>> loss = training.step()
        >>> training.num_done
        1
    """

    def __init__(
        self,
        size: str,
        num_steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        num_bins: int = 1000,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if learning_rate is None:
            learning_rate = LEARNING_RATE[size]
        self.recipe: dict[str, Any] = {
            "size": size,
            "num_steps": num_steps or STEPS[size],
            "batch_size": batch_size or CURVES_PER_STEP[size],
            "learning_rate": learning_rate,
            "num_bins": num_bins,
            "seed": seed,
            "prior": prior_hash(),
        }
        self.num_done = 0
        self.borders = prior_borders(num_bins)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = CurveTransformer(
                **SIZES[size], num_asking=_ASKING, num_bins=num_bins
            )
        self.network.to(device)
        self.device = device
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), betas=(0.9, 0.98), weight_decay=0.0, foreach=True
        )

    def step(self) -> float:
        """One step of AdamW; the cross entropy of the batch."""
        rng = np.random.default_rng([self.recipe["seed"], self.num_done])
        batch = _draw(self.recipe["batch_size"], rng)
        self.optimizer.param_groups[0]["lr"] = self._learning_rate()
        self.optimizer.zero_grad()
        loss = 0.0
        for rows in np.array_split(np.arange(self.recipe["batch_size"]), _CHUNKS):
            part = self._loss(*(array[rows] for array in batch))
            part = part / self.recipe["batch_size"]
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.num_done += 1
        return loss

    def _learning_rate(self) -> float:
        """Rises, stays, and falls to zero."""
        num_steps, peak = self.recipe["num_steps"], self.recipe["learning_rate"]
        left = (num_steps - self.num_done) / (_FALL * num_steps)
        return peak * min((self.num_done + 1) / _RISE, 1.0, left)

    def _loss(
        self, curves: Any, noise: Any, values: Any, order: Any, cutoffs: Any
    ) -> Tensor:
        """Sum over curves of the mean cross entropy of steps that were not seen.

        curves, values, order: (B, 100), where order lists the steps, observed ones first.
        noise, cutoffs: (B,).
        """
        seen = order[:, : cutoffs.max()]
        num_left = NUM_STEPS - cutoffs[:, None]
        asked = np.take_along_axis(
            order, cutoffs[:, None] + np.arange(_ASKED) % num_left, axis=1
        )
        seen_steps, seen_values, asked_steps, mean, sd = (
            torch.tensor(array, dtype=torch.float32, device=self.device)
            for array in (
                seen + 1,
                np.take_along_axis(values, seen, axis=1),
                asked + 1,
                np.take_along_axis(curves, asked, axis=1),
                np.repeat(noise[:, None], _ASKED, axis=1),
            )
        )
        observed = np.arange(seen.shape[1]) < cutoffs[:, None]
        mask = torch.tensor(observed, device=self.device)
        logits = self.network(seen_steps, seen_values, mask, asked_steps)
        masses = bin_masses(mean.ravel(), sd.ravel(), self.borders.to(self.device))
        return -(masses * logits.flatten(0, 1).log_softmax(dim=1)).sum() / _ASKED

    def save(self, path: Path) -> None:
        """Writes the whole state, at once or not at all."""
        tensors = {"borders": self.borders}
        for name, parameter in self.network.named_parameters():
            tensors[name] = parameter.detach()
            state = self.optimizer.state.get(parameter, {})
            for key in ("exp_avg", "exp_avg_sq"):
                tensors[f"{key}.{name}"] = state.get(key, torch.zeros_like(parameter))
        write(path, tensors, {"recipe": self.recipe, "num_done": self.num_done})

    def load(self, path: Path) -> None:
        """Goes on where `save` was; the recipe must be the same."""
        tensors, about = read(path)
        if about.get("recipe") != self.recipe:
            raise ValueError(
                f"{path} belongs to another training, of {about.get('recipe')}, not of "
                f"{self.recipe}; delete it to begin again."
            )
        self.num_done = about["num_done"]
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(tensors[name])
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.num_done)),
                    "exp_avg": tensors[f"exp_avg.{name}"].to(self.device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(self.device),
                }

    def predictor(self) -> LCPFN:
        """What it has learned so far."""
        network = copy.deepcopy(self.network).cpu().eval().requires_grad_(False)
        prior = prior_logits(self.borders)
        return LCPFN(network, self.borders, prior, {"recipe": self.recipe})


def _draw(num: int, rng: np.random.Generator) -> tuple[Any, Any, Any, Any, Any]:
    """Curves, their noise, their values, steps with observed ones first, and cutoffs."""
    curves, noise = sample_curves(num, rng)
    values = add_noise(curves, noise, rng)
    spread = (np.arange(num) + rng.random(num)) / num
    cutoffs = 1 + (spread * (NUM_STEPS - 1)).astype(int)  # From 1 to 99, in order.
    seen = np.arange(NUM_STEPS) < cutoffs[:, None]
    order = np.where(seen, -1.0, rng.random(seen.shape)).argsort(axis=1, kind="stable")
    return curves, noise, values, order, cutoffs

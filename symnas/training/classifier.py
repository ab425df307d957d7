"""A small trainer for classifiers: batches, cross-entropy, a schedule."""

import dataclasses
import functools
import math
import numbers
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import Dataset, TensorDataset

from symnas.training.batches import (
    Array,
    Batch,
    Examples,
    LoadedBatches,
    Order,
    TensorBatches,
    as_dataset,
    kind_of,
)

Metrics: TypeAlias = dict[str, float]


_ADAMW = functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=1e-2)


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """Trains any module that gives logits, and reports its accuracy epoch by epoch.

    It is made once, from the data and the recipe, and called with one model after
    another, so that it can be the `evaluate` of `symnas.search` as it stands. For more
    than one input, other losses or mixed targets, write your own loop: `evaluate` may
    be any function of a model.

    `classifier(model)` is a generator. It trains the model in place and yields, after
    each epoch:

    - `reward`, `valid_accuracy`: the share of right answers in `valid`, in [0, 1];
    - `valid_loss`: the mean cross-entropy on `valid`, in nats, without smoothing;
    - `train_loss`: the mean of what was minimised during the epoch, in nats, that is
      with augmentation, smoothing, dropout, and weights that changed on the way;
    - `epoch`: from 1 to `epochs`;
    - `seconds`: wall-clock time that this call has spent so far, all epochs together.
      What the caller does between two epochs does not count.

    Whenever it yields, the model is in eval mode and on its device. It may be abandoned
    there, which leaves the model trained so far.

    Under the same `torch.manual_seed`, the same model gets the same metrics, to the bit
    on a CPU with the same number of threads. The order of the examples comes from one
    draw per call from torch's global generator on the CPU. No other global state
    changes: whoever wants deterministic kernels on a GPU asks torch for them.

    An object with default settings can be pickled if its data can. With a lambda as
    `optimizer`, `schedule` or `augment` it cannot, with `functools.partial` it can.

    Args:
        train: A pair `(inputs, targets)` of tensors or NumPy arrays, or a
            `torch.utils.data.Dataset` of such pairs with a length. Inputs are
            (N, ...), what the model takes; real ones are converted to the dtype of the
            model. Targets are (N,) integers in [0, C) for C classes. Tensors are by far
            the faster choice for data that fit on the device: they are moved there once
            per call (not at all if they are there already) and sliced.
        valid: The same, for the reward.
        epochs: Passes over `train`.
        batch_size: Examples per step. A last batch of a single example, in which batch
            normalization has no variance to work with, is left out of that epoch,
            unless it is the only one or `batch_size` is 1. Examples are shuffled, so it
            is another one in each epoch. Nothing is left out of `valid`.
        optimizer: Takes the list of parameters that require a gradient, gives a
            `torch.optim.Optimizer` whose `step()` needs no closure.
        schedule: Takes the optimizer and the number of all steps, gives a
            `torch.optim.lr_scheduler.LRScheduler` that is stepped after each batch. By
            default the learning rate falls to 0 along a cosine; None leaves it alone.
        device: Where the model and its data go; by default, where the model is.
        augment: Applied to each batch of training inputs (N, ...), on the device.
        label_smoothing: Share of the target's probability spread over all classes, in
            [0, 1).
        num_workers: Processes that load the examples of a `Dataset`. Tensors need none.

    Raises:
        ValueError, TypeError: When it is made, for settings or data that cannot work;
            when it is called, for a model whose logits are not (N, C) or have too few
            classes for the targets, and for a model without a parameter to train. That
            is raised, not evaluated as it is, because its usual cause is a mistake
            (layers kept in a plain list, everything frozen) that a reward near chance
            would hide. `score` takes any model.
        FloatingPointError: If a loss is NaN or infinite, at once, with epoch and step.
            A search records that trial as failed.
        RuntimeError: If the model fails on a batch, with the shape of the batch.

    Example:
        >>> import functools
        >>> import torch
        >>> from symnas.training import Classifier
        >>> _ = torch.manual_seed(0)
        >>> points = torch.rand(1200, 2)
        >>> above = (points[:, 1] > points[:, 0]).long()  # two classes
        >>> classifier = Classifier(
        ...     train=(points[:800], above[:800]),
        ...     valid=(points[800:1000], above[800:1000]),
        ...     epochs=10,
        ...     batch_size=32,
        ...     optimizer=functools.partial(torch.optim.AdamW, lr=1e-2),
        ... )
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)
        ... )
        >>> rewards = [metrics["reward"] for metrics in classifier(model)]
        >>> len(rewards), rewards[-1] > 0.9
        (10, True)
        >>> test = classifier.score(model, points[1000:], above[1000:])
        >>> sorted(test), test["accuracy"] > 0.9
        (['accuracy', 'loss'], True)
    """

    train: Examples = dataclasses.field(repr=False)
    valid: Examples = dataclasses.field(repr=False)
    _: dataclasses.KW_ONLY
    epochs: int = 10
    batch_size: int = 128
    optimizer: Callable[[list[nn.Parameter]], Optimizer] = _ADAMW
    schedule: Callable[[Optimizer, int], LRScheduler] | None = CosineAnnealingLR
    device: torch.device | str | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    label_smoothing: float = 0.0
    num_workers: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("num_workers", 0)):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral):
                raise TypeError(f"`{name}` must be an integer, got {value!r}.")
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
            object.__setattr__(self, name, int(value))  # NumPy's integers end here
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"`label_smoothing` must lie in [0, 1), got {self.label_smoothing}."
            )
        if not callable(self.optimizer):
            raise TypeError(
                "`optimizer` must be a callable that takes parameters, "
                f"got {self.optimizer!r}."
            )
        for name in ("schedule", "augment"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"`{name}` must be a callable or None, got {value!r}.")
        if self.device is not None:
            try:
                torch.device(self.device)
            except RuntimeError as error:
                raise ValueError(
                    f"`device` must name a torch device, got {self.device!r}."
                ) from error
        for name in ("train", "valid"):
            object.__setattr__(self, name, as_dataset(name, getattr(self, name)))

    def __call__(self, model: nn.Module) -> Iterator[Metrics]:
        """Trains `model` in place and yields the metrics of each epoch."""
        started = time.perf_counter()
        _check_is_module(model)
        device, dtype = self._place(model)
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            raise ValueError(
                "The model must have parameters that require a gradient, got "
                f"{sum(1 for _ in model.parameters())} parameters and none that does. "
                "`score` evaluates a model without training it."
            )
        seed = int(torch.randint(2**63 - 1, ()))
        train = self._batches("train", self.train, device, dtype, seed)
        valid = self._batches("valid", self.valid, device, dtype)
        optimizer = self.optimizer(parameters)
        scheduler = None
        if self.schedule is not None:
            scheduler = self.schedule(optimizer, self.epochs * len(train))
        seconds = time.perf_counter() - started
        for epoch in range(1, self.epochs + 1):
            started = time.perf_counter()
            train_loss = self._train(model, train, optimizer, scheduler, epoch)
            model.eval()
            scores = _score(model, valid, f" after epoch {epoch}")
            seconds += time.perf_counter() - started
            yield {
                "reward": scores["accuracy"],
                "train_loss": train_loss,
                "valid_loss": scores["loss"],
                "valid_accuracy": scores["accuracy"],
                "epoch": epoch,
                "seconds": seconds,
            }

    def fit(self, model: nn.Module) -> Metrics:
        """Trains `model` in place for all epochs; returns the metrics of the last."""
        *_, metrics = self(model)
        return metrics

    def score(
        self, model: nn.Module, inputs: Examples | Array, targets: Array | None = None
    ) -> Metrics:
        """Evaluates `model` on other examples, such as the test set.

        It runs in eval mode and without gradients. Afterwards each submodule is in the
        mode in which it was; only `device`, if given, is where the model stays.

        Args:
            model: Any module that gives logits (N, C), trained here or not.
            inputs: (N, ...), as in `train`; or, without `targets`, a pair or `Dataset`.
            targets: (N,) integers in [0, C).

        Returns:
            `accuracy`, the share of right answers, in [0, 1]; `loss`, the mean
            cross-entropy without smoothing, in nats.

        Raises:
            ValueError, TypeError, RuntimeError: As for `Classifier`.
            FloatingPointError: If the loss is NaN or infinite.
        """
        _check_is_module(model)
        pair = inputs if targets is None else (inputs, targets)
        batches = self._batches("score", as_dataset("score", pair), *self._place(model))
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            return _score(model, batches)
        finally:
            for module, training in modes:
                module.training = training

    def _place(self, model: nn.Module) -> tuple[torch.device, torch.dtype]:
        """Moves the model to its device; says where it is and what it computes with."""
        if self.device is not None:
            model.to(self.device)
        first = next(model.parameters(), None)
        if self.device is not None:
            device = torch.device(self.device)
        else:
            device = torch.device("cpu") if first is None else first.device
        dtypes = (p.dtype for p in model.parameters() if p.is_floating_point())
        return device, next(dtypes, torch.get_default_dtype())

    def _batches(
        self,
        name: str,
        examples: Examples,
        device: torch.device,
        dtype: torch.dtype,
        seed: int | None = None,
    ) -> TensorBatches | LoadedBatches:
        dataset = cast(Dataset[Any], examples)  # since __post_init__
        order = Order(len(cast(Any, dataset)), self.batch_size, seed)
        if type(dataset) is TensorDataset:  # a subclass may do more than to slice
            return TensorBatches(dataset, order, device, dtype)
        return LoadedBatches(name, dataset, order, device, dtype, self.num_workers)

    @torch.enable_grad()
    def _train(
        self,
        model: nn.Module,
        batches: TensorBatches | LoadedBatches,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        epoch: int,
    ) -> float:
        """Trains for one epoch; returns the mean loss of its examples."""
        model.train()
        total, count = 0.0, 0
        for step, batch in enumerate(batches, start=1):
            if self.augment is not None:
                batch = batch._replace(inputs=self.augment(batch.inputs))
            logits_NC = _logits(model, batch)
            if not logits_NC.requires_grad:
                raise ValueError(
                    "The model's logits must depend on its trainable parameters, "
                    "got logits without a gradient."
                )
            loss = F.cross_entropy(
                logits_NC, batch.targets, label_smoothing=self.label_smoothing
            )
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The training loss must be finite, got {value} in epoch {epoch}, "
                    f"step {step} of {len(batches)}."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            total += value * len(batch.targets)
            count += len(batch.targets)
        return total / count


@torch.no_grad()
def _score(
    model: nn.Module, batches: TensorBatches | LoadedBatches, when: str = ""
) -> Metrics:
    losses, right, count = [], [], 0
    for batch in batches:
        logits_NC = _logits(model, batch)
        losses.append(F.cross_entropy(logits_NC, batch.targets, reduction="sum"))
        right.append((logits_NC.argmax(1) == batch.targets).sum())
        count += len(batch.targets)
    loss = math.fsum(torch.stack(losses).tolist()) / count
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The evaluation loss must be finite, got {loss}{when}."
        )
    return {"accuracy": int(torch.stack(right).sum()) / count, "loss": loss}


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    """Runs the model; returns logits (N, C) in at least single precision."""
    size = len(batch.targets)
    shape = tuple(batch.inputs.shape)
    try:
        logits = model(batch.inputs)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # out of memory keeps its type
            raise
        raise RuntimeError(
            f"The model failed on inputs of shape {shape} and {batch.inputs.dtype}: "
            f"{error}"
        ) from error
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(
            "The model must return a real tensor of logits for inputs of shape "
            f"{shape}, got {kind_of(logits)}."
        )
    if logits.ndim != 2 or len(logits) != size:
        raise ValueError(
            f"The model must return logits of shape ({size}, C) for inputs of shape "
            f"{shape}, got shape {tuple(logits.shape)}."
        )
    if batch.num_classes > logits.shape[1]:
        raise ValueError(
            f"Targets must lie in [0, {logits.shape[1]}), the classes for which the "
            f"model has logits, got {batch.num_classes - 1}."
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _check_is_module(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"The model must be a torch.nn.Module, got {kind_of(model)}.")

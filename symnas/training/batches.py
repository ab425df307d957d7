"""Batches of examples: sliced from tensors, or loaded from a dataset."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

Array: TypeAlias = Tensor | np.ndarray[Any, Any]
Examples: TypeAlias = tuple[Array, Array] | Dataset[Any]


class Batch(NamedTuple):
    inputs: Tensor  # (N, ...)
    targets: Tensor  # (N,) int64
    num_classes: int  # the least C that the targets allow


class Order:
    """The batches of indices of an epoch: in order, or shuffled if there is a seed."""

    def __init__(self, size: int, batch_size: int, seed: int | None) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self._generator = torch.Generator()
        if seed is not None:
            self._generator.manual_seed(seed)

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.batch_size)
        training = self.seed is not None
        return full + (rest > 1 or (rest == 1 and not (training and full)))

    def __iter__(self) -> Iterator[Tensor]:
        if self.seed is None:
            order = torch.arange(self.size)
        else:
            order = torch.randperm(self.size, generator=self._generator)
        yield from itertools.islice(torch.split(order, self.batch_size), len(self))


class TensorBatches:
    """Batches of tensors that lie on the device."""

    def __init__(
        self,
        dataset: TensorDataset,
        order: Order,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        inputs, targets = dataset.tensors
        self._num_classes = int(targets.max()) + 1
        self._inputs = _to(inputs, device, dtype)
        self._targets = targets.to(device)
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        for index in self._order:
            index = index.to(self._targets.device)
            yield Batch(self._inputs[index], self._targets[index], self._num_classes)


class LoadedBatches:
    """Batches of a dataset that has to be asked for each example."""

    def __init__(
        self,
        name: str,
        dataset: Dataset[Any],
        order: Order,
        device: torch.device,
        dtype: torch.dtype,
        num_workers: int,
    ) -> None:
        self._name, self._order = name, order
        self._device, self._dtype = device, dtype
        # A loader seeds its workers from the global generator unless it gets another;
        # then a dataset would change the dropout that tensors see.
        generator = torch.Generator()
        if order.seed is not None:
            generator.manual_seed(order.seed)
        self._loader = DataLoader(
            dataset,
            batch_sampler=_Lists(order),
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=device.type == "cuda",
            generator=generator,
        )

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            if not (
                isinstance(batch, (tuple, list))
                and len(batch) == 2
                and all(isinstance(part, Tensor) for part in batch)
            ):
                raise TypeError(
                    f"`{self._name}` needs pairs of an input tensor and an integer "
                    f"target, got batches of {kind_of(batch)}."
                )
            inputs, targets = batch
            targets = _as_classes(self._name, targets)
            yield Batch(
                _to(inputs, self._device, self._dtype),
                targets.to(self._device, non_blocking=True),
                int(targets.max()) + 1,
            )


class _Lists:
    """An order as a `DataLoader` wants it: in Python integers."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[list[int]]:
        # A loader with workers makes two iterators per epoch and uses the second one.
        # As a generator, the first one draws nothing from the order.
        for index in self._order:
            yield index.tolist()


def as_dataset(name: str, examples: Any) -> Dataset[Any]:
    """Returns examples as a dataset that is checked as far as it lies in memory."""
    if isinstance(examples, TensorDataset) and type(examples) is TensorDataset:
        examples = examples.tensors
    if isinstance(examples, Dataset):
        if isinstance(examples, IterableDataset) or not hasattr(examples, "__len__"):
            raise TypeError(
                f"`{name}` needs a dataset with a length and an index, "
                f"got {kind_of(examples)}."
            )
        if len(examples) == 0:
            raise ValueError(f"`{name}` needs at least one example, got 0.")
        return examples
    if not isinstance(examples, (tuple, list)) or len(examples) != 2:
        raise TypeError(
            f"`{name}` needs a pair (inputs, targets) or a torch Dataset, "
            f"got {kind_of(examples)}."
        )
    inputs, targets = (_as_tensor(name, part) for part in examples)
    targets = _as_classes(name, targets)
    if inputs.ndim == 0 or len(inputs) != len(targets):
        raise ValueError(
            f"`{name}` needs one target per input, got inputs of shape "
            f"{tuple(inputs.shape)} and {len(targets)} targets."
        )
    return TensorDataset(inputs, targets)


def _as_tensor(name: str, array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach()
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"`{name}` needs tensors or NumPy arrays, got {kind_of(array)}."
        )
    try:
        # A copy: torch takes neither negative strides nor, silently, read-only memory.
        return torch.from_numpy(array.copy())
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` needs arrays of numbers that torch knows, "
            f"got dtype {array.dtype}."
        ) from error


def _as_classes(name: str, targets: Tensor) -> Tensor:
    """Returns targets as (N,) int64, checked for all but the number of classes."""
    dtype = targets.dtype
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise TypeError(f"`{name}` needs integer targets, got {dtype}.")
    if targets.ndim != 1:
        raise ValueError(
            f"`{name}` needs class indices of shape (N,) as targets, "
            f"got shape {tuple(targets.shape)}."
        )
    if len(targets) == 0:
        raise ValueError(f"`{name}` needs at least one example, got 0.")
    targets = targets.long()
    if (least := int(targets.min())) < 0:
        raise ValueError(f"`{name}` needs targets of at least 0, got {least}.")
    return targets


def _to(inputs: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Moves inputs; only real ones take the model's dtype, tokens stay integers."""
    if inputs.is_floating_point():
        return inputs.to(device, dtype, non_blocking=True)
    return inputs.to(device, non_blocking=True)


def kind_of(value: object) -> str:
    """Describes a value that should have been something else."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}"

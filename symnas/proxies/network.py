"""A network on one batch: its forward pass and gradients, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from symnas.proxies.initialization import Parameters
from symnas.proxies.proxy import Loss, Undefined
from symnas.proxies.watching import EMBEDDING, Call, Handlers, Watch
from symnas.seeding import generators_restored

Gradients = Mapping[str, Tensor]


class Network:
    """A model that runs with tensors of its own in the place of its parameters.

    Attributes:
      parameters: by name, shared ones once. They stand for those of the model, and have
        no history.
      inputs: a tensor, a tuple of positional or a mapping of keyword arguments.
      targets: what the loss compares with.

    Args:
      loss: of outputs and targets; None for `cross_entropy`.
      mode: 'train' or 'eval'.
      handlers: what watches the forward pass.
      gradients: kinds of gradients that will be asked for, as in `Needs`.
      dtype: of buffers, where it differs from theirs.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Parameters,
        inputs: Any = None,
        targets: Any = None,
        loss: Loss | None = None,
        mode: str = "train",
        handlers: Sequence[Handlers] = (),
        gradients: AbstractSet[str] = frozenset({"none"}),
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self.parameters = parameters
        self.inputs = inputs
        self.targets = targets
        self._loss = loss or cross_entropy
        self._mode = mode
        self._dtype = dtype
        self._handlers = list(handlers)
        self._with_graph = gradients != {"none"}
        self._embedded: list[Tensor] = []  # Results of embeddings, in order.
        if "inputs" in gradients:
            self.inputs = mapped(self.inputs, _with_gradient)
            self._handlers.append({EMBEDDING: self._note_embedding})

    @property
    def size(self) -> int:
        """The number of samples in the batch."""
        return len(first_tensor(self.inputs))

    @property
    def weights(self) -> Parameters:
        """The trainable parameters with two or more dimensions.

        Raises:
          Undefined: there are none.
        """
        found = {
            name: tensor
            for name, tensor in self.parameters.items()
            if tensor.requires_grad and tensor.ndim > 1
        }
        if not found:
            raise Undefined("It has no trainable weights.")
        return found

    # --- forward ------------------------------------------------------------------------

    @property
    def outputs(self) -> Tensor:
        """(B, ...), of the one forward pass that all proxies share.

        Raises:
          Undefined: see `forward`.
        """
        result = self._forward_or_reason
        if isinstance(result, Undefined):
            raise result
        return result

    @cached_property
    def _forward_or_reason(self) -> Tensor | Undefined:
        # The network may change its inputs in place, which leaves of a graph forbid.
        inputs = mapped(self.inputs, torch.clone)
        with torch.set_grad_enabled(self._with_graph):
            try:
                return self.forward(inputs, self.parameters, self._handlers)
            except Undefined as reason:
                return reason

    def forward(
        self,
        inputs: Any,
        parameters: Parameters,
        handlers: Sequence[Handlers] = (),
    ) -> Tensor:
        """The outputs (B, ...) of a forward pass.

        Raises:
          Undefined: the model raised, or its outputs are no numbers.
        """
        positional, keywords = _as_arguments(inputs)
        with (
            generators_restored(),
            self._in_place_of_own(parameters),
            Watch(handlers),
        ):
            try:
                outputs = self.model(*positional, **keywords)
            except Undefined:
                raise
            except Exception as error:
                raise Undefined(
                    f"The model raised {type(error).__name__}: {error}"
                ) from error
        outputs = _main(outputs)
        if not outputs.isfinite().all():
            raise Undefined("Its outputs are not finite.")
        return outputs

    @contextmanager
    def _in_place_of_own(self, parameters: Parameters) -> Iterator[None]:
        """Within it the model has its mode, other parameters and buffers, plain kernels."""
        modules = list(self.model.modules())
        training = [module.training for module in modules]
        own = _Tensors(modules)
        stand_ins = {
            id(tensor): parameters[name]
            for name, tensor in self.model.named_parameters()
        }
        wanted = self._mode == "train"
        try:
            if training != [wanted] * len(modules):
                self.model.train(wanted)
            own.replace(stand_ins, self._copied)
            with _plain_kernels(bool(own.recurrent)):
                yield
        finally:
            own.restore()
            for module, was_training in zip(modules, training, strict=True):
                if module.training != was_training:
                    module.training = was_training

    def _copied(self, buffer: Tensor) -> Tensor:
        copy = buffer.clone()
        return copy.to(self._dtype) if copy.is_floating_point() else copy

    def _note_embedding(self, call: Call) -> None:
        self._embedded.append(call.output)

    # --- gradients ----------------------------------------------------------------------

    @cached_property
    def loss(self) -> Tensor:
        """The loss of the batch."""
        return self.loss_of(self.outputs, self.targets)

    def loss_of(self, outputs: Tensor, targets: Any) -> Tensor:
        try:
            loss = self._loss(outputs, targets)
        except Exception as error:
            raise Undefined(
                f"The loss raised {type(error).__name__}: {error}"
            ) from error
        if not loss.isfinite().all():
            raise Undefined("The loss is not finite.")
        return loss

    def sample_gradients(self, values: Tensor) -> list[Gradients]:
        """The gradients of values (B,) one by one, from the same forward pass.

        Where samples see each other, as in norms over a batch, so do their gradients.
        """
        return [self.gradients_of(value) for value in values]

    @cached_property
    def weight_gradients(self) -> Gradients:
        """Those of the loss, of all weights that it depends on."""
        return self.gradients_of(self.loss)

    def gradients_of(self, value: Tensor, create_graph: bool = False) -> Gradients:
        """The gradients of a number, of all weights that it depends on.

        Raises:
          Undefined: it depends on none, or one of them is not finite.
        """
        weights = self.weights
        found = gradients(value, list(weights.values()), create_graph)
        named = {
            name: gradient
            for name, gradient in zip(weights, found, strict=True)
            if gradient is not None
        }
        if not named:
            raise Undefined("No weight has a gradient.")
        if not all(gradient.isfinite().all() for gradient in named.values()):
            raise Undefined("A gradient is not finite.")
        return named

    def coverage(self, found: Gradients) -> dict[str, float]:
        """How many weights there are, and how many have a gradient."""
        return {"weights": len(self.weights), "with gradient": len(found)}

    @cached_property
    def input_gradient(self) -> Tensor:
        """That of the sum of all outputs: (B, number of values of a sample).

        Of whole numbers, as tokens are, that of what the first embedding makes of them.
        """
        outputs, inputs = self.outputs, first_tensor(self.inputs)
        if not inputs.is_floating_point():
            if not self._embedded:
                raise Undefined(
                    "Its inputs are whole numbers, and no embedding was seen."
                )
            inputs = self._embedded[0]
        (gradient,) = gradients(outputs.sum(), [inputs])
        if gradient is None or len(gradient) != self.size:
            raise Undefined("The outputs do not depend on the inputs.")
        return gradient.reshape(self.size, -1)


@contextmanager
def _plain_kernels(recurrent: bool) -> Iterator[None]:
    """Attention and recurrent layers in steps that have second derivatives.

    Fused attention has none and is not counted by PyTorch's counter of FLOPs, and it differs
    by device. Recurrent layers of cuDNN have none either.
    """
    without_cudnn = torch.backends.cudnn.flags(enabled=False)
    with (
        sdpa_kernel(SDPBackend.MATH),
        without_cudnn if recurrent else nullcontext(),
    ):
        yield


def gradients(
    value: Tensor, tensors: Sequence[Tensor], create_graph: bool = False
) -> Sequence[Tensor | None]:
    """Gradients of a number; None for what it does not depend on."""
    if not value.requires_grad:
        return [None] * len(tensors)
    try:
        return torch.autograd.grad(
            value,
            tensors,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    except RuntimeError as error:  # As of operations that have no second derivative.
        raise Undefined(f"Its gradients raised RuntimeError: {error}") from error


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of logits (B, ..., classes) and classes (B, ...)."""
    return F.cross_entropy(outputs.flatten(0, -2).float(), targets.flatten())


def first_tensor(inputs: Any) -> Tensor:
    """The first of the tensors in inputs."""
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    return inputs if isinstance(inputs, Tensor) else next(iter(values))


def mapped(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Inputs of the same form, of other tensors."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {name: mapped(value, function) for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(mapped(value, function) for value in inputs)
    return inputs


def _with_gradient(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def _as_arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def _main(outputs: Any) -> Tensor:
    """The outputs that count: `logits` where there are some, else the first tensor."""
    found = getattr(outputs, "logits", outputs)
    while isinstance(found, (tuple, list)) and found:
        found = found[0]
    if isinstance(found, Mapping) and found:
        found = next(iter(found.values()))
    if not isinstance(found, Tensor):
        raise Undefined(f"It returns no tensor, but {type(outputs).__name__}.")
    return found


class _Tensors:
    """The parameters and buffers of modules, which others can stand for.

    In flat lists: new containers for each of hundreds of modules would keep Python's
    garbage collector busy.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._places: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._tensors: list[Tensor] = []
        # Recurrent layers list their parameters for themselves.
        self.recurrent = [m for m in modules if isinstance(m, nn.RNNBase)]
        for module in modules:
            for place in (module._parameters, module._buffers):
                for name, tensor in place.items():
                    if tensor is not None:
                        self._places.append(place)
                        self._names.append(name)
                        self._tensors.append(tensor)

    def replace(
        self, stand_ins: Mapping[int, Tensor], copied: Callable[[Tensor], Tensor]
    ) -> None:
        """Puts in the stand-ins, by the `id` of parameters, and copies of buffers."""
        for place, name, tensor in zip(
            self._places, self._names, self._tensors, strict=True
        ):
            stand_in = stand_ins.get(id(tensor))
            place[name] = copied(tensor) if stand_in is None else stand_in
        self._refresh()

    def restore(self) -> None:
        for place, name, tensor in zip(
            self._places, self._names, self._tensors, strict=True
        ):
            place[name] = tensor
        self._refresh()

    def _refresh(self) -> None:
        for module in self.recurrent:
            names = module._flat_weights_names
            module._flat_weights = [module._parameters.get(name) for name in names]

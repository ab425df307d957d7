"""The MobileNetV3 space of Once-for-All: 2 * 10^19 networks that are not made of cells [1].

Network, that of MobileNetV3-Large [2] with other layers in its five stages:

    conv 3x3, stride 2 -> separable 3x3 -> stages 1 to 5 -> conv 1x1, 960 -> global mean
    -> linear 1280 -> linear

    stage             1      2      3         4         5
    channels          24     40     80        112       160
    stride            2      2      2         1         2
    activation        ReLU   ReLU   h-swish   h-swish   h-swish
    squeeze-excite           yes              yes       yes

Each stage has two to four layers. A layer expands its input by 3, 4 or 6 with a 1x1
convolution, filters each channel with a kernel of 3, 5 or 7, and projects to the channels
of the stage. The first layer of a stage has its stride, the others a shortcut.

[1] H. Cai et al., "Once for All: Train One Network and Specialize it for Efficient
    Deployment", ICLR 2020. https://arxiv.org/abs/1908.09791
[2] A. Howard et al., "Searching for MobileNetV3", ICCV 2019.
    https://arxiv.org/abs/1905.02244
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from symnas.constructors import register, symbolize
from symnas.primitives import oneof
from symnas.spaces.space_by_default import SpaceByDefault

if TYPE_CHECKING:
    import networkx as nx

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
WIDTH_MULTIPLIERS = (1.0, 1.2)
RESOLUTIONS = tuple(range(128, 225, 4))
NUM_ARCHITECTURES = sum((3 * 3) ** depth for depth in DEPTHS) ** 5

STEM_CHANNELS = 16
STAGE_CHANNELS = (24, 40, 80, 112, 160)
STAGE_STRIDES = (2, 2, 2, 1, 2)
STAGE_HAS_HARD_SWISH = (False, False, True, True, True)
STAGE_HAS_SQUEEZE = (False, True, False, True, True)
HEAD_CHANNELS = (960, 1280)
SQUEEZE_RATIO = 4

# Kernel size and expansion.
Layer = tuple[int, float]

# --- Decisions --------------------------------------------------------------------


@register
class Depth(NamedTuple):
    """How many layers a stage has.

    Attributes:
      total: 2, 3 or 4.
      more: the layers behind the first two.
    """

    total: int
    more: Sequence[Layer]


@register
class Stage(NamedTuple):
    """A stage as decisions make it.

    Attributes:
      first: its first two layers.
      depth: all others.

    Example:

    >>> from symnas.spaces import MobileNetV3, mobilenet
    >>> stage = mobilenet.Stage([(3, 3), (3, 3)], mobilenet.Depth(3, [(7, 6)]))
    >>> MobileNetV3([stage] * 5).stages[0]
    [(3, 3), (3, 3), (7, 6)]
    """

    first: Sequence[Layer]
    depth: Depth


def open_stages() -> list[Stage]:
    """All decisions of the space: of each stage its depth, of each layer two numbers.

    Those of the third and fourth layer exist only where the stage is deep enough, and
    are kept when its depth changes.

    Example:

    >>> import symnas as sn
    >>> from symnas.spaces import mobilenet
    >>> space = sn.SearchSpace(mobilenet.open_stages())
    >>> [decision.label for decision in space.decisions[:3]]
    ['stage1_layer1_kernel', 'stage1_layer1_expansion', 'stage1_layer2_kernel']
    >>> space.decisions[4].label, space.decisions[5].when
    ('stage1_depth', 'candidate 1 or 2 of `stage1_depth`')
    """
    return [_open_stage(f"stage{i}") for i in range(1, len(STAGE_CHANNELS) + 1)]


def _open_stage(stage: str) -> Stage:
    def layer(number: int) -> Layer:
        name = f"{stage}_layer{number}"
        kernel = oneof(KERNELS, name=f"{name}_kernel")
        return kernel, oneof(EXPANSIONS, name=f"{name}_expansion")

    shallow = DEPTHS[0]
    first = [layer(i) for i in range(1, shallow + 1)]
    depths = [
        Depth(total, [layer(i) for i in range(shallow + 1, total + 1)])
        for total in DEPTHS
    ]
    return Stage(first, oneof(depths, name=f"{stage}_depth"))


# --- The network ------------------------------------------------------------------


@symbolize
class MobileNetV3(torch.nn.Module, metaclass=SpaceByDefault):
    """A network of the space; without stages, the space of all.

    Called with stages it is an ordinary module. Called without, or with open ones, it is
    a search space: `open_stages()` shows its decisions. The authors also vary what is
    fixed here: pass `width_multiplier=oneof(mobilenet.WIDTH_MULTIPLIERS)` and
    `resolution=oneof(mobilenet.RESOLUTIONS)` to decide these too.

    Args:
      stages: for each of the five stages a `Stage`, or a list of layers, pairs of kernel
        size and expansion. They may be others than those of the space: so the network can be that
        of [2].
      width_multiplier: of all channels, which are rounded to multiples of 8.
      resolution: height and width to which images are scaled; None takes them as they
        are.
      dropout: before the classifier.

    Example:

    >>> import symnas as sn, torch
    >>> from symnas.spaces import MobileNetV3
    >>> len(sn.SearchSpace(MobileNetV3()).decisions)
    45
    >>> model = MobileNetV3([[(3, 3), (5, 4)]] * 5, num_classes=10)
    >>> model(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    """

    _open: ClassVar = {"stages": open_stages}

    def __init__(
        self,
        stages: Any = None,
        *,
        width_multiplier: float = 1.0,
        resolution: int | None = None,
        num_classes: int = 1000,
        image_channels: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.stages = _checked(stages)
        self.resolution = resolution
        stem = _divisible(STEM_CHANNELS * width_multiplier)
        blocks: list[torch.nn.Module] = [
            _conv_norm(image_channels, stem, 3, 2, torch.nn.Hardswish),
            Block(stem, stem, kernel=3),
        ]
        inputs = stem
        for stage, width, stride, hard_swish, squeeze in zip(
            self.stages,
            STAGE_CHANNELS,
            STAGE_STRIDES,
            STAGE_HAS_HARD_SWISH,
            STAGE_HAS_SQUEEZE,
            strict=True,
        ):
            outputs = _divisible(width * width_multiplier)
            activation = torch.nn.Hardswish if hard_swish else torch.nn.ReLU
            for kernel, expansion in stage:
                blocks.append(
                    Block(
                        inputs, outputs, kernel, expansion, stride, activation, squeeze
                    )
                )
                inputs, stride = outputs, 1
        wide, wider = (_divisible(width * width_multiplier) for width in HEAD_CHANNELS)
        self.blocks = torch.nn.Sequential(
            *blocks, _conv_norm(inputs, wide, 1, 1, torch.nn.Hardswish)
        )
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(wide, wider, bias=False),
            torch.nn.Hardswish(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(wider, num_classes),
        )

    def features(self, x: Tensor) -> Tensor:
        """x: (N, image_channels, H, W) -> what the classifier sees, (N, 960)."""
        if self.resolution not in (None, x.shape[-1]):
            size = (self.resolution, self.resolution)
            x = torch.nn.functional.interpolate(
                x, size=size, mode="bilinear", antialias=True
            )
        return self.blocks(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, image_channels, H, W) -> logits (N, num_classes)."""
        return self.classifier(self.features(x))

    def architecture_graphs(self) -> dict[str, nx.DiGraph]:
        """The five stages, layer by layer."""
        import networkx as nx

        stages = nx.DiGraph()
        for i, (layers, width, stride) in enumerate(
            zip(self.stages, STAGE_CHANNELS, STAGE_STRIDES, strict=True), 1
        ):
            stage = nx.DiGraph()
            for j, (kernel, expansion) in enumerate(layers):
                text = f"kernel {kernel}, expansion {expansion}"
                stage.add_node(j, label=text, kind=(kernel, expansion))
            nx.add_path(stage, range(len(layers)))
            label = f"stage {i}: {width} channels, stride {stride}"
            stages.add_node(i, label=label, inner=stage)
        nx.add_path(stages, stages)
        return {"": stages}


def _checked(stages: Any) -> list[list[Layer]]:
    if not isinstance(stages, Sequence) or len(stages) != len(STAGE_CHANNELS):
        raise ValueError(
            f"MobileNetV3 needs {len(STAGE_CHANNELS)} stages, lists of (kernel, "
            f"expansion), got {stages!r}."
        )
    flat = [
        [*stage.first, *stage.depth.more] if isinstance(stage, Stage) else stage
        for stage in stages
    ]
    for i, stage in enumerate(flat, 1):
        if not isinstance(stage, Sequence) or not stage:
            raise ValueError(f"Stage {i} of MobileNetV3 needs layers, got {stage!r}.")
        for layer in stage:
            _check_layer(i, layer)
    return [[(kernel, expansion) for kernel, expansion in stage] for stage in flat]


def _check_layer(stage: int, layer: Any) -> None:
    try:
        kernel, expansion = layer
        valid = int(kernel) == kernel > 0 and kernel % 2 == 1 and expansion > 0
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(
            f"A layer of stage {stage} of MobileNetV3 must be (kernel, expansion), an odd "
            f"size and a positive factor, got {layer!r}."
        )


class Block(torch.nn.Module):
    """One layer: expand, filter each channel, squeeze and excite, project.

    Args:
      expansion: the factor of channels in between; 1 leaves the first convolution out.
      squeeze: whether channels are weighted by what all of them see.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        expansion: float = 1,
        stride: int = 1,
        activation: type[torch.nn.Module] = torch.nn.ReLU,
        squeeze: bool = False,
    ) -> None:
        super().__init__()
        width = _divisible(round(inputs * expansion))
        parts = []
        if expansion != 1:
            parts.append(_conv_norm(inputs, width, 1, 1, activation))
        parts.append(_conv_norm(width, width, kernel, stride, activation, groups=width))
        if squeeze:
            parts.append(_SqueezeExcite(width))
        parts.append(_conv_norm(width, outputs, 1, 1, None))
        self.parts = torch.nn.Sequential(*parts)
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride), rounded up."""
        y = self.parts(x)
        return x + y if self.has_shortcut else y


class _SqueezeExcite(torch.nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = _divisible(channels // SQUEEZE_RATIO)
        self.weigh = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Conv2d(channels, narrow, 1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(narrow, channels, 1),
            torch.nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, channels, H, W) -> the same shape."""
        return x * self.weigh(x)


def _conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    activation: type[torch.nn.Module] | None,
    groups: int = 1,
) -> torch.nn.Module:
    parts = [
        torch.nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        torch.nn.BatchNorm2d(outputs),
    ]
    return torch.nn.Sequential(*parts, *([] if activation is None else [activation()]))


def _divisible(channels: float) -> int:
    """The nearest multiple of 8 that does not lose more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded

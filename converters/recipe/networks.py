"""The networks that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ConvNetwork:
    """Plain 3 x 3 convolutions; see `converters.distill.convnet.ConvNet`.

    Attributes:
        width: Channels of the first stage; every further stage doubles them and halves the sides.
        blocks: Convolutions per stage.
    """

    width: int
    blocks: tuple[int, ...]
    kind: Literal["conv"] = "conv"


@dataclass(frozen=True)
class ResNetwork:
    """Residual blocks of two 3 x 3 convolutions; see `converters.distill.resnet.ResNet`.

    The defaults are MLPerf Tiny's ResNet8.

    Attributes:
        stem: Channels of the first convolution.
        widths: Channels per stage; every stage but the first halves the sides.
        blocks: Residual blocks per stage.
    """

    stem: int = 16
    widths: tuple[int, ...] = (16, 32, 64)
    blocks: tuple[int, ...] = (1, 1, 1)
    kind: Literal["resnet"] = "resnet"


@dataclass(frozen=True)
class SeparableNetwork:
    """Depthwise-separable convolutions; see `converters.distill.separable.SeparableNet`.

    Attributes:
        stem: Channels of the first convolution.
        widths: Channels per stage.
        blocks: Blocks per stage; a block is a depthwise and a pointwise convolution.
        stem_kernel: Rows and columns of the first convolution.
        stem_stride: Its steps down and across.
        residual: Add a block's input to its output where their shapes are the same.
        width: Factor on all channels, rounded to multiples of 8: the knob (Howard et al. 2017,
            arXiv:1704.04861, section 3.3).
    """

    stem: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    stem_kernel: tuple[int, ...] = (3, 3)
    stem_stride: tuple[int, ...] = (1, 1)
    residual: bool = True
    width: float = 1.0
    kind: Literal["ds-cnn"] = "ds-cnn"


@dataclass(frozen=True)
class MlpNetwork:
    """Linear layers with ReLU between them; see `converters.distill.mlp.Mlp`.

    Attributes:
        hidden: Width of each hidden layer.
    """

    hidden: tuple[int, ...]
    kind: Literal["mlp"] = "mlp"


@dataclass(frozen=True)
class FactoryNetwork:
    """A network of the user's: any function that returns an `nn.Module`.

    Attributes:
        factory: `package.module:function`, looked up beside the recipe first.
        arguments: Keyword arguments of the call.
    """

    factory: str
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    kind: Literal["factory"] = "factory"


Network = ConvNetwork | ResNetwork | SeparableNetwork | MlpNetwork | FactoryNetwork

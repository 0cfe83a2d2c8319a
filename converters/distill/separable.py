"""Depthwise-separable networks, for pictures and for audio."""

from __future__ import annotations

import torch
from torch import nn

from converters.distill.convnet import normed
from converters.recipe import SeparableNetwork

# Kernels work on groups of channels; a width between two multiples costs as much as the larger one.
_MULTIPLE = 8


class SeparableNet(nn.Module):
    """A convolution, then depthwise and pointwise ones in turns (Howard et al. 2017, arXiv:1704.04861).

    With a 10 x 4 first convolution at stride 2 and four blocks of one width it is the DS-CNN of Zhang
    et al. 2017 (arXiv:1711.07128, section 4.4), which MLPerf Tiny uses for key words.
    Input `(N, C, H, W) float32`, output `(N, classes) float32` logits.
    """

    def __init__(self, channels: int, classes: int, network: SeparableNetwork) -> None:
        super().__init__()
        inside = scaled(network.stem, network.width)
        rows, columns = network.stem_kernel
        down, across = network.stem_stride
        layers: list[nn.Module] = [normed(channels, inside, (rows, columns), (down, across)), nn.ReLU()]
        for stage, (width, blocks) in enumerate(zip(network.widths, network.blocks, strict=True)):
            outside = scaled(width, network.width)
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(_Block(inside, outside, stride, residual=network.residual))
                inside = outside
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inside, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def scaled(channels: int, width: float) -> int:
    """Return channels times the width factor as a multiple of 8, at least 8; factor 1 changes nothing."""
    if width == 1:
        return channels
    return max(_MULTIPLE, round(channels * width / _MULTIPLE) * _MULTIPLE)


class _Block(nn.Module):
    """A depthwise 3 x 3 and a pointwise convolution."""

    def __init__(self, inside: int, outside: int, stride: int, *, residual: bool) -> None:
        super().__init__()
        self.depthwise = normed(inside, inside, stride=stride, groups=inside)
        self.pointwise = normed(inside, outside, (1, 1))
        self.residual = residual and stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pointwise(torch.relu(self.depthwise(x)))
        return torch.relu(y + x if self.residual else y)

"""Residual networks."""

from __future__ import annotations

import torch
from torch import nn

from converters.distill.convnet import normed
from converters.recipe import ResNetwork


class ResNet(nn.Module):
    """Residual blocks of two 3 x 3 convolutions (He et al. 2015, arXiv:1512.03385, section 3.3).

    With the default recipe it is the ResNet8 of MLPerf Tiny (Banbury et al. 2021, arXiv:2106.07597):
    a shortcut that changes the shape is one 1 x 1 convolution with bias and without batch norm.
    Input `(N, C, H, W) float32`, output `(N, classes) float32` logits.
    """

    def __init__(self, channels: int, classes: int, network: ResNetwork) -> None:
        super().__init__()
        layers: list[nn.Module] = [normed(channels, network.stem), nn.ReLU()]
        inside = network.stem
        for stage, (width, blocks) in enumerate(zip(network.widths, network.blocks, strict=True)):
            for block in range(blocks):
                layers.append(_Block(inside, width, 2 if stage and not block else 1))
                inside = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inside, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


class _Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = normed(inside, outside, stride=stride)
        self.second = normed(outside, outside)
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))

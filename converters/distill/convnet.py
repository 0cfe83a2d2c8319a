"""Plain convolutional networks."""

from __future__ import annotations

import torch
from torch import nn

from converters.recipe import ConvNetwork


class ConvNet(nn.Module):
    """Stages of 3 x 3 convolutions with batch norm and ReLU, mean over the picture, one linear layer.

    Input `(N, C, H, W) float32`, output `(N, classes) float32` logits. The mean is written as such,
    not as adaptive pooling, so that both exporters keep a free batch.
    """

    def __init__(self, channels: int, classes: int, network: ConvNetwork) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = channels
        for stage, blocks in enumerate(network.blocks):
            outside = network.width * 2**stage
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers += [normed(inside, outside, stride=stride), nn.ReLU()]
                inside = outside
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inside, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def normed(
    inside: int,
    outside: int,
    kernel: tuple[int, int] = (3, 3),
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Return a convolution without bias that keeps the size at stride 1, and its batch norm."""
    rows, columns = kernel
    convolution = nn.Conv2d(
        inside, outside, kernel, stride, (rows // 2, columns // 2), groups=groups, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outside))

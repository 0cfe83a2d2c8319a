"""The networks that a recipe can name."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from converters.recipe import Network


class ConvNet(nn.Module):
    """Stages of 3 x 3 convolutions with batch norm and ReLU, mean over the picture, one linear layer.

    Input `(N, C, H, W) float32`, output `(N, classes) float32` logits. The mean is written as such,
    not as adaptive pooling, so that both exporters keep a free batch.
    """

    def __init__(self, channels: int, classes: int, network: Network) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = channels
        for stage, blocks in enumerate(network.blocks):
            outside = network.width * 2**stage
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers += [_Convolution(inside, outside, stride), nn.ReLU()]
                inside = outside
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inside, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits

    def folded(self) -> ConvNet:
        """Return a copy in evaluation mode with every batch norm folded into its convolution."""
        copy = ConvNet.__new__(ConvNet)
        nn.Module.__init__(copy)
        layers = [
            layer.folded() if isinstance(layer, _Convolution) else layer for layer in self.eval().features
        ]
        copy.features = nn.Sequential(*layers)
        copy.classifier = self.classifier
        return copy.eval()


def parameters(module: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters())


class _Convolution(nn.Module):
    """A 3 x 3 convolution and its batch norm."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.norm(self.convolution(x))
        return result

    def folded(self) -> nn.Conv2d:
        return fuse_conv_bn_eval(self.convolution, self.norm)

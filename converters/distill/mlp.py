"""Networks for tables."""

from __future__ import annotations

import torch
from torch import nn

from converters.recipe import MlpNetwork


class Mlp(nn.Module):
    """Linear layers with batch norm and ReLU between them.

    Input `(N, F) float32`, output `(N, classes) float32` logits.
    """

    def __init__(self, features: int, classes: int, network: MlpNetwork) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in network.hidden:
            layers += [nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            features = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classifier(self.features(x))
        return logits

"""The layer before the last, as an output of its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from converters.distill.catalogue import build
from converters.distill.folding import folded
from converters.export.penultimate import WithPenultimate
from converters.recipe import ConvNetwork, ResNetwork, SeparableNetwork, load_recipe
from edgeinfer.errors import ConversionError

DIGITS = "sample_apps/digits/recipe.toml"
SHAPE = (1, 8, 8)


@pytest.mark.parametrize(
    "network",
    [
        ConvNetwork(4, (1, 1)),
        ResNetwork(8, (8, 16), (1, 1)),
        SeparableNetwork(8, (8, 16), (1, 1)),
        None,
    ],
    ids=lambda network: network.kind if network else "the user's",
)
def test_the_logits_follow_from_what_is_given(network, request):
    recipe = load_recipe(request.config.rootpath / DIGITS)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))
    if network is not None:
        module = folded(build(network, 10, recipe).eval())
    items = torch.randn(5, *SHAPE)
    with torch.no_grad():
        logits, penultimate = WithPenultimate(module, SHAPE)(items)
        assert torch.equal(logits, module(items))
        last = [each for each in module.modules() if isinstance(each, nn.Linear)][-1]
        assert penultimate.shape == (5, 1, last.in_features)
        assert torch.equal(last(penultimate[:, 0]), logits)


class _Pooled(nn.Module):
    """Ends in a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(8, 8)
        self.last = nn.Conv2d(1, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inside(x)).mean((2, 3))


@pytest.mark.parametrize("module", [_Pooled(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1))])
def test_a_network_that_does_not_end_in_a_linear_layer_is_refused(module):
    with pytest.raises(ConversionError, match=r"no penultimate layer to project.*found 1 linear layers"):
        WithPenultimate(module.eval(), SHAPE)

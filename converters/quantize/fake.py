"""Fake quantization: float tensors whose values lie on an int8 grid, with gradients to train by.

Rounding has the gradient of the identity (straight-through estimator: Bengio et al. 2013, arXiv:1308.3432,
section 3). The grids are those that both quantizers make of the ranges they are given, so that training
sees the integers that will run.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from converters.quantize.weight_scales import LARGEST_WEIGHT, LEAST

_STEPS = 255
# Share of the old range in the moving average while ranges follow the data.
_MEMORY = 0.9
_SMALLEST_SCALE = 1e-8


class ActivationQuantizer(nn.Module):
    """Puts a tensor on an asymmetric grid of 256 steps that holds zero.

    First the range is a moving average of each batch's smallest and largest value. Then the zero point
    stays and the scale is learned as in LSQ (Esser et al. 2020, arXiv:1902.08153), by its logarithm so that it stays
    above zero and a step of the optimizer is relative.
    """

    low: torch.Tensor
    high: torch.Tensor
    zero_point: torch.Tensor
    seen: torch.Tensor
    settled: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        for name in ("low", "high", "zero_point", "settled"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.observing = True

    @property
    def scale(self) -> torch.Tensor:
        """Return the real size of a step."""
        return self.settled if float(self.settled) else self.log_scale.exp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor on the grid; before anything was observed, as it is."""
        if self.training and self.observing:
            self._observe(x.detach())
            return on_grid(x, self.scale.detach(), self.zero_point)
        if not int(self.seen):
            return x
        return on_grid(x, _scaled_gradient(self.scale, x[0].numel()), self.zero_point)

    def range(self) -> tuple[float, float]:
        """Return the smallest and largest value of the grid, as the quantizers take them."""
        if float(self.settled):
            return float(self.low), float(self.high)
        scale, zero_point = float(self.scale), float(self.zero_point)
        return -zero_point * scale, (_STEPS - zero_point) * scale

    @torch.no_grad()
    def settle(self) -> None:
        """End learning: fix the range in float32, and the scale to what the quantizers compute from it."""
        low, high = self.range()
        self.low.fill_(low)
        self.high.fill_(high)
        self.settled.fill_((float(self.high) - float(self.low)) / _STEPS)

    @torch.no_grad()
    def _observe(self, x: torch.Tensor) -> None:
        low, high = x.min(), x.max()
        if int(self.seen):
            low = _MEMORY * self.low + (1 - _MEMORY) * low
            high = _MEMORY * self.high + (1 - _MEMORY) * high
        self.low.copy_(low)
        self.high.copy_(high)
        self.seen += 1
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale = ((high - low) / _STEPS).clamp(min=_SMALLEST_SCALE)
        self.log_scale.copy_(scale.log())
        self.zero_point.copy_(torch.round(-low / scale).clamp(0, _STEPS))


class QuantizedLayer(nn.Module):
    """A layer whose weights lie on a symmetric grid per output channel and whose bias lies on the sum's.

    The grid of a channel's weights is `max|w| / 127`. The bias is stored in int32 on the product of that and the
    scale of the layer's input.
    """

    def __init__(self, layer: nn.Module, given: ActivationQuantizer | None) -> None:
        super().__init__()
        self.layer = layer
        # In a tuple, so that it is no child: it already is one of the network.
        self._given = (given,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer gives for an input on its grid."""
        weight, bias = self.layer.weight, self.layer.bias
        assert isinstance(weight, torch.Tensor)
        scale = weight_scale(self.layer)
        values = {"weight": _round(weight / scale) * scale}
        (given,) = self._given
        if isinstance(bias, torch.Tensor) and given is not None and int(given.seen):
            grid = scale.flatten() * given.scale.detach()
            values["bias"] = _round(bias / grid) * grid
        result: torch.Tensor = functional_call(self.layer, values, (x,))
        return result


def on_grid(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor) -> torch.Tensor:
    """Return `round(clip(x / s, -z, 255 - z)) * s`: Esser et al. 2020, equations 1 and 2.

    Its gradient to the scale is that of equation 3: `round(x/s) - x/s` inside, the bound outside.
    """
    result: torch.Tensor = _OnGrid.apply(x, scale, float(zero_point))  # type: ignore[no-untyped-call]
    return result


class _OnGrid(torch.autograd.Function):
    """Few passes over the tensor, most in place: training for int8 spends much of its time here."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, zero_point: float) -> torch.Tensor:
        ctx.save_for_backward(x, scale)
        ctx.zero_point = zero_point
        return (x / scale).clamp_(-zero_point, _STEPS - zero_point).round_().mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,), (x, scale) = gradients, ctx.saved_tensors
        ratio = x / scale
        clipped = ratio.clamp(-ctx.zero_point, _STEPS - ctx.zero_point)
        inside = ratio == clipped
        passed = gradient * inside
        if not ctx.needs_input_grad[1]:
            return passed, None, None
        # round(r) - r inside, the bound outside.
        own = clipped.round_().sub_(ratio.mul_(inside)).mul_(gradient).sum()
        return passed, own, None


@torch.no_grad()
def weight_scale(layer: nn.Module) -> torch.Tensor:
    """Return `max|w| / 127` per output channel, shaped to divide the weight; of at least 1e-9 / 127.

    The files' scale is larger where the bias would not fit int32. A bias is exact to 24 bits on either grid, and
    weights so much smaller than it count on neither.
    """
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    axis = 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0
    others = [each for each in range(weight.ndim) if each != axis]
    largest = weight.abs().amax(others, keepdim=True)
    return largest.clamp(min=LEAST) / LARGEST_WEIGHT


def _round(x: torch.Tensor) -> torch.Tensor:
    return x + (torch.round(x) - x).detach()


def _scaled_gradient(scale: torch.Tensor, count: int) -> torch.Tensor:
    """Return the scale with its gradient times `1 / sqrt(count * steps)` (Esser et al. 2020, section 2.2)."""
    factor = 1 / math.sqrt(count * _STEPS)
    return scale * factor + (scale * (1 - factor)).detach()

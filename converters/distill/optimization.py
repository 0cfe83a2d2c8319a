"""Optimizers and schedules by the names that a recipe uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from converters.recipe import Training


def optimization(module: nn.Module, how: Training, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Return an optimizer of a module's parameters and its schedule, to be advanced after every step.

    Weights decay; biases and the scales of norms, which have one axis, do not.

    Args:
        module: What is trained.
        how: Names and values.
        steps: Length of the training.
    """
    parameters = [each for each in module.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": how.weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if how.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, how.learning_rate)
    else:
        optimizer = torch.optim.SGD(groups, how.learning_rate, momentum=0.9, nesterov=True)
    if how.schedule == "one-cycle":
        # The rate rises over one step at least: torch divides by the steps of each phase.
        warmup = min(1.0, max(how.warmup, 2 / (steps + 1)))
        return optimizer, OneCycleLR(optimizer, how.learning_rate, total_steps=steps + 1, pct_start=warmup)
    return optimizer, LambdaLR(optimizer, lambda step: cosine(step, steps, how.warmup))


def average_of(decay: float) -> Callable[..., None]:
    """Return the exponential moving average of weights: `average * d + weights * (1 - d)`.

    `d` is `min(decay, (1 + n) / (10 + n))` at the n-th update, as TensorFlow's ExponentialMovingAverage
    has it: the first weights, which know nothing, are forgotten soon.

    Args:
        decay: Largest d, 0..1.
    """

    @torch.no_grad()
    def update(
        averages: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], updates: torch.Tensor
    ) -> None:
        count = int(updates)
        share = 1 - min(decay, (1 + count) / (10 + count))
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight, share)
            else:
                average.copy_(weight)

    return update


def cosine(step: int, steps: int, warmup: float) -> float:
    """Return the factor on the peak rate: linear up, then half a cosine down to 0.

    Loshchilov & Hutter 2016 (arXiv:1608.03983), eq. 5 with one period.
    """
    rising = round(steps * warmup)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

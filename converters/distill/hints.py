"""Inner layers of the student that follow the teacher's."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from converters.distill.training import Batch, Loss
from converters.recipe import Hint
from edgeinfer.errors import RecipeError


class Hints(nn.Module):
    """The terms that a recipe's hints add to a loss; holds the maps that are learned for them.

    The teacher runs on every batch, since its features of all views would not fit anywhere.
    """

    def __init__(
        self, hints: tuple[Hint, ...], student: nn.Module, teacher: nn.Module, inputs: torch.Tensor
    ) -> None:
        """Watch both networks' layers and size the maps between them.

        Args:
            hints: Which follow which.
            student: The network to train.
            teacher: Gives logits; its layers keep their names.
            inputs: `(n, ...) float32` inputs to try both on.

        Raises:
            RecipeError: A layer is not there, or its features cannot be compared.
        """
        super().__init__()
        self._hints, self._seen = hints, dict[tuple[str, str], torch.Tensor]()
        # Not a submodule: it is not trained, and no part of a checkpoint.
        self._teacher = [teacher.requires_grad_(False)]
        for hint in hints:
            self._watch("student", student, hint.student)
            self._watch("teacher", teacher, hint.teacher)
        with torch.no_grad():
            student.eval()(inputs)
            teacher(inputs)
        self.maps = nn.ModuleList([self._map(hint) for hint in hints])

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the sum of the terms, after the student ran on the batch."""
        with torch.no_grad():
            self._teacher[0].to(batch.inputs.device)(batch.inputs)
        total = torch.zeros((), device=batch.inputs.device)
        for hint, each in zip(self._hints, self.maps, strict=True):
            own = self._seen["student", hint.student].float()
            wanted = self._seen["teacher", hint.teacher].float().detach()
            term = _hint_loss(each(own), wanted) if hint.kind == "hint" else attention_loss(own, wanted)
            total = total + hint.weight * term
        return total

    def _watch(self, who: str, network: nn.Module, name: str) -> None:
        modules = dict(network.named_modules())
        if name not in modules:
            known = ", ".join(list(filter(None, modules))[:12])
            what = f"student.hints: no layer {name!r} in the {who}"
            raise RecipeError(
                what, found=known, expected="one of its layers", next_step="name one as named_modules() does"
            )

        def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            self._seen[who, name] = output

        modules[name].register_forward_hook(keep)

    def _map(self, hint: Hint) -> nn.Module:
        own, wanted = self._seen["student", hint.student], self._seen["teacher", hint.teacher]
        if own.ndim != wanted.ndim or own.ndim not in (2, 4):
            found = f"{tuple(own.shape)} and {tuple(wanted.shape)}"
            raise RecipeError(
                "student.hints: features that cannot be compared",
                found=found,
                expected="(N, C, H, W) or (N, C) of both",
                next_step="name layers of the same kind",
            )
        if hint.kind == "attention":
            if own.ndim != 4:
                raise RecipeError(
                    "student.hints: attention",
                    found=tuple(own.shape),
                    expected="(N, C, H, W) features",
                    next_step='name convolutions, or take kind = "hint"',
                )
            return nn.Identity()
        inside, outside = own.shape[1], wanted.shape[1]
        return nn.Conv2d(inside, outside, 1) if own.ndim == 4 else nn.Linear(inside, outside)


def with_hints(loss: Loss, hints: Hints) -> Loss:
    """Return a loss that adds the hints' terms to another."""
    return lambda batch, given: loss(batch, given) + hints(batch)


def attention_loss(own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of attention maps.

    After Zagoruyko & Komodakis 2016 (arXiv:1612.03928), eq. 2, with the square of its distance, whose gradient
    vanishes where the maps are equal, and without its factor of a half.

    Args:
        own: `(N, C, H, W)` features of the student.
        wanted: `(N, C', H', W')` of the teacher; pooled to the student's size where it is larger.
    """
    wanted = _pooled(wanted, own.shape[2:])
    maps = [F.normalize(each.pow(2).mean(1).flatten(1), dim=1) for each in (own, wanted)]
    return (maps[0] - maps[1]).pow(2).sum(1).mean()


def _hint_loss(mapped: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return half the mean square (Romero et al. 2014, arXiv:1412.6550, eq. 3)."""
    if mapped.ndim == 4:
        wanted = _pooled(wanted, mapped.shape[2:])
    return 0.5 * F.mse_loss(mapped, wanted)


def _pooled(features: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return features if features.shape[2:] == size else F.adaptive_avg_pool2d(features, (size[0], size[1]))

"""The student step: a small network learns from the teacher's answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from converters.data.dataset import load_record
from converters.distill.networks import ConvNet
from converters.distill.teacher import load_teacher
from converters.distill.training import Loss, course, train
from converters.recipe import Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode


def distillation_loss(
    teacher: Callable[[torch.Tensor], torch.Tensor], temperature: float, weight: float
) -> Loss:
    """Return the loss of Hinton et al. 2015 (arXiv:1503.02531, section 2).

    `weight * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - weight) * CE(student, labels)`,
    the mean over the batch; `T^2` keeps the gradient of the first term at the size of the second's.

    Args:
        teacher: From inputs to logits, without a gradient.
        temperature: T, above 0.
        weight: Of the teacher's answers, 0..1.
    """

    def loss(inputs: torch.Tensor, labels: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        wanted = F.log_softmax(teacher(inputs) / temperature, dim=1)
        soft = F.log_softmax(given / temperature, dim=1)
        divergence = F.kl_div(soft, wanted, reduction="batchmean", log_target=True)
        return weight * temperature**2 * divergence + (1 - weight) * F.cross_entropy(given, labels)

    return loss


def load_student(recipe: Recipe, classes: int, path: Path) -> ConvNet:
    """Return the trained student in evaluation mode, batch norms folded: what was exported."""
    network = ConvNet(recipe.input.channels, classes, recipe.student.network)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.folded()


def _settings(recipe: Recipe) -> object:
    return {
        "input": encode(recipe.input),
        "student": encode(recipe.student),
        "augment": encode(recipe.augment),
        "seed": recipe.seed,
    }


def _run(context: Context) -> None:
    recipe, student = context.recipe, context.recipe.student
    classes = len(load_record(context.needs).classes)
    torch.manual_seed(recipe.seed + 1)
    network = ConvNet(recipe.input.channels, classes, student.network)
    teacher = load_teacher(context.needs["teacher.pt2"])
    loss = distillation_loss(teacher, student.temperature, student.distillation_weight)
    train(
        network, course(context, student.training, recipe.seed + 1), loss, context, "distilling the student"
    )
    torch.save(network.state_dict(), context.give("student.pt"))


STUDENT = Step(
    "student", ("items.npy", "splits.npz", "data.json", "teacher.pt2"), ("student.pt",), _settings, _run
)

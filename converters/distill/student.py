"""The student step: a small network learns from the teacher's answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from converters.data.dataset import load_record, load_split
from converters.distill.answers import VIEWS, load_views, training_views
from converters.distill.architecture import ARCHITECTURE, load_architecture
from converters.distill.catalogue import build, source_of
from converters.distill.compute import in_key
from converters.distill.folding import folded
from converters.distill.hints import Hints, with_hints
from converters.distill.losses import distillation_loss
from converters.distill.teacher import ARCHIVE, load_members
from converters.distill.teachers import load_module
from converters.distill.training import Course, Epoch, save_history, train
from converters.recipe import FactoryNetwork, Network, Recipe, Training
from converters.steps import Context, Step
from edgeinfer.bundle import decode, encode
from edgeinfer.preprocess import Preprocessor


@dataclass(frozen=True)
class _Built:
    network: Network


def load_student(recipe: Recipe, classes: int, path: Path) -> nn.Module:
    """Return the trained student in evaluation mode, batch norms folded: what was exported."""
    return folded(load_network(recipe, classes, path))


def load_network(recipe: Recipe, classes: int, path: Path) -> nn.Module:
    """Return the trained student as its network is written."""
    saved = torch.load(path, weights_only=True)
    network = decode(_Built, {"network": json.loads(saved["network"])}, where=path.name).network
    module = build(network, classes, recipe)
    module.load_state_dict(saved["weights"])
    return module


def distilled(
    context: Context, network: Network, how: Training, title: str
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    """Train a network from the teacher's answers and return it with its history.

    Args:
        context: Of a step that needs the data's, the teacher's and the answers' artifacts.
        network: Its architecture.
        how: Its training.
        title: Of the bar.
    """
    recipe, student = context.recipe, context.recipe.student
    torch.manual_seed(recipe.seed + 1)
    module = build(network, len(load_record(context.needs).classes), recipe)
    answers = load_views(context.needs[VIEWS])
    loss = distillation_loss(answers, student.temperature, student.distillation_weight)
    course = Course(
        training_views(context),
        len(answers),
        load_split(context.needs, "validation"),
        Preprocessor(recipe.input.steps()),
        how,
        recipe.seed + 1,
    )
    if not student.hints:
        return module, train(module, course, loss, context, title)
    ((_, data),) = load_members(context.needs[ARCHIVE])
    teacher = load_module(data, context.scratch / "student.log")
    hints = Hints(student.hints, module, teacher, torch.zeros(2, *recipe.input.shape))
    return module, train(module, course, with_hints(loss, hints), context, title, hints)


def _settings(recipe: Recipe) -> object:
    network = recipe.student.network
    settings = {
        "input": encode(recipe.input.of_items()),
        "student": encode(recipe.student),
        "precision": in_key(recipe.student.training.precision),
        "augment": encode(recipe.augment),
        "seed": recipe.seed,
    }
    if isinstance(network, FactoryNetwork):
        settings["source"] = source_of(network.factory, Path(recipe.folder))
    return settings


def _run(context: Context) -> None:
    student = context.recipe.student
    network = load_architecture(context.needs[ARCHITECTURE]).network
    module, history = distilled(context, network, student.training, "distilling the student")
    saved = {"network": json.dumps(encode(network)), "weights": module.state_dict()}
    torch.save(saved, context.give("student.pt"))
    save_history(history, context.give("history.json"))


STUDENT = Step(
    "student",
    ("items.npy", "splits.npz", "data.json", ARCHIVE, VIEWS, ARCHITECTURE),
    ("student.pt", "history.json"),
    _settings,
    _run,
    units=lambda recipe: float(recipe.student.training.epochs),
)

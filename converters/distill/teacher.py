"""The teacher step: load what the user has, or train one. Either way it ends as one `.pt2` file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from converters.data.dataset import check_classes, load_record
from converters.distill.networks import ConvNet
from converters.distill.training import course, train
from converters.quiet import logged
from converters.recipe import LARGEST_BATCH, Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode
from edgeinfer.errors import ConversionError, RecipeError


def load_teacher(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function from `(N, C, H, W) float32` to `(N, classes) float32` logits.

    Raises:
        ConversionError: The file is not one that `torch.export.save` wrote.
    """
    try:
        with logged(path.with_name("teacher.log")):
            module = torch.export.load(path).module()
    except Exception as error:  # its readers raise many types
        raise ConversionError(
            f"cannot load the teacher ({error})",
            next_step="write it with torch.export.save(program, path)",
        ) from error

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = module(inputs)
        return result

    return answer


def teacher_parameters(path: Path) -> int:
    """Return the number of the teacher's trainable values."""
    return sum(value.numel() for value in torch.export.load(path).parameters())


def _settings(recipe: Recipe) -> object:
    teacher = recipe.teacher
    if teacher.path is None:
        return {
            "input": encode(recipe.input),
            "teacher": encode(teacher),
            "augment": encode(recipe.augment),
            "seed": recipe.seed,
        }
    state = _existing(recipe, teacher.path).stat()
    return {"input": encode(recipe.input), "size": state.st_size, "modified": state.st_mtime_ns}


def _existing(recipe: Recipe, path: str) -> Path:
    resolved = recipe.resolve(path)
    if not resolved.is_file():
        raise RecipeError("recipe.teacher.path", found=f"no file at {resolved}", next_step="check the path")
    return resolved


def _run(context: Context) -> None:
    recipe = context.recipe
    if recipe.teacher.path is not None:
        shutil.copyfile(_existing(recipe, recipe.teacher.path), context.give("teacher.pt2"))
    else:
        _train(context)
    _check(context)


def _train(context: Context) -> None:
    recipe, record = context.recipe, load_record(context.needs)
    network, how = recipe.teacher.network, recipe.teacher.training
    assert network is not None, "check_recipe"
    assert how is not None, "check_recipe"
    torch.manual_seed(recipe.seed)
    module = ConvNet(recipe.input.channels, len(record.classes), network)
    train(
        module,
        course(context, how, recipe.seed),
        lambda _, labels, given: F.cross_entropy(given, labels),
        context,
        "training the teacher",
    )
    example = torch.zeros(2, recipe.input.channels, recipe.input.height, recipe.input.width)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    program = torch.export.export(module, (example,), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, context.give("teacher.pt2"))


def _check(context: Context) -> None:
    input_ = context.recipe.input
    teacher = load_teacher(context.give("teacher.pt2"))
    expected = f"(N, {input_.channels}, {input_.height}, {input_.width}) float32 with a free N"
    try:
        given = teacher(torch.zeros(3, input_.channels, input_.height, input_.width))
    except Exception as error:  # whatever the user's graph raises
        raise ConversionError(
            f"the teacher does not take a batch of 3 of the recipe's input ({error})",
            expected=expected,
            next_step="export it with a generous torch.export.Dim for the batch, or change [input]",
        ) from error
    if (
        not isinstance(given, torch.Tensor)
        or given.ndim != 2
        or len(given) != 3
        or not given.is_floating_point()
    ):
        found = (
            f"{given.dtype} {tuple(given.shape)}" if isinstance(given, torch.Tensor) else type(given).__name__
        )
        raise ConversionError(
            "the teacher's answer for a batch of 3", found=found, expected="float logits (3, classes)"
        )
    if not torch.isfinite(given).all():
        raise ConversionError(
            "the teacher's answer for a black picture", found="NaN or infinite", expected="logits"
        )
    check_classes(given.shape[1], load_record(context.needs), "teacher")


TEACHER = Step("teacher", ("items.npy", "splits.npz", "data.json"), ("teacher.pt2",), _settings, _run)

"""The training loop: one seed, one schedule, a checkpoint after every epoch.

An epoch's randomness depends on the seed and its number alone, so that a run killed at any moment
goes on from the last whole epoch to the very weights it would have had, given as many processors:
how many threads share a sum decides how it is rounded.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from converters.data.augment import augment
from converters.data.dataset import Examples, load_split
from converters.recipe import Augment, Training
from converters.steps import Context
from edgeinfer.host import atomic_file, usable_cpus
from edgeinfer.preprocess import Preprocessor

# (inputs, labels, epoch's network outputs) to a scalar.
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
_EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Course:
    """What a network learns from, and how.

    Attributes:
        training: The training split.
        validation: The split whose accuracy is shown after each epoch; nothing is chosen by it.
        preprocess: The specification; its tensor half runs on every batch.
        augment: Variation of the training pictures.
        how: Length, batch size and schedule.
        seed: Seed of order and variation.
    """

    training: Examples
    validation: Examples
    preprocess: Preprocessor
    augment: Augment
    how: Training
    seed: int


def course(context: Context, how: Training, seed: int) -> Course:
    """Return the course of a step that has the data step's artifacts."""
    recipe = context.recipe
    return Course(
        load_split(context.needs, "train"),
        load_split(context.needs, "validation"),
        Preprocessor(recipe.input.steps()),
        recipe.augment,
        how,
        seed,
    )


def train(network: nn.Module, course: Course, loss: Loss, context: Context, title: str) -> None:
    """Train a network in place, from the step's checkpoint if there is one.

    Args:
        network: Takes the preprocessed batch, gives logits.
        course: What it learns from.
        loss: From inputs, labels and logits to the scalar to minimise.
        context: Gives the place of the checkpoint, and where to show the bar.
        title: The bar's title.
    """
    torch.set_num_threads(usable_cpus())
    how, training, checkpoint = course.how, course.training, context.scratch / "checkpoint.pt"
    steps = max(1, len(training.labels) // how.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), how.learning_rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.learning_rate, total_steps=how.epochs * steps + 1
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    first = _restore(checkpoint, parts)
    with context.report.bar(title, how.epochs, done=first) as bar:
        for epoch in range(first, how.epochs):
            generator = torch.Generator().manual_seed(course.seed * 1_000_003 + epoch)
            network.train()
            order = torch.randperm(len(training.labels), generator=generator)
            for step in range(steps):
                chosen = order[step * how.batch_size : (step + 1) * how.batch_size].numpy()
                varied = augment(training.items[chosen], course.augment, generator)
                inputs = torch.from_numpy(course.preprocess.tensors(varied))
                value = loss(inputs, torch.from_numpy(training.labels[chosen]), network(inputs))
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            _save(checkpoint, parts, epoch + 1)
            accuracy = _accuracy(network, course.validation, course.preprocess)
            bar.advance(note=f"validation {accuracy:.1%}")
    network.eval()


def logits(
    network: Callable[[torch.Tensor], torch.Tensor], examples: Examples, preprocess: Preprocessor
) -> NDArray[np.float32]:
    """Return `(N, classes) float32` logits of a split, without augmentation."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(examples.labels), _EVALUATION_BATCH):
            batch = preprocess.tensors(examples.items[start : start + _EVALUATION_BATCH])
            parts.append(network(torch.from_numpy(batch)).numpy())
    return np.concatenate(parts)


def _accuracy(network: nn.Module, examples: Examples, preprocess: Preprocessor) -> float:
    network.eval()
    named = logits(network, examples, preprocess).argmax(1)
    return float((named == examples.labels).mean())


def _save(path: Path, parts: dict[str, object], epoch: int) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    torch.save({"epoch": epoch, **state}, buffer)
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def _restore(path: Path, parts: dict[str, object]) -> int:
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
    except Exception:  # a damaged checkpoint is none: torch's readers raise many types
        return 0
    for name, part in parts.items():
        part.load_state_dict(state[name])  # type: ignore[attr-defined]
    return int(state["epoch"])

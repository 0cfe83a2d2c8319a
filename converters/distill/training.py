"""The training loop: one seed, one schedule, a checkpoint after every epoch.

An epoch's randomness depends on the seed and its number alone, so that a run killed at any moment
goes on from the last whole epoch to the very weights it would have had, given as many processors:
how many threads share a sum decides how it is rounded.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from converters.data.dataset import Examples
from converters.distill.compute import arithmetic, device, laid_out
from converters.distill.optimization import average_of, optimization
from converters.distill.views import Chunk, Views
from converters.recipe import Training
from converters.steps import Context
from edgeinfer.bundle import decode, encode
from edgeinfer.host import atomic_file
from edgeinfer.preprocess import Preprocessor

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        inputs: Preprocessed tensors.
        labels: `(n,) int64` classes; -1 where there is none.
        partners: `(n,) int64` classes of what was blended in.
        shares: `(n,) float32` share of the item itself.
        view: Number of the view.
        places: `(n,) int64` places within the view.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    partners: torch.Tensor
    shares: torch.Tensor
    view: int
    places: torch.Tensor


# From a batch and the network's `(n, classes)` float32 logits to the scalar to minimise.
Loss = Callable[[Batch, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Course:
    """What a network learns from, and how.

    Attributes:
        views: Variations of the training split.
        cycle: After how many views they come again; None for new ones in every epoch.
        validation: The split whose accuracy is shown after each epoch; nothing is chosen by it.
        preprocess: The specification; its tensor half runs on every batch.
        how: Length, batch size and schedule.
        seed: Seed of the order.
    """

    views: Views
    cycle: int | None
    validation: Examples
    preprocess: Preprocessor
    how: Training
    seed: int


@dataclass(frozen=True)
class Epoch:
    """What is known after an epoch: mean loss of its steps, and accuracy on validation (0..1)."""

    epoch: int
    loss: float
    validation: float


def save_history(history: tuple[Epoch, ...], path: Path) -> None:
    """Write the epochs of a training."""
    path.write_text(json.dumps([encode(each) for each in history]))


def load_history(path: Path) -> tuple[Epoch, ...]:
    """Return the epochs of a training."""
    return tuple(decode(Epoch, each, where=path.name) for each in json.loads(path.read_text()))


def train(
    network: nn.Module,
    course: Course,
    loss: Loss,
    context: Context,
    title: str,
    extra: nn.Module | None = None,
) -> tuple[Epoch, ...]:
    """Train a network in place, from the step's checkpoint if there is one.

    Args:
        network: Takes the preprocessed batch, gives logits.
        course: What it learns from.
        loss: What to minimise.
        context: Gives the place of the checkpoint, and where to show the bar.
        title: The bar's title.
        extra: Parameters of the loss that are trained along.

    Returns:
        The history, one entry an epoch.
    """
    how, checkpoint, place = course.how, context.scratch / "checkpoint.pt", device()
    network.to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = nn.ModuleList([network] if extra is None else [network, extra.to(place)])
    steps = max(1, len(course.views) // how.batch_size)
    optimizer, schedule = optimization(trained, how, how.epochs * steps)
    average = AveragedModel(network, multi_avg_fn=average_of(how.ema), use_buffers=True)
    parts = {"trained": trained, "optimizer": optimizer, "schedule": schedule, "average": average}
    history = _restore(checkpoint, parts)
    kept = average.module if how.ema else network
    with context.report.bar(title, how.epochs, done=len(history)) as bar:
        for epoch in range(len(history), how.epochs):
            torch.manual_seed(course.seed * 1_000_003 + epoch)
            trained.train()
            total = torch.zeros((), device=place)
            for batch in itertools.islice(_batches(course, epoch, place), steps):
                with arithmetic(how.precision):
                    given = network(batch.inputs)
                value = loss(batch, given.float())
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                if how.ema:
                    average.update_parameters(network)
                total += value.detach()
            accuracy = _accuracy(kept, course, place)
            history = (*history, Epoch(epoch + 1, float(total) / steps, accuracy))
            _save(checkpoint, parts, history)
            bar.advance(note=f"validation {accuracy:.1%}")
    network.load_state_dict(kept.state_dict())
    network.to("cpu").to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return history


def logits(
    network: Callable[[torch.Tensor], torch.Tensor], pictures: Examples, preprocess: Preprocessor
) -> NDArray[np.float32]:
    """Return `(N, classes) float32` logits of a split, without augmentation."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(pictures.labels), EVALUATION_BATCH):
            batch = preprocess.tensors(pictures.items[start : start + EVALUATION_BATCH])
            parts.append(network(torch.from_numpy(batch)).numpy())
    return np.concatenate(parts)


def _batches(course: Course, epoch: int, place: torch.device) -> Iterator[Batch]:
    """Give the whole batches of an epoch; where there is none, one of all items."""
    view = epoch if course.cycle is None else epoch % course.cycle
    size, shuffling = course.how.batch_size, np.random.default_rng([course.seed, epoch])
    order = shuffling.permutation(course.views.chunk_count)
    left: list[tuple[NDArray[Any], ...]] = []
    for chunk in course.views.chunks(view, order):
        columns = _columns(chunk, shuffling.permutation(len(chunk.labels)))
        if left:
            columns = tuple(np.concatenate(pair) for pair in zip(left.pop(), columns, strict=True))
        whole = len(columns[1]) // size * size
        for start in range(0, whole, size):
            yield _batch(course, view, tuple(each[start : start + size] for each in columns), place)
        left.append(tuple(each[whole:] for each in columns))
    if len(course.views) < size:
        yield _batch(course, view, left.pop(), place)


def _columns(chunk: Chunk, order: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    return (
        chunk.items[order],
        chunk.labels[order],
        chunk.partners[order],
        chunk.shares[order],
        chunk.start + order,
    )


def _batch(course: Course, view: int, columns: tuple[NDArray[Any], ...], place: torch.device) -> Batch:
    items, *others = columns
    inputs = torch.from_numpy(course.preprocess.tensors(items))
    labels, partners, shares, places = (torch.from_numpy(np.ascontiguousarray(each)) for each in others)
    return Batch(
        laid_out(inputs).to(place), labels.to(place), partners.to(place), shares.to(place), view, places
    )


def _accuracy(network: nn.Module, course: Course, place: torch.device) -> float:
    network.eval()

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = network(laid_out(inputs).to(place)).float().cpu()
        return result

    with arithmetic(course.how.precision):
        named = logits(answer, course.validation, course.preprocess).argmax(1)
    return float((named == course.validation.labels).mean())


def _save(path: Path, parts: dict[str, Any], history: tuple[Epoch, ...]) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    epochs = [(each.epoch, each.loss, each.validation) for each in history]
    buffer = io.BytesIO()
    torch.save({"history": epochs, **state}, buffer)
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def _restore(path: Path, parts: dict[str, Any]) -> tuple[Epoch, ...]:
    if not path.exists():
        return ()
    try:
        state = torch.load(path, weights_only=True)
    except Exception:  # a damaged checkpoint is none: torch's readers raise many types
        return ()
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return tuple(Epoch(*each) for each in state["history"])

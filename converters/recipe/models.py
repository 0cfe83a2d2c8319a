"""The teacher and student sections of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

# torch.export fixes the batch unless it is given a range; this is the range we give.
LARGEST_BATCH = 4096


@dataclass(frozen=True)
class Network:
    """A plain convolutional network; see `converters.distill.networks.ConvNet`.

    Attributes:
        width: Channels of the first stage; every further stage doubles them and halves the sides.
        blocks: Convolutions per stage.
    """

    width: int
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class Training:
    """How a network is trained: AdamW under a one-cycle schedule.

    Attributes:
        epochs: Passes over the training pictures.
        batch_size: Items a step.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled weight decay.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 0.004
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Teacher:
    """The model to learn from: a file that `torch.export.save` wrote, or a network trained first.

    Attributes:
        path: The `.pt2` file, relative to the recipe. It takes the recipe's input and gives logits.
        network: The network to train where there is no file.
        training: How.
    """

    path: str | None = None
    network: Network | None = None
    training: Training | None = None


@dataclass(frozen=True)
class Student:
    """The model to ship.

    Attributes:
        network: Its architecture.
        training: How it is trained.
        temperature: Softening of both distributions (Hinton et al. 2015, arXiv:1503.02531, section 2).
        distillation_weight: Weight of the teacher's answers in the loss, the rest is the labels'.
    """

    network: Network
    training: Training
    temperature: float = 3.0
    distillation_weight: float = 0.9

"""The teacher and student sections of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from converters.recipe.networks import Network

# torch.export fixes the batch unless it is given a range; this is the range we give.
LARGEST_BATCH = 4096


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training items.
        batch_size: Items a step.
        learning_rate: Peak of the schedule.
        weight_decay: Of weight matrices and kernels; decoupled from the gradient under AdamW.
        optimizer: `adamw` (Loshchilov & Hutter 2017, arXiv:1711.05101), or `sgd` with Nesterov momentum 0.9.
        schedule: `one-cycle` (Smith & Topin 2017, arXiv:1708.07120), or `cosine` (Loshchilov & Hutter
            2016, arXiv:1608.03983, eq. 5, one period) after a warm-up.
        warmup: Share of the steps in which the rate rises to its peak.
        ema: Decay a step of the average of weights that is kept as the result; 0 keeps the last weights.
        precision: `fp32`; `bf16` for layers that profit; `auto` takes bf16 where the processor computes
            in it. The precision used is part of the step's key.
    """

    epochs: int
    batch_size: int = 64
    learning_rate: float = 0.004
    weight_decay: float = 0.01
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    warmup: float = 0.3
    ema: float = 0.0
    precision: Literal["fp32", "bf16", "auto"] = "fp32"


@dataclass(frozen=True)
class Member:
    """One model of an ensemble; exactly one of `path`, `factory` and `logits`.

    Attributes:
        path: A `.pt2` file that `torch.export.save` wrote, or an `.onnx` file, relative to the recipe. It
            takes the recipe's input and gives logits.
        factory: `package.module:function` that returns an `nn.Module` with its weights.
        arguments: Keyword arguments of the factory.
        logits: An `.npz` file of stored answers: `sha256` (N texts, digests of the items' files) and
            `logits` (N, classes).
    """

    path: str | None = None
    factory: str | None = None
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    logits: str | None = None


@dataclass(frozen=True)
class Teacher:
    """What to learn from: models that are there, stored answers, or a network trained first.

    Attributes:
        path: As a member's.
        factory: As a member's.
        arguments: As a member's.
        logits: As a member's.
        members: An ensemble instead of one: the mean of their probabilities.
        network: The network to train where nothing is given.
        training: How.
        views: Seeded variations of each training item that are answered once and then kept.
        mirror: Average each answer with that for the mirrored picture.
        precision: As a training's, for `.pt2` files and modules.
    """

    path: str | None = None
    factory: str | None = None
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    logits: str | None = None
    members: tuple[Member, ...] = ()
    network: Network | None = None
    training: Training | None = None
    views: int = 16
    mirror: bool = False
    precision: Literal["fp32", "bf16", "auto"] = "fp32"

    def given(self) -> tuple[Member, ...]:
        """Return the models that are there; empty where one is trained."""
        if self.members:
            return self.members
        own = Member(self.path, self.factory, self.arguments, self.logits)
        return () if own == Member() else (own,)


@dataclass(frozen=True)
class Hint:
    """A layer of the student that follows one of the teacher's; the teacher must be one `.pt2` or module.

    Attributes:
        student: Name of the student's module, for example `features.3`.
        teacher: Name of the teacher's module.
        kind: `hint` compares features after a learned 1 x 1 map (Romero et al. 2014, arXiv:1412.6550, eq. 3);
            `attention` compares maps of where activations are large (Zagoruyko & Komodakis 2016,
            arXiv:1612.03928, eq. 2).
        weight: Factor of the term in the loss.
    """

    student: str
    teacher: str
    kind: Literal["hint", "attention"] = "attention"
    weight: float = 1.0


@dataclass(frozen=True)
class Budget:
    """Limits from which the architecture is chosen by measurement.

    Every width of every family that fits is found by exporting and quantizing it; the largest of each
    depth are trained for a few epochs, and the best on validation is taken.

    Attributes:
        max_bytes: Most bytes of each int8 file.
        max_latency_ms: Most time of one run of the fastest int8 file, one thread, here.
        families: Networks to scale: their widths are multiplied; every entry is another depth or kind.
        trial_epochs: Epochs of each trial.
        trials: Most candidates that are trained.
        shares: Shares of the limits that each family is scaled to: more than one show what size buys.
    """

    families: tuple[Network, ...]
    max_bytes: int | None = None
    max_latency_ms: float | None = None
    trial_epochs: int = 8
    trials: int = 6
    shares: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Student:
    """The model to ship.

    Attributes:
        training: How it is trained.
        network: Its architecture; or `budget`.
        budget: Limits to choose an architecture by.
        temperature: Softening of both distributions (Hinton et al. 2015, arXiv:1503.02531, section 2).
        distillation_weight: Weight of the teacher's answers in the loss, the rest is the labels'.
        hints: Inner layers that follow the teacher's.
        mixup: Parameter of the Beta distribution by which two items are blended (Zhang et al. 2017,
            arXiv:1710.09412, section 2); 0 blends none.
        cutmix: The same for pasting a rectangle of another picture (Yun et al. 2019, arXiv:1905.04899, eq. 1).
            With both, each item gets one of the two.
    """

    training: Training
    network: Network | None = None
    budget: Budget | None = None
    temperature: float = 3.0
    distillation_weight: float = 0.9
    hints: tuple[Hint, ...] = ()
    mixup: float = 0.0
    cutmix: float = 0.0

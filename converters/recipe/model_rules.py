"""Rules between the fields of the teacher and student sections."""

from __future__ import annotations

import re

from converters.recipe.input import Input
from converters.recipe.models import LARGEST_BATCH, Budget, Member, Student, Teacher, Training
from converters.recipe.networks import (
    ConvNetwork,
    FactoryNetwork,
    MlpNetwork,
    Network,
    SeparableNetwork,
)
from converters.recipe.require import require

_WIDEST, _DEEPEST, _MOST_VIEWS = 4096, 64, 100_000
_FACTORY = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


def check_teacher(teacher: Teacher, input_: Input) -> None:
    """Hold the teacher section against its rules.

    Raises:
        RecipeError: The first rule that is broken.
    """
    ways = ("path", "factory", "logits", "members", "network")
    given = [name for name in ways if getattr(teacher, name)]
    require(len(given) == 1, "teacher", " and ".join(given) or "nothing", "one of " + ", ".join(ways))
    both = (teacher.network is None) == (teacher.training is None)
    require(both, "teacher", "network without training, or the reverse", "both, to train a teacher first")
    for at, member in enumerate(teacher.given()):
        _check_member(f"teacher.members[{at}]" if teacher.members else "teacher", member)
    if teacher.network is not None:
        _check_network("teacher.network", teacher.network, input_)
    if teacher.training is not None:
        _check_training("teacher.training", teacher.training)
    require(0 < teacher.views <= _MOST_VIEWS, "teacher.views", teacher.views, f"1 to {_MOST_VIEWS}")
    stored = any(member.logits for member in teacher.given())
    require(
        not teacher.mirror or input_.kind == "image",
        "teacher.mirror",
        True,
        "false for inputs that are no pictures",
    )
    require(not (teacher.mirror and stored), "teacher.mirror", True, "false for stored logits")


def check_student(student: Student, teacher: Teacher, input_: Input) -> None:
    """Hold the student section against its rules.

    Raises:
        RecipeError: The first rule that is broken.
    """
    one = (student.network is None) != (student.budget is None)
    require(one, "student", "both or neither", "either network or budget")
    if student.network is not None:
        _check_network("student.network", student.network, input_)
    if student.budget is not None:
        _check_budget(student.budget, input_)
    _check_training("student.training", student.training)
    weight, temperature = student.distillation_weight, student.temperature
    require(0 <= weight <= 1, "student.distillation_weight", weight, "0 to 1")
    require(0.01 <= temperature <= 100, "student.temperature", temperature, "0.01 to 100")
    for name in ("mixup", "cutmix"):
        value = getattr(student, name)
        require(0 <= value <= 100, f"student.{name}", value, "0 to 100")
    pictures = input_.kind == "image"
    require(not student.cutmix or pictures, "student.cutmix", student.cutmix, "0: no pictures")
    require(
        not student.mixup or input_.kind != "table", "student.mixup", student.mixup, "0: rows do not blend"
    )
    blended = student.mixup or student.cutmix
    stored = any(member.logits for member in teacher.given())
    require(
        not (blended and stored), "student.mixup", "stored logits", "a teacher that can answer for blends"
    )
    for hint in student.hints:
        require(0 < hint.weight <= 1e6, "student.hints.weight", hint.weight, "above 0, at most 1e6")
    single = len(teacher.given()) <= 1 and not stored and not str(teacher.path).endswith(".onnx")
    require(single or not student.hints, "student.hints", "no module", "one .pt2, factory or trained teacher")


def _check_member(where: str, member: Member) -> None:
    given = [name for name in ("path", "factory", "logits") if getattr(member, name) is not None]
    require(len(given) == 1, where, " and ".join(given) or "nothing", "one of path, factory and logits")
    require(not member.arguments or member.factory, f"{where}.arguments", "no factory", "a factory")
    if member.path is not None:
        require(member.path.endswith((".pt2", ".onnx")), f"{where}.path", member.path, ".pt2 or .onnx")
    if member.factory is not None:
        _check_factory(f"{where}.factory", member.factory)


def _check_factory(where: str, factory: str) -> None:
    require(re.fullmatch(_FACTORY, factory), where, factory, "package.module:function")


def _check_budget(budget: Budget, input_: Input) -> None:
    limited = budget.max_bytes is not None or budget.max_latency_ms is not None
    require(limited, "student.budget", "no limit", "max_bytes or max_latency_ms")
    require(
        budget.max_bytes is None or budget.max_bytes > 0,
        "student.budget.max_bytes",
        budget.max_bytes,
        "1 or more",
    )
    slow = budget.max_latency_ms
    require(slow is None or slow > 0, "student.budget.max_latency_ms", slow, "above 0")
    require(budget.families, "student.budget.families", "none", "at least one network")
    for at, family in enumerate(budget.families):
        where = f"student.budget.families[{at}]"
        _check_network(where, family, input_)
        require(
            not isinstance(family, FactoryNetwork), where, "a factory", "a network whose width can be scaled"
        )
    shares = budget.shares
    good = bool(shares) and all(0.01 <= share <= 1 for share in shares)
    require(good, "student.budget.shares", list(shares), "shares of 0.01 to 1")
    require(0 < budget.trials <= 1000, "student.budget.trials", budget.trials, "1 to 1000")
    epochs = budget.trial_epochs
    require(0 < epochs <= 100_000, "student.budget.trial_epochs", epochs, "1 to 100000")


def _check_network(where: str, network: Network, input_: Input) -> None:
    if isinstance(network, FactoryNetwork):
        _check_factory(f"{where}.factory", network.factory)
        return
    flat = len(input_.shape) == 1
    require(
        flat == isinstance(network, MlpNetwork),
        where,
        f"{network.kind} for input {input_.shape}",
        "mlp for tables alone",
    )
    if isinstance(network, MlpNetwork):
        _check_widths(where, network.hidden)
        return
    if isinstance(network, ConvNetwork):
        _check_widths(where, (network.width,))
    else:
        _check_widths(where, (network.stem, *network.widths))
        same = len(network.widths) == len(network.blocks)
        require(same, f"{where}.blocks", f"{len(network.blocks)} stages", f"{len(network.widths)}, as widths")
    good = bool(network.blocks) and 0 < min(network.blocks) <= max(network.blocks) <= _DEEPEST
    require(good, f"{where}.blocks", list(network.blocks), f"1 to {_DEEPEST} each")
    down = 1
    if isinstance(network, SeparableNetwork):
        _check_stem(where, network)
        down = max(network.stem_stride)
    smallest = min(input_.shape[1:]) // down >> (len(network.blocks) - 1)
    require(smallest > 0, f"{where}.blocks", f"{len(network.blocks)} stages", "fewer for this input")


def _check_stem(where: str, network: SeparableNetwork) -> None:
    for name in ("stem_kernel", "stem_stride"):
        pair = getattr(network, name)
        require(
            len(pair) == 2 and 0 < min(pair) <= max(pair) <= 64,
            f"{where}.{name}",
            list(pair),
            "two of 1 to 64",
        )
    require(0.05 <= network.width <= 20, f"{where}.width", network.width, "0.05 to 20")


def _check_widths(where: str, widths: tuple[int, ...]) -> None:
    good = bool(widths) and 0 < min(widths) <= max(widths) <= _WIDEST
    require(good, where, list(widths), f"widths of 1 to {_WIDEST}")


def _check_training(where: str, training: Training) -> None:
    ranges = {
        "epochs": (1, 100_000),
        "batch_size": (2, LARGEST_BATCH),
        "learning_rate": (1e-9, 10),
        "weight_decay": (0, 10),
        "warmup": (0, 0.9),
        "ema": (0, 0.99999),
    }
    for name, (least, most) in ranges.items():
        value = getattr(training, name)
        require(least <= value <= most, f"{where}.{name}", value, f"{least} to {most}")

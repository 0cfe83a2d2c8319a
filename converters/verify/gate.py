"""The gate step: limits of the recipe against what was measured. Pure, beside the step that runs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from converters.recipe import Gates, Recipe
from converters.steps import Context, Step
from converters.verify.figures import Figures, VariantFigures, load_figures
from edgeinfer.bundle import decode, encode
from edgeinfer.errors import GateError


@dataclass(frozen=True)
class Verdict:
    """One limit.

    Attributes:
        gate: Key of the limit under `[gates]`.
        subject: What was held against it.
        measured: The figure.
        limit: The limit.
        passed: Whether it is kept.
        knob: What to turn when it is not.
    """

    gate: str
    subject: str
    measured: float
    limit: float
    passed: bool
    knob: str


@dataclass(frozen=True)
class Verdicts:
    """All limits of a conversion."""

    verdicts: tuple[Verdict, ...]


def judge(figures: Figures, gates: Gates) -> tuple[Verdict, ...]:
    """Hold every figure against its limit."""
    verdicts = []
    for variant in figures.variants:
        verdicts += _judge_variant(variant, figures, gates)
    return tuple(verdicts)


def _judge_variant(variant: VariantFigures, figures: Figures, gates: Gates) -> list[Verdict]:
    def least(gate: str, measured: float, limit: float, knob: str) -> Verdict:
        return Verdict(gate, variant.id, measured, limit, measured >= limit, knob)

    def most(gate: str, measured: float, limit: float, knob: str) -> Verdict:
        return Verdict(gate, variant.id, measured, limit, measured <= limit, knob)

    verdicts = [
        least(
            "min_accuracy",
            variant.accuracy.value,
            gates.min_accuracy,
            "more data, student.network.width or student.training.epochs",
        ),
        least(
            "min_agreement",
            variant.agreement.value,
            gates.min_agreement,
            "student.training.epochs, student.distillation_weight or student.network.width",
        ),
    ]
    if variant.precision == "fp32":
        knob = "the exporter: compare the layers of the file with PyTorch's"
        verdicts.append(least("min_parity", variant.parity, gates.min_parity, knob))
        return verdicts
    drop = figures.student_accuracy.value - variant.accuracy.value
    verdicts.append(
        most(
            "max_int8_drop",
            drop,
            gates.max_int8_drop,
            "quantize.calibration_items or student.network.width",
        )
    )
    if gates.max_bytes is not None:
        verdicts.append(most("max_bytes", variant.bytes, gates.max_bytes, "student.network.width or blocks"))
    return verdicts


def load_verdicts(path: Path) -> tuple[Verdict, ...]:
    """Return what the gate step wrote."""
    return decode(Verdicts, json.loads(path.read_text()), where=path.name).verdicts


def _run(context: Context) -> None:
    figures = load_figures(context.needs["figures.json"])
    verdicts, student = judge(figures, context.recipe.gates), figures.student_accuracy
    missed = [verdict for verdict in verdicts if not verdict.passed]
    if missed:
        first = missed[0]
        others = "".join(f"; {each.gate} of {each.subject}: {each.measured:.6g}" for each in missed[1:])
        raise GateError(
            f"step gate: {first.gate} of {first.subject} missed",
            found=f"{first.measured:.6g}{others}",
            expected=f"{'at least' if first.gate.startswith('min') else 'at most'} {first.limit:.6g}",
            next_step=f"measured on {student.n} test pictures, of which the student names {student.value:.1%} rightly; "
            f"change {first.knob}, or the limit under [gates]",
        )
    context.give("verdicts.json").write_text(json.dumps(encode(Verdicts(verdicts)), indent=2))


def _settings(recipe: Recipe) -> object:
    return encode(recipe.gates)


GATE = Step("gate", ("figures.json",), ("verdicts.json",), _settings, _run)

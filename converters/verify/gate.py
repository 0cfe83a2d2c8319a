"""The gate step: limits of the recipe against what was measured. Pure, beside the step that runs it.

Verdicts stand in the order of the pipeline's causes: an exported file that is not the student comes
before what it did to accuracy, so that the first missed limit is the one to act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from converters.data.class_order import other_order, shown_order
from converters.data.dataset import load_record
from converters.json_file import save_json
from converters.recipe import Budget, Gates, Recipe
from converters.steps import Context, Step
from converters.verify.answers import ANSWERS, Answers, load_answers
from converters.verify.figures import Figures, VariantFigures, load_figures
from converters.verify.paired import Paired, items_for_bound
from edgeinfer.bundle import encode
from edgeinfer.errors import GateError

_MODEL = "student.network or student.training.epochs"
_RANGES = "quantize.calibration_items, quantize.calibration, quantize.per_channel or quantize.float_layers"
_LEARNED = "quantize.qat.epochs, quantize.qat.learning_rate or quantize.float_layers"
_BUDGET = "student.budget."


@dataclass(frozen=True)
class Verdict:
    """One limit.

    Attributes:
        gate: Key of the limit under `[gates]`, or with `student.budget.` before it.
        subject: What was held against it.
        measured: The figure.
        limit: The limit.
        passed: Whether it is kept.
        step: The step whose doing it is when it is not.
        knob: What to turn there.
        evidence: What the figure rests on.
    """

    gate: str
    subject: str
    measured: float
    limit: float
    passed: bool
    step: str
    knob: str
    evidence: str = ""


@dataclass(frozen=True)
class Verdicts:
    """All limits of a conversion."""

    verdicts: tuple[Verdict, ...]


def judge(figures: Figures, gates: Gates, budget: Budget | None = None) -> tuple[Verdict, ...]:
    """Hold every figure against its limit.

    Args:
        figures: What was measured.
        gates: The recipe's limits.
        budget: The student's, which was chosen by untrained networks: what ships must keep it, too.
    """
    floats = [each for each in figures.variants if each.precision == "fp32"]
    rest = [each for each in figures.variants if each.precision != "fp32"]
    verdicts = [verdict for each in floats for verdict in _exported(each, figures, gates)]
    verdicts += [verdict for each in rest for verdict in _quantized(each, gates)]
    verdicts += _agreeing(figures, gates)
    verdicts += [verdict for each in figures.variants for verdict in _useful(each, figures, gates)]
    verdicts += [verdict for each in rest for verdict in _small(each, gates)]
    verdicts += _fast(floats, rest, gates)
    if budget is not None:
        verdicts += _within([each for each in rest if each.precision in ("int8", "mixed")], budget)
    return tuple(verdicts)


def _least(gate: str, subject: str, measured: float, limit: float, blame: tuple[str, ...]) -> Verdict:
    return Verdict(gate, subject, measured, limit, measured >= limit, *blame)


def _most(gate: str, subject: str, measured: float, limit: float, blame: tuple[str, ...]) -> Verdict:
    return Verdict(gate, subject, measured, limit, measured <= limit, *blame)


def _exported(variant: VariantFigures, figures: Figures, gates: Gates) -> Iterator[Verdict]:
    blame = ("export", "the exporter's version, or the layer that it translates otherwise")
    error = variant.largest_difference / (figures.student_range or 1.0)
    evidence = f"the largest difference of a logit is {variant.largest_difference:.3g}"
    yield _most("max_fp32_error", variant.id, error, gates.max_fp32_error, (*blame, evidence))
    yield _least("min_parity", variant.id, variant.parity, gates.min_parity, blame)


def _agreeing(figures: Figures, gates: Gates) -> Iterator[Verdict]:
    blame = ("quantize", "quantize.float_layers: the report's layers show where the two files part")
    for each in figures.agreements:
        subject = f"{each.first} and {each.second}"
        yield _least("min_int8_agreement", subject, each.share, gates.min_int8_agreement, blame)


def _quantized(variant: VariantFigures, gates: Gates) -> Iterator[Verdict]:
    blame, drop = _quantizing(variant), variant.drop
    evidence = (
        f"95% interval {drop.low:.4f} to {drop.high:.4f}, of {drop.n} test items "
        f"{drop.first_only} lost and {drop.second_only} gained"
    )
    yield _least("min_int8_parity", variant.id, variant.parity, gates.min_int8_parity, blame)
    yield _most("max_int8_drop", variant.id, drop.difference, gates.max_int8_drop, (*blame, evidence))
    if (limit := gates.max_int8_drop_bound) is not None:
        if drop.difference <= limit:
            blame = (blame[0], _more_items(drop, limit, blame[1]))
        yield _most("max_int8_drop_bound", variant.id, drop.upper_bound, limit, (*blame, evidence))


def _quantizing(variant: VariantFigures) -> tuple[str, str]:
    """Return the step that quantized a variant, and what to turn there."""
    if variant.method == "qat":
        return "qat", _LEARNED
    if variant.method == "static":
        return "quantize", _RANGES
    return "quantize", f"quantize.variants, and leave {variant.id} out"


def _more_items(drop: Paired, limit: float, otherwise: str) -> str:
    """Say how many items would show what these cannot: the loss itself is within the limit."""
    needed = items_for_bound(drop, limit)
    if needed is None:
        return otherwise
    return f"data.test or data.test_path: about {needed} test items would show a loss like this one; or {otherwise}"


def _useful(variant: VariantFigures, figures: Figures, gates: Gates) -> Iterator[Verdict]:
    """Accuracy and what the teacher says: the fault of the first model in the chain that falls short."""
    accuracy, student, teacher = variant.accuracy, figures.student_accuracy, figures.teacher_accuracy
    if student.value >= gates.min_accuracy:
        blame = _quantizing(variant) if variant.precision != "fp32" else ("export", "the exporter's version")
    elif teacher.value >= gates.min_accuracy:
        blame = ("student", _MODEL)
    else:
        blame = ("teacher", "the data and their labels, or the teacher")
    evidence = f"{accuracy.n} test items; the student {student.value:.1%}, the teacher {teacher.value:.1%}"
    yield _least("min_accuracy", variant.id, accuracy.value, gates.min_accuracy, (*blame, evidence))
    agreement, blame = variant.agreement.value, ("student", f"student.distillation_weight, {_MODEL}")
    yield _least("min_agreement", variant.id, agreement, gates.min_agreement, blame)
    if (limit := gates.max_teacher_drop) is not None:
        lost = variant.teacher_drop
        evidence = f"95% interval {lost.low:.4f} to {lost.high:.4f}"
        yield _most("max_teacher_drop", variant.id, lost.difference, limit, (*blame, evidence))


def _small(variant: VariantFigures, gates: Gates) -> Iterator[Verdict]:
    if gates.max_bytes is not None:
        blame = ("student", "student.network")
        yield _most("max_bytes", variant.id, variant.bytes, gates.max_bytes, blame)


def _fast(floats: list[VariantFigures], rest: list[VariantFigures], gates: Gates) -> Iterator[Verdict]:
    """The fastest of each format: where a bundle carries several, a device chooses by measurement too."""
    for format_ in sorted({each.format for each in rest}):
        fastest = min((each for each in rest if each.format == format_), key=lambda each: each.latency.p50_us)
        time, where = fastest.latency.p50_us, f"one thread of {fastest.latency.machine}"
        if (limit := gates.max_latency_us) is not None:
            blame = ("student", "student.network", where)
            yield _most("max_latency_us", fastest.id, time, limit, blame)
        slow = next((each for each in floats if each.format == format_), None)
        if slow is not None and (limit := gates.max_latency_ratio) is not None:
            times = f"{time:.0f} us against {slow.latency.p50_us:.0f} us of {slow.id}"
            blame = ("quantize", "quantize.onnx_types, or the student's layers", times)
            yield _most("max_latency_ratio", fastest.id, time / slow.latency.p50_us, limit, blame)


def _within(int8: list[VariantFigures], budget: Budget) -> Iterator[Verdict]:
    """What ships may weigh more than what was chosen: layers kept in float, or a second output."""
    if (most := budget.max_bytes) is not None:
        knob = "student.budget.families, or leave out quantize.float_layers and drift.projections"
        for each in int8:
            yield _most(f"{_BUDGET}max_bytes", each.id, each.bytes, most, ("budget", knob))
    if (slow := budget.max_latency_ms) is not None and int8:
        fastest = min(int8, key=lambda each: each.latency.p50_us)
        knob = "student.budget.families; or measure again while nothing else runs: --from-step measure"
        time = fastest.latency.p50_us / 1000
        yield _most(f"{_BUDGET}max_latency_ms", fastest.id, time, slow, ("budget", knob))


def missed(verdicts: tuple[Verdict, ...], orders: Mapping[str, Mapping[str, str]]) -> GateError | None:
    """Return the error that tells every missed limit, the first one in full; None if all are kept.

    Args:
        verdicts: All.
        orders: By subject, another order of the classes by which it is right; see `other_order`.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return None
    first, *others = failed
    also = "".join(f"; {each.gate} of {each.subject}: {_shown(each.measured)}" for each in others)
    evidence = f" ({first.evidence})" if first.evidence else ""
    knob = first.knob
    if order := orders.get(first.subject):
        knob = f"the order of the classes: {shown_order(order)}"
    return GateError(
        f"step {first.step}: {first.gate} of {first.subject} missed",
        found=f"{_shown(first.measured)}{evidence}{also}",
        expected=f"{'at least' if first.gate.startswith('min') else 'at most'} {_shown(first.limit)}",
        next_step=f"change {knob}, or the limit{'' if first.gate.startswith(_BUDGET) else ' under [gates]'}",
    )


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 10_000 else f"{value:.6g}"


def class_orders(answers: Answers, classes: tuple[str, ...]) -> dict[str, Mapping[str, str]]:
    """Return for each variant another order of the classes by which it is right, where there is one."""
    return {
        name: other_order(answers.labels, given.argmax(1), classes)
        for name, given in answers.variants.items()
    }


def _run(context: Context) -> None:
    figures, recipe = load_figures(context.needs["figures.json"]), context.recipe
    verdicts = judge(figures, recipe.gates, recipe.student.budget)
    orders = class_orders(load_answers(context.needs[ANSWERS]), load_record(context.needs).classes)
    if error := missed(verdicts, orders):
        raise error
    save_json(Verdicts(verdicts), context.give("verdicts.json"))


def _settings(recipe: Recipe) -> object:
    budget = recipe.student.budget
    limits = None if budget is None else [budget.max_bytes, budget.max_latency_ms]
    return {"gates": encode(recipe.gates), "budget": limits}


GATE = Step("gate", ("data.json", ANSWERS, "figures.json"), ("verdicts.json",), _settings, _run)

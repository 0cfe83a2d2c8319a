"""The verify step: the figures that follow from everybody's answers and from the timings. Pure, beside its step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.data.dataset import load_record
from converters.distill.catalogue import parameters
from converters.distill.student import load_student
from converters.distill.teacher import RECORD, load_teacher_record
from converters.export.artifacts import MODELS, Artifact, load_artifacts, static_pairs
from converters.json_file import load_json, save_json
from converters.steps import Context, Step
from converters.verify.answers import ANSWERS, Answers, Logits, load_answers
from converters.verify.paired import Paired, pair_hits
from converters.verify.proportion import proportion
from converters.verify.timing import Timing, load_timings
from edgeinfer.bundle import Latency, Proportion


@dataclass(frozen=True)
class VariantFigures:
    """What was measured of one variant on the test split and on this machine.

    Attributes:
        id: Variant id.
        format: File format.
        precision: Its precision.
        engine: Engine package and version that ran it.
        bytes: Size of the model file.
        accuracy: Top-1.
        agreement: Share of test items on which it names the teacher's class.
        parity: Share on which it names the PyTorch student's class.
        largest_difference: Largest absolute difference of a logit from the PyTorch student's.
        logit_range: Largest minus smallest logit, for scale.
        drop: The PyTorch student against it, item by item: how much accuracy exporting and
            quantizing cost.
        teacher_drop: The teacher against it.
        latency: Time of one run.
        load_ms: Time to load it.
        memory_bytes: Growth of resident memory, if known.
        method: How it was quantized: `static` from calibration, `qat` by training, ...; None for a float file.
        types: Integer types of an ONNX file, activations before weights.
        float_layers: Layers that were seen to compute in float in a quantized file.
    """

    id: str
    format: str
    precision: str
    engine: str
    bytes: int
    accuracy: Proportion
    agreement: Proportion
    parity: float
    largest_difference: float
    logit_range: float
    drop: Paired
    teacher_drop: Paired
    latency: Latency
    load_ms: float
    memory_bytes: int | None = None
    method: str | None = None
    types: str | None = None
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """How often two variants name the same class.

    Attributes:
        first: Variant id.
        second: Variant id.
        share: Of the test items.
    """

    first: str
    second: str
    share: float


@dataclass(frozen=True)
class Figures:
    """What was measured of a conversion.

    Attributes:
        teacher_accuracy: Top-1 of the teacher on the test split.
        teacher_parameters: Its trainable values; None for stored answers.
        student_accuracy: Top-1 of the PyTorch student.
        student_parameters: Its trainable values, batch norms folded.
        student_drop: The teacher against the student, item by item: what distilling cost.
        student_range: Largest minus smallest logit of the student.
        variants: One per model file.
        agreements: Of each ONNX and TFLite file that were quantized from the same ranges.
    """

    teacher_accuracy: Proportion
    teacher_parameters: int | None
    student_accuracy: Proportion
    student_parameters: int
    student_drop: Paired
    student_range: float
    variants: tuple[VariantFigures, ...]
    agreements: tuple[Agreement, ...] = ()

    @property
    def int8_agreement(self) -> float | None:
        """The least of the agreements; None where there is none."""
        return min((each.share for each in self.agreements), default=None)


def load_figures(path: Path) -> Figures:
    """Return what the verify step wrote."""
    return load_json(Figures, path)


def variant_figures(artifact: Artifact, size: int, answers: Answers, timing: Timing) -> VariantFigures:
    """Return the figures of one variant.

    Args:
        artifact: Its model file.
        size: Bytes of that.
        answers: Everybody's.
        timing: The variant's.
    """
    given = answers.variants[artifact.id]
    named, hits = given.argmax(1), answers.hits(given)
    return VariantFigures(
        id=artifact.id,
        format=artifact.format,
        precision=artifact.precision,
        engine=timing.latency.engine,
        bytes=size,
        accuracy=proportion(hits),
        agreement=proportion(named == answers.teacher.argmax(1)),
        parity=float((named == answers.student.argmax(1)).mean()),
        largest_difference=float(np.abs(given - answers.student).max()),
        logit_range=_range(given),
        drop=pair_hits(answers.hits(answers.student), hits),
        teacher_drop=pair_hits(answers.hits(answers.teacher), hits),
        latency=timing.latency,
        load_ms=timing.load_ms,
        memory_bytes=timing.memory_bytes,
        method=artifact.method,
        types=artifact.types,
        float_layers=artifact.float_layers,
    )


def int8_agreements(artifacts: Sequence[Artifact], answers: Answers) -> tuple[Agreement, ...]:
    """Return how often each pair that must agree does."""
    named = {name: given.argmax(1) for name, given in answers.variants.items()}
    return tuple(
        Agreement(one.id, other.id, float((named[one.id] == named[other.id]).mean()))
        for one, other in static_pairs(artifacts)
    )


def _range(given: Logits) -> float:
    return float(given.max() - given.min())


def _run(context: Context) -> None:
    needs, recipe = context.needs, context.recipe
    answers, artifacts = load_answers(needs[ANSWERS]), load_artifacts(needs[MODELS])
    timings = {timing.id: timing for timing in load_timings(needs["timings.json"])}
    student, teacher = answers.hits(answers.student), answers.hits(answers.teacher)
    network = load_student(recipe, len(load_record(needs).classes), needs["student.pt"])
    figures = Figures(
        teacher_accuracy=proportion(teacher),
        teacher_parameters=load_teacher_record(needs[RECORD]).parameters,
        student_accuracy=proportion(student),
        student_parameters=parameters(network),
        student_drop=pair_hits(teacher, student),
        student_range=_range(answers.student),
        variants=tuple(
            variant_figures(each, (needs[MODELS] / each.file).stat().st_size, answers, timings[each.id])
            for each in artifacts
        ),
        agreements=int8_agreements(artifacts, answers),
    )
    save_json(figures, context.give("figures.json"))


VERIFY = Step(
    "verify",
    ("data.json", RECORD, "student.pt", MODELS, ANSWERS, "timings.json"),
    ("figures.json",),
    lambda _: None,
    _run,
)

"""The verify step: every variant of the draft bundle, run on the test split by the runtime that ships.

Nothing is measured on a shortcut: the draft is loaded as an app loads it, so that what the report
says of a variant holds for its file, its binding and its engine together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from converters.data.dataset import load_record, load_split
from converters.distill.answers import PLAIN, teacher_answers
from converters.distill.catalogue import parameters
from converters.distill.student import load_student
from converters.distill.teacher import RECORD, load_teacher_record
from converters.distill.training import logits
from converters.export.artifacts import MODELS, Artifact, load_artifacts, static_pairs
from converters.export.float_models import INPUT, OUTPUT
from converters.quiet import logged
from converters.steps import Context, Step
from converters.verify.answers import ANSWERS, Answers, write_answers
from converters.verify.proportion import proportion
from edgeinfer.bundle import Latency, Proportion, decode, encode
from edgeinfer.engines import engine_named
from edgeinfer.host import processor
from edgeinfer.inference import measure
from edgeinfer.preprocess import Preprocessor

_CHUNK = 256
_TIMED_SECONDS = 0.5


@dataclass(frozen=True)
class VariantFigures:
    """What was measured of one variant.

    Attributes:
        id: Variant id.
        precision: Its precision.
        engine: Engine package and version that ran it.
        bytes: Size of the model file.
        accuracy: Top-1 on the test split.
        agreement: Share of test pictures on which it names the teacher's class.
        parity: Share on which it names the PyTorch student's class.
        largest_difference: Largest absolute difference of a logit from the PyTorch student's.
        logit_range: Largest minus smallest logit, for scale.
        latency: Time of one run.
        load_ms: Time to load it.
        memory_bytes: Growth of resident memory, if known.
        types: Integer types of an ONNX file, activations before weights.
        float_layers: Layers that were seen to compute in float in a quantized file.
    """

    id: str
    precision: str
    engine: str
    bytes: int
    accuracy: Proportion
    agreement: Proportion
    parity: float
    largest_difference: float
    logit_range: float
    latency: Latency
    load_ms: float
    memory_bytes: int | None = None
    types: str | None = None
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figures:
    """What the verify step measured.

    Attributes:
        teacher_accuracy: Top-1 of the teacher on the test split.
        teacher_parameters: Its trainable values; None for stored answers.
        student_accuracy: Top-1 of the PyTorch student.
        student_parameters: Its trainable values, batch norms folded.
        variants: One per model file.
        int8_agreement: Share of test pictures on which a quantized ONNX and a quantized TFLite file of the
            same ranges name the same class, the least of all such pairs; None where there is none.
    """

    teacher_accuracy: Proportion
    teacher_parameters: int | None
    student_accuracy: Proportion
    student_parameters: int
    variants: tuple[VariantFigures, ...]
    int8_agreement: float | None = None


def load_figures(path: Path) -> Figures:
    """Return what the verify step wrote."""
    return decode(Figures, json.loads(path.read_text()), where=path.name)


def variant_logits(path: Path, variant: str, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `(N, classes) float32` logits of a bundle's variant, through the public runtime."""
    return variant_outputs(path, variant, tensors)[OUTPUT]


def variant_outputs(path: Path, variant: str, tensors: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return `(N, ...) float32` by output name, likewise."""
    with ei.load(path, variant=variant, self_test=False) as model:
        parts = [
            model.run({INPUT: tensors[start : start + _CHUNK]}) for start in range(0, len(tensors), _CHUNK)
        ]
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in parts[0]}


@dataclass(frozen=True)
class Reference:
    """What variants are held against on the test split: labels, and the classes others name.

    Attributes:
        labels: `(N,) int64` true classes.
        teacher: `(N,) int64` classes that the teacher names.
        student: `(N, classes) float32` logits of the PyTorch student.
    """

    labels: NDArray[np.int64]
    teacher: NDArray[np.int64]
    student: NDArray[np.float32]

    def compare(self, given: NDArray[np.float32]) -> dict[str, Any]:
        """Return the fields of `VariantFigures` that follow from a variant's logits."""
        named = given.argmax(1)
        return {
            "accuracy": proportion(named == self.labels),
            "agreement": proportion(named == self.teacher),
            "parity": float((named == self.student.argmax(1)).mean()),
            "largest_difference": float(np.abs(given - self.student).max()),
            "logit_range": float(given.max() - given.min()),
        }


def _run(context: Context) -> None:
    recipe, record = context.recipe, load_record(context.needs)
    test = load_split(context.needs, "test")
    preprocess = Preprocessor(recipe.input.steps())
    network = load_student(recipe, len(record.classes), context.needs["student.pt"])
    teacher = teacher_answers(context.needs[PLAIN], "test")
    reference = Reference(test.labels, teacher.argmax(1), logits(network, test, preprocess))
    tensors = preprocess.tensors(test.items)
    variants: list[VariantFigures] = []
    answers: dict[str, NDArray[np.float32]] = {}
    artifacts = load_artifacts(context.needs[MODELS])
    with context.report.bar("verifying variants", len(artifacts)) as bar:
        for artifact in artifacts:
            with logged(context.scratch / "verify.log"):
                given = variant_logits(context.needs["draft.eib"], artifact.id, tensors)
            answers[artifact.id] = given
            variants.append(_figures(context, artifact, reference.compare(given)))
            bar.advance(note=artifact.id)
    named = {name: given.argmax(1) for name, given in answers.items()}
    figures = Figures(
        teacher_accuracy=proportion(reference.teacher == test.labels),
        teacher_parameters=load_teacher_record(context.needs[RECORD]).parameters,
        student_accuracy=proportion(reference.student.argmax(1) == test.labels),
        student_parameters=parameters(network),
        variants=tuple(variants),
        int8_agreement=_int8_agreement(artifacts, named),
    )
    context.give("figures.json").write_text(json.dumps(encode(figures), indent=2))
    write_answers(context.give(ANSWERS), Answers(test.labels, teacher, reference.student, answers))


def _int8_agreement(artifacts: Sequence[Artifact], named: Mapping[str, NDArray[np.int64]]) -> float | None:
    shares = [float((named[one.id] == named[other.id]).mean()) for one, other in static_pairs(artifacts)]
    return min(shares, default=None)


def _figures(context: Context, artifact: Artifact, compared: dict[str, Any]) -> VariantFigures:
    info = engine_named(artifact.engine).info()
    runtime = f"{info.package} {info.version}"
    timed = measure(context.needs["draft.eib"], artifact.id, artifact.engine, seconds=_TIMED_SECONDS)
    return VariantFigures(
        id=artifact.id,
        precision=artifact.precision,
        engine=runtime,
        bytes=(context.needs[MODELS] / artifact.file).stat().st_size,
        latency=Latency(timed.p50_us, runtime, timed.threads, processor()),
        load_ms=timed.load_ms,
        memory_bytes=timed.memory_bytes,
        types=artifact.types,
        float_layers=artifact.float_layers,
        **compared,
    )


VERIFY = Step(
    "verify",
    (
        "items.npy",
        "splits.npz",
        "data.json",
        RECORD,
        PLAIN,
        "student.pt",
        "draft.eib",
        MODELS,
    ),
    ("figures.json", ANSWERS),
    lambda recipe: {"input": encode(recipe.input)},
    _run,
)

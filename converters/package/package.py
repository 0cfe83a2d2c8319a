"""The package step: the measured, calibrated, self-testing bundle and its report in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters.data.dataset import DataRecord, load_record
from converters.distill.compute import device
from converters.distill.teacher import RECORD, load_teacher_record
from converters.export.artifacts import MODELS, Artifact, load_artifacts
from converters.export.float_models import INPUT
from converters.export.variants import draft_manifest
from converters.package.card import ModelCard
from converters.package.golden import CASES, golden_origin, golden_sources
from converters.profile.profile import Profile, load_profile
from converters.quiet import logged
from converters.recipe import Recipe
from converters.report.step import SHIPPED_PAGE
from converters.steps import Context, Step
from converters.tensors import stored
from converters.tools import tool_versions
from converters.verify.answers import variant_outputs
from converters.verify.confidence import load_fitted
from converters.verify.figures import Figures, load_figures
from edgeinfer.bundle import (
    BlobSet,
    Confusion,
    Document,
    Golden,
    Lineage,
    Tolerance,
    Variant,
    encode,
    write_bundle,
)
from edgeinfer.preprocess import Preprocessor

# Kernels of other processors round the last step differently: two steps were seen between builds
# with and without XNNPACK, so three are allowed.
_INT8_STEPS = 3
# What follows from the student's weights.
_OF_THE_STUDENT = ("variants", "outputs", "calibration", "drift", "confusion", "cascade")
# Name in the bundle to artifact and media type. The page with test items in it stays with the user.
_REPORTS = {
    "report.md": ("report.md", "text/markdown"),
    "report.json": ("report.json", "application/json"),
    "report.html": (SHIPPED_PAGE, "text/html"),
}


def not_deterministic(recipe: Recipe) -> dict[str, str]:
    """Return the manifest's fields that may differ between two runs of a recipe, with step and reason."""
    fields = {
        "variants.*.latency": "step measure: a time on a shared machine",
        "variants.*.memory_bytes": "step measure: a growth of resident memory",
        "documents.*.blob": "step report: the reports show those",
    }
    if len(recipe.quantize.onnx_types) > 1:
        fields["variants"] = (
            "step quantize: the integer types of an ONNX file are others than the recipe's first where a "
            "measurement found them faster by a tenth"
        )
    budget = recipe.student.budget
    if budget is not None and budget.max_latency_ms is not None:
        fields |= dict.fromkeys(_OF_THE_STUDENT, "step budget: the student was chosen by such times")
    if device().type != "cpu":
        fields |= dict.fromkeys(_OF_THE_STUDENT, "steps teacher and student: a GPU adds up in no fixed order")
    return fields


def _run(context: Context) -> None:
    recipe, record = context.recipe, load_record(context.needs)
    figures = load_figures(context.needs["figures.json"])
    fitted = load_fitted(context.needs["calibration.json"])
    blobs = BlobSet()
    draft = draft_manifest(recipe, record, context.needs[MODELS], blobs, fitted.temperature)
    golden, tensors = _golden(recipe, blobs)
    artifacts, log = load_artifacts(context.needs[MODELS]), context.scratch / "package.log"
    with context.report.bar("packing", len(artifacts)) as bar:
        variants = []
        for artifact, variant in zip(artifacts, draft.variants, strict=True):
            with logged(log):
                outputs = variant_outputs(context.needs["draft.eib"], artifact.id, tensors)
            golden_outputs = {name: stored(values, blobs) for name, values in outputs.items()}
            measured = replace(variant, golden_outputs=golden_outputs)
            variants.append(_measured(measured, artifact, figures, outputs))
            bar.advance(note=artifact.id)
    profile = load_profile(context.needs["profile.json"])
    card = ModelCard(recipe, record, figures, fitted, profile, tuple(variants))
    context.give("model-card.md").write_bytes(card.markdown())
    manifest = replace(
        draft,
        variants=tuple(variants),
        golden=golden,
        calibration=fitted.calibration,
        drift=profile.drift,
        confusion=_confusion(profile, blobs),
        cascade=profile.cascade,
        cloud=recipe.cloud,
        budgets=recipe.budgets,
        lineage=_lineage(recipe, record, load_teacher_record(context.needs[RECORD]).sha256),
        documents={
            "model-card.md": Document(blobs.add(context.give("model-card.md")), "text/markdown"),
            **{
                name: Document(blobs.add(context.needs[file]), media_type)
                for name, (file, media_type) in _REPORTS.items()
            },
        },
    )
    write_bundle(context.give("bundle.eib"), manifest, blobs)


def _confusion(profile: Profile, blobs: BlobSet) -> Confusion:
    counts, drift = stored(np.asarray(profile.confusion, np.int32), blobs), profile.drift
    return Confusion(drift.split, drift.n, drift.variant, counts, profile.per_class)


def _golden(recipe: Recipe, blobs: BlobSet) -> tuple[Golden, NDArray[np.float32]]:
    sources = golden_sources(recipe.input)
    preprocess = Preprocessor(recipe.input.steps())
    tensors = np.concatenate([preprocess(source) for source in sources])
    assert len(tensors) == CASES
    inputs = {INPUT: stored(tensors, blobs)}
    kept = {INPUT: tuple(blobs.add(source) for source in sources)}
    return Golden(golden_origin(recipe.input), inputs, kept), tensors


def _measured(
    variant: Variant, artifact: Artifact, figures: Figures, outputs: Mapping[str, NDArray[np.float32]]
) -> Variant:
    own = next(each for each in figures.variants if each.id == variant.id)
    largest = max(float(np.abs(values).max()) for values in outputs.values())
    # One tolerance holds for all outputs: that of the widest.
    widest = max(own.logit_range, *(float(np.ptp(values)) for values in outputs.values()))
    step = widest / 255 if artifact.method else 0.0
    return replace(
        variant,
        tolerances={artifact.engine: Tolerance(_INT8_STEPS * step + 1e-4 * largest, 1e-3)},
        accuracy=own.accuracy,
        agreement=own.agreement,
        latency=own.latency,
        memory_bytes=own.memory_bytes,
    )


def _lineage(recipe: Recipe, record: DataRecord, teacher: str) -> Lineage:
    return Lineage(
        teacher_sha256=teacher,
        data_sha256=record.sha256,
        splits=record.splits,
        recipe_sha256=recipe.digest(),
        seed=recipe.seed,
        tools=tool_versions(),
        not_deterministic=not_deterministic(recipe),
    )


PACKAGE = Step(
    "package",
    (
        "data.json",
        RECORD,
        "draft.eib",
        "figures.json",
        "verdicts.json",
        "calibration.json",
        "report.md",
        "report.json",
        SHIPPED_PAGE,
        "profile.json",
        MODELS,
    ),
    ("bundle.eib",),
    lambda recipe: encode(recipe.published()),
    _run,
)

"""The profile step: drift reference, confusion and cascade, from the validation split and the first variant.

The draft bundle is run by the runtime that ships, so that the bins and counts are those that a device
would have found. Thresholds are chosen on the split that the temperature was fitted on too, and no
weight of the student was; the test split stays out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from converters.data.dataset import Examples, load_record, load_split
from converters.distill.answers import PLAIN, teacher_answers
from converters.json_file import load_json, save_json
from converters.profile.cascade import recommend, tabulate
from converters.profile.confusion import confusion_counts, per_class
from converters.profile.reference import freeze, input_measures, measures
from converters.quiet import logged
from converters.recipe import Recipe
from converters.steps import Context, Step
from converters.verify.confidence import Fitted, load_fitted
from converters.verify.proportion import proportion
from edgeinfer.bundle import (
    Cascade,
    DriftReference,
    InputStatistic,
    Manifest,
    Proportion,
    Softmax,
    Split,
    encode,
)
from edgeinfer.drift import feature_values
from edgeinfer.preprocess import Preprocessor, softmax

SPLIT: Split = "validation"
_CHUNK = 256
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Profile:
    """What the step made.

    Attributes:
        drift: The drift reference.
        confusion: Items by true class (rows) and named class.
        per_class: Share of each class's items that are named rightly, by label.
        cascade: What each threshold costs and gains.
    """

    drift: DriftReference
    confusion: tuple[tuple[int, ...], ...]
    per_class: Mapping[str, Proportion]
    cascade: Cascade


@dataclass(frozen=True)
class Seen:
    """What a variant took and gave for the held-out items.

    Attributes:
        manifest: With the fitted temperature.
        variant: Id of the variant.
        statistics: `(N,) float64` by feature name: the numbers that need the inputs.
        outputs: `(N, ...)` by output name.
    """

    manifest: Manifest
    variant: str
    statistics: Mapping[str, NDArray[np.float64]]
    outputs: Mapping[str, Floats]


def load_profile(path: Path) -> Profile:
    """Return what the profile step wrote."""
    return load_json(Profile, path)


def _run(context: Context) -> None:
    recipe, classes = context.recipe, load_record(context.needs).classes
    fitted, preprocess = load_fitted(context.needs["calibration.json"]), Preprocessor(recipe.input.steps())
    validation = load_split(context.needs, SPLIT)
    with context.report.bar("profiling", 3) as bar:
        with logged(context.scratch / "profile.log"):
            seen = _look(context.needs["draft.eib"], validation, preprocess, fitted.temperature)
        bar.advance(note="teacher")
        teacher = teacher_answers(context.needs[PLAIN], SPLIT).argmax(1) == validation.labels
        bar.advance(note="cascade")
        named = seen.outputs[seen.manifest.outputs[0].name].argmax(1)
        profile = Profile(
            drift=_reference(seen, recipe, len(classes)),
            confusion=tuple(
                tuple(int(count) for count in row)
                for row in confusion_counts(validation.labels, named, len(classes))
            ),
            per_class=per_class(validation.labels, named, classes, SPLIT),
            cascade=_cascade(seen, named == validation.labels, teacher, recipe, fitted),
        )
        bar.advance()
    save_json(profile, context.give("profile.json"))


def _look(draft: Path, validation: Examples, preprocess: Preprocessor, temperature: float) -> Seen:
    """Run the draft's first variant, not the fastest here, over the split, one piece in memory at a time."""
    statistics: dict[str, list[NDArray[np.float64]]] = {}
    outputs: dict[str, list[Floats]] = {}
    with ei.load(draft, measure=False, self_test=False) as model:
        manifest, variant = model.manifest, model.selection.chosen.variant
        (declared,) = manifest.inputs
        wanted = input_measures(declared)
        for start in range(0, len(validation.labels), _CHUNK):
            inputs = {declared.name: preprocess.tensors(validation.items[start : start + _CHUNK])}
            given = model.run(inputs)
            for name, measure in wanted.items():
                statistics.setdefault(name, []).append(feature_values(measure, manifest, inputs, given))
            for name, value in given.items():
                outputs.setdefault(name, []).append(value.astype(np.float32))
    answer = manifest.outputs[0]
    steps = tuple(
        replace(step, temperature=temperature) if isinstance(step, Softmax) else step
        for step in answer.postprocess
    )
    manifest = replace(manifest, outputs=(replace(answer, postprocess=steps), *manifest.outputs[1:]))
    return Seen(
        manifest,
        variant,
        {name: np.concatenate(parts) for name, parts in statistics.items()},
        {name: np.concatenate(parts) for name, parts in outputs.items()},
    )


def _reference(seen: Seen, recipe: Recipe, classes: int) -> DriftReference:
    features = []
    for name, measure in measures(seen.manifest, seen.outputs, recipe.drift).items():
        values = (
            seen.statistics[name]
            if isinstance(measure, InputStatistic)
            else feature_values(measure, seen.manifest, {}, seen.outputs)
        )
        features.append(freeze(name, measure, values, classes, recipe.drift.symbols))
    items = len(next(iter(seen.outputs.values())))
    return DriftReference(SPLIT, items, seen.variant, tuple(features))


def _cascade(
    seen: Seen, student: NDArray[np.bool_], teacher: NDArray[np.bool_], recipe: Recipe, fitted: Fitted
) -> Cascade:
    confidence = softmax(seen.outputs[seen.manifest.outputs[0].name], fitted.temperature).max(1)
    cascade = Cascade(
        split=SPLIT,
        n=len(student),
        variant=seen.variant,
        student_accuracy=proportion(student, SPLIT),
        teacher_accuracy=proportion(teacher, SPLIT),
        points=tabulate(confidence, student, teacher, recipe.cascade.thresholds, SPLIT),
    )
    return recommend(cascade, recipe.cascade, fitted.calibration)


PROFILE = Step(
    "profile",
    ("items.npy", "splits.npz", "data.json", PLAIN, "draft.eib", "calibration.json"),
    ("profile.json",),
    lambda recipe: {
        "input": encode(recipe.input),
        "drift": encode(recipe.drift),
        "cascade": encode(recipe.cascade),
    },
    _run,
)

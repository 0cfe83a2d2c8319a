"""The rules of what held-out data said of a model.

Invariants of a manifest that passed `check_references`:
* no figure comes from the training split, and each names a variant that is there;
* every feature can be computed from the manifest's inputs and outputs, has 2 to 10 symbols, and its
  counts add up to the items;
* a cascade rests on calibrated confidence.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise

from edgeinfer.bundle.manifest import Input, Manifest
from edgeinfer.bundle.reference import (
    MOST_SYMBOLS,
    Cascade,
    Confusion,
    DriftReference,
    Feature,
    InputStatistic,
    PredictedClass,
    Projection,
    TopConfidence,
)
from edgeinfer.bundle.require import NAME_PATTERN, require
from edgeinfer.bundle.steps import Decode, Softmax, channel_order

_MOST_FEATURES = 100
_MOST_POINTS = 1000
_LARGE = 1e30
_OF_PLANES = ("channel_mean", "contrast", "sharpness")
_INDEXED = ("channel_mean", "element")


def check_references(manifest: Manifest) -> None:
    """Hold drift reference, confusion and cascade against the rest of a manifest.

    Raises:
        ManifestError: The first rule that is broken.
    """
    for where, each in (
        ("drift", manifest.drift),
        ("confusion", manifest.confusion),
        ("cascade", manifest.cascade),
    ):
        if each is not None:
            require(each.split != "train", f"{where}.split", each.split, "held-out data")
            require(each.n > 0, f"{where}.n", each.n, "at least one item")
            known = [variant.id for variant in manifest.variants]
            require(each.variant in known, f"{where}.variant", repr(each.variant), f"one of {known}")
    if manifest.drift is not None:
        _check_drift(manifest.drift, manifest)
    if manifest.confusion is not None:
        _check_confusion(manifest.confusion, manifest)
    if manifest.cascade is not None:
        _check_cascade(manifest.cascade, manifest)


def _check_drift(drift: DriftReference, manifest: Manifest) -> None:
    count = len(drift.features)
    require(0 < count <= _MOST_FEATURES, "drift.features", f"{count} features", f"1 to {_MOST_FEATURES}")
    seen: set[str] = set()
    for feature in drift.features:
        good = re.fullmatch(NAME_PATTERN, feature.name)
        require(good, "drift.features", repr(feature.name), "letters, digits, '.', '_' or '-'")
        require(feature.name not in seen, "drift.features", f"{feature.name!r} twice", "unique names")
        seen.add(feature.name)
        _check_counts(feature, drift.n)
        _check_measure(feature, manifest)


def _check_counts(feature: Feature, n: int) -> None:
    where, symbols = f"drift.{feature.name}", len(feature.counts)
    require(2 <= symbols <= MOST_SYMBOLS, f"{where}.counts", f"{symbols} symbols", f"2 to {MOST_SYMBOLS}")
    require(min(feature.counts) >= 0, f"{where}.counts", min(feature.counts), "0 or more")
    require(sum(feature.counts) == n, f"{where}.counts", f"a sum of {sum(feature.counts)}", n)
    if isinstance(feature.measure, PredictedClass):
        require(not feature.edges, f"{where}.edges", "edges", "groups for a class")
        used = set(feature.groups)
        require(used == set(range(symbols)), f"{where}.groups", sorted(used)[:12], f"all of 0..{symbols - 1}")
        return
    require(not feature.groups, f"{where}.groups", "groups", "edges for a number")
    require(
        len(feature.edges) == symbols - 1, f"{where}.edges", f"{len(feature.edges)} edges", f"{symbols - 1}"
    )
    rising = all(low < high for low, high in pairwise(feature.edges))
    require(rising, f"{where}.edges", list(feature.edges), "each above the one before")
    require(max(map(abs, feature.edges)) < _LARGE, f"{where}.edges", list(feature.edges), "within 1e30")


def _check_measure(feature: Feature, manifest: Manifest) -> None:
    where, measure, answer = f"drift.{feature.name}", feature.measure, manifest.outputs[0]
    if isinstance(measure, InputStatistic):
        named = {each.name: each for each in manifest.inputs}
        require(measure.input in named, f"{where}.input", repr(measure.input), f"one of {sorted(named)}")
        _check_statistic(where, measure, named[measure.input])
    elif isinstance(measure, Projection):
        shapes = {each.name: each.shape for each in manifest.outputs}
        good = measure.output in shapes
        require(good, f"{where}.output", repr(measure.output), f"one of {sorted(shapes)}")
        values = math.prod(axis for axis in shapes[measure.output][1:] if isinstance(axis, int))
        found = len(measure.direction)
        require(0 < found == values, f"{where}.direction", f"{found} numbers", f"{values}")
        good = max(map(abs, measure.direction)) < _LARGE
        require(good, f"{where}.direction", "a number beyond that", "numbers within 1e30")
    else:
        require(len(answer.shape) == 2, f"{where}.op", measure.op, "an answer of one vector an item")
        if isinstance(measure, PredictedClass):
            classes = len(feature.groups)
            require(classes == answer.shape[1], f"{where}.groups", f"{classes} classes", answer.shape[1])
        if isinstance(measure, TopConfidence):
            good = any(isinstance(step, Softmax) for step in answer.postprocess)
            require(good, f"{where}.op", measure.op, "an answer with softmax")


def _check_statistic(where: str, measure: InputStatistic, input_: Input) -> None:
    indexed, name = measure.statistic in _INDEXED, measure.statistic
    require((measure.index is not None) == indexed, f"{where}.index", measure.index, f"as {name} needs")
    lengths = [axis for axis in input_.shape[1:] if isinstance(axis, int)]
    most = math.prod(lengths)
    if name in _OF_PLANES:
        pictures = bool(input_.preprocess) and isinstance(input_.preprocess[0], Decode)
        require(pictures and len(lengths) == 3, f"{where}.statistic", name, "an input of pictures")
        first = channel_order(input_.preprocess) == "CHW"
        most, sides = (lengths[0], lengths[1:]) if first else (lengths[2], lengths[:2])
        good = name != "sharpness" or min(sides) >= 3
        require(good, f"{where}.statistic", f"{name} of {sides}", "sides of 3 or more")
    if measure.index is not None:
        require(0 <= measure.index < most, f"{where}.index", measure.index, f"0 to {most - 1}")


def _check_confusion(confusion: Confusion, manifest: Manifest) -> None:
    answer, counts = manifest.outputs[0], confusion.counts
    require(len(answer.shape) == 2, "confusion", list(answer.shape), "an answer of one vector an item")
    classes = answer.shape[1]
    assert isinstance(classes, int), "only axis 0 is free"
    require(counts.dtype == "int32", "confusion.counts.dtype", counts.dtype, "int32")
    shape = (classes, classes)
    require(counts.shape == shape, "confusion.counts.shape", list(counts.shape), list(shape))
    size = classes * classes * 4
    require(counts.blob.size == size, "confusion.counts.blob.size", counts.blob.size, size)
    labels = set(answer.labels or map(str, range(classes)))
    strange = sorted(set(confusion.per_class) - labels)
    require(not strange, "confusion.per_class", strange[:3], "labels of the answer")


def _check_cascade(cascade: Cascade, manifest: Manifest) -> None:
    require(manifest.calibration is not None, "cascade", "no calibration", "calibrated confidence")
    count = len(cascade.points)
    require(0 < count <= _MOST_POINTS, "cascade.points", f"{count} thresholds", f"1 to {_MOST_POINTS}")
    thresholds = [point.threshold for point in cascade.points]
    rising = all(low < high for low, high in pairwise(thresholds))
    require(rising, "cascade.points", "thresholds out of order", "each above the one before")
    good = thresholds[0] >= 0 and thresholds[-1] <= 1
    require(good, "cascade.points", [thresholds[0], thresholds[-1]], "thresholds of 0 to 1")
    good = cascade.recommended is None or cascade.recommended in thresholds
    require(good, "cascade.recommended", cascade.recommended, "one of the thresholds")

"""The rules of what is declared behind the model: labels, classification and detection."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.bundle.all_steps import PostprocessStep
from edgeinfer.bundle.detection import Boxes, NonMaximumSuppression, PriorLevel, ScoreThreshold, SsdBoxes
from edgeinfer.bundle.manifest import Input, Manifest, Output
from edgeinfer.bundle.require import require
from edgeinfer.bundle.steps import Decode, Softmax, TopK, channel_order

# Beyond this, float32 arithmetic is no longer of use to anyone.
_LARGE = 1e6
_MOST_CELLS = 16384
_MOST_LISTED = 64
_MOST_BOXES = 100_000
_ORDERS = (
    [],
    ["softmax"],
    ["softmax", "top_k"],
    ["top_k"],
    *(
        [*before, boxes, "score_threshold", "non_maximum_suppression"]
        for before in ((), ("softmax",))
        for boxes in ("boxes", "ssd_boxes")
    ),
)


def check_answer(output: Output, manifest: Manifest) -> None:
    """Hold an output's labels and steps against the rules; its shape is checked already.

    Raises:
        ManifestError: The first rule that is broken.
    """
    where = f"output {output.name}"
    if output.labels is not None:
        last = output.shape[-1]
        require(len(output.labels) == last, f"{where}.labels", f"{len(output.labels)} labels", f"{last}")
    names = [step.op for step in output.postprocess]
    wanted = "softmax, then top_k, either or neither; or boxes, score_threshold, non_maximum_suppression"
    require(names in _ORDERS, f"{where}.postprocess", names, wanted)
    for step in output.postprocess:
        if isinstance(step, Softmax):
            require(
                1 / _LARGE < step.temperature < _LARGE, f"{where}.softmax", step.temperature, "1e-6 to 1e6"
            )
        elif isinstance(step, TopK):
            require(step.k > 0, f"{where}.top_k", step.k, "a k above 0")
        else:
            _check_detection(f"{where}.{step.op}", step, output, manifest)


def picture_size(declared: Input) -> tuple[int, int]:
    """Return height and width of an input with picture steps, in pixels."""
    first = channel_order(declared.preprocess) == "CHW"
    height, width = declared.shape[2:4] if first else declared.shape[1:3]
    assert isinstance(height, int), "only axis 0 may have a name"
    assert isinstance(width, int), "only axis 0 may have a name"
    return height, width


def _check_detection(where: str, step: PostprocessStep, output: Output, manifest: Manifest) -> None:
    if isinstance(step, Boxes | SsdBoxes):
        first = manifest.inputs[0].preprocess[:1]
        one_picture = len(manifest.inputs) == 1 and bool(first) and isinstance(first[0], Decode)
        require(one_picture, where, "other inputs", "one input, with picture steps")
        require(output is manifest.outputs[0], where, output.name, "the first output")
        require(output.dtype == "float32" and len(output.shape) == 3, where, output, "float32, 3 axes")
        holder = next((each for each in manifest.outputs[1:] if each.name == step.output), None)
        names = [each.name for each in manifest.outputs[1:]]
        require(holder is not None, f"{where}.output", step.output, f"another output: {names}")
        assert holder is not None, "just required"
        fits = holder.dtype == "float32" and holder.shape[1:] == (output.shape[1], 4)
        require(fits, f"output {holder.name}", holder.shape, f"float32, (batch, {output.shape[1]}, 4)")
        if isinstance(step, SsdBoxes):
            _check_priors(where, step, output.shape[1])
    if isinstance(step, ScoreThreshold):
        require(0 <= step.least <= 1, f"{where}.least", step.least, "0 to 1")
        classes = output.shape[-1]
        good = step.background is None or (isinstance(classes, int) and 0 <= step.background < classes)
        require(good, f"{where}.background", step.background, f"a class below {classes}")
    if isinstance(step, NonMaximumSuppression):
        require(0 <= step.iou <= 1, f"{where}.iou", step.iou, "0 to 1")
        require(0 < step.k <= _MOST_BOXES, f"{where}.k", step.k, f"1 to {_MOST_BOXES}")
        good = 0 < step.candidates <= _MOST_BOXES
        require(good, f"{where}.candidates", step.candidates, f"1 to {_MOST_BOXES}")


def _check_priors(where: str, step: SsdBoxes, count: int | str) -> None:
    variances = (step.center_variance, step.size_variance)
    require(
        all(1 / _LARGE < each < _LARGE for each in variances), where, variances, "variances of 1e-6 to 1e6"
    )
    require(0 < len(step.levels) <= _MOST_LISTED, f"{where}.levels", len(step.levels), "1 to 64 levels")
    for at, level in enumerate(step.levels):
        _check_level(f"{where}.levels[{at}]", level)
    priors = prior_count(step.levels)
    require(priors == count, f"{where}.levels", f"{priors} priors", f"as many as boxes: {count}")


def _check_level(where: str, level: PriorLevel) -> None:
    good = 0 < level.rows <= _MOST_CELLS and 0 < level.columns <= _MOST_CELLS
    require(good, where, f"{level.rows} x {level.columns} cells", f"1 to {_MOST_CELLS} each")
    require(0 < len(level.sizes) <= _MOST_LISTED, f"{where}.sizes", len(level.sizes), "1 to 64 sizes")
    for size in level.sizes:
        good = len(size) == 2 and all(1 / _LARGE < side < _LARGE for side in size)
        require(good, f"{where}.sizes", list(size), "a width and a height between 1e-6 and 1e6")


def prior_count(levels: Sequence[PriorLevel]) -> int:
    """Return how many priors the levels make."""
    return sum(level.rows * level.columns * len(level.sizes) for level in levels)

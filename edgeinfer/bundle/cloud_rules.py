"""The rules of how a bundle's model is asked in the cloud.

Invariants of a manifest that passed `check_cloud`:
* every input of the bundle has a place in the cloud, and so has every output that the answer is made of;
* the cloud's classes are the bundle's, in whatever order;
* what is taken from pictures is taken from inputs that are pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.bundle.cloud import (
    Cloud,
    CloudInput,
    CloudOutput,
    Crop,
    Downscale,
    Reduction,
    SendOutput,
    SendPicture,
    StripMetadata,
)
from edgeinfer.bundle.detection import Boxes, SsdBoxes
from edgeinfer.bundle.manifest import Input, Manifest, Output
from edgeinfer.bundle.require import require
from edgeinfer.bundle.steps import Decode

_LARGE = 1e6
_MOST_NAME = 256
_MOST_REDUCTIONS = 16
_MOST_SIDE = 65_535


def check_cloud(cloud: Cloud, manifest: Manifest) -> None:
    """Hold how the model is asked in the cloud against the rest of a manifest.

    Raises:
        ManifestError: The first rule that is broken.
    """
    _check_name("cloud.model", cloud.model)
    inputs, outputs = (
        {each.name: each for each in manifest.inputs},
        {each.name: each for each in manifest.outputs},
    )
    require(set(cloud.inputs) == set(inputs), "cloud.inputs", sorted(cloud.inputs), sorted(inputs))
    require(
        set(cloud.outputs) <= set(outputs),
        "cloud.outputs",
        sorted(cloud.outputs),
        f"some of {sorted(outputs)}",
    )
    needed = needed_outputs(manifest)
    require(set(needed) <= set(cloud.outputs), "cloud.outputs", sorted(cloud.outputs), f"with {needed}")
    for kind, tensors in (
        ("inputs", [each.tensor for each in cloud.inputs.values()]),
        ("outputs", [each.tensor for each in cloud.outputs.values()]),
    ):
        require(len(set(tensors)) == len(tensors), f"cloud.{kind}", sorted(tensors), "each tensor once")
    for name, wanted in cloud.inputs.items():
        _check_input(f"cloud.inputs.{name}", wanted, inputs[name], outputs)
    for name, answer in cloud.outputs.items():
        _check_output(f"cloud.outputs.{name}", answer, outputs[name])
    check_reductions("cloud.reduce", cloud.reduce, manifest)
    made_here = any(isinstance(each.send, SendOutput) for each in cloud.inputs.values())
    # What the model here makes, it makes of the whole picture.
    good = not made_here or all(isinstance(each, StripMetadata) for each in cloud.reduce)
    require(
        good, "cloud.reduce", "steps for an input that is made by the model here", "none but strip_metadata"
    )


def check_reductions(where: str, reductions: Sequence[Reduction], manifest: Manifest) -> None:
    """Hold what is taken from pictures against what the model takes.

    Raises:
        ManifestError: The first rule that is broken.
    """
    require(len(reductions) <= _MOST_REDUCTIONS, where, len(reductions), f"at most {_MOST_REDUCTIONS}")
    good = not reductions or (len(manifest.inputs) == 1 and is_picture(manifest.inputs[0]))
    require(good, where, "other inputs", "one input that is a picture")
    for each in reductions:
        if isinstance(each, Downscale):
            require(0 < each.longest <= _MOST_SIDE, f"{where}.longest", each.longest, f"1 to {_MOST_SIDE}")
        if isinstance(each, Crop):
            box = (each.left, each.top, each.right, each.bottom)
            good = 0 <= each.left < each.right <= 1 and 0 <= each.top < each.bottom <= 1
            require(good, f"{where}.crop", list(box), "shares of 0 to 1, left below right, top below bottom")


def needed_outputs(manifest: Manifest) -> list[str]:
    """Return the outputs that an answer is made of."""
    answer = manifest.outputs[0]
    return [answer.name, *(step.output for step in answer.postprocess if isinstance(step, Boxes | SsdBoxes))]


def is_picture(declared: Input) -> bool:
    """Whether an input is made of a picture."""
    return bool(declared.preprocess) and isinstance(declared.preprocess[0], Decode)


def _check_input(where: str, wanted: CloudInput, declared: Input, outputs: dict[str, Output]) -> None:
    _check_name(f"{where}.tensor", wanted.tensor)
    send, axes = wanted.send, len(declared.shape)
    if isinstance(send, SendPicture):
        require(is_picture(declared), f"{where}.send", send.op, "another: the input is no picture")
        require(1 <= send.quality <= 100, f"{where}.send.quality", send.quality, "1 to 100")
        require(wanted.datatype == "BYTES", f"{where}.datatype", wanted.datatype, "BYTES for a file")
        axes = 1
    if isinstance(send, SendOutput):
        require(
            send.output in outputs, f"{where}.send.output", repr(send.output), f"one of {sorted(outputs)}"
        )
        axes = len(outputs[send.output].shape)
    good = wanted.permute is None or (sorted(wanted.permute) == list(range(axes)) and wanted.permute[0] == 0)
    require(good, f"{where}.permute", list(wanted.permute or ()), f"0, then each of 1..{axes - 1} once")
    if not isinstance(send, SendPicture):
        require(wanted.datatype != "BYTES", f"{where}.datatype", wanted.datatype, "numbers")


def _check_output(where: str, answer: CloudOutput, declared: Output) -> None:
    _check_name(f"{where}.tensor", answer.tensor)
    require(
        1 / _LARGE < answer.temperature < _LARGE, f"{where}.temperature", answer.temperature, "1e-6 to 1e6"
    )
    if answer.labels is not None:
        device, cloud = declared.labels or (), answer.labels
        strange = sorted(set(device) ^ set(cloud))[:4] or "a label twice"
        same = sorted(device) == sorted(cloud) and len(set(cloud)) == len(cloud)
        require(
            same, f"{where}.labels", f"other than the bundle's: {strange}", "the same labels in any order"
        )


def _check_name(where: str, name: str) -> None:
    good = 0 < len(name) <= _MOST_NAME and name.isprintable()
    require(good, where, repr(name[:60]), f"1 to {_MOST_NAME} printable characters")

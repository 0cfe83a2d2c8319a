"""The recipe of a model that is there already, as frozen data from TOML or Python."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edgeinfer.bundle import Budgets, Cloud, PriorLevel, canonical_json, encode


@dataclass(frozen=True)
class ModelFile:
    """A model file.

    Attributes:
        path: The `.onnx` or `.tflite` file, relative to the recipe.
        outputs: Its tensors that are the outputs, in the order of the bundle's; by default all that the
            file declares. Of an ONNX file any tensor may be named: what stands behind it is cut off.
    """

    path: str
    outputs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ReadyInput:
    """The preprocessing that the model was trained with: `(pixel * scale - mean) / std`.

    Attributes:
        color: `RGB`, or `L` for grey.
        height: Rows; needed where the file leaves them open.
        width: Columns; likewise.
        resize: `squash`, `fit-crop` or `letterbox`.
        filter: Resampling filter.
        crop: Share of the resized picture's sides that its centre keeps, 1 for all.
        scale: Factor of the pixels 0..255.
        mean: One value a channel, of scaled pixels; 0 by default.
        std: One value a channel; 1 by default.
        max_pixels: Largest picture that will be decoded.
        jpeg_oversampling: Pixels that scaled decoding of a JPEG leaves for each one of the resized picture, across
            and down; by default a JPEG is decoded whole.
    """

    color: Literal["RGB", "L"]
    height: int | None = None
    width: int | None = None
    resize: Literal["squash", "fit-crop", "letterbox"] = "squash"
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    crop: float = 1.0
    scale: float = 1 / 255
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    max_pixels: int = 50_000_000
    jpeg_oversampling: int | None = None

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self.color == "RGB" else 1


@dataclass(frozen=True)
class ReadyOutput:
    """What the outputs mean.

    Attributes:
        answer: The first output holds `logits`, `probabilities`, scores of `detections`, or `values` that
            are given as they are.
        labels: Text file with one class a line, relative to the recipe.
        names: What callers call the outputs; by default as the first file does.
        top: How many classes an answer lists.
        temperature: Of the softmax over logits.
    """

    answer: Literal["logits", "probabilities", "detections", "values"]
    labels: str | None = None
    names: tuple[str, ...] | None = None
    top: int = 3
    temperature: float = 1.0


@dataclass(frozen=True)
class Detections:
    """How the second output's boxes become things: the manifest's detection steps.

    Attributes:
        least: Score at or above which a box counts.
        iou: Intersection over union above which two boxes cover the same thing.
        background: Class that means nothing is there.
        k: Most things in an answer.
        candidates: Most boxes that take part in suppression.
        per_class: Whether boxes of different classes leave each other alone.
        coordinates: What the four numbers of a box are, without `levels`.
        unit: `share` or `pixel` of the input, without `levels`.
        levels: Prior boxes per feature map; with them the numbers are offsets, as of an SSD.
        center_variance: Factor of the offsets of the centre.
        size_variance: Factor of the logarithms of width and height.
        clip: Whether priors are clipped to the input.
        logits: Whether scores go through a softmax first.
    """

    least: float
    iou: float
    background: int | None = None
    k: int = 100
    candidates: int = 1000
    per_class: bool = True
    coordinates: Literal["x0y0x1y1", "y0x0y1x1", "cxcywh"] = "x0y0x1y1"
    unit: Literal["share", "pixel"] = "share"
    levels: tuple[PriorLevel, ...] = ()
    center_variance: float = 0.1
    size_variance: float = 0.2
    clip: bool = True
    logits: bool = False


@dataclass(frozen=True)
class ReadyQuantize:
    """Static int8 of each float file.

    Attributes:
        calibration: Folder of pictures (or of `.npy` inputs, for a model that takes tensors) whose value
            ranges are taken, relative to the recipe.
        check: Folder of others, on which int8 is held against float; by default every fifth of the
            calibration items, which then lend no ranges.
        items: Most items of each folder, chosen by the seed.
        min_agreement: Least share of answers in which an int8 file agrees with its float form.
        float_layers: Nodes of the ONNX file that stay in float; one without a name is called by its
            operator and place, as `Conv_12`.
    """

    calibration: str
    check: str | None = None
    items: int = 200
    min_agreement: float = 0.9
    float_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtimes:
    """The oldest runtimes that the bundle is for.

    Attributes:
        onnxruntime: A release; operator set and file version of an ONNX file are lowered to what it takes.
    """

    onnxruntime: str = "1.20"


@dataclass(frozen=True)
class ReadyRecipe:
    """One conversion without training.

    Attributes:
        name: Name of the model.
        version: Its version.
        licence: Its licence.
        intended_use: What it is for.
        model: The model file.
        output: What it answers.
        twin: The same model in the other format, with its outputs in the same order.
        input: Preprocessing; without it callers hand in the model's tensor.
        detections: For `answer = "detections"`.
        quantize: Static int8; without it files stay as they are.
        runtimes: What the bundle must run on.
        cloud: How the model is asked in the cloud.
        budgets: What the model may cost on a device.
        task: What it does; by default it follows from the answer.
        seed: Of the choice of calibration items.
        folder: Where relative paths start; set when a recipe is loaded, no part of the digest.
    """

    name: str
    version: str
    licence: str
    intended_use: str
    model: ModelFile
    output: ReadyOutput
    twin: ModelFile | None = None
    input: ReadyInput | None = None
    detections: Detections | None = None
    quantize: ReadyQuantize | None = None
    runtimes: Runtimes = field(default_factory=Runtimes)
    cloud: Cloud | None = None
    budgets: Budgets | None = None
    task: str | None = None
    seed: int = 0
    folder: str = "."

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The model file and its twin, if there is one."""
        return (self.model,) if self.twin is None else (self.model, self.twin)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the published recipe's canonical JSON."""
        return hashlib.sha256(canonical_json(encode(self.published()))).hexdigest()

    def published(self) -> ReadyRecipe:
        """Return it as it may be shown to others: files by name, without the folders they lie in."""
        quantize = self.quantize and replace(
            self.quantize,
            calibration=Path(self.quantize.calibration).name,
            check=_name_of(self.quantize.check),
        )
        return replace(
            self,
            model=replace(self.model, path=Path(self.model.path).name),
            twin=self.twin and replace(self.twin, path=Path(self.twin.path).name),
            output=replace(self.output, labels=_name_of(self.output.labels)),
            quantize=quantize,
            folder=".",
        )

    def resolve(self, path: str) -> Path:
        """Return a path of the recipe as one that can be opened."""
        return Path(self.folder) / path


def _name_of(path: str | None) -> str | None:
    return None if path is None else Path(path).name

"""The manifest: what a bundle holds, as frozen data.

Every field stands in `manifest.schema.json` and in docs/bundle-format.md under the same name.
Fields that are None are absent from the JSON. Readers ignore fields that they do not know; a change
that an old reader must not ignore raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from edgeinfer.frozen import frozen
from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.bundle.all_steps import PostprocessStep, PreprocessStep
    from edgeinfer.bundle.budgets import Budgets
    from edgeinfer.bundle.cloud import Cloud
    from edgeinfer.bundle.content import Blob, DType, TensorBlob
    from edgeinfer.bundle.measured import Calibration, Latency, Proportion
    from edgeinfer.bundle.reference import Cascade, Confusion, DriftReference

# Types of fields: whoever reads JSON asks for them, and a manifest that was read before needs only those in it.
__getattr__ = lazily(
    "edgeinfer.bundle",
    {
        "Blob": "content",
        "Budgets": "budgets",
        "Calibration": "measured",
        "Cascade": "reference",
        "Cloud": "cloud",
        "Confusion": "reference",
        "DType": "content",
        "DriftReference": "reference",
        "Latency": "measured",
        "PostprocessStep": "all_steps",
        "PreprocessStep": "all_steps",
        "Proportion": "measured",
        "TensorBlob": "content",
    },
)

FORMAT = "edgeinfer-bundle"
SCHEMA_VERSION = 1

Precision = Literal["fp32", "fp16", "int8", "mixed", "int8-dynamic", "int8-weight-only"]
Format = Literal["onnx", "tflite"]


@frozen
class Input:
    """What the model takes, independent of any variant.

    Attributes:
        name: Name by which callers hand it in.
        dtype: Type of the preprocessed tensor.
        shape: Its axes: a length, or a name where the length is free (the batch, always axis 0).
        preprocess: Steps from what a caller has to the tensor of one item (without the batch axis);
            empty when callers hand in the tensor itself.
        preprocess_digest: SHA-256 of the steps' canonical JSON.
    """

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    preprocess: tuple[PreprocessStep, ...]
    preprocess_digest: str


@frozen
class Output:
    """What the model gives, independent of any variant.

    Attributes:
        name: Name under which callers find it.
        dtype: Type of the tensor.
        shape: Its axes, as for inputs.
        labels: Names of the classes along the last axis, or None.
        postprocess: Steps from the tensor to an answer.
    """

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    labels: tuple[str, ...] | None = None
    postprocess: tuple[PostprocessStep, ...] = ()


@frozen
class Quantization:
    """Affine quantization of one tensor: real = (stored - zero_point) * scale."""

    scale: float
    zero_point: int


@frozen
class Binding:
    """How a variant's own tensor relates to the manifest's input or output.

    Attributes:
        tensor: Name inside the model file.
        dtype: Type the engine takes or gives.
        shape: Axes of the engine's tensor; a name where the length is free.
        permute: For an input, the axes of the manifest's tensor in the engine's order; for an output,
            the axes of the engine's tensor in the manifest's order. None keeps the order.
        quantization: Set when the engine's tensor is quantized and the manifest's is not.
    """

    tensor: str
    dtype: DType
    shape: tuple[int | str, ...]
    permute: tuple[int, ...] | None = None
    quantization: Quantization | None = None


@frozen
class Tolerance:
    """Largest difference from a golden output: |got - golden| <= atol + rtol * |golden|."""

    atol: float
    rtol: float


@frozen
class Variant:
    """One model file that answers for the bundle.

    Attributes:
        id: Name of the variant within the bundle.
        format: File format.
        precision: Arithmetic of the bulk of its layers; `fp16` and `int8-weight-only` say how their weights
            are stored.
        blob: The model file.
        inputs: Binding per input name.
        outputs: Binding per output name.
        requires: Least version per engine package that runs it; an engine whose package is not
            named here is refused.
        opset: ONNX operator set; None for TFLite.
        golden_outputs: Outputs for the bundle's golden inputs, per output name.
        tolerances: Tolerance per engine name.
        accuracy: Top-1 accuracy, if measured.
        agreement: Share of cases in which it names the teacher's class, if measured.
        latency: Time of one call, if measured.
        memory_bytes: Growth of resident memory by loading and running it, if measured.
        isa: Instruction sets that it profits from.
    """

    id: str
    format: Format
    precision: Precision
    blob: Blob
    inputs: Mapping[str, Binding]
    outputs: Mapping[str, Binding]
    requires: Mapping[str, str]
    opset: int | None = None
    golden_outputs: Mapping[str, TensorBlob] = field(default_factory=dict)
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    accuracy: Proportion | None = None
    agreement: Proportion | None = None
    latency: Latency | None = None
    memory_bytes: int | None = None
    isa: tuple[str, ...] = ()


@frozen
class Golden:
    """Inputs whose outputs are known, run before a variant answers for the first time.

    Attributes:
        origin: Where the inputs come from: synthetic, or expressly licensed. Never training data.
        inputs: Preprocessed tensors per input name; axis 0 counts the cases.
        sources: Per input name, encoded pictures (PNG), recordings (WAV) or rows (JSON) that the
            preprocessing must turn into the first rows of `inputs`.
    """

    origin: str
    inputs: Mapping[str, TensorBlob]
    sources: Mapping[str, tuple[Blob, ...]] = field(default_factory=dict)


@frozen
class Lineage:
    """Where the bundle comes from.

    Attributes:
        teacher_sha256: Digest of the teacher's weights.
        data_sha256: Digest over the digests of all items of the data.
        splits: Items per split.
        recipe_sha256: Digest of the recipe's canonical JSON.
        seed: Seed of every random choice.
        tools: Version per package that took part.
        not_deterministic: Fields of the manifest that differ from run to run, with the reason.
    """

    teacher_sha256: str
    data_sha256: str
    splits: Mapping[str, int]
    recipe_sha256: str
    seed: int
    tools: Mapping[str, str]
    not_deterministic: Mapping[str, str] = field(default_factory=dict)


@frozen
class Document:
    """A text for people that travels with the bundle."""

    blob: Blob
    media_type: str


@frozen
class Manifest:
    """All that a bundle says about itself.

    Attributes:
        name: What the model is called; letters, digits, `.`, `_`, `-`.
        version: Version of this model, the maker's own scheme.
        task: What it does, for example `image-classification`, `audio-classification`, `table-classification`.
        licence: SPDX identifier or a sentence.
        intended_use: A sentence on what it is for and what not.
        inputs: What it takes.
        outputs: What it gives; the first one carries the answer.
        variants: Model files, the preferred one first.
        golden: Inputs with known outputs, if any.
        calibration: Evidence for its confidences, if calibrated.
        drift: What its inputs and answers looked like on held-out data, if known.
        confusion: Which classes it takes for which, if measured.
        cascade: What handing unsure answers to the teacher would cost and gain, if measured.
        cloud: How it is asked in the cloud, if its maker says so.
        budgets: What it may cost on a device, if its maker says so.
        lineage: Where it comes from, if known.
        documents: Texts for people, by file name.
    """

    name: str
    version: str
    task: str
    licence: str
    intended_use: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    variants: tuple[Variant, ...]
    golden: Golden | None = None
    calibration: Calibration | None = None
    drift: DriftReference | None = None
    confusion: Confusion | None = None
    cascade: Cascade | None = None
    cloud: Cloud | None = None
    budgets: Budgets | None = None
    lineage: Lineage | None = None
    documents: Mapping[str, Document] = field(default_factory=dict)
    format: Literal["edgeinfer-bundle"] = "edgeinfer-bundle"
    schema_version: Literal[1] = 1

    def blobs(self) -> dict[str, Blob]:
        """Return every blob that the manifest names, by digest, in order of first mention."""
        found: dict[str, Blob] = {}
        for blob in self._mentions():
            found.setdefault(blob.sha256, blob)
        return found

    def _mentions(self) -> list[Blob]:
        mentions = []
        for variant in self.variants:
            mentions.append(variant.blob)
            mentions += [tensor.blob for tensor in variant.golden_outputs.values()]
        if self.golden:
            mentions += [tensor.blob for tensor in self.golden.inputs.values()]
            mentions += [blob for blobs in self.golden.sources.values() for blob in blobs]
        if self.confusion:
            mentions.append(self.confusion.counts.blob)
        return mentions + [document.blob for document in self.documents.values()]

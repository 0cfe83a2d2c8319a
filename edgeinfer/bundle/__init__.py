"""Bundles: a manifest and the content it names by digest, read and written, as a file or a folder."""

from edgeinfer.bundle.audio_steps import SAMPLE_RATES, DecodeAudio, FitLength, LogMel, Mfcc, band_edges
from edgeinfer.bundle.canonical import canonical_json
from edgeinfer.bundle.codec import Dialect, decode, encode
from edgeinfer.bundle.content import Blob, TensorBlob
from edgeinfer.bundle.document import manifest_bytes, parse_manifest
from edgeinfer.bundle.manifest import (
    Binding,
    Document,
    Golden,
    Input,
    Lineage,
    Manifest,
    Output,
    Quantization,
    Tolerance,
    Variant,
)
from edgeinfer.bundle.measured import Calibration, Latency, Proportion, Split
from edgeinfer.bundle.preprocess_rules import MAX_FILE_BYTES, MAX_PIXELS, tensor_shape
from edgeinfer.bundle.reader import Bundle, open_bundle
from edgeinfer.bundle.reference import (
    MOST_SYMBOLS,
    Cascade,
    CascadePoint,
    Confusion,
    DriftReference,
    Feature,
    InputStatistic,
    Measure,
    PredictedClass,
    Projection,
    StatisticName,
    TopConfidence,
)
from edgeinfer.bundle.require import NAME_PATTERN
from edgeinfer.bundle.rules import check_manifest
from edgeinfer.bundle.steps import (
    CenterCrop,
    Decode,
    Layout,
    Normalize,
    PostprocessStep,
    PreprocessStep,
    Resize,
    Scale,
    Softmax,
    TopK,
    steps_digest,
)
from edgeinfer.bundle.table_steps import Category, Numeric, Row
from edgeinfer.bundle.writer import BlobSet, write_bundle

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MOST_SYMBOLS",
    "NAME_PATTERN",
    "SAMPLE_RATES",
    "Binding",
    "Blob",
    "BlobSet",
    "Bundle",
    "Calibration",
    "Cascade",
    "CascadePoint",
    "Category",
    "CenterCrop",
    "Confusion",
    "Decode",
    "DecodeAudio",
    "Dialect",
    "Document",
    "DriftReference",
    "Feature",
    "FitLength",
    "Golden",
    "Input",
    "InputStatistic",
    "Latency",
    "Layout",
    "Lineage",
    "LogMel",
    "Manifest",
    "Measure",
    "Mfcc",
    "Normalize",
    "Numeric",
    "Output",
    "PostprocessStep",
    "PredictedClass",
    "PreprocessStep",
    "Projection",
    "Proportion",
    "Quantization",
    "Resize",
    "Row",
    "Scale",
    "Softmax",
    "Split",
    "StatisticName",
    "TensorBlob",
    "Tolerance",
    "TopConfidence",
    "TopK",
    "Variant",
    "band_edges",
    "canonical_json",
    "check_manifest",
    "decode",
    "encode",
    "manifest_bytes",
    "open_bundle",
    "parse_manifest",
    "steps_digest",
    "tensor_shape",
    "write_bundle",
]

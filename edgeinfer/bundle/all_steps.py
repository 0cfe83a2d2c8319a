"""All steps that a manifest may declare before and after the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edgeinfer.bundle.audio_steps import AudioStep
from edgeinfer.bundle.canonical import canonical_json
from edgeinfer.bundle.codec import encode
from edgeinfer.bundle.detection import DetectionStep
from edgeinfer.bundle.steps import CenterCrop, Decode, Layout, Normalize, Resize, Scale, Softmax, TopK
from edgeinfer.bundle.table_steps import Row

PreprocessStep = Decode | Resize | CenterCrop | Scale | Normalize | Layout | AudioStep | Row
PostprocessStep = Softmax | TopK | DetectionStep


def steps_digest(steps: Sequence[PreprocessStep]) -> str:
    """Return the SHA-256 (hex) of the steps' canonical JSON (RFC 8785)."""
    return hashlib.sha256(canonical_json(encode(tuple(steps)))).hexdigest()

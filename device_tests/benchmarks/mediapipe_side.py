"""Runs in an environment with MediaPipe: times its image classifier and edgeinfer in turns, on the same TFLite file.

MediaPipe takes one mean and one deviation for all channels, so that its pictures differ a little, and times do not.
"""

from __future__ import annotations

import json
import sys
import time
import types

import numpy as np

# The package lacks a native module that its writer of metadata asks for the least version of its own format.
for missing in ("mediapipe.tasks.cc", "mediapipe.tasks.cc.metadata", "mediapipe.tasks.cc.metadata.python"):
    sys.modules[missing] = types.ModuleType(missing)
_version = types.SimpleNamespace(GetMinimumMetadataParserVersion=lambda _: "1.0.0")
sys.modules["mediapipe.tasks.cc.metadata.python"]._pywrap_metadata_version = _version
sys.modules["mediapipe.tasks.cc.metadata.python"]._pywrap_flatbuffers = types.SimpleNamespace()

import mediapipe  # noqa: E402
from mediapipe.tasks import python as tasks  # noqa: E402
from mediapipe.tasks.python import vision  # noqa: E402
from mediapipe.tasks.python.metadata.metadata_writers import image_classifier, metadata_writer  # noqa: E402

import edgeinfer as ei  # noqa: E402

_BLOCKS, _CALLS = 41, 50


def main() -> None:
    """Print pairs of microseconds a call, ours first."""
    path = sys.argv[1]
    with ei.open_bundle(path) as bundle:
        variant = next(each for each in bundle.manifest.variants if each.id == "tflite-int8")
        data, labels = bundle.read(variant.blob), bundle.manifest.outputs[0].labels
        normal = next(step for step in bundle.manifest.inputs[0].preprocess if step.op == "normalize")
    mean, std = sum(normal.mean) * 255 / 3, sum(normal.std) * 255 / 3
    names = metadata_writer.Labels().add(list(labels))
    written, _ = image_classifier.MetadataWriter.create(
        bytearray(data), [mean], [std], labels=names
    ).populate()
    options = vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=bytes(written)), max_results=3
    )
    classifier, model = vision.ImageClassifier.create_from_options(options), ei.load(path, variant=variant.id)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)

    def theirs() -> object:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        return classifier.classify(image)

    def ours() -> object:
        return model.predict(pixels)

    _block(ours), _block(theirs)
    print(json.dumps([(_block(ours), _block(theirs)) for _ in range(_BLOCKS)]))


def _block(call: object) -> float:
    start = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter() - start) / _CALLS * 1e6


if __name__ == "__main__":
    main()

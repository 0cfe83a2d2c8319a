"""From an encoded picture to a label, beside Pillow, numpy and the engine by hand."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import edgeinfer as ei
from device_tests.benchmarks.compare import Call, Row, Skipped, in_turns, more, ratio
from device_tests.benchmarks.engines import files
from device_tests.benchmarks.models import MODELS

_PHOTO = Path("../shared/data/photos/cat_1080p.jpg")
_SIZE, _QUALITY = (4000, 3000), 90
_MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
_STD = np.array([0.247, 0.2435, 0.2616], np.float32)


def by_hand(model: bytes, picture: bytes, oversampling: int | None) -> Call:
    """Return Pillow, numpy and LiteRT by hand, of the CIFAR-10 student's preprocessing and nothing else.

    Args:
        model: TFLite file.
        picture: Encoded.
        oversampling: Of scaled JPEG decoding, or None to decode all of it.
    """
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    given, taken = details["index"], interpreter.get_output_details()[0]["index"]
    _, height, width, channels = details["shape"]
    mean, std = (_MEAN, _STD) if channels == 3 else (np.float32(0.5), np.float32(0.5))
    kind = Image.Resampling.BILINEAR if channels == 3 else Image.Resampling.BOX

    def call() -> object:
        image = Image.open(io.BytesIO(picture))
        if oversampling is not None:
            image.draft("RGB", (width * oversampling, height * oversampling))
        image = image.convert("RGB" if channels == 3 else "L").resize((width, height), kind)
        values = (np.asarray(image, np.float32).reshape(1, height, width, channels) / 255 - mean) / std
        interpreter.set_tensor(given, values)
        interpreter.invoke()
        return int(interpreter.get_tensor(taken).argmax())

    return call


def rows(folder: Path) -> Iterator[Row | Skipped]:
    """Measure a small PNG, and a photograph of 12 megapixels."""
    drawn = Path("build/demo/seven.png")
    if drawn.exists():
        bundle, png = MODELS / "digits.eib", drawn.read_bytes()
        model = ei.load(bundle, variant="tflite-int8")
        plain = by_hand(files(bundle)["tflite-int8"], png, None)
        pairs = in_turns(lambda: model.predict(png), plain, 51, 20)
        yield more("200 x 200 PNG to label, beside Pillow + numpy + LiteRT", pairs, None)
    if not _PHOTO.exists():
        yield Skipped("12-megapixel JPEG to label", f"{_PHOTO} is not there")
        return
    path = folder / "photo.jpg"
    with Image.open(_PHOTO) as photo:
        photo.convert("RGB").resize(_SIZE, Image.Resampling.LANCZOS).save(path, quality=_QUALITY)
    data, bundle = path.read_bytes(), MODELS / "cifar10.eib"
    model = ei.load(bundle, variant="tflite-int8")
    file = files(bundle)["tflite-int8"]
    for what, oversampling, budget in (
        ("12-megapixel JPEG to label, beside Pillow + numpy + LiteRT", None, 0.5),
        ("the same, beside one written by hand with scaled decoding", 2, 1.05),
    ):
        pairs = in_turns(lambda: model.predict(data), by_hand(file, data, oversampling), 15, 2)
        yield ratio(what, pairs, budget)

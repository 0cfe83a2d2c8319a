"""What is taken from a picture before anything made of it leaves the device."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from PIL import Image as Pillow

from edgeinfer.bundle import Crop, Decode, Downscale
from edgeinfer.preprocess.picture import decode

if TYPE_CHECKING:
    from PIL.Image import Image

    from edgeinfer.bundle import Reduction


def reduced(source: object, step: Decode, reductions: Sequence[Reduction]) -> Image:
    """Return a picture with less in it: upright, opaque, without anything that a file says beside its pixels.

    Args:
        source: As for `decode`.
        step: Its colours, limit and background.
        reductions: What is taken from it, in this order; metadata always is.

    Raises:
        DecodeError: It is no picture, is damaged, or has more pixels than the limit.
        InputError: It is of a type that is no picture at all.
    """
    image, _ = decode(source, replace(step, jpeg_oversampling=None))
    for each in reductions:
        if isinstance(each, Crop):
            width, height = image.size
            left, top = math.floor(each.left * width), math.floor(each.top * height)
            # Of shares that lie next to each other a pixel stays.
            left, top = min(left, width - 1), min(top, height - 1)
            right = max(left + 1, math.ceil(each.right * width))
            bottom = max(top + 1, math.ceil(each.bottom * height))
            image = image.crop((left, top, right, bottom))
        elif isinstance(each, Downscale) and max(image.size) > each.longest:
            share = each.longest / max(image.size)
            width, height = (max(1, round(side * share)) for side in image.size)
            image = image.resize((width, height), Pillow.Resampling.BOX)
    # Made anew of pixels alone: what came with the file stays behind.
    return Pillow.frombytes(image.mode, image.size, image.tobytes())


def encoded(image: Image, encoding: Literal["jpeg", "png"], quality: int) -> bytes:
    """Return a picture as a file of its pixels.

    Args:
        image: Grey or RGB.
        encoding: The format.
        quality: Of a JPEG, 1 to 100.
    """
    file = io.BytesIO()
    options = {"quality": quality} if encoding == "jpeg" else {}
    image.save(file, encoding.upper(), **options)
    return file.getvalue()

"""Boxes drawn into a picture, for people."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from edgeinfer.bundle import Decode
from edgeinfer.errors import EngineUnavailable, InputError

Mark = tuple[str, tuple[float, float, float, float]]
_INK, _PAPER = (255, 214, 0), (0, 0, 0)


def draw_boxes(source: object, marks: Sequence[Mark], path: str | PathLike[str]) -> None:
    """Write the upright picture with a box and a caption for each mark.

    Args:
        source: What `Preprocessor.pixels` takes.
        marks: Caption, and x0, y0, x1, y1 in pixels of the upright picture.
        path: Where to; the ending says which format.

    Raises:
        DecodeError: The source is no picture.
        InputError: The ending of `path` names no format.
        EngineUnavailable: Pillow is not installed.
        OSError: The file cannot be written.
    """
    try:
        from PIL import ImageDraw

        from edgeinfer.preprocess.picture import decode
    except ImportError as error:
        raise EngineUnavailable(
            f"drawing needs Pillow ({error})", next_step="pip install 'edgeinfer[image]'"
        ) from error
    image, _ = decode(source, Decode("RGB"))
    image = image.copy()
    pen = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    size = max(10, round(max(image.size) / 45))
    for caption, (x0, y0, x1, y1) in marks:
        pen.rectangle((x0, y0, x1, y1), outline=_INK, width=line)
        top = max(0.0, y0 - size - 4)
        left, upper, right, lower = pen.textbbox((x0 + 2, top), caption, font_size=size)
        pen.rectangle((left - 2, upper - 2, right + 2, lower + 2), fill=_PAPER)
        pen.text((x0 + 2, top), caption, fill=_INK, font_size=size)
    try:
        image.save(path)
    except ValueError as error:
        raise InputError(
            f"cannot draw into {path} ({error})", next_step="name a .png or .jpg file"
        ) from error

"""Encoded pictures to pixels, and pixels to the size a model takes. Pillow does the work.

Where these functions round or choose, docs/bundle-format.md says how, so that another language can
do the same.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from edgeinfer.bundle import MAX_FILE_BYTES
from edgeinfer.errors import DecodeError, InputError
from edgeinfer.preprocess.placement import jpeg_shrinking, resized
from edgeinfer.preprocess.reading import read_file

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from edgeinfer.bundle import CenterCrop, Decode, Resize
    from edgeinfer.preprocess.placement import Rectangle, Size

    Pixels = NDArray[np.uint8]

# No format whose reader starts other programs or takes a script (EPS, for one).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_ORIENTATION = 0x0112  # EXIF 2.3, tag 274
_SIDEWAYS = (5, 6, 7, 8)
_JPEG = ("JPEG", "MPO")  # the second: several JPEGs in one file, as some cameras write them; the first counts
_WIDE_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def decode(source: object, step: Decode, geometry: Sequence[Resize | CenterCrop] = ()) -> tuple[Image, Size]:
    """Return the picture upright, opaque, in the step's colours; and its width and height as it is stored.

    Args:
        source: Path, encoded bytes, a PIL image, or `(H, W)`, `(H, W, 1 | 3 | 4)` uint8 pixels.
        step: Colours, limit, background, and whether a JPEG may be decoded smaller than it is.
        geometry: What follows, which says how small.

    Raises:
        DecodeError: It is no picture, is damaged, or has more pixels than the limit.
        InputError: It is of a type that is no picture at all.
    """
    name, image = _open(source)
    width, height = image.size
    if width * height == 0:
        raise DecodeError(f"{name} is empty", found=f"{width} x {height} pixels")
    if width * height > step.max_pixels:
        raise DecodeError(
            f"{name} is too large",
            found=f"{width} x {height} pixels",
            expected=f"at most {step.max_pixels}",
            next_step="shrink it, or raise max_pixels in the recipe",
        )
    try:
        if step.jpeg_oversampling and image.format in _JPEG and image is not source:
            across, down = (height, width) if _orientation(image) in _SIDEWAYS else (width, height)
            shrink = jpeg_shrinking(geometry, (across, down), step.jpeg_oversampling)
            image.draft(None, (width // shrink, height // shrink))
        image.load()
        orientation = _orientation(image)
        stored = (height, width) if orientation in _SIDEWAYS else (width, height)
        return _colors(_upright(image, orientation), step), stored
    except Exception as error:  # Pillow's readers raise over a dozen types on damaged files.
        raise DecodeError(
            f"{name} is a damaged picture ({error})", next_step="open it in a viewer, or take it again"
        ) from error


def _orientation(image: Image) -> int:
    found: int = image.getexif().get(_ORIENTATION, 1)
    return found


def _upright(image: Image, orientation: int) -> Image:
    if orientation == 1:
        return image
    from PIL.ImageOps import exif_transpose  # copies even those that are upright, which most are

    return exif_transpose(image)


def resize(image: Image, step: Resize) -> Image:
    """Return the picture at the step's size; see `edgeinfer.bundle.Resize` for the modes."""
    kind = Pillow.Resampling[step.filter.upper()]
    shown, (left, top, *inner) = resized(step, *image.size)
    small = _resample(image, (inner[0], inner[1]), kind, shown)
    if (step.width, step.height) == small.size:
        return small
    result = Pillow.new(image.mode, (step.width, step.height), (step.fill,) * len(image.getbands()))
    result.paste(small, (left, top))
    return result


def center_crop(image: Image, step: CenterCrop) -> Image:
    """Return the centre of the picture.

    Raises:
        InputError: The picture is smaller than the crop.
    """
    width, height = image.size
    if width < step.width or height < step.height:
        raise InputError(
            "a picture is smaller than its centre crop",
            found=f"{width} x {height}",
            expected=f"at least {step.width} x {step.height}",
            next_step="put a resize step before the crop",
        )
    left, top = (width - step.width) // 2, (height - step.height) // 2
    return image.crop((left, top, left + step.width, top + step.height))


def pixels(image: Image) -> Pixels:
    """Return `(H, W, C) uint8` with C = 1 for grey and 3 for RGB."""
    array = np.asarray(image, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array


def _resample(image: Image, size: tuple[int, int], kind: Pillow.Resampling, box: Rectangle) -> Image:
    """Resize across, then down: left to itself, Pillow 13 chooses the order and 12 does not."""
    left, top, right, bottom = box
    across = image.resize((size[0], image.height), kind, box=(left, 0, right, image.height))
    return across.resize(size, kind, box=(0, top, size[0], bottom))


def _open(source: object) -> tuple[str, Image]:
    if isinstance(source, Pillow.Image):
        return "the PIL image", source
    if isinstance(source, np.ndarray):
        return "the pixel array", Pillow.fromarray(_checked_pixels(source))
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "the picture", bytes(source)
    elif isinstance(source, str | os.PathLike):
        name = str(source)
        data = read_file(source, "picture", MAX_FILE_BYTES)
    else:
        raise InputError(
            "this is no picture",
            found=type(source).__name__,
            expected="a path, bytes, a PIL image or a uint8 array",
        )
    try:
        return name, _reader(data)
    except Pillow.DecompressionBombError as error:
        raise DecodeError(f"{name} is too large ({error})", next_step="shrink it") from error
    except Exception as error:  # as above: the header readers raise many types
        raise DecodeError(
            f"{name} is no picture",
            found=f"{len(data)} bytes that begin with {data[:8]!r}",
            expected="one of " + ", ".join(FORMATS),
            next_step="convert it to PNG or JPEG",
        ) from error


def _reader(data: bytes) -> Image:
    """Return a picture whose header is read. The two usual formats do without Pillow's search, which imports all."""
    file = io.BytesIO(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(file)
    if data.startswith(b"\xff\xd8\xff"):
        from PIL.JpegImagePlugin import jpeg_factory

        return jpeg_factory(file)
    return Pillow.open(file, formats=FORMATS)


def _checked_pixels(array: NDArray[np.generic]) -> NDArray[np.generic]:
    good_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not good_shape or 0 in array.shape:
        raise InputError(
            "the pixel array",
            found=f"{array.dtype} {array.shape}",
            expected="uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)",
            next_step="for a batch use predict_many; a tensor that is already preprocessed is float32",
        )
    return array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _colors(image: Image, step: Decode) -> Image:
    if image.mode in _WIDE_GREY:
        # 16 bits a pixel: the high byte is what an 8-bit picture of the same scene holds.
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Pillow.fromarray((wide >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Pillow.new("RGBA", image.size, (step.background,) * 3 + (255,))
        image = Pillow.alpha_composite(paper, image)
    # Grey to RGB to grey is the identity, so a picture of the wanted kind is taken as it is.
    return image if image.mode == step.color else image.convert("RGB").convert(step.color)

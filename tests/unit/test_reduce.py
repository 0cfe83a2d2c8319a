"""What is taken from a picture before it leaves: nothing but upright pixels is in the file that is sent."""

from __future__ import annotations

import io
import math
import struct
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from edgeinfer.bundle import Crop, Decode, Downscale, StripMetadata
from edgeinfer.errors import DecodeError, InputError
from edgeinfer.preprocess import encoded, reduced

RGB, GREY = Decode("RGB"), Decode("L")
MARKS = {
    "maker": b"<maker of the camera>",
    "place": b"<2026:01:01>",
    "thumbnail": b"\xff\xd8<a small picture>\xff\xd9",
    "xmp": b"<x:xmpmeta name='of the user'/>",
    "iptc": b"<caption of the user's>",
    "profile": b"<a colour profile of a screen>",
    "comment": b"<a comment of the user's>",
    "film": b"<a film behind the picture>",
}
# EXIF 2.3, tag 274: how what is stored is turned to stand upright.
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: np.rot90,
}


def exif_of(orientation: int) -> bytes:
    """EXIF with a maker, a place, and a thumbnail in a second directory (TIFF 6.0, little-endian)."""

    def directory(
        at: int, entries: list[tuple[int, int, int, bytes | int]], content: bytes, then: int = 0
    ) -> bytes:
        made = struct.pack("<H", len(entries))
        for tag, kind, count, value in entries:
            # An int is an offset into the content behind the directory, unless it is a value.
            made += struct.pack("<HHI", tag, kind, count) + (
                value if isinstance(value, bytes) else struct.pack("<I", value)
            )
        assert at + len(made) + 4 == at + 2 + 12 * len(entries) + 4
        return made + struct.pack("<I", then) + content

    maker, place, small = MARKS["maker"] + b"\0", MARKS["place"][1:-1] + b"\0", MARKS["thumbnail"]
    first, end = 8, 8 + 2 + 12 * 3 + 4
    gps, rational = end + len(maker), struct.pack("<6I", 48, 1, 51, 1, 29, 1)
    gps_end = gps + 2 + 12 * 3 + 4
    second = gps_end + len(rational) + len(place)
    second_end = second + 2 + 12 * 2 + 4
    zero = directory(
        first,
        [
            (0x010F, 2, len(maker), end),
            (0x0112, 3, 1, struct.pack("<HH", orientation, 0)),
            (0x8825, 4, 1, gps),
        ],
        maker,
        second,
    )
    where = directory(
        gps,
        [(1, 2, 2, b"N\0\0\0"), (2, 5, 3, gps_end), (29, 2, len(place), gps_end + len(rational))],
        rational + place,
    )
    one = directory(second, [(0x0201, 4, 1, second_end), (0x0202, 4, 1, len(small))], small)
    return b"II*\0" + struct.pack("<I", first) + zero + where + one


def photo(pixels: np.ndarray, orientation: int) -> bytes:
    """A JPEG with all that phones write beside the pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0)
    segments = [
        (0xE1, b"Exif\0\0" + exif_of(orientation)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + MARKS["xmp"]),
        (0xE2, b"ICC_PROFILE\0\x01\x01" + MARKS["profile"]),
        (
            0xED,
            b"Photoshop 3.0\x008BIM\x04\x04\0\0"
            + struct.pack(">I", len(MARKS["iptc"]))
            + MARKS["iptc"]
            + b"\0",
        ),
        (0xFE, MARKS["comment"]),
    ]
    extra = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)
    return file.getvalue()[:2] + extra + file.getvalue()[2:] + MARKS["film"]


def png(pixels: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode)
    image.save(file, "PNG", **options)
    return file.getvalue()


def corners(height: int = 32, width: int = 48) -> np.ndarray:
    """Red, green, blue and grey quarters."""
    made = np.zeros((height, width, 3), np.uint8)
    made[: height // 2, : width // 2] = (255, 0, 0)
    made[: height // 2, width // 2 :] = (0, 255, 0)
    made[height // 2 :, : width // 2] = (0, 0, 255)
    made[height // 2 :, width // 2 :] = 128
    return made


def gradient(height: int, width: int) -> np.ndarray:
    return (np.arange(height * width) % 251).astype(np.uint8).reshape(height, width)


def parts_of(file: bytes) -> list[str]:
    """What a JPEG or PNG is made of, up to its pixels."""
    parts, at = [], 8
    if file.startswith(b"\x89PNG"):
        while at < len(file):
            length, kind = struct.unpack(">I4s", file[at : at + 8])
            parts.append(kind.decode())
            at += 12 + length
        return parts
    at = 2
    while file[at + 1] != 0xDA:
        parts.append(f"{file[at + 1]:X}")
        at += 2 + struct.unpack(">H", file[at + 2 : at + 4])[0]
    assert file.endswith(b"\xff\xd9")
    return parts


def test_the_photo_of_these_tests_holds_all_of_it():
    data = photo(corners(), 6)
    assert all(mark.strip(b"<>") in data for mark in MARKS.values())
    image = Image.open(io.BytesIO(data))
    exif = image.getexif()
    assert (exif[0x0112], exif[0x010F]) == (6, MARKS["maker"].decode())
    assert exif.get_ifd(0x8825)[2] == (48.0, 51.0, 29.0)
    assert image.info["icc_profile"] == MARKS["profile"]
    assert image.info["comment"] == MARKS["comment"]


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
@pytest.mark.parametrize(
    "steps",
    [(), (StripMetadata(),), (Crop(0, 0, 1, 1),), (Downscale(1000),), (Crop(0, 0, 0.9, 0.9), Downscale(16))],
)
@pytest.mark.parametrize("step", [RGB, GREY, Decode("RGB", jpeg_oversampling=1)])
def test_nothing_but_pixels_is_in_what_is_sent(encoding: Literal["jpeg", "png"], steps, step):
    data = photo(corners(), 6)
    for source in (data, Image.open(io.BytesIO(data))):
        image = reduced(source, step, steps)
        assert (image.info, dict(image.getexif()), image.mode) == ({}, {}, step.color)
        file = encoded(image, encoding, 90)
        assert not [name for name, mark in MARKS.items() if mark.strip(b"<>") in file]
        assert set(parts_of(file)) <= {"E0", "DB", "C0", "C4", "IHDR", "IDAT", "IEND"}
        again = Image.open(io.BytesIO(file))
        assert (dict(again.getexif()), again.info.get("icc_profile"), again.info.get("comment")) == (
            {},
            None,
            None,
        )


def test_texts_and_places_of_a_png_stay_behind_too():
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Author", MARKS["comment"].decode())
    texts.add_itxt("XML:com.adobe.xmp", MARKS["xmp"].decode())
    data = png(corners(), pnginfo=texts, exif=exif_of(1), icc_profile=MARKS["profile"], dpi=(300, 300))
    assert MARKS["comment"] in data
    for encoding in ("jpeg", "png"):
        file = encoded(reduced(data, RGB, ()), encoding, 90)
        assert not [name for name, mark in MARKS.items() if mark.strip(b"<>") in file]
        assert set(parts_of(file)) <= {"E0", "DB", "C0", "C4", "IHDR", "IDAT", "IEND"}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pixels_stand_upright_and_are_cropped_as_they_are_seen(orientation):
    stored = gradient(6, 10)
    data = png(stored, exif=exif_of(orientation))
    seen = UPRIGHT[orientation](stored)
    assert np.array_equal(np.asarray(reduced(data, GREY, ())), seen)
    height, width = seen.shape
    half = reduced(data, GREY, [Crop(0, 0, 0.5, 1)])
    assert np.array_equal(np.asarray(half), seen[:, : width // 2])
    assert half.size == (width // 2, height)


def test_a_photo_that_lies_on_its_side_is_sent_upright():
    image = Image.open(io.BytesIO(encoded(reduced(photo(corners(), 6), RGB, ()), "jpeg", 95)))
    shown = np.asarray(image).astype(int)
    assert shown.shape == (48, 32, 3)
    # Turned clockwise, what was stored at the lower left stands at the upper left.
    for (y, x), colour in {
        (8, 8): (0, 0, 255),
        (8, 24): (255, 0, 0),
        (40, 8): (128,) * 3,
        (40, 24): (0, 255, 0),
    }.items():
        assert abs(shown[y, x] - colour).max() < 12


@pytest.mark.parametrize(
    ("size", "box", "kept"),  # kept: left, top, right, bottom in pixels
    [
        ((10, 10), (0, 0, 1, 1), (0, 0, 10, 10)),
        ((10, 8), (0.25, 0.25, 0.75, 0.75), (2, 2, 8, 6)),
        ((10, 10), (0.41, 0.49, 0.51, 0.59), (4, 4, 6, 6)),
        ((3, 3), (0.5, 0.5, 0.6, 0.6), (1, 1, 2, 2)),
        ((3, 3), (0.0, 0.0, 0.001, 0.001), (0, 0, 1, 1)),
        ((3, 3), (0.999, 0.999, 1.0, 1.0), (2, 2, 3, 3)),
        ((1, 1), (0.4, 0.4, 0.6, 0.6), (0, 0, 1, 1)),
        ((1, 7), (0.0, 0.5, 1.0, 1.0), (0, 3, 1, 7)),
        ((1000, 2), (0.1234, 0.0, 0.4321, 0.5), (123, 0, 433, 1)),
    ],
)
def test_a_crop_keeps_every_pixel_that_it_touches(size, box, kept):
    whole = gradient(size[1], size[0])
    image = reduced(whole, GREY, [Crop(*map(float, box))])
    left, top, right, bottom = kept
    assert np.array_equal(np.asarray(image), whole[top:bottom, left:right])


@pytest.mark.parametrize("width", [6, 10, 49])
def test_a_crop_of_the_thinnest_sliver_keeps_a_pixel(width):
    for at in range(1, width):
        right = at / width
        image = reduced(gradient(5, width), GREY, [Crop(math.nextafter(right, 0), 0.0, right, 1.0)])
        assert image.size in ((1, 5), (2, 5))


@pytest.mark.parametrize(
    ("size", "longest", "made"),
    [
        ((100, 50), 64, (64, 32)),
        ((50, 100), 64, (32, 64)),
        ((64, 64), 64, (64, 64)),
        ((10, 7), 100, (10, 7)),
        ((100, 1), 10, (10, 1)),
        ((1, 1000), 10, (1, 10)),
        ((1000, 3), 100, (100, 1)),
        ((7, 5), 3, (3, 2)),
        ((640, 480), 1, (1, 1)),
        ((1, 1), 1, (1, 1)),
        ((101, 100), 100, (100, 99)),
    ],
)
def test_a_picture_is_made_smaller_and_never_larger(size, longest, made):
    assert reduced(gradient(size[1], size[0]), GREY, [Downscale(longest)]).size == made


def test_each_pixel_of_a_smaller_picture_is_the_mean_of_those_that_it_covers():
    whole = gradient(12, 20)
    means = whole.reshape(6, 2, 10, 2).mean(axis=(1, 3))
    assert np.abs(np.asarray(reduced(whole, GREY, [Downscale(10)])) - means).max() <= 0.5


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ((Crop(0.0, 0.0, 0.5, 1.0), Downscale(20)), (10, 20)),  # 20 x 40, then 10 x 20
        ((Downscale(20), Crop(0.0, 0.0, 0.5, 1.0)), (10, 20)),  # 20 x 20, then 10 x 20
        ((Crop(0.5, 0.0, 1.0, 1.0), Crop(0.5, 0.0, 1.0, 1.0)), (10, 40)),
        ((Downscale(10), Downscale(30)), (10, 10)),
        ((Crop(0.0, 0.0, 0.25, 0.25), Downscale(10)), (10, 10)),
        ((Downscale(10), Crop(0.0, 0.0, 0.25, 0.25)), (3, 3)),
    ],
)
def test_steps_are_taken_in_their_order(steps, size):
    assert reduced(gradient(40, 40), GREY, steps).size == size


def test_a_crop_behind_a_crop_is_a_share_of_what_is_left():
    whole = gradient(8, 40)
    image = reduced(whole, GREY, (Crop(0.5, 0.0, 1.0, 1.0), Crop(0.5, 0.5, 1.0, 1.0)))
    assert np.array_equal(np.asarray(image), whole[4:, 30:])


HALF = np.array(
    [[[200, 100, 50, 0], [200, 100, 50, 255], [200, 100, 50, 51]]], np.uint8
)  # 51 / 255 is a fifth


@pytest.mark.parametrize(
    ("source", "step", "expected"),
    [
        (HALF, RGB, [[[255] * 3, [200, 100, 50], [244, 224, 214]]]),
        (HALF, Decode("RGB", background=0), [[[0] * 3, [200, 100, 50], [40, 20, 10]]]),
        (png(HALF), RGB, [[[255] * 3, [200, 100, 50], [244, 224, 214]]]),
        (png(np.array([[0, 0x80FF, 0xFFFF]], np.uint16)), GREY, [[0, 0x80, 255]]),
        (png(np.array([[0, 0x80FF, 0xFFFF]], np.uint16)), RGB, [[[0] * 3, [0x80] * 3, [255] * 3]]),
        (png(np.array([[[255, 0, 0], [255] * 3]], np.uint8), "P"), RGB, [[[255, 0, 0], [255] * 3]]),
        (png(np.array([[0, 9]], np.uint8), transparency=9), GREY, [[0, 255]]),
        (png(np.array([[0, 9]], np.uint8)), RGB, [[[0] * 3, [9] * 3]]),
        (png(np.array([[0, 255]], np.uint8), "1"), GREY, [[0, 255]]),
        (corners(2, 2), GREY, [[76, 150], [29, 128]]),  # 0.299 R + 0.587 G + 0.114 B
        (np.array([[[7]], [[8]]], np.uint8), GREY, [[7], [8]]),
    ],
)
def test_pictures_of_every_kind_become_opaque_eight_bit_pixels(source, step, expected):
    image = reduced(source, step, (StripMetadata(),))
    found = np.asarray(image).astype(int)
    assert (image.mode, found.shape) == (step.color, np.shape(expected))
    assert np.abs(found - np.array(expected)).max() <= 1
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded(image, "png", 1)))), np.asarray(image))


def test_a_source_is_left_as_it_was(tmp_path):
    pixels, path = corners(), tmp_path / "photo.jpg"
    path.write_bytes(photo(pixels, 6))
    image = Image.open(path)
    for source in (pixels, image, path):
        reduced(source, RGB, (Crop(0.0, 0.0, 0.5, 0.5), Downscale(4)))
    assert np.array_equal(pixels, corners())
    assert (image.size, image.getexif()[0x0112], path.read_bytes()) == ((48, 32), 6, photo(pixels, 6))


def test_quality_and_format_are_as_asked_for():
    image = reduced(gradient(64, 64), GREY, ())
    best, worst = encoded(image, "jpeg", 95), encoded(image, "jpeg", 5)
    assert len(worst) < len(best) / 2
    assert {Image.open(io.BytesIO(each)).format for each in (best, worst)} == {"JPEG"}
    assert encoded(image, "png", 5) == encoded(image, "png", 95)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        photo(corners(), 1)[:300],
        photo(corners(), 6)[: -len(MARKS["film"]) - 60],
        png(gradient(64, 64))[:-40],
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"\xff\xd8\xff" + bytes(50),
    ],
)
def test_a_damaged_picture_is_a_decode_error(data):
    with pytest.raises(DecodeError):
        reduced(data, RGB, (Downscale(8),))


def test_a_picture_beyond_the_limit_is_a_decode_error_and_what_is_none_an_input_error():
    with pytest.raises(DecodeError, match="too large"):
        reduced(gradient(8, 8), Decode("L", max_pixels=63), ())
    for source in (None, 5, np.zeros((2, 2), np.float32), {"image": 1}):
        with pytest.raises(InputError):
            reduced(source, GREY, ())

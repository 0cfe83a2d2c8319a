from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgeinfer.bundle import CenterCrop, Decode, Layout, Normalize, Quantization, Resize, Scale
from edgeinfer.errors import DecodeError, InputError
from edgeinfer.preprocess import Preprocessor, dequantize, quantize, softmax, top_k


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.arange(height * width * channels, dtype=np.uint8).reshape(height, width, channels)


def test_every_way_to_hand_in_a_picture_gives_the_same_pixels(tmp_path):
    pixels = gradient(5, 7)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "p.png")
    preprocess = Preprocessor((Decode("RGB"),))
    for source in (
        tmp_path / "p.png",
        str(tmp_path / "p.png"),
        encoded(image),
        image,
        pixels,
        memoryview(encoded(image)),
    ):
        np.testing.assert_array_equal(preprocess.item(source), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation):
    upright = gradient(4, 6)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(Preprocessor((Decode("RGB"),)).item(data), upright)


def test_transparency_lies_on_the_declared_background():
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    data = encoded(Image.fromarray(clear))
    assert Preprocessor((Decode("RGB"),)).item(data)[1, 1].tolist() == [255, 255, 255]
    assert Preprocessor((Decode("RGB", background=7),)).item(data)[1, 1].tolist() == [7, 7, 7]
    assert Preprocessor((Decode("RGB"),)).item(data)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("color", ["L", "RGB"])
def test_every_kind_of_pixel_is_brought_to_the_declared_colours(mode, color):
    if mode == "I;16":
        image = Image.fromarray(np.full((3, 3), 200 * 256 + 17, np.uint16))
    else:
        image = Image.new("L", (3, 3), 200).convert("RGB").convert(mode if mode != "PA" else "P")
        image = image.convert("PA") if mode == "PA" else image
        image = Image.new("1", (3, 3), 1) if mode == "1" else image
    pixels = Preprocessor((Decode(color),)).item(image)
    assert pixels.shape == (3, 3, 1 if color == "L" else 3)
    expected = 255 if mode == "1" else 200
    assert np.abs(pixels.astype(int) - expected).max() <= 4, "palettes are coarse"


def test_grey_is_itu_r_601_luma():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert Preprocessor((Decode("L"),)).item(pixels)[0, :, 0].tolist() == [76, 150, 29]


def test_squash_takes_the_whole_picture():
    pixels = np.zeros((10, 40, 1), np.uint8)
    pixels[:, 20:] = 200
    out = Preprocessor((Decode("L"), Resize(4, 4, "squash", "box"))).item(pixels)
    assert out[:, :, 0].tolist() == [[0, 0, 200, 200]] * 4


def test_fit_crop_keeps_the_aspect_and_drops_the_ends():
    pixels = np.zeros((10, 40, 1), np.uint8)
    pixels[:, 15:25] = 200
    out = Preprocessor((Decode("L"), Resize(4, 4, "fit-crop", "box"))).item(pixels)
    assert out[:, :, 0].tolist() == [[200] * 4] * 4


def test_letterbox_keeps_the_aspect_and_fills():
    out = Preprocessor((Decode("RGB"), Resize(8, 8, "letterbox", "bilinear", fill=9))).item(
        np.full((10, 40, 3), 200, np.uint8)
    )
    rows = [sorted(set(out[row].ravel().tolist())) for row in range(8)]
    assert rows == [[9]] * 3 + [[200]] * 2 + [[9]] * 3


def test_centre_crop_rounds_down_and_refuses_what_is_too_small():
    pixels = gradient(5, 6, 1)
    out = Preprocessor((Decode("L"), CenterCrop(2, 3))).item(pixels)
    np.testing.assert_array_equal(out, pixels[1:3, 1:4])
    with pytest.raises(InputError, match=r"found 6 x 5; put a resize step before"):
        Preprocessor((Decode("L"), CenterCrop(6, 6))).item(pixels)


@pytest.mark.parametrize("kind", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_every_filter_shrinks_and_grows_a_plain_picture_to_itself(kind):
    for size in (3, 17):
        out = Preprocessor((Decode("L"), Resize(size, size, "squash", kind))).item(
            np.full((9, 9), 77, np.uint8)
        )
        assert set(out.ravel().tolist()) == {77}


def test_values_are_scaled_normalized_and_laid_out_in_float32():
    pixels = gradient(2, 3)[None]
    steps = (Decode("RGB"), Scale(1 / 255), Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), Layout("CHW"))
    out = Preprocessor(steps).tensors(pixels)
    scaled = pixels.astype(np.float32) * np.float32(1 / 255)
    mean, std = np.array([0.1, 0.2, 0.3], np.float32), np.array([0.5, 0.6, 0.7], np.float32)
    np.testing.assert_array_equal(out, ((scaled - mean) / std).transpose(0, 3, 1, 2))
    assert (out.dtype, out.shape, out.flags.c_contiguous) == (np.float32, (1, 3, 2, 3), True)


def test_one_by_one_is_the_same_as_in_a_batch():
    steps = (Decode("RGB"), Resize(4, 4, "squash", "bilinear"), Scale(1 / 255), Layout("CHW"))
    preprocess = Preprocessor(steps)
    pictures = [np.roll(gradient(9, 8), shift, 0) for shift in range(5)]
    batch = preprocess.tensors(np.stack([preprocess.item(each) for each in pictures]))
    np.testing.assert_array_equal(batch, np.concatenate([preprocess(each) for each in pictures]))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (b"", DecodeError, "is no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", DecodeError, "convert it to PNG or JPEG"),
        (b"GIF89a", DecodeError, "picture"),
        ("nowhere.png", DecodeError, "cannot read 'nowhere.png'"),
        (".", DecodeError, "found a folder"),
        ("a\0b", DecodeError, "null byte"),
        ("\ud800.png", DecodeError, "cannot read"),
        ("/dev/zero", DecodeError, "found a pipe or device"),
        (Image.new("RGB", (0, 5)), DecodeError, "is empty: found 0 x 5 pixels"),
        (7, InputError, "found int"),
        (None, InputError, "found NoneType"),
        (np.zeros((4, 4, 2), np.uint8), InputError, "expected uint8"),
        (np.zeros((4, 4, 3), np.int32), InputError, "found int32"),
        (np.zeros((0, 4, 3), np.uint8), InputError, "found uint8 (0, 4, 3)"),
        (np.zeros((2, 4, 4, 3), np.uint8), InputError, "predict_many"),
    ],
)
def test_what_is_no_picture_is_refused(source, error, message):
    with pytest.raises(error) as caught:
        Preprocessor((Decode("RGB"),)).item(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_a_picture_cut_anywhere_is_refused_or_whole(kind):
    """Some formats end in bytes that hold no pixels; cut there, the picture is still itself."""
    image = Image.fromarray(gradient(16, 16))
    data = encoded(image, kind)
    whole = Preprocessor((Decode("RGB"),)).item(data)
    refused = 0
    for end in range(0, len(data), max(1, len(data) // 60)):
        try:
            pixels = Preprocessor((Decode("RGB"),)).item(data[:end])
        except DecodeError:
            refused += 1
        else:
            np.testing.assert_array_equal(pixels, whole)
    assert refused > 20


def test_a_huge_picture_is_refused_before_it_is_decoded():
    """The file claims 30,000 x 30,000 pixels; decoding it would take 900 MB."""
    code = """
import io, resource, sys, warnings
from PIL import Image
from edgeinfer.bundle import Decode
from edgeinfer.errors import DecodeError
from edgeinfer.preprocess import Preprocessor
import numpy
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
data = sys.stdin.buffer.read()
preprocess = Preprocessor((Decode("L"),))
preprocess.item(numpy.zeros((2, 2), numpy.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    preprocess.item(data)
except DecodeError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
    tiny = encoded(Image.new("1", (8, 8)))
    header = bytearray(tiny)
    header[16:24] = (30_000).to_bytes(4, "big") * 2
    import zlib

    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    done = subprocess.run(
        [sys.executable, "-c", code], input=bytes(header), capture_output=True, timeout=60, check=False
    )
    grown, message = done.stdout.decode().split(" ", 1)
    assert "too large" in message
    assert int(grown) < 20_000, "KiB"


def test_the_limit_is_the_declared_one():
    with pytest.raises(DecodeError, match="found 5 x 5 pixels"):
        Preprocessor((Decode("L", max_pixels=24),)).item(np.zeros((5, 5), np.uint8))
    assert Preprocessor((Decode("L", max_pixels=25),)).item(np.zeros((5, 5), np.uint8)).shape == (5, 5, 1)


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=20),
    st.floats(0.001, 10),
    st.integers(-128, 127),
)
def test_quantizing_is_off_by_half_a_step_at_most_within_range(values, scale, zero_point):
    by = Quantization(scale, zero_point)
    array = np.array(values, np.float32)
    back = dequantize(quantize(array, by, "int8"), by)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    assert np.all(np.abs(back - np.clip(array, low, high)) <= scale * 0.5 * (1 + 1e-3) + 1e-4)


def test_quantizing_rounds_halves_to_even_and_clips():
    by = Quantization(0.5, 10)
    values = np.array([0.25, 0.75, -0.25, 1e6, -1e6], np.float32)
    assert quantize(values, by, "uint8").tolist() == [10, 12, 10, 255, 0]


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=10), st.floats(0.05, 20))
def test_softmax_is_a_distribution_that_keeps_the_order(logits, temperature):
    array = np.array([logits])
    given_ = softmax(array, temperature)
    assert np.isfinite(given_).all()
    assert abs(given_.sum() - 1) < 1e-9
    assert given_[0, array[0].argmax()] == given_.max()


def test_softmax_against_its_formula():
    np.testing.assert_allclose(softmax(np.array([0.0, np.log(3.0)])), [0.25, 0.75])
    np.testing.assert_allclose(softmax(np.array([0.0, 2 * np.log(3.0)]), 2.0), [0.25, 0.75])


def test_top_k_breaks_ties_by_index():
    assert top_k(np.array([0.2, 0.4, 0.4, 0.0]), 3) == [1, 2, 0]

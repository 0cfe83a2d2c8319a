"""Large JPEGs decoded smaller than they are, where the specification says so."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgeinfer.bundle import CenterCrop, Decode, Resize, tensor_shape
from edgeinfer.errors import DecodeError, ManifestError
from edgeinfer.preprocess import Preprocessor
from edgeinfer.preprocess.placement import jpeg_shrinking, resized

SQUASH = Resize(32, 32, "squash", "bilinear")
SCALED = (Decode("RGB", jpeg_oversampling=2), SQUASH)
WHOLE = (Decode("RGB"), SQUASH)


def smooth(width: int, height: int) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    waves = np.stack([np.sin(across + each) * np.cos(down - each) for each in range(3)], axis=-1)
    return Image.fromarray((waves * 100 + 128).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "resize", "oversampling", "expected"),
    [
        ((512, 512), SQUASH, 2, 8),
        ((512, 511), SQUASH, 2, 4),
        ((4000, 128), SQUASH, 2, 2),
        ((127, 4000), SQUASH, 2, 1),
        ((512, 512), SQUASH, 16, 1),
        ((512, 512), SQUASH, 1, 8),
        ((32, 32), SQUASH, 1, 1),
        ((1000, 500), replace(SQUASH, mode="fit-crop"), 2, 4),
        ((1024, 512), replace(SQUASH, mode="fit-crop"), 2, 8),
        ((1024, 128), replace(SQUASH, mode="letterbox"), 2, 8),
    ],
)
def test_how_much_smaller(size, resize, oversampling, expected):
    assert jpeg_shrinking([resize], size, oversampling) == expected
    assert jpeg_shrinking([], size, oversampling) == 1
    assert jpeg_shrinking([CenterCrop(8, 8), resize], size, oversampling) == 1


@given(
    st.integers(1, 6000),
    st.integers(1, 6000),
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["squash", "fit-crop", "letterbox"]),
    st.integers(1, 8),
)
def test_what_is_left_is_never_less_than_asked_for(width, height, rows, columns, mode, oversampling):
    step = Resize(rows, columns, mode, "bilinear")
    shrinking = jpeg_shrinking([step], (width, height), oversampling)
    shown, where = resized(step, width, height)
    if shrinking > 1:
        assert (shown[2] - shown[0]) / shrinking >= oversampling * where[2] * (1 - 1e-9)
        assert (shown[3] - shown[1]) / shrinking >= oversampling * where[3] * (1 - 1e-9)


def test_a_large_jpeg_is_what_libjpeg_makes_of_it_at_an_eighth():
    data = jpeg(smooth(1003, 777))
    by_hand = Image.open(io.BytesIO(data))
    by_hand.draft(None, (1003 // 8, 777 // 8))
    assert by_hand.size == (126, 98)
    expected = Preprocessor((SCALED[0], SQUASH)).item(by_hand)
    item = Preprocessor(SCALED).item(data)
    np.testing.assert_array_equal(item, expected)
    far = np.abs(item.astype(int) - Preprocessor(WHOLE).item(data).astype(int))
    assert 0 < far.max() <= 8
    assert far.mean() < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_side_that_decides_is_that_of_the_upright_picture(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = (Decode("RGB", jpeg_oversampling=1), Resize(16, 128, "squash", "box"))
    preprocess = Preprocessor(wide)
    item, placement = preprocess.placed(jpeg(smooth(256, 128), exif=exif))
    turned = orientation >= 5
    assert (placement.width, placement.height) == ((128, 256) if turned else (256, 128))
    shrinking = jpeg_shrinking(wide[1:], (placement.width, placement.height), 1)
    assert shrinking == (1 if turned else 2)
    whole = Preprocessor((Decode("RGB"), wide[1])).item(jpeg(smooth(256, 128), exif=exif))
    assert np.abs(item.astype(int) - whole.astype(int)).max() <= 12


def test_small_jpegs_other_formats_and_pictures_of_the_caller_are_decoded_whole():
    small = jpeg(smooth(40, 50))
    np.testing.assert_array_equal(Preprocessor(SCALED).item(small), Preprocessor(WHOLE).item(small))
    buffer = io.BytesIO()
    smooth(800, 600).save(buffer, "PNG")
    same = buffer.getvalue()
    np.testing.assert_array_equal(Preprocessor(SCALED).item(same), Preprocessor(WHOLE).item(same))
    theirs = Image.open(io.BytesIO(jpeg(smooth(800, 600))))
    Preprocessor(SCALED).item(theirs)
    assert theirs.size == (800, 600), "a picture that was handed in stays as it is"


def test_limits_and_boxes_are_in_pixels_of_the_whole_picture():
    data = jpeg(smooth(1001, 601))
    refused = replace(SCALED[0], max_pixels=600_000)
    with pytest.raises(DecodeError, match="1001 x 601"):
        Preprocessor((refused, SQUASH)).item(data)
    _, placement = Preprocessor(SCALED).placed(data)
    corners = placement.boxes(np.array([[0.0, 0.0, 32.0, 32.0], [16.0, 16.0, 16.0, 16.0]]))
    np.testing.assert_allclose(corners, [[0, 0, 1001, 601], [500.5, 300.5, 500.5, 300.5]])


def test_a_damaged_large_jpeg_is_refused_as_ever():
    data = jpeg(smooth(1001, 601))
    with pytest.raises(DecodeError, match="damaged"):
        Preprocessor(SCALED).item(data[: len(data) // 2])


@pytest.mark.parametrize("wrong", [0, -1, 65])
def test_an_oversampling_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ManifestError, match="jpeg_oversampling of 1 to 64"):
        tensor_shape((replace(SCALED[0], jpeg_oversampling=wrong), SQUASH))


def test_without_a_resize_behind_it_there_is_nothing_to_measure_by():
    with pytest.raises(ManifestError, match="a resize behind a decode"):
        tensor_shape((SCALED[0], CenterCrop(8, 8)))
    with pytest.raises(ManifestError, match="a resize behind a decode"):
        tensor_shape((SCALED[0],))

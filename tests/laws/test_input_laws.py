"""What holds for every recording, every row, and every specification of them."""

from __future__ import annotations

import io
import json
import string

import numpy as np
import pytest
import scipy.io.wavfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.bundle import (
    SAMPLE_RATES,
    Category,
    DecodeAudio,
    FitLength,
    Input,
    LogMel,
    Mfcc,
    Normalize,
    Numeric,
    Row,
    Scale,
    decode,
    encode,
    steps_digest,
    tensor_shape,
)
from edgeinfer.errors import DecodeError, InputError, ManifestError
from edgeinfer.preprocess import Preprocessor

LISTEN = Preprocessor((DecodeAudio(8000), FitLength(50)))
WHOLE = io.BytesIO()
scipy.io.wavfile.write(WHOLE, 8000, np.arange(60, dtype=np.int16).reshape(30, 2))


def taken(data: bytes) -> None:
    """Raises DecodeError and nothing else, or is an item of the declared shape."""
    try:
        item = LISTEN.item(data)
    except DecodeError:
        return
    assert (item.shape, item.dtype) == ((50,), np.int16)


@given(
    st.binary(max_size=100), st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"])
)
def test_any_bytes_are_a_recording_or_a_decode_error(data, head):
    taken(head + data)


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE.getvalue()) - 1), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_any_changed_recording_is_one_or_a_decode_error(changes):
    data = bytearray(WHOLE.getvalue())
    for at, value in changes:
        data[at] = value
    taken(bytes(data))


@settings(max_examples=60)
@given(
    st.sampled_from(SAMPLE_RATES),
    st.sampled_from([8000, 16000]),
    st.integers(1, 400),
    st.sampled_from(["uint8", "int16", "int32", "float32", "float64"]),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_a_file_and_its_samples_are_the_same_item(own, rate, length, dtype, channels, seed):
    generator = np.random.default_rng(seed)
    if dtype.startswith("float"):
        samples = generator.uniform(-1.1, 1.1, (length, channels)).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        samples = generator.integers(limits.min, limits.max, (length, channels), dtype, endpoint=True)
    buffer = io.BytesIO()
    scipy.io.wavfile.write(buffer, own, samples)
    preprocess = Preprocessor((DecodeAudio(rate), FitLength(200)))
    np.testing.assert_array_equal(preprocess.item(buffer.getvalue()), preprocess.item((samples, own)))


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=5).map(str.strip)
NAMES = st.text(string.ascii_letters, min_size=1, max_size=3)
AMOUNTS = st.floats(-1e6, 1e6)
COLUMNS = st.one_of(
    st.builds(Numeric, NAMES, AMOUNTS, st.floats(1e-6, 1e6), st.none() | AMOUNTS),
    st.builds(
        lambda name, words, unknown: Category(name, tuple(words), unknown),
        NAMES,
        st.lists(TEXTS.filter(bool), min_size=1, max_size=4, unique=True),
        st.booleans(),
    ),
)
ROWS = st.lists(COLUMNS, min_size=1, max_size=5, unique_by=lambda each: each.name).map(
    lambda each: Row(tuple(each))
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.lists(st.integers(), max_size=1)


@given(ROWS, st.data())
def test_any_row_is_a_vector_or_an_input_error(step, draws):
    preprocess = Preprocessor((step,))
    row = {each.name: draws.draw(VALUES) for each in step.columns}
    try:
        tensor = preprocess(row)
    except InputError:
        return
    assert (tensor.shape, tensor.dtype) == ((1, *tensor_shape((step,))), np.float32)
    assert np.isfinite(tensor).all()
    np.testing.assert_array_equal(preprocess(list(row.values())), tensor)
    assert json.dumps(row), "what is taken can be said in JSON"


@given(ROWS)
def test_a_specification_of_rows_round_trips(step):
    input_ = Input("row", "float32", ("batch", step.width), (step,), steps_digest((step,)))
    assert decode(Input, encode(input_), where="input") == input_


AUDIO = st.builds(
    lambda rate, samples, place, window, hop, more, bands, scale, taper, kept: (
        DecodeAudio(rate),
        FitLength(window + samples, place),
        LogMel(window, hop, window + more, bands, 0.0, rate / 2, scale, taper),
        *((Mfcc(min(kept, bands)),) if kept else ()),
        Scale(0.5),
        Normalize((1.0,), (2.0,)),
    ),
    st.sampled_from([8000, 16000]),
    st.integers(0, 300),
    st.sampled_from(["start", "center", "end"]),
    st.integers(32, 200),
    st.integers(1, 100),
    st.integers(0, 60),
    st.integers(1, 3),
    st.sampled_from(["htk", "slaney"]),
    st.sampled_from(["hann", "hamming"]),
    st.integers(0, 4),
)


@given(AUDIO, st.integers(1, 600), st.integers(0, 2**32 - 1))
def test_every_specification_of_audio_gives_the_declared_shape_and_finite_values(steps, length, seed):
    samples = np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)
    try:
        shape = tensor_shape(steps)
    except ManifestError:  # a band of these holds no frequency of the transform
        return
    preprocess = Preprocessor(steps)
    tensor = preprocess((samples, 8000))
    assert (tensor.shape, tensor.dtype) == ((1, *shape), np.float32)
    assert np.isfinite(tensor).all()
    again = preprocess.tensors(np.stack([preprocess.item((samples, 8000))] * 3))
    np.testing.assert_array_equal(again, np.repeat(tensor, 3, axis=0))


SOUND = (
    DecodeAudio(8000),
    FitLength(400, "center"),
    LogMel(64, 32, 64, 4, 100.0, 4000.0),
    Mfcc(3),
    Normalize((0.0,) * 3, (1.0,) * 3),
)
TABLE = (Row((Numeric("a", 0.0, 1.0, 0.5), Category("b", ("x", "y")))),)
HOSTILE = st.sampled_from(
    [
        10**400,
        2**63,
        2**53,
        -1,
        0,
        1,
        2,
        1e308,
        5e-324,
        -1e308,
        1e30,
        "\ud800",
        "",
        "x",
        None,
        True,
        [],
        [0],
        {},
    ]
)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON value, by keys and indices."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ([path] if path else []) + [place for key, inner in items for place in places(inner, (*path, key))]


@settings(max_examples=300)
@pytest.mark.parametrize(("steps", "source"), [(SOUND, WHOLE.getvalue()), (TABLE, {"a": 1, "b": "x"})])
@given(draws=st.data())
def test_any_value_in_a_specification_is_refused_or_can_be_run(steps, source, draws):
    changed = {"preprocess": encode(steps)}
    place = draws.draw(st.sampled_from([each for each in places(changed) if len(each) > 1]))
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = draws.draw(HOSTILE)
    declared = {"name": "x", "dtype": "float32", "shape": ["batch", 1], "preprocess_digest": "", **changed}
    try:
        got = decode(Input, declared, where="input").preprocess
        shape = tensor_shape(got)
    except ManifestError:
        return
    try:
        tensor = Preprocessor(got)(source)
    except InputError:
        return
    assert tensor.shape == (1, *shape)
    assert np.isfinite(tensor).all()

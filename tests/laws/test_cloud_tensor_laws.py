"""What holds for every tensor on the wire."""

from __future__ import annotations

import json
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeinfer.cloud import DATATYPES, Tensor
from edgeinfer.cloud.tensors import from_bytes, from_json, held, to_bytes, to_json
from edgeinfer.errors import CloudAnswerError, InputError

HELD = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8", "INT8": "i1", "INT16": "i2",
    "INT32": "i4", "INT64": "i8", "FP16": "f2", "FP32": "f4", "FP64": "f8", "BF16": "f4",
}  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
SIZES = {name: 2 if name == "BF16" else np.dtype(dtype).itemsize for name, dtype in HELD.items()}


def numbers(datatypes=tuple(HELD), *, finite=False):
    """Tensors of numbers."""

    def filled(datatype):
        dtype = np.dtype(HELD[datatype])
        elements = None
        if finite and dtype.kind == "f":
            elements = hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False)
        return hnp.arrays(dtype, SHAPES, elements=elements).map(lambda value: Tensor("x", datatype, value))

    return st.sampled_from(datatypes).flatmap(filled)


def texts(elements):
    """Tensors of BYTES."""

    @st.composite
    def filled(draw):
        shape = draw(SHAPES)
        count = int(np.prod(shape, dtype=int))
        value = np.empty(count, object)
        value[:] = draw(st.lists(elements, min_size=count, max_size=count))
        return Tensor("x", "BYTES", value.reshape(shape))

    return filled()


def same(one, other):
    """Whether two arrays are alike to the last bit, whatever NaN's payload."""
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    if one.dtype == object:
        return one.tolist() == other.tolist()
    signs = one.dtype.kind != "f" or (np.signbit(one) == np.signbit(other))[~np.isnan(one)].all()
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f")) and bool(signs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=3), each, max_size=3),
    max_leaves=12,
)
TEXTS = st.text(st.characters(), max_size=4)  # with halves of surrogate pairs, as JSON can write them
LIKELY = st.one_of(
    *[st.lists(each, max_size=4) for each in (st.booleans(), st.integers(), st.floats(), TEXTS)]
)
FITTING = LIKELY.map(lambda data: (data, (len(data),)))


@given(numbers(tuple(name for name in HELD if name != "BF16")) | texts(st.binary(max_size=9)))
def test_every_tensor_comes_back_from_its_bytes(tensor):
    sent = to_bytes(tensor)
    if tensor.datatype != "BYTES":
        assert len(sent) == tensor.value.size * SIZES[tensor.datatype]
    found = from_bytes(sent, "x", tensor.datatype, tensor.value.shape)
    assert (found.name, found.datatype) == ("x", tensor.datatype)
    assert same(found.value, tensor.value)


@given(
    numbers(tuple(name for name in HELD if name != "BF16"), finite=True)
    | texts(st.text(max_size=5).map(lambda text: text.encode()))
)
def test_every_finite_tensor_comes_back_from_json_as_text(tensor):
    written = json.dumps(to_json(tensor), allow_nan=False)
    found = from_json(json.loads(written), "x", tensor.datatype, tensor.value.shape)
    assert same(found.value, tensor.value)


@given(texts(st.binary(max_size=6)))
def test_json_takes_bytes_exactly_where_they_are_text(tensor):
    def is_text(each):
        try:
            return each.decode("utf-8", "strict") is not None
        except UnicodeDecodeError:
            return False

    if all(map(is_text, tensor.value.reshape(-1).tolist())):
        assert "".join(to_json(tensor)).encode() == b"".join(tensor.value.reshape(-1).tolist())
    else:
        with pytest.raises(InputError):
            to_json(tensor)


def nearest_bfloat16(value):
    """The bits of the nearest bfloat16, by fractions and from the definition alone."""
    sign = 0x8000 if struct.pack(">f", value)[0] & 0x80 else 0
    size = abs(Fraction(value))
    # bfloat16: eight bits of precision, exponents from -126 on; 2**128 and beyond is infinity.
    power = max(-126, max((p for p in range(-133, 129) if Fraction(2) ** p <= size), default=-126))
    steps = size / (Fraction(2) ** (power - 7))
    whole = steps.numerator // steps.denominator
    rest = steps - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2):
        whole += 1
    return sign | (((power + 126) << 7) + whole)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(-4, 4, width=32))
def test_bf16_is_the_nearest_value_and_the_even_one_of_two(value):
    tensor = Tensor("x", "BF16", np.array([value], np.float32))
    sent = int.from_bytes(to_bytes(tensor), "little")
    assert sent == nearest_bfloat16(value)
    expected = struct.unpack(">f", struct.pack(">HH", sent, 0))[0]
    assert from_bytes(to_bytes(tensor), "x", "BF16", (1,)).value.tolist() == [expected]
    if np.isfinite(expected):  # else JSON has no way to carry it
        assert to_json(tensor) == [expected]


def test_each_of_the_bfloat16_values_comes_back_as_it_went():
    every = np.arange(1 << 16, dtype="<u2").tobytes()
    values = from_bytes(every, "x", "BF16", (1 << 16,))
    plain = np.frombuffer(every, "<u2")
    nans = ((plain & 0x7F80) == 0x7F80) & ((plain & 0x7F) != 0)
    assert (np.isnan(values.value) == nans).all()
    back = np.frombuffer(to_bytes(values), "<u2")
    assert (back[~nans] == plain[~nans]).all()
    assert np.isnan(from_bytes(back.tobytes(), "x", "BF16", (1 << 16,)).value[nans]).all()


@given(st.binary(max_size=40), st.sampled_from(DATATYPES), SHAPES)
def test_any_bytes_are_a_tensor_or_a_damaged_answer(data, datatype, shape):
    try:
        found = from_bytes(data, "x", datatype, shape)
    except CloudAnswerError:
        count = int(np.prod(shape, dtype=int))
        assert datatype == "BYTES" or len(data) != count * SIZES[datatype]
        return
    assert (found.datatype, found.value.shape) == (datatype, shape)
    if datatype == "BYTES":
        assert to_bytes(found) == data


@given(st.tuples(JSON | LIKELY, SHAPES) | FITTING, st.sampled_from(DATATYPES))
def test_any_json_is_a_tensor_or_a_damaged_answer(given, datatype):
    data, shape = given
    try:
        found = from_json(data, "x", datatype, shape)
    except CloudAnswerError:
        return
    assert (found.datatype, found.value.shape) == (datatype, shape)
    assert found.value.dtype == np.dtype(HELD.get(datatype, "O"))


@given(numbers(tuple(HELD)), st.sampled_from(tuple(HELD)))
def test_what_is_held_in_another_type_keeps_every_value(tensor, datatype):
    before = tensor.value.reshape(-1).tolist()
    try:
        found = held(tensor.value, datatype, "x")
    except InputError:
        return
    assert (found.shape, found.dtype) == (tensor.value.shape, np.dtype(HELD[datatype]))
    among_floats = tensor.value.dtype.kind == "f" and found.dtype.kind == "f"
    for old, new in zip(before, found.reshape(-1).tolist(), strict=True):
        if among_floats:  # rounded; neither lost nor made
            assert np.isfinite(old) == np.isfinite(new)
            assert np.isnan(old) or np.sign(old) == np.sign(new) or new == 0
        else:
            assert old == new

"""Tensors on the wire: each datatype by rows of bytes and JSON that were written by hand."""

from __future__ import annotations

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.cloud import DATATYPES, Tensor
from edgeinfer.cloud.tensors import datatype_of, from_bytes, from_json, held, to_bytes, to_json
from edgeinfer.errors import CloudAnswerError

# Datatype, numpy's type, values, little-endian bytes in hexadecimal.
ROWS = [
    ("BOOL", "?", [True, False, True], "01 00 01"),
    ("UINT8", "u1", [0, 1, 255], "00 01 ff"),
    ("UINT16", "u2", [1, 65535], "0100 ffff"),
    ("UINT32", "u4", [1, 4294967295], "01000000 ffffffff"),
    ("UINT64", "u8", [1, 18446744073709551615], "0100000000000000 ffffffffffffffff"),
    ("INT8", "i1", [-128, 127], "80 7f"),
    ("INT16", "i2", [-2, 258], "feff 0201"),
    ("INT32", "i4", [-2, 66051], "feffffff 03020100"),
    ("INT64", "i8", [-2, 9007199254740993], "feffffffffffffff 0100000000002000"),
    ("FP16", "f2", [1.0, -2.0, 65504.0], "003c 00c0 ff7b"),
    ("FP32", "f4", [1.0, -0.5, 3.0], "0000803f 000000bf 00004040"),
    ("FP64", "f8", [1.0, -0.1], "000000000000f03f 9a9999999999b9bf"),
    ("BF16", "f4", [1.0, -2.0, 3.140625], "803f 00c0 4940"),
    ("BYTES", "O", [b"hi", b"", "é".encode()], "02000000 6869 00000000 02000000 c3a9"),
]


def tensor(datatype, values, shape=None, dtype=None):
    """A tensor of values in a list."""
    found = {name: kind for name, kind, *_ in ROWS}
    value = np.empty(len(values), dtype or found[datatype])
    value[:] = values
    return Tensor("x", datatype, value.reshape(shape if shape is not None else value.shape))


def same(one, other):
    """Whether two tensors are alike to the last bit."""
    alike = (one.name, one.datatype, one.value.shape) == (other.name, other.datatype, other.value.shape)
    return alike and one.value.dtype == other.value.dtype and one.value.tolist() == other.value.tolist()


def bits(number):
    """The float32 of 32 bits."""
    return np.array([number], "<u4").view("<f4")


def test_the_rows_are_all_datatypes():
    assert tuple(name for name, *_ in ROWS) == DATATYPES
    assert len(DATATYPES) == 14


@pytest.mark.parametrize(("datatype", "dtype", "values", "expected"), ROWS)
def test_bytes_are_little_endian_in_row_major_order(datatype, dtype, values, expected):
    given = tensor(datatype, values, dtype=dtype)
    assert to_bytes(given) == bytes.fromhex(expected)
    assert same(from_bytes(bytes.fromhex(expected), "x", datatype, (len(values),)), given)


@pytest.mark.parametrize("datatype", ["INT16", "FP32", "BF16", "BYTES"])
def test_a_view_of_another_order_goes_out_as_what_it_shows(datatype):
    rows = [[b"a", b"b", b"c"], [b"d", b"e", b"f"]] if datatype == "BYTES" else [[1, 2, 3], [4, 5, 6]]
    flat = [each for row in rows for each in row]
    given = tensor(datatype, flat, (2, 3)).value.T
    turned = [rows[0][0], rows[1][0], rows[0][1], rows[1][1], rows[0][2], rows[1][2]]
    sent = to_bytes(Tensor("x", datatype, given))
    assert sent == to_bytes(tensor(datatype, turned))
    assert from_bytes(sent, "x", datatype, (3, 2)).value.tolist() == [turned[:2], turned[2:4], turned[4:]]
    assert to_json(Tensor("x", datatype, given))[1] in (4, "d")


def test_values_of_a_big_endian_machine_go_out_as_little_endian():
    assert to_bytes(Tensor("x", "INT32", np.array([1], ">i4"))) == b"\x01\0\0\0"
    assert to_bytes(Tensor("x", "BF16", np.array([1.0], ">f4"))) == b"\x80\x3f"


@pytest.mark.parametrize(("datatype", "dtype", "values", "_"), ROWS)
def test_json_carries_each_datatype_flat_and_nested(datatype, dtype, values, _):
    given = tensor(datatype, values, dtype=dtype)
    written = [each.decode() for each in values] if datatype == "BYTES" else values
    assert to_json(given) == written
    assert same(from_json(written, "x", datatype, (len(values),)), given)
    column = from_json([[each] for each in written], "x", datatype, (len(values), 1))
    assert same(column, tensor(datatype, values, (len(values), 1)))
    assert same(from_json(written, "x", datatype, (len(values), 1)), column)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1, 0, 2)])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_an_empty_tensor_has_no_bytes_and_keeps_its_shape(datatype, shape):
    given = tensor(datatype, [], shape)
    assert (to_bytes(given), to_json(given)) == (b"", [])
    assert same(from_bytes(b"", "x", datatype, shape), given)
    assert same(from_json([], "x", datatype, shape), given)


@pytest.mark.parametrize(("datatype", "_", "values", "__"), ROWS)
def test_a_scalar_has_one_value_and_the_empty_shape(datatype, _, values, __):
    given = tensor(datatype, values[:1], ())
    assert same(from_bytes(to_bytes(given), "x", datatype, ()), given)
    assert same(from_json(to_json(given), "x", datatype, ()), given)
    assert to_bytes(given) == to_bytes(tensor(datatype, values[:1]))


@pytest.mark.parametrize(("datatype", "_", "values", "data"), ROWS)
@pytest.mark.parametrize("change", ["short", "long", "empty", "other shape", "scalar"])
def test_bytes_of_another_length_are_refused(datatype, _, values, data, change):
    raw, shape = bytes.fromhex(data), (len(values),)
    given = {"short": raw[:-1], "long": raw + b"\1", "empty": b""}.get(change, raw)
    shape = {"other shape": (len(values) + 1,), "scalar": ()}.get(change, shape)
    with pytest.raises(CloudAnswerError, match="output x of the cloud's answer"):
        from_bytes(given, "x", datatype, shape)


@pytest.mark.parametrize(
    "data",
    [b"\x02\0\0\0h", b"\x02\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7fhi", b"\0\0\0\0\0", b"\x01\0\0\0ab"],
)
def test_bytes_elements_that_were_cut_off_are_refused(data):
    for count in (0, 1, 2):
        with pytest.raises(CloudAnswerError):
            from_bytes(data, "x", "BYTES", (count,))


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", [1]), ("BOOL", [0.0]), ("BOOL", ["true"]), ("BOOL", [None]),
        ("INT8", [128]), ("INT8", [-129]), ("INT8", [1.5]), ("INT8", [1.0]), ("INT8", [True]), ("INT8", ["1"]),
        ("UINT8", [-1]), ("UINT8", [256]), ("UINT16", [-1]), ("UINT32", [2**32]),
        ("UINT64", [-1]), ("UINT64", [2**64]), ("INT64", [2**63]), ("INT64", [10**100]), ("INT64", [None]),
        ("FP32", [True]), ("FP32", ["1"]), ("FP32", [None]), ("FP32", [10**400]), ("FP64", [{}]),
        ("BYTES", [1]), ("BYTES", [None]), ("BYTES", [True]), ("BYTES", ["\ud800"]), ("BYTES", ["a\udfffb"]),
        ("INT8", 1), ("INT8", "1"), ("INT8", None), ("INT8", {}), ("INT8", {"0": 1}), ("BYTES", "a"),
        ("INT8", []), ("INT8", [1, 2]), ("INT8", [[1]]), ("INT8", [[]]),
    ],
)  # fmt: skip
def test_json_values_of_another_kind_or_number_are_refused(datatype, data):
    with pytest.raises(CloudAnswerError, match="output x of the cloud's answer"):
        from_json(data, "x", datatype, (1,))


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "BF16"])
@pytest.mark.parametrize("number", [1e300, -1e300])
def test_a_number_beyond_a_type_s_range_is_never_taken_for_a_finite_one(datatype, number):
    try:
        found = from_json([number], "x", datatype, (1,))
    except CloudAnswerError:
        return
    assert np.isinf(found.value).all()


@pytest.mark.parametrize("data", [[[1, 2, 3], [4]], [1, [2, 3], 4], [[1, 2], 3, 4], [[1], [2], [3], [4]]])
def test_nested_lists_of_another_shape_are_refused(data):
    with pytest.raises(CloudAnswerError):
        from_json(data, "x", "INT32", (2, 2))


def test_json_refuses_bytes_that_are_no_text_and_does_not_show_them():
    with pytest.raises(ei.InputError, match="tensor x holds bytes that are no text") as caught:
        to_json(tensor("BYTES", [b"fine", b"\xff\xd8secret"]))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0x3F800000, 0x3F80),  # 1
        (0x3F808000, 0x3F80),  # half way between two: to the even one, below
        (0x3F818000, 0x3F82),  # and above
        (0x3F808001, 0x3F81),
        (0x3F807FFF, 0x3F80),
        (0x3FFFFFFF, 0x4000),  # carries into the exponent
        (0x80000000, 0x8000),  # minus zero
        (0x00000001, 0x0000),  # the smallest subnormal
        (0x00008001, 0x0001),
        (0x7F7F7FFF, 0x7F7F),  # the last that stays finite
        (0x7F7F8000, 0x7F80),
        (0x7F800000, 0x7F80),  # infinity
        (0xFF800000, 0xFF80),
    ],
)
def test_bf16_rounds_to_nearest_with_ties_to_even(number, expected):
    assert to_bytes(Tensor("x", "BF16", bits(number))) == expected.to_bytes(2, "little")


@pytest.mark.parametrize("number", [0x7FC00000, 0x7F800001, 0x7F80FFFF, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF])
def test_a_nan_stays_one_in_bf16_with_its_sign(number):
    sent = int.from_bytes(to_bytes(Tensor("x", "BF16", bits(number))), "little")
    assert sent & 0x7F80 == 0x7F80
    assert sent & 0x007F != 0
    assert sent >> 15 == number >> 31
    assert np.isnan(from_bytes(sent.to_bytes(2, "little"), "x", "BF16", (1,)).value).all()


def test_bf16_in_json_is_what_bytes_would_have_carried():
    given = Tensor("x", "BF16", np.array([3.14159274, 1.00390625, 1.01171875], np.float32))
    assert to_json(given) == [3.140625, 1.0, 1.015625]


@pytest.mark.parametrize(
    ("values", "dtype", "datatype", "expected"),
    [
        ([1, 2], "i8", "INT8", [1, 2]),
        ([1.0, -2.0], "f4", "INT32", [1, -2]),
        ([0, 1], "i8", "BOOL", [False, True]),
        ([True, False], "?", "UINT8", [1, 0]),
        ([True, False], "?", "FP32", [1.0, 0.0]),
        ([255], "u1", "INT16", [255]),
        ([3], "i8", "FP16", [3.0]),
        # Rounding is what a smaller float means; infinities and zeros stay.
        ([0.1], "f8", "FP32", [13421773 / 2**27]),
        ([float("inf"), -float("inf")], "f8", "FP16", [float("inf"), -float("inf")]),
        ([1e-30], "f8", "FP16", [0.0]),
        ([1.0], ">f4", "FP32", [1.0]),
        ([258], ">i2", "INT16", [258]),
        (["hi", "é"], "U2", "BYTES", [b"hi", "é".encode()]),
        ([b"hi", b"\xff"], "O", "BYTES", [b"hi", b"\xff"]),
        ([], "f8", "INT8", []),
    ],
)
def test_a_tensor_is_held_in_its_datatype_where_no_value_changes(values, dtype, datatype, expected):
    found = held(np.array(values, dtype), datatype, "x")
    assert found.tolist() == expected
    assert found.dtype == {name: np.dtype(kind) for name, kind, *_ in ROWS}[datatype]


def test_a_tensor_that_is_held_rightly_is_not_copied():
    given = np.ones((2, 2), np.float32)
    assert held(given, "FP32", "x") is given
    assert held(given, "BF16", "x") is given


@pytest.mark.parametrize(
    ("values", "dtype", "datatype"),
    [
        ([1.5], "f4", "INT32"),
        ([float("nan")], "f4", "INT32"),
        ([float("inf")], "f4", "INT32"),
        ([2.0**63], "f8", "INT64"),
        ([1e30], "f8", "INT64"),
        ([300], "i8", "INT8"),
        ([300], "i8", "UINT8"),
        ([70000], "i8", "FP16"),
        ([1e300], "f8", "FP32"),
        ([70000.0], "f4", "FP16"),
        ([2], "i8", "BOOL"),
        ([0.5], "f4", "BOOL"),
        ([float("nan")], "f4", "BOOL"),
        # A sign is part of a value.
        ([-1], "i1", "UINT8"),
        ([-1], "i1", "UINT64"),
        ([-1], "i8", "UINT64"),
        ([200], "u1", "INT8"),
        ([2**63], "u8", "INT64"),
        # So is the last digit of a whole number.
        ([16777217], "i8", "FP32"),
        ([9007199254740993], "i8", "FP64"),
        ([2049], "i4", "FP16"),
        (["1"], "U1", "INT8"),
        ([1 + 2j], "c8", "FP32"),
        ([b"1"], "O", "INT8"),
        (["\ud800"], "U1", "BYTES"),
    ],
)
def test_a_value_that_a_datatype_cannot_hold_is_refused(values, dtype, datatype):
    with pytest.raises(ei.InputError, match="tensor x"):
        held(np.array(values, dtype), datatype, "x")


@pytest.mark.parametrize(
    ("datatype", "dtype", "_", "__"), [row for row in ROWS if row[0] not in ("BF16", "BYTES")]
)
def test_each_type_of_numpy_has_its_datatype_in_either_order_of_bytes(datatype, dtype, _, __):
    assert datatype_of(np.dtype(dtype)) == datatype
    assert datatype_of(np.dtype(dtype).newbyteorder(">")) == datatype


@pytest.mark.parametrize("dtype", ["O", "U3", "c8", "M8[s]"])
def test_other_types_of_numpy_have_none(dtype):
    with pytest.raises(ei.InputError, match="the type of a tensor"):
        datatype_of(np.dtype(dtype))

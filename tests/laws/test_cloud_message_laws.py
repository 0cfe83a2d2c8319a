"""What holds for every message, and for everything that might come back instead of one."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeinfer.cloud import DATATYPES, Tensor
from edgeinfer.cloud.messages import answer_message, decode, encode
from edgeinfer.errors import CloudAnswerError
from edgeinfer.net import Response

HEADER = "inference-header-content-length"
HELD = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8",
    "INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8", "FP16": "f2", "FP32": "f4", "FP64": "f8",
}  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=3), each, max_size=3),
    max_leaves=10,
)


@st.composite
def tensors(draw):
    """A few tensors with names of their own and finite values."""
    found = []
    for name in draw(st.lists(st.text(max_size=5), max_size=3, unique=True)):
        datatype = draw(st.sampled_from(tuple(HELD)))
        dtype = np.dtype(HELD[datatype])
        finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
        value = draw(hnp.arrays(dtype, SHAPES, elements=hnp.from_dtype(dtype, **finite)))
        found.append(Tensor(name, datatype, value))
    return found


# Documents that look like an answer, with something odd in most.
LENGTHS = st.integers(-2, 4) | st.sampled_from([2**31, 2**62, 2**63, 2**80]) | JSON
ODD = {
    "name": JSON,
    "datatype": st.sampled_from(DATATYPES) | JSON,
    "shape": st.lists(LENGTHS, max_size=4) | JSON,
    "data": JSON,
    "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-2, 20) | JSON}) | JSON,
}
KINDS = [("FP32", st.floats()), ("INT64", st.integers()), ("BYTES", st.text(st.characters(), max_size=3))]


@st.composite
def entries(draw):
    """An output as JSON has it, of which one field may be odd, or absent."""
    datatype, values = draw(st.sampled_from(KINDS))
    data = draw(st.lists(values, max_size=4))
    entry = {"name": draw(st.sampled_from("yz")), "datatype": datatype, "shape": [len(data)], "data": data}
    field = draw(st.sampled_from([None, *ODD]))
    if field is not None:
        entry[field] = draw(ODD[field])
    absent = draw(st.sampled_from([None, None, *entry]))
    return {key: value for key, value in entry.items() if key != absent}


DOCUMENTS = st.fixed_dictionaries(
    {"outputs": st.lists(entries() | entries() | JSON, max_size=3) | JSON},
    optional={"id": st.sampled_from(["7", "8", ""]) | JSON, "model_name": JSON},
)


def ends_well(response, wanted=()):
    """Hold decode to its promise: tensors in the shape that was said, or its own error."""
    try:
        found = decode(response, "7", wanted)
    except CloudAnswerError:
        return
    assert set(wanted) <= set(found)
    for name, tensor in found.items():
        assert tensor.name == name
        assert tensor.datatype in DATATYPES
        assert tensor.value.dtype.kind != "f" or np.isfinite(tensor.value).all()


@given(tensors(), st.booleans(), st.booleans())
def test_every_answer_comes_back_as_it_was_written(sent, binary, named):
    message = answer_message("7", "m", sent, binary=binary)
    found = decode(message, "7", [each.name for each in sent] if named else [])
    assert list(found) == [each.name for each in sent]
    for each in sent:
        given = found[each.name]
        assert (given.datatype, given.value.dtype) == (each.datatype, each.value.dtype)
        assert given.value.shape == each.value.shape
        assert given.value.tolist() == each.value.tolist()


@given(tensors(), st.booleans())
def test_every_request_holds_its_tensors_and_nothing_behind_them(sent, binary):
    message = encode("7", sent, [], binary=binary, packed=False)
    at = int(message.headers.get(HEADER, len(message.body)))
    document = json.loads(message.body[:at])
    assert document["id"] == "7"
    assert [each["name"] for each in document["inputs"]] == [each.name for each in sent]
    assert [tuple(each["shape"]) for each in document["inputs"]] == [each.value.shape for each in sent]
    sizes = [each.get("parameters", {}).get("binary_data_size", 0) for each in document["inputs"]]
    assert sum(sizes) == len(message.body) - at == (sum(each.value.nbytes for each in sent) if binary else 0)


@given(st.binary(max_size=60), st.none() | st.integers(0, 70) | st.text(max_size=5))
def test_any_bytes_are_an_answer_or_a_damaged_one(body, length):
    ends_well(Response(200, {} if length is None else {HEADER: str(length)}, body))


@given(JSON | DOCUMENTS, st.sampled_from([(), ("y",)]))
def test_any_document_is_an_answer_or_a_damaged_one(document, wanted):
    ends_well(Response(200, {"content-type": "application/json"}, json.dumps(document).encode()), wanted)


@given(DOCUMENTS, st.binary(max_size=20), st.integers(-1, 1))
def test_any_document_with_bytes_behind_it_is_an_answer_or_a_damaged_one(document, rest, off):
    head = json.dumps(document).encode()
    ends_well(Response(200, {HEADER: str(len(head) + off * (off > 0 or len(rest) > 0))}, head + rest))


@given(tensors(), st.booleans(), st.integers(0), st.integers(0, 255), st.sampled_from(["set", "drop", "add"]))
def test_one_damaged_byte_never_ends_in_another_error(sent, binary, at, byte, how):
    message = answer_message("7", "m", sent, binary=binary)
    body = bytearray(message.body)
    at %= len(body)
    if how == "set":
        body[at] = byte
    elif how == "drop":
        del body[at]
    else:
        body.insert(at, byte)
    ends_well(Response(200, message.headers, bytes(body)), [each.name for each in sent])


@given(tensors(), st.integers(1))
def test_bytes_cut_off_or_added_are_always_noticed(sent, count):
    message = answer_message("7", "m", sent, binary=True)
    for body in (message.body[: -(count % 9 or 1)], message.body + bytes(count % 9 or 1)):
        try:
            decode(Response(200, message.headers, body), "7", [])
        except CloudAnswerError:
            continue
        raise AssertionError("a damaged answer was taken")

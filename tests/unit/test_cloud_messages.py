"""Requests and answers of the Open Inference Protocol, held against messages written by hand."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.cloud import Tensor
from edgeinfer.cloud.messages import answer_message, decode, encode
from edgeinfer.errors import CloudAnswerError
from edgeinfer.net import Response

HEADER = "inference-header-content-length"
SCORES = Tensor("scores", "FP32", np.array([[1.0, -0.5]], np.float32))
NAMES = Tensor("names", "BYTES", np.array([b"hi", b"\xff"], object))


def output(name="y", datatype="FP32", shape=(2,), data=(1.5, 2.5), **more):
    """An output as JSON has it; a field of None is left out."""
    entry = {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}
    return {key: value for key, value in entry.items() if value is not None}


def answer(*outputs, **more):
    """An answer in JSON, written without edgeinfer."""
    document = {"model_name": "m", "id": "7", "outputs": list(outputs), **more}
    return Response(200, {"content-type": "application/json"}, json.dumps(document).encode())


def binary_answer(outputs, rest, *, head=b"", length=None):
    """An answer with bytes behind its JSON, written without edgeinfer."""
    head = head or json.dumps({"id": "7", "outputs": outputs}).encode()
    return Response(200, {HEADER: str(len(head)) if length is None else length}, head + rest)


def sized(size, name="y", datatype="FP32", shape=(2,)):
    """An output whose values are bytes behind the JSON."""
    return output(name, datatype, shape, None, parameters={"binary_data_size": size})


def test_a_request_in_json_is_as_the_protocol_has_it():
    message = encode("7", [SCORES], ["y"], binary=False, packed=False)
    assert json.loads(message.body) == {
        "id": "7",
        "inputs": [{"name": "scores", "shape": [1, 2], "datatype": "FP32", "data": [1.0, -0.5]}],
        "outputs": [{"name": "y"}],
    }
    assert message.headers["content-type"] == "application/json"
    assert HEADER not in message.headers
    assert "content-encoding" not in message.headers


def test_a_request_with_bytes_is_as_triton_has_it():
    message = encode("7", [SCORES, NAMES], ["y"], binary=True, packed=False)
    at = int(message.headers[HEADER])
    assert json.loads(message.body[:at]) == {
        "id": "7",
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": "scores", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "names", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    assert message.body[at:] == bytes.fromhex("0000803f 000000bf 02000000 6869 01000000 ff")
    assert message.headers["content-type"] == "application/octet-stream"


def test_a_request_that_names_no_outputs_asks_for_all():
    for binary in (False, True):
        message = encode("7", [SCORES], [], binary=binary, packed=False)
        assert b'"outputs"' not in message.body


@pytest.mark.parametrize("binary", [False, True])
def test_a_packed_request_is_the_same_one_in_gzip(binary):
    plain = encode("7", [SCORES], ["y"], binary=binary, packed=False)
    packed = encode("7", [SCORES], ["y"], binary=binary, packed=True)
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers == {**plain.headers, "content-encoding": "gzip"}
    assert packed.body[4:8] == bytes(4), "it does not tell the time, and is the same each time"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_json_cannot_carry_what_is_no_number(datatype, value):
    dtype = {"FP16": "f2", "FP64": "f8"}.get(datatype, "f4")
    tensor = Tensor("x", datatype, np.array([value], dtype))
    with pytest.raises(ei.InputError):
        encode("7", [tensor], [], binary=False, packed=False)


def test_json_cannot_carry_bytes_that_are_no_text():
    with pytest.raises(ei.InputError, match="tensor names holds bytes that are no text"):
        encode("7", [NAMES], [], binary=False, packed=False)


@pytest.mark.parametrize("binary", [False, True])
def test_an_answer_comes_back_as_it_was_written(binary):
    sent = answer_message("7", "m", [SCORES, Tensor("n", "INT64", np.array(3))], binary=binary)
    found = decode(sent, "7", ["n", "scores"])
    assert list(found) == ["scores", "n"]
    assert found["scores"].value.tolist() == [[1.0, -0.5]]
    assert found["scores"].value.dtype == np.float32
    assert (found["n"].datatype, found["n"].value.shape, found["n"].value.tolist()) == ("INT64", (), 3)


@pytest.mark.parametrize(
    "given",
    [
        answer(output()),
        answer(output(shape=(1, 2), data=[[1.5, 2.5]])),
        answer(output(), id=None),
        answer(output(), id=""),
        answer(output(parameters=None)),
        answer(output(parameters={"content_type": "np"})),
        answer(output(), output("more", "INT8", (0,), ())),
        binary_answer([sized(8)], bytes.fromhex("0000c03f 00002040")),
        # JSON and bytes in one answer, as Triton does where one output asks for bytes.
        binary_answer(
            [output("other", "BOOL", (1,), [True]), sized(8)], bytes.fromhex("0000c03f 00002040")
        ),
        binary_answer([output()], b""),
    ],
)  # fmt: skip
def test_the_forms_that_servers_use_are_read(given):
    found = decode(given, "7", ["y"])
    assert found["y"].value.reshape(-1).tolist() == [1.5, 2.5]


BAD_OUTPUTS = {
    "none": [],
    "another": [output("z")],
    "twice": [output(), output(data=[9.0, 9.0])],
    "nothing": [None],
    "a list": [["y", "FP32", [2], [1.5, 2.5]]],
    "text": ["y"],
    "no name": [output(None)],
    "a number for a name": [output(5)],
    "no datatype": [output(datatype=None)],
    "an unknown datatype": [output(datatype="FP8")],
    "a list for a datatype": [output(datatype=["FP32"])],
    "a lower datatype": [output(datatype="fp32")],
    "no shape": [output(shape=None)],
    "a number for a shape": [output(shape=2)],
    "another shape": [output(shape=[3])],
    "a larger shape": [output(shape=[2, 2])],
    "a negative length": [output(shape=[-2])],
    "two negative lengths": [output(shape=[-1, -2])],
    "a length of text": [output(shape=["2"])],
    "a length with a fraction": [output(shape=[2.0])],
    "a length that is true": [output(shape=[True], data=[1.5])],
    "a nested shape": [output(shape=[[2]])],
    "a huge length": [output(shape=[2**31])],
    "a length beyond 64 bits": [output(shape=[2**80])],
    "many lengths": [output(shape=[1] * 17, data=[1.5])],
    "very many lengths": [output(shape=[1] * 70, data=[1.5])],
    "a product beyond 64 bits": [output(shape=[2**20] * 5)],
    "nothing of something huge": [output(shape=[0, 2**62], data=[])],
    "nothing beyond 64 bits": [output(shape=[2**80, 0], data=[])],
    "nothing of a huge product": [output(shape=[0, 2**40, 2**40], data=[])],
    "no data": [output(data=None)],
    "text for data": [output(data="AADAPwAAIEA=")],
    "an object for data": [output(data={"0": 1.5, "1": 2.5})],
    "too few values": [output(data=[1.5])],
    "too many values": [output(data=[1.5, 2.5, 3.5])],
    "a null": [output(data=[1.5, None])],
    "text among numbers": [output(data=[1.5, "2.5"])],
    "NaN": [output(data=[1.5, float("nan")])],
    "infinity": [output(data=[1.5, float("-inf")])],
    "a number beyond FP32": [output(data=[1.5, 1e300])],
    "a number beyond FP64": [output(data=[1.5, 10**400])],
    "lists in lists": [output(data=[[1.5, 2.5]])],
    "a ragged list": [output(shape=[2, 2], data=[[1.5], [2.5, 1.0, 2.0]])],
    "half of a surrogate pair": [output(datatype="BYTES", data=["a", "\ud800"])],
}


@pytest.mark.parametrize("outputs", BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_an_answer_whose_outputs_are_damaged_is_refused(outputs):
    with pytest.raises(CloudAnswerError):
        decode(answer(*outputs), "7", ["y"])


BODIES = {
    "nothing": b"",
    "HTML": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    "a number": b"7",
    "a list": b'[{"outputs": []}]',
    "null": b"null",
    "text": b'"outputs"',
    "an empty object": b"{}",
    "outputs of null": b'{"outputs": null}',
    "outputs by name": b'{"outputs": {"y": [1.5, 2.5]}}',
    "an error": b'{"error": "out of memory"}',
    "no UTF-8": b'{"outputs": "\xff"}',
    "UTF-16": '{"outputs": []'.encode("utf-16"),
    "nested too deeply": b'{"outputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of many digits": b'{"outputs": [' + b"9" * 5000 + b"]}",
    "two documents": b'{"outputs": []}{"outputs": []}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_answer_is_refused(body):
    for headers in ({}, {"content-type": "text/html"}, {HEADER: str(len(body))}, {HEADER: "0"}):
        with pytest.raises(CloudAnswerError):
            decode(Response(200, headers, body), "7", ["y"])


@pytest.mark.parametrize("number", ["8", "77", 7, ["7"], {"7": 7}, True, 1.5, "7 "])
def test_an_answer_to_another_request_is_refused(number):
    with pytest.raises(CloudAnswerError, match="answered another request"):
        decode(answer(output(), id=number), "7", ["y"])


@pytest.mark.parametrize("binary", [False, True])
def test_an_answer_cut_off_anywhere_is_refused(binary):
    whole = answer_message("7", "m", [SCORES, Tensor("n", "INT8", np.array([1], np.int8))], binary=binary)
    for length in range(len(whole.body)):
        with pytest.raises(CloudAnswerError):
            decode(Response(200, whole.headers, whole.body[:length]), "7", [])


@pytest.mark.parametrize("size", [-8, -1, 0, 7, 9, 10**30, 8.0, "8", True, [8], {}, False])
def test_a_size_that_is_not_that_of_the_values_is_refused(size):
    with pytest.raises(CloudAnswerError):
        decode(binary_answer([sized(size)], bytes(8)), "7", ["y"])


@pytest.mark.parametrize(
    ("outputs", "rest"),
    [
        ([sized(8)], bytes(9)),
        ([sized(8)], b""),
        ([], bytes(8)),
        ([output()], bytes(1)),
        ([sized(8), sized(8, "z")], bytes(12)),
        ([sized(8)], bytes.fromhex("0000c07f 00000000")),
        ([sized(8)], bytes.fromhex("0000807f 00000000")),
        ([sized(4, datatype="BF16")], bytes.fromhex("c07f 0000")),
        ([sized(4, datatype="FP16")], bytes.fromhex("007c 0000")),
        ([sized(True, datatype="INT8", shape=(1,))], bytes(1)),
        ([sized(6, datatype="BYTES")], bytes.fromhex("01000000 61 62")),
        ([sized(0, shape=(0, 2**62))], b""),
    ],
)
def test_bytes_that_do_not_fit_the_outputs_are_refused(outputs, rest):
    with pytest.raises(CloudAnswerError):
        decode(binary_answer(outputs, rest), "7", [])


@pytest.mark.parametrize(
    "length",
    [
        "",
        "-1",
        "+5",
        "1.5",
        "0x10",
        "99999",
        "9" * 13,
        "9" * 5000,
        "0" * 12 + "9" * 5000,
        "\u00b2",
        "\u0661",
        " 5",
        "5,5",
    ],
)
def test_a_length_of_the_json_that_is_none_is_refused(length):
    with pytest.raises(CloudAnswerError):
        decode(binary_answer([sized(8)], bytes(8), length=length), "7", [])


def test_an_answer_that_lacks_outputs_says_which():
    with pytest.raises(CloudAnswerError, match="lacks outputs") as caught:
        decode(answer(output("z"), output("x")), "7", ["y", "x"])
    assert (caught.value.found, caught.value.expected) == (["x", "z"], ["y"])


@pytest.mark.parametrize(
    "given",
    [
        answer(output("n" * 100_000, data=[1.5])),
        answer(output("n" * 100_000)),
        answer(*[output(f"name-{number}") for number in range(1000)]),
        answer(output(), id="7" * 100_000),
        answer(output(datatype="F" * 100_000)),
        answer(output(shape=[10**4000, 1])),
        answer(output(shape=["2" * 100_000])),
    ],
)
def test_a_message_about_an_answer_stays_short(given):
    with pytest.raises(CloudAnswerError) as caught:
        decode(given, "7", ["y"] if b'"y"' not in given.body else ["absent"])
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()

"""What servers say of themselves: forms that real ones use, and forms that nobody should."""

from __future__ import annotations

import json

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.cloud import ModelInfo, ServerInfo, Tensor, TensorInfo
from edgeinfer.cloud.metadata import check_inputs, json_object, read_model, read_server
from edgeinfer.errors import CloudAnswerError
from edgeinfer.net import Response


def said(document, status=200):
    """An answer in JSON."""
    return Response(status, {"content-type": "application/json"}, json.dumps(document).encode())


# What each says, in its own form, shortened.
TRITON = {
    "name": "triton",
    "version": "2.51.0",
    "extensions": ["classification", "sequence", "model_repository", "binary_tensor_data", "statistics"],
}
TRITON_MODEL = {
    "name": "densenet",
    "versions": ["1", "2"],
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "data_0", "datatype": "FP32", "shape": [-1, 3, 224, 224]}],
    "outputs": [{"name": "fc6_1", "datatype": "FP32", "shape": [-1, 1000]}],
}
KSERVE = {"name": "kserve", "version": "0.14.0", "extensions": ["model_repository_extension"]}
KSERVE_MODEL = {"name": "iris", "platform": "", "versions": None, "inputs": [], "outputs": []}
MLSERVER = {"name": "mlserver", "version": "1.6.1", "extensions": []}
MLSERVER_MODEL = {
    "name": "iris",
    "versions": [],
    "platform": "",
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 4], "parameters": {"content_type": "np"}}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1], "parameters": {"labels": ["a", "b"]}}],
    "parameters": {},
}


@pytest.mark.parametrize(
    ("document", "expected", "binary"),
    [
        (TRITON, ServerInfo("triton", "2.51.0", tuple(TRITON["extensions"])), True),
        (KSERVE, ServerInfo("kserve", "0.14.0", ("model_repository_extension",)), False),
        (MLSERVER, ServerInfo("mlserver", "1.6.1", ()), False),
        ({"extensions": ["binary_tensor_data_extension"]}, ServerInfo("", "", ("binary_tensor_data_extension",)), True),
        ({}, ServerInfo(), False),
        ({"name": None, "version": None, "extensions": None}, ServerInfo(), False),
        ({"name": 5, "version": 2.1, "extensions": "binary_tensor_data"}, ServerInfo(), False),
        ({"name": ["a"], "extensions": {"binary_tensor_data": True}}, ServerInfo(), False),
        ({"extensions": [None, 5, ["binary_tensor_data"], "statistics"]}, ServerInfo("", "", ("statistics",)), False),
        ({"name": "a\x1b[2Jb", "version": "1\n2"}, ServerInfo(), False),
        ({"name": "n" * 5000, "version": "1"}, ServerInfo("n" * 100, "1"), False),
    ],
)  # fmt: skip
def test_what_a_server_says_of_itself_is_read_as_far_as_it_makes_sense(document, expected, binary):
    found = read_server(said(document))
    assert found == expected
    assert found.says_binary is binary


def test_a_server_without_metadata_gets_an_empty_record():
    for status in (204, 400, 404, 405, 500):
        assert read_server(said(TRITON, status)) == ServerInfo()


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (ServerInfo("triton", "2.51.0"), "triton 2.51.0"),
        (ServerInfo("triton"), "triton"),
        (ServerInfo("", "2"), "2"),
        (ServerInfo(), "a server without a name"),
    ],
)
def test_a_server_is_called_by_its_name_and_release(info, expected):
    assert str(info) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            TRITON_MODEL,
            ModelInfo(
                "m",
                ("1", "2"),
                (TensorInfo("data_0", "FP32", (-1, 3, 224, 224)),),
                (TensorInfo("fc6_1", "FP32", (-1, 1000)),),
            ),
        ),
        (KSERVE_MODEL, ModelInfo("m")),
        (
            MLSERVER_MODEL,
            ModelInfo(
                "m", (), (TensorInfo("x", "FP64", (-1, 4)),), (TensorInfo("y", "INT64", (-1,), ("a", "b")),)
            ),
        ),
        ({}, ModelInfo("m")),
        ({"inputs": None, "outputs": None, "versions": None}, ModelInfo("m")),
        ({"inputs": {"x": "FP32"}, "outputs": "y", "versions": "1"}, ModelInfo("m")),
        ({"name": "another", "versions": [1, None, "2"]}, ModelInfo("m", ("2",))),
        ({"inputs": [None, 5, "x", [], {}, {"name": None}, {"name": 5}]}, ModelInfo("m")),
    ],
)
def test_what_a_server_says_of_its_model_is_read_as_far_as_it_makes_sense(document, expected):
    assert read_model(said(document), "m") == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, TensorInfo("x", "", None)),
        ({"datatype": None, "shape": None}, TensorInfo("x", "", None)),
        ({"datatype": 32, "shape": "[4]"}, TensorInfo("x", "", None)),
        ({"datatype": "TYPE_FP32", "shape": []}, TensorInfo("x", "TYPE_FP32", None)),
        ({"datatype": "FP32", "shape": [None, 4]}, TensorInfo("x", "FP32", None)),
        ({"datatype": "FP32", "shape": ["-1", 4]}, TensorInfo("x", "FP32", None)),
        ({"datatype": "FP32", "shape": [True]}, TensorInfo("x", "FP32", None)),
        ({"datatype": "FP32", "shape": [4.0]}, TensorInfo("x", "FP32", None)),
        ({"datatype": "FP32", "shape": [1] * 17}, TensorInfo("x", "FP32", None)),
        ({"datatype": "FP32", "shape": [1] * 16}, TensorInfo("x", "FP32", (1,) * 16)),
        ({"shape": [0, -1]}, TensorInfo("x", "", (0, -1))),
        ({"parameters": None}, TensorInfo("x", "", None)),
        ({"parameters": ["labels"]}, TensorInfo("x", "", None)),
        ({"parameters": {"labels": []}}, TensorInfo("x", "", None)),
        ({"parameters": {"labels": "ab"}}, TensorInfo("x", "", None)),
        ({"parameters": {"labels": ["a", 1]}}, TensorInfo("x", "", None)),
        ({"parameters": {"labels": ["a", "b"]}}, TensorInfo("x", "", None, ("a", "b"))),
    ],
)
def test_a_tensor_s_description_is_read_field_by_field(entry, expected):
    for kind in ("inputs", "outputs"):
        found = read_model(said({kind: [{"name": "x", **entry}]}), "m")
        assert getattr(found, kind) == (expected,)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"[{}]", b"5", b'"x"', b"{", b"\xff", b"[" * 100_000, b"9" * 5000],
)
def test_a_body_that_is_no_object_is_a_damaged_answer_and_is_not_shown(body):
    response = Response(200, {"content-type": "text/html; secret=" + "x" * 500}, body)
    for read in (read_server, lambda given: read_model(given, "m"), lambda given: json_object(given, "it")):
        with pytest.raises(CloudAnswerError, match=f"found {len(body)} bytes of text/html") as caught:
            read(response)
        assert "<html>" not in str(caught.value)
        assert len(str(caught.value)) < 500


def tensor(name="x", datatype="FP32", shape=(2, 4)):
    """A tensor of zeros."""
    return Tensor(name, datatype, np.zeros(shape, np.float32))


def model(*inputs):
    """A model of which only the inputs are told."""
    return ModelInfo("m", (), tuple(inputs))


X = TensorInfo("x", "FP32", (-1, 4))


@pytest.mark.parametrize(
    ("tensors", "inputs", "sure"),
    [
        ([tensor()], [X], True),
        ([tensor(shape=(0, 4))], [X], True),
        ([tensor(shape=(2, 4))], [TensorInfo("x", "FP32", (2, 4))], True),
        ([tensor("y"), tensor("x")], [X, TensorInfo("y", "FP32", (2, -1))], True),
        # What is not told is not held against it, and makes nothing sure.
        ([tensor()], [TensorInfo("x", "", (-1, 4))], True),
        ([tensor(shape=(9,))], [TensorInfo("x", "FP32", None)], False),
        ([tensor(), tensor("y")], [X, TensorInfo("y", "FP32", None)], False),
        ([tensor()], [], False),
        ([], [], False),
    ],
)
def test_inputs_that_fit_are_let_through(tensors, inputs, sure):
    assert check_inputs(tensors, model(*inputs)) is sure


@pytest.mark.parametrize(
    ("tensors", "inputs", "told"),
    [
        ([], [X], "the inputs of the cloud's model m"),
        ([tensor("y")], [X], "the inputs of the cloud's model m"),
        ([tensor(), tensor("y")], [X], "the inputs of the cloud's model m"),
        ([tensor(), tensor()], [X], "the inputs of the cloud's model m"),
        ([tensor()], [X, TensorInfo("y", "FP32", None)], "the inputs of the cloud's model m"),
        ([tensor(datatype="FP64")], [X], "input x of the cloud's model: expected FP32, found FP64"),
        ([tensor(shape=(2, 5))], [X], r"shape of input x .*expected \[-1, 4\], found \[2, 5\]"),
        ([tensor()], [TensorInfo("x", "FP32", (0, 4))], r"shape of input x .*found \[2, 4\]"),
        ([tensor(shape=(4,))], [X], r"shape of input x .*expected \[-1, 4\], found \[4\]"),
        ([tensor(shape=(1, 2, 4))], [X], r"shape of input x .*found \[1, 2, 4\]"),
        ([tensor(shape=())], [X], r"shape of input x .*found \[\]"),
    ],
)
def test_inputs_that_do_not_fit_are_the_caller_s_mistake(tensors, inputs, told):
    with pytest.raises(ei.InputError, match=told):
        check_inputs(tensors, model(*inputs))

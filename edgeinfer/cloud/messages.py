"""An inference request and its answer, as JSON or with tensors as bytes behind it. Pure."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeinfer.cloud.metadata import json_object
from edgeinfer.cloud.tensors import DATATYPES, Datatype, Tensor, from_bytes, from_json, to_bytes, to_json
from edgeinfer.errors import CloudAnswerError
from edgeinfer.frozen import frozen
from edgeinfer.net.exchange import Response

_JSON, _BYTES = "application/json", "application/octet-stream"
_HEADER_LENGTH = "inference-header-content-length"
_MOST_VALUES = 1 << 28
_MOST_AXES = 16
_LONGEST_NAME, _SHOWN, _LISTED = 256, 60, 8


@frozen
class Message:
    """A request's headers and body."""

    headers: dict[str, str]
    body: bytes


def encode(
    number: str, inputs: Sequence[Tensor], outputs: Sequence[str], *, binary: bool, packed: bool
) -> Message:
    """Return an inference request.

    Args:
        number: Its id, which the answer repeats.
        inputs: By the server's names.
        outputs: The outputs that are wanted, by the server's names; none takes all.
        binary: Whether tensors go, and are wanted back, as bytes.
        packed: Whether the body is gzipped.

    Raises:
        InputError: JSON cannot carry a value.
    """
    document: dict[str, Any] = {"id": number}
    if outputs:
        document["outputs"] = [_wanted(name, binary=binary) for name in outputs]
    if binary:
        document["parameters"] = {"binary_data_output": True}
    message = _message(document, "inputs", inputs, binary=binary)
    headers = {**message.headers, "accept-encoding": "gzip"}
    if not packed:
        return Message(headers, message.body)
    return Message({**headers, "content-encoding": "gzip"}, gzip.compress(message.body, 6, mtime=0))


def answer_message(number: str, model: str, outputs: Sequence[Tensor], *, binary: bool) -> Response:
    """Return what a server would answer: for servers that are fakes."""
    message = _message({"model_name": model, "id": number}, "outputs", outputs, binary=binary)
    return Response(200, message.headers, message.body)


def decode(response: Response, number: str, outputs: Sequence[str]) -> dict[str, Tensor]:
    """Return the tensors of an answer by the server's names.

    Args:
        response: With status 200.
        number: The request's id.
        outputs: The outputs that must be there; none takes all.

    Raises:
        CloudAnswerError: It is no answer to that request, or damaged, or a number in it is NaN or infinite.
    """
    document, rest = _split(response)
    if document.get("id") not in (None, "", number):
        raise CloudAnswerError(
            "the cloud answered another request", found=repr(document["id"])[:60], expected=number
        )
    listed = document.get("outputs")
    if not isinstance(listed, list):
        raise CloudAnswerError("the cloud's answer", found="no outputs", expected="a list of outputs")
    found: dict[str, Tensor] = {}
    for each in listed:
        tensor, rest = _tensor(each, rest)
        if tensor.name in found:
            raise CloudAnswerError("the cloud's answer", found=f"output {tensor.name[:_SHOWN]} twice")
        found[tensor.name] = tensor
    if rest:
        raise CloudAnswerError("the cloud's answer", found=f"{len(rest)} bytes behind its last output")
    missing = [name for name in outputs if name not in found]
    if missing:
        raise CloudAnswerError(
            "the cloud's answer lacks outputs",
            found=[name[:_SHOWN] for name in sorted(found)][:_LISTED],
            expected=missing,
            next_step="name them in the bundle's `cloud.outputs`",
        )
    return found


def _message(document: dict[str, Any], kind: str, tensors: Sequence[Tensor], *, binary: bool) -> Message:
    """Return a document with tensors in it, or behind it."""
    parts: list[bytes] = []
    listed: list[dict[str, Any]] = []
    for tensor in tensors:
        entry: dict[str, Any] = {
            "name": tensor.name,
            "shape": list(tensor.value.shape),
            "datatype": tensor.datatype,
        }
        if binary:
            parts.append(to_bytes(tensor))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = to_json(tensor)
        listed.append(entry)
    head = json.dumps({**document, kind: listed}, separators=(",", ":"), allow_nan=False).encode()
    if not binary:
        return Message({"content-type": _JSON}, head)
    headers = {"content-type": _BYTES, _HEADER_LENGTH: str(len(head))}
    return Message(headers, b"".join([head, *parts]))


def _wanted(name: str, *, binary: bool) -> dict[str, Any]:
    return {"name": name, "parameters": {"binary_data": True}} if binary else {"name": name}


def _split(response: Response) -> tuple[dict[str, Any], memoryview]:
    """Return the JSON of an answer, and the bytes behind it."""
    length = response.headers.get(_HEADER_LENGTH)
    if length is None:
        return json_object(response, "the cloud's answer"), memoryview(b"")
    if not (
        length.isascii() and length.isdigit() and len(length) <= 12 and int(length) <= len(response.body)
    ):
        raise CloudAnswerError(
            "the cloud's answer", found=f"{_HEADER_LENGTH} {length[:20]}", expected="its length"
        )
    at = int(length)
    head = Response(response.status, response.headers, response.body[:at])
    return json_object(head, "the cloud's answer"), memoryview(response.body)[at:]


def _tensor(entry: object, rest: memoryview) -> tuple[Tensor, memoryview]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise CloudAnswerError(
            "the cloud's answer", found="an output without a name", expected="name, shape, datatype"
        )
    name, datatype, shape = entry["name"], entry.get("datatype"), entry.get("shape")
    if len(name) > _LONGEST_NAME:
        raise CloudAnswerError("the cloud's answer", found="an output with a name of over 256 characters")
    if datatype not in DATATYPES:
        raise CloudAnswerError(
            f"output {name} of the cloud's answer", found=repr(datatype)[:40], expected="a datatype"
        )
    if not _is_shape(shape):
        raise CloudAnswerError(
            f"output {name} of the cloud's answer", found=repr(shape)[:40], expected="a shape"
        )
    assert isinstance(shape, list), "just checked"
    kind: Datatype = datatype
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        tensor = from_json(entry.get("data"), name, kind, tuple(shape))
    else:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
            raise CloudAnswerError(
                f"output {name} of the cloud's answer", found=f"{len(rest)} bytes", expected=f"{size!r}"[:40]
            )
        tensor, rest = from_bytes(rest[:size], name, kind, tuple(shape)), rest[size:]
    if tensor.value.dtype.kind == "f" and not np.isfinite(tensor.value).all():
        raise CloudAnswerError(f"output {name} of the cloud's answer", found="NaN or infinite values")
    return tensor, rest


def _is_shape(shape: object) -> bool:
    if not isinstance(shape, list) or len(shape) > _MOST_AXES:
        return False
    good = all(
        isinstance(axis, int) and not isinstance(axis, bool) and 0 <= axis <= _MOST_VALUES for axis in shape
    )
    return good and math.prod(axis or 1 for axis in shape) <= _MOST_VALUES

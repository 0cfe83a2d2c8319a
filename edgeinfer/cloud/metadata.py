"""What a server says of itself and its model, read as leniently as servers differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgeinfer.cloud.tensors import DATATYPES, Tensor
from edgeinfer.errors import CloudAnswerError, InputError
from edgeinfer.frozen import frozen
from edgeinfer.net.exchange import Response

# Triton's name for it, and the one that the protocol's text uses.
_BINARY = ("binary_tensor_data", "binary_tensor_data_extension")
_MOST_AXES = 16


@frozen
class TensorInfo:
    """A tensor of a server's model.

    Attributes:
        name: Its name.
        datatype: The protocol's type, or whatever the server says.
        shape: Lengths; -1 where free. None where the server does not say.
        labels: Names of the classes along the last axis, where the server tells them (`parameters.labels`).
    """

    name: str
    datatype: str
    shape: tuple[int, ...] | None
    labels: tuple[str, ...] | None = None


@frozen
class ModelInfo:
    """A server's model.

    Attributes:
        name: Its name.
        versions: Those that are served, if told.
        inputs: What it takes, if told.
        outputs: What it gives, if told.
    """

    name: str
    versions: tuple[str, ...] = ()
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()


@frozen
class ServerInfo:
    """A server.

    Attributes:
        name: What it calls itself.
        version: Its release.
        extensions: What it knows beyond the protocol.
    """

    name: str = ""
    version: str = ""
    extensions: tuple[str, ...] = ()

    @property
    def says_binary(self) -> bool:
        """Whether it says that it takes tensors as bytes."""
        return any(each in _BINARY for each in self.extensions)

    def __str__(self) -> str:
        """Its name and release."""
        return f"{self.name} {self.version}".strip() or "a server without a name"


@frozen
class Abilities:
    """What was found out of a server and its model.

    Attributes:
        server: The server.
        model: The model.
        binary: Whether tensors go as bytes.
    """

    server: ServerInfo
    model: ModelInfo
    binary: bool


def read_server(response: Response) -> ServerInfo:
    """Read the answer to `GET /v2`; a server that has none gets an empty record."""
    if response.status != 200:
        return ServerInfo()
    said = json_object(response, "the server's metadata")
    extensions = said.get("extensions")
    listed = extensions if isinstance(extensions, list) else []
    return ServerInfo(
        _text(said.get("name")),
        _text(said.get("version")),
        tuple(each for each in listed if isinstance(each, str)),
    )


def read_model(response: Response, name: str) -> ModelInfo:
    """Read the answer to `GET /v2/models/NAME`.

    Raises:
        CloudAnswerError: It is no metadata.
    """
    said = json_object(response, f"the metadata of model {name}")
    versions = said.get("versions")
    return ModelInfo(
        name,
        tuple(each for each in versions if isinstance(each, str)) if isinstance(versions, list) else (),
        _tensors(said.get("inputs")),
        _tensors(said.get("outputs")),
    )


def json_object(response: Response, what: str) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        CloudAnswerError: It is none.
    """
    try:
        said = json.loads(response.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        kind = response.headers.get("content-type", "no content type")[:60]
        raise CloudAnswerError(
            what,
            found=f"{len(response.body)} bytes of {kind} that are no JSON object",
            expected="JSON",
            next_step="check that the URL is that of an Open Inference Protocol server, up to where /v2 follows",
        )
    return said


def check_inputs(tensors: Sequence[Tensor], model: ModelInfo) -> bool:
    """Hold what is about to be sent against what the server says that it takes.

    Some servers answer 500 to an input of another shape, as if they had failed.

    Returns:
        Whether the server says enough to be sure that a refusal is not the input's fault.

    Raises:
        InputError: Something differs: it is not sent.
    """
    told = {each.name: each for each in model.inputs}
    if not told:
        return False
    given = [each.name for each in tensors]
    if sorted(given) != sorted(told):
        raise InputError(
            f"the inputs of the cloud's model {model.name}",
            found=sorted(given),
            expected=sorted(told),
            next_step="name them in the bundle's `cloud.inputs`",
        )
    for tensor in tensors:
        want = told[tensor.name]
        if want.datatype in DATATYPES and want.datatype != tensor.datatype:
            raise InputError(
                f"input {tensor.name} of the cloud's model", found=tensor.datatype, expected=want.datatype
            )
        shape = tensor.value.shape
        fits = want.shape is None or (
            len(shape) == len(want.shape)
            and all(axis in (-1, length) for axis, length in zip(want.shape, shape, strict=True))
        )
        if not fits:
            raise InputError(
                f"the shape of input {tensor.name} of the cloud's model",
                found=list(shape),
                expected=list(want.shape or ()),
            )
    return all(each.shape is not None for each in told.values())


def _tensors(listed: object) -> tuple[TensorInfo, ...]:
    found = []
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, Mapping) or not isinstance(each.get("name"), str):
            continue
        shape, parameters = each.get("shape"), each.get("parameters")
        labels = parameters.get("labels") if isinstance(parameters, Mapping) else None
        named = isinstance(labels, list) and labels and all(isinstance(label, str) for label in labels)
        found.append(
            TensorInfo(
                each["name"],
                _text(each.get("datatype")),
                _lengths(shape),
                tuple(labels) if named and labels is not None else None,
            )
        )
    return tuple(found)


def _lengths(shape: object) -> tuple[int, ...] | None:
    if not isinstance(shape, list) or not 0 < len(shape) <= _MOST_AXES:
        return None
    good = all(isinstance(axis, int) and not isinstance(axis, bool) for axis in shape)
    return tuple(shape) if good else None


def _text(value: object) -> str:
    return value[:100] if isinstance(value, str) and value.isprintable() else ""

"""How a model is asked in the cloud: inputs and outputs by the server's names, and what is sent of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from edgeinfer.frozen import frozen

CloudDatatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
]  # fmt: skip


@frozen
class SendTensor:
    """Send the input as the preprocessing makes it, the same that runs before the model here."""

    op: Literal["tensor"] = "tensor"


@frozen
class SendPicture:
    """Send a picture, encoded anew from its pixels alone, upright: no EXIF, place, thumbnail or comment goes with it.

    Attributes:
        encoding: The file format.
        quality: Of a JPEG, 1 to 100.
    """

    encoding: Literal["jpeg", "png"] = "jpeg"
    quality: int = 90
    op: Literal["picture"] = "picture"


@frozen
class SendOutput:
    """Send an output of the model here, an embedding for instance, in place of the input.

    Attributes:
        output: Its name in the bundle.
    """

    output: str
    op: Literal["output"] = "output"


@frozen
class CloudInput:
    """What the cloud's model takes.

    Attributes:
        tensor: The server's name for it.
        datatype: The Open Inference Protocol's type.
        permute: The axes of what is sent in the server's order, batch first; None keeps the order.
        send: What is sent.
    """

    tensor: str
    datatype: CloudDatatype = "FP32"
    permute: tuple[int, ...] | None = None
    send: SendTensor | SendPicture | SendOutput = field(default_factory=SendTensor)


@frozen
class CloudOutput:
    """What the cloud's model gives for one of the bundle's outputs.

    Attributes:
        tensor: The server's name for it.
        labels: Names of the classes in the server's order; the same names as the bundle's. None is the bundle's order.
        temperature: Divides the server's logits before the softmax; the bundle's own belongs to its own model.
    """

    tensor: str
    labels: tuple[str, ...] | None = None
    temperature: float = 1.0


@frozen
class Downscale:
    """Make a picture smaller, so that small things in it cannot be made out.

    Attributes:
        longest: The most pixels of its longer side.
    """

    longest: int
    op: Literal["downscale"] = "downscale"


@frozen
class Crop:
    """Keep a region of a picture, as it is seen upright.

    Attributes:
        left: Its left edge, as a share of the width.
        top: Its upper edge, as a share of the height.
        right: Its right edge.
        bottom: Its lower edge.
    """

    left: float
    top: float
    right: float
    bottom: float
    op: Literal["crop"] = "crop"


@frozen
class StripMetadata:
    """Keep the pixels, and nothing that a file says beside them: EXIF, place, thumbnail, comments."""

    op: Literal["strip_metadata"] = "strip_metadata"


Reduction = Downscale | Crop | StripMetadata


@frozen
class Cloud:
    """How the model is asked in the cloud.

    Attributes:
        model: Its name on the server.
        inputs: What it takes, by the bundle's input names.
        outputs: What it gives, by the bundle's output names.
        reduce: What is taken from a picture before anything of it is sent, in this order.
    """

    model: str
    inputs: Mapping[str, CloudInput]
    outputs: Mapping[str, CloudOutput]
    reduce: tuple[Reduction, ...] = ()

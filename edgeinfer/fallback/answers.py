"""Outputs and whose they are: what device, cloud and cache hand to whoever says what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.engines.seam import Array

Origin = Literal["device", "cloud"]


@frozen
class RawAnswer:
    """A model's outputs.

    Attributes:
        outputs: By the bundle's names, with a batch axis of 1.
        origin: Where they were computed.
        variant: Id of the variant; the server's name of the model for the cloud.
        engine: Engine package and version; the server for the cloud.
    """

    outputs: Mapping[str, Array]
    origin: Origin
    variant: str
    engine: str

"""How a device stands, for people and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from edgeinfer.frozen import frozen


@frozen
class ModelStatus:
    """How one family of models stands.

    Attributes:
        digest: Of the bundle that answers.
        version: What its manifest says.
        slot: Where it is from: `bundled`, `current`, `previous` or `trial`.
        refused: Why what was chosen is not taken; empty where it is, or nothing was chosen.
    """

    digest: str
    version: str
    slot: str
    refused: str = ""


@frozen
class DeviceStatus:
    """How a device stands.

    Attributes:
        models: By family, of those that were asked for.
        flags: Release of the document of flags that holds; 0 without one.
        checked_s: Seconds since the last update that went well; None where there was none.
        problem: Why the last one did not; empty where it did.
        home: Why the home cannot be written, so that nothing is tried or updated; empty where it can.
    """

    models: Mapping[str, ModelStatus] = field(default_factory=dict)
    flags: int = 0
    checked_s: float | None = None
    problem: str = ""
    home: str = ""

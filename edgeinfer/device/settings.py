"""What an app decides about its device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from edgeinfer.frozen import frozen
from edgeinfer.rollout import ShadowLimits
from edgeinfer.updates import Conditions


@frozen
class DeviceSettings:
    """What an app decides.

    Attributes:
        every_s: Seconds between two looks at the server, on average.
        conditions: What has to be so before a bundle is fetched.
        good_answers: How many a new version needs before it is the current.
        shadow: What a candidate that runs beside the model may cost.
        activate: Whether fetched flags hold at once; otherwise from `device.flags.activate()` on.
        background: Whether the server is looked at by itself; otherwise when `update` is called.
        stay_put: Whether the versions that answer stay, whatever is published; flags still arrive, and kills hold.
        offline: Whether nothing is asked of any server.
        load: Options of `load` for every model: `engine`, `threads`, `traffic` and the like.
        predictor: Options of `Predictor` for every model: `cloud`, `policy`, `key`, `on_prediction` and the like.
    """

    every_s: float = 6 * 3600.0
    conditions: Conditions = field(default_factory=Conditions)
    good_answers: int = 20
    shadow: ShadowLimits = field(default_factory=ShadowLimits)
    activate: bool = True
    background: bool = True
    stay_put: bool = False
    offline: bool = False
    load: Mapping[str, Any] = field(default_factory=dict)
    predictor: Mapping[str, Any] = field(default_factory=dict)

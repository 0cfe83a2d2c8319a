"""What an app allows: where answers may come from, and at what price. What comes from afar only tightens it.

Invariants:
* a remote policy never lets more leave the device than the app's own: `tightened` takes the stricter of each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from edgeinfer.bundle import Reduction
from edgeinfer.errors import PolicyError
from edgeinfer.frozen import frozen

Mode = Literal["only_on_device", "prefer_on_device", "prefer_in_cloud", "only_in_cloud"]
# The most private first.
MODES: tuple[Mode, ...] = get_args(Mode)
_MOST = 1e15
_LONGEST = 100


@frozen
class CacheLimits:
    """How many answers are kept.

    Attributes:
        max_bytes: Of all of them; the oldest go.
        ttl_s: How long one is used.
    """

    max_bytes: int = 16 * 1024 * 1024
    ttl_s: float = 7 * 86_400.0


@frozen
class QueueLimits:
    """How many cases may wait for the cloud.

    Attributes:
        max_bytes: Of all of them, sealed; further ones do not wait.
        ttl_s: How long one may wait; then it is erased.
    """

    max_bytes: int = 16 * 1024 * 1024
    ttl_s: float = 3 * 86_400.0


@frozen
class Policy:
    """What an app allows.

    Attributes:
        mode: `only_on_device` sends nothing of an input or an answer; `prefer_on_device` asks the cloud where the
            device fails, is too slow, or is not sure; `prefer_in_cloud` asks the device where the cloud cannot be;
            `only_in_cloud` does not ask it. All but the first need a recorded consent.
        offline: Open no socket at all.
        threshold: Least confidence of an answer that stays on the device; None takes the one that the bundle
            recommends, if it does.
        deadline_ms: What a call may take where the caller does not say.
        least_cloud_ms: Time that must be left for the cloud to be asked.
        max_escalations_per_hour: Calls that may go to the cloud in `prefer_on_device`.
        metered: Whether the cloud may be asked over a network that costs money.
        min_battery: Charge, 0..1, below which, unless it charges, the cloud is asked only where the device has no
            answer.
        max_wait_ms: Expected time in line above which a call goes to the cloud; None never for that.
        cloud_when_throttled: Whether calls go to the cloud while the processor is slowed down by heat.
        default: The label to answer with where there is no answer; None raises `NoAnswerError`.
        cache: Limits of the answers that are kept, or None to keep none.
        queue: Limits of the cases that may wait for the cloud, or None to let none wait. Needs a key and consent.
        reduce: What is taken from a picture before it is sent, after what the bundle takes.
        consent_version: Of the text that the user must have agreed to.

    Raises:
        PolicyError: A value is out of range.
    """

    mode: Mode = "only_on_device"
    offline: bool = False
    threshold: float | None = None
    deadline_ms: float = 10_000.0
    least_cloud_ms: float = 50.0
    max_escalations_per_hour: int = 60
    metered: bool = False
    min_battery: float = 0.15
    max_wait_ms: float | None = 100.0
    cloud_when_throttled: bool = False
    default: str | None = None
    cache: CacheLimits | None = None
    queue: QueueLimits | None = None
    reduce: tuple[Reduction, ...] = ()
    consent_version: str = "1"

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("mode", self.mode in MODES, f"one of {', '.join(MODES)}"),
            ("offline", isinstance(self.offline, bool), "true or false"),
            ("threshold", self.threshold is None or _within(self.threshold, 0, 1), "0 to 1"),
            ("deadline_ms", _within(self.deadline_ms, 1e-6, _MOST), "above 0"),
            ("least_cloud_ms", _within(self.least_cloud_ms, 0, _MOST), "0 or more"),
            (
                "max_escalations_per_hour",
                isinstance(self.max_escalations_per_hour, int)
                and _within(self.max_escalations_per_hour, 0, _MOST),
                "a whole number, 0 or more",
            ),
            ("metered", isinstance(self.metered, bool), "true or false"),
            ("min_battery", _within(self.min_battery, 0, 1), "0 to 1"),
            ("max_wait_ms", self.max_wait_ms is None or _within(self.max_wait_ms, 0, _MOST), "0 or more"),
            ("cloud_when_throttled", isinstance(self.cloud_when_throttled, bool), "true or false"),
            ("default", self.default is None or _is_text(self.default), "text of up to 100 characters"),
            ("cache", _is_limit(self.cache, CacheLimits), "CacheLimits above 0"),
            ("queue", _is_limit(self.queue, QueueLimits), "QueueLimits above 0"),
            ("reduce", _are_reductions(self.reduce), "a tuple of Downscale, Crop and StripMetadata"),
            ("consent_version", _is_text(self.consent_version), "text of up to 100 characters"),
        ):
            if not good:
                raise PolicyError(f"{name} of the policy", found=getattr(self, name), expected=expected)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of its canonical JSON: the egress record names it."""
        import hashlib

        from edgeinfer.bundle import canonical_json, encode  # for what is sent: most predictors send nothing

        return hashlib.sha256(canonical_json(encode(self))).hexdigest()


@frozen
class RemotePolicy:
    """What a release manager may tighten from afar; None leaves the app's own.

    Attributes:
        mode: The least private mode that may be used.
        threshold: At most this one: fewer answers are handed on.
        max_escalations_per_hour: At most so many.
        metered: False asks nothing over metered networks.
        cache: False keeps no answers.
        queue: False lets no case wait.
        reduce: What more is taken from a picture.

    Raises:
        PolicyError: A value is out of range.
    """

    mode: Mode | None = None
    threshold: float | None = None
    max_escalations_per_hour: int | None = None
    metered: bool | None = None
    cache: bool | None = None
    queue: bool | None = None
    reduce: tuple[Reduction, ...] = ()

    def __post_init__(self) -> None:
        most = self.max_escalations_per_hour
        for name, good, expected in (
            ("mode", self.mode in (None, *MODES), f"one of {', '.join(MODES)}"),
            ("threshold", self.threshold is None or _within(self.threshold, 0, 1), "0 to 1"),
            (
                "max_escalations_per_hour",
                most is None or (isinstance(most, int) and _within(most, 0, _MOST)),
                "a whole number, 0 or more",
            ),
            *(
                (name, getattr(self, name) is None or isinstance(getattr(self, name), bool), "true or false")
                for name in ("metered", "cache", "queue")
            ),
            ("reduce", _are_reductions(self.reduce), "a tuple of Downscale, Crop and StripMetadata"),
        ):
            if not good:
                raise PolicyError(
                    f"{name} of the remote policy", found=getattr(self, name), expected=expected
                )


def tightened(policy: Policy, remote: RemotePolicy) -> Policy:
    """Return the stricter of both, field by field."""
    mode, threshold, most = policy.mode, policy.threshold, policy.max_escalations_per_hour
    if remote.mode is not None:
        mode = min(mode, remote.mode, key=MODES.index)
    if remote.threshold is not None and threshold is not None:
        threshold = min(threshold, remote.threshold)
    if remote.max_escalations_per_hour is not None:
        most = min(most, remote.max_escalations_per_hour)
    return replace(
        policy,
        mode=mode,
        threshold=threshold,
        max_escalations_per_hour=most,
        metered=policy.metered and remote.metered is not False,
        cache=None if remote.cache is False else policy.cache,
        queue=None if remote.queue is False else policy.queue,
        reduce=(*policy.reduce, *(each for each in remote.reduce if each not in policy.reduce)),
    )


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_limit(value: CacheLimits | QueueLimits | None, kind: type) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, kind) and _within(value.max_bytes, 1, _MOST) and _within(value.ttl_s, 1e-6, _MOST)
    )


def _are_reductions(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, Reduction) for each in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()

"""Where the next answer comes from: a pure decision.

    asked -> [device] -> sure enough? -> keep
                 |          no -> [cloud] -> answered
                 |                   |-> failed -> keep, and perhaps let the case wait
                 |-> failed -> [cloud] | cache -> declared default -> error with both causes

`decide` is asked again with what came of its last route, and ends after at most three. It sees no clock, disk or
network.

Invariants, held by laws in tests/laws/test_decide_laws.py:
* what `forbidden` names is never sent nor kept for sending, whatever the signals say;
* every call ends in an answer, a declared default, or a failure;
* where `may_answer_at_once` and `stays` hold, `decide` would say the same: device, then keep;
* where `needs_more` is false, the costlier signals would change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgeinfer.frozen import frozen

if TYPE_CHECKING:
    from edgeinfer.fallback.policy import Policy
    from edgeinfer.host.surroundings import Network

Where = Literal["device", "cloud", "cache", "keep", "default", "fail"]
# Reasons that count against the budget of escalations.
ESCALATIONS = ("low_confidence", "local_error", "deadline", "load", "throttled")


@frozen
class Local:
    """What the device made of an item.

    Attributes:
        confidence: Of its answer, calibrated; None for a model that gives none.
        error: Why there is no answer; empty where there is one.
    """

    confidence: float | None = None
    error: str = ""


@frozen
class Signals:
    """All that a decision looks at. The second half costs reads of files, and matters only where the cloud is wanted.

    Attributes:
        local: What the device made of it, or None where it was not asked yet.
        cloud: Why the cloud gave no answer, or None where it was not asked yet.
        left_ms: Time left until the deadline.
        run_ms: What a run here takes, judged by those before.
        wait_ms: How long it would stand in line.
        throttled: Whether the processor is slowed down by heat.
        needs_local: Whether what the cloud is sent is made by the model here.
        consent: Whether the user agreed to send inputs.
        network: The network's state.
        battery: Charge in 0..1, if there is a battery.
        charging: Whether it charges.
        circuit: Why the cloud is left alone, or empty.
        escalations: Calls that went to the cloud in the last hour.
        cached: Whether an earlier answer for the same item lies there.
        may_wait: Whether the case could wait for the cloud: there is a key, and the user agreed.
    """

    local: Local | None = None
    cloud: str | None = None
    left_ms: float = 10_000.0
    run_ms: float = 0.0
    wait_ms: float = 0.0
    throttled: bool = False
    needs_local: bool = False
    consent: bool = False
    network: Network = "unknown"
    battery: float | None = None
    charging: bool | None = None
    circuit: str = ""
    escalations: int = 0
    cached: bool = False
    may_wait: bool = False


@frozen
class Route:
    """What to do next.

    Attributes:
        to: Ask the `device`, the `cloud` or the `cache`; `keep` the device's answer; give the `default`; or `fail`.
        why: A word for programs: `mode` or one of `ESCALATIONS` for the cloud.
        reason: The same for people.
        wait: Whether the case is to wait for the cloud.
        no: Why the cloud is not asked, where the route is `default` or `fail`.
    """

    to: Where
    why: str
    reason: str
    wait: bool = False
    no: str = ""


def wants_cloud(signals: Signals, policy: Policy) -> str:
    """Return why the cloud would be asked now if nothing stood in the way, or an empty text.

    Only cheap signals are looked at.
    """
    local, mode = signals.local, policy.mode
    if mode == "only_on_device" or signals.cloud is not None:
        return ""
    if local is not None and local.error:
        return "" if signals.needs_local else "local_error"
    if mode != "prefer_on_device":
        return "" if signals.needs_local and local is None else "mode"
    if local is not None:
        return "low_confidence" if _unsure(local, policy) else ""
    return "" if signals.needs_local else _pressing(signals, policy)


def may_answer_at_once(policy: Policy) -> bool:
    """Whether a call without deadline, while none stands in line, goes to the device, and nothing is kept of it."""
    on_device = policy.mode in ("only_on_device", "prefer_on_device")
    return on_device and not policy.cloud_when_throttled and policy.cache is None


def stays(policy: Policy, confidence: float | None) -> bool:
    """Whether such a call's answer stays, whatever else the signals say."""
    least = policy.threshold
    return policy.mode == "only_on_device" or least is None or confidence is None or confidence >= least


def needs_more(signals: Signals, policy: Policy) -> bool:
    """Whether the costlier signals can change the decision; a confident answer from the device needs none of them."""
    local = signals.local
    doubtful = local is not None and (bool(local.error) or _unsure(local, policy))
    return bool(wants_cloud(signals, policy)) or doubtful


def forbidden(signals: Signals, policy: Policy) -> str:
    """Return why nothing of this call may ever be sent, or an empty text."""
    if policy.mode == "only_on_device":
        return "the mode is only_on_device"
    return "" if signals.consent else "no consent is recorded"


def hindered(signals: Signals, policy: Policy, why: str) -> str:
    """Return why the cloud cannot be asked now, or an empty text."""
    rows = (
        (policy.offline, "the policy is offline"),
        (signals.network == "none", "there is no network"),
        (signals.network == "metered" and not policy.metered, "the network is metered"),
        (bool(signals.circuit), signals.circuit),
        (signals.left_ms < max(policy.least_cloud_ms, 1e-6), "too little time is left"),
        (why in ("low_confidence", "mode") and _weak(signals, policy), "the battery is low"),
        (
            why in ESCALATIONS
            and policy.mode == "prefer_on_device"
            and signals.escalations >= policy.max_escalations_per_hour,
            f"the budget of {policy.max_escalations_per_hour} escalations an hour is spent",
        ),
    )
    return next((text for holds, text in rows if holds), "")


def decide(signals: Signals, policy: Policy) -> Route:
    """Return what to do next for a call."""
    why = wants_cloud(signals, policy)
    no = ""
    if why:
        if signals.cached:
            return Route(
                "cache", why, f"{_because(why, signals, policy)}; an earlier answer for the same item"
            )
        no = forbidden(signals, policy) or hindered(signals, policy, why)
        if not no:
            return Route("cloud", why, _because(why, signals, policy))
    elif signals.cloud is not None:
        no = f"the cloud gave no answer ({signals.cloud})"
    if signals.local is None:
        return _without_cloud(signals, policy, no)
    if signals.local.error:
        return _without_answer(signals, policy, no)
    return _kept(signals, policy, no)


def _without_cloud(signals: Signals, policy: Policy, no: str) -> Route:
    """The device was not asked yet, and the cloud is not asked, or has failed."""
    if policy.mode == "only_in_cloud" and not signals.needs_local:
        return _without_answer(signals, policy, no)
    if signals.left_ms <= 0 and signals.cloud is not None:
        return _without_answer(signals, policy, no)
    return Route("device", "mode", f"{policy.mode}, but {no}" if no else policy.mode)


def _kept(signals: Signals, policy: Policy, no: str) -> Route:
    """The device has an answer, and it stays."""
    assert signals.local is not None, "there is an answer"
    if policy.mode == "only_in_cloud":
        return _without_answer(signals, policy, no)
    unsure = policy.mode != "only_on_device" and _unsure(signals.local, policy)
    if not unsure:
        return Route("keep", "mode", f"{policy.mode}, but {no}" if no else policy.mode)
    wait = policy.queue is not None and signals.may_wait and not forbidden(signals, policy)
    reason = f"{_because('low_confidence', signals, policy)}, but {no}"
    return Route("keep", "low_confidence", f"{reason}; the case waits" if wait else reason, wait)


def _without_answer(signals: Signals, policy: Policy, no: str) -> Route:
    """Neither has an answer."""
    local = signals.local
    told = f"the device failed ({local.error})" if local is not None and local.error else policy.mode
    if signals.cached and local is not None and local.error:
        return Route("cache", "local_error", f"{told}; an earlier answer for the same item")
    reason = f"{told}, and {no}" if no else told
    no = no or forbidden(signals, policy)
    return Route("fail" if policy.default is None else "default", "no_answer", reason, no=no)


def _because(why: str, signals: Signals, policy: Policy) -> str:
    local = signals.local
    if why == "low_confidence" and local is not None and local.confidence is not None:
        return f"confidence {local.confidence:.2f} is below {policy.threshold:g}"
    if why == "local_error" and local is not None:
        return f"the device failed ({local.error})"
    return {
        "deadline": f"the device would take {signals.run_ms + signals.wait_ms:.0f} ms of {max(signals.left_ms, 0):.0f}",
        "load": f"calls would wait {signals.wait_ms:.0f} ms on the device",
        "throttled": "the processor is slowed down by heat",
    }.get(why, policy.mode)


def _pressing(signals: Signals, policy: Policy) -> str:
    if signals.run_ms + signals.wait_ms > signals.left_ms:
        return "deadline"
    if policy.max_wait_ms is not None and signals.wait_ms > policy.max_wait_ms:
        return "load"
    return "throttled" if signals.throttled and policy.cloud_when_throttled else ""


def _unsure(local: Local, policy: Policy) -> bool:
    return (
        policy.threshold is not None and local.confidence is not None and local.confidence < policy.threshold
    )


def _weak(signals: Signals, policy: Policy) -> bool:
    return signals.battery is not None and signals.battery < policy.min_battery and not signals.charging

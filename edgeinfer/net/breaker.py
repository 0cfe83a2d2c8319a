"""A circuit breaker: a server that fails is left alone for a while, then asked by one call.

`after` and `admits` are the whole machine, pure; `Breaker` keeps its state for threads and event loops alike.

    closed --failures in a row--> open --its time is up--> half open --one success--> closed
                                   ^                           |
                                   +-----one failure, longer---+

Source: M. Nygard, "Release It!", 2007, chapter 5.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Literal

from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen
from edgeinfer.host.clock import Clock

State = Literal["closed", "open", "half_open"]


@frozen
class CircuitLimits:
    """When to leave a server alone, and for how long.

    Attributes:
        failures: Failures in a row after which it is.
        open_s: For how long at first; twice as long after each failed probe.
        most_open_s: The longest, a server's own `Retry-After` included.

    Raises:
        InputError: A number is out of range.
    """

    failures: int = 5
    open_s: float = 5.0
    most_open_s: float = 300.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{name} of the circuit", found=value, expected="a number")
        if not self.failures >= 1:
            raise InputError("failures of the circuit", found=self.failures, expected="1 or more")
        if not 0 < self.open_s <= self.most_open_s < float("inf"):
            raise InputError("open_s of the circuit", found=self.open_s, expected="above 0, to most_open_s")


@frozen
class Circuit:
    """What is remembered of a server.

    Attributes:
        state: Whether it may be asked.
        failures: Failures in a row.
        opened: How often it was opened since it last answered well.
        until: Seconds of a monotonic clock at which it may be asked again.
        probing: Since when a probe is under way, or None.
        reason: Why it is open.
    """

    state: State = "closed"
    failures: int = 0
    opened: int = 0
    until: float = 0.0
    probing: float | None = None
    reason: str = ""


def admits(circuit: Circuit, limits: CircuitLimits, now: float) -> Circuit | None:
    """Return the circuit with this call let through, or None where it is not.

    A probe that never reports back gives way to another after `open_s`.
    """
    if circuit.state == "closed":
        return circuit
    if circuit.state == "open":
        return None if now < circuit.until else replace(circuit, state="half_open", probing=now)
    free = circuit.probing is None or now - circuit.probing >= limits.open_s
    return replace(circuit, probing=now) if free else None


def after(circuit: Circuit, limits: CircuitLimits, now: float, failure: str | None) -> Circuit:
    """Return the circuit after a call that was let through: None for what speaks for the server, else why it failed."""
    if failure is None:
        # While it is open, calls that were begun before it say nothing of now.
        return circuit if circuit.state == "open" else Circuit()
    failures = circuit.failures + 1
    if circuit.state == "closed" and failures < limits.failures:
        return replace(circuit, failures=failures)
    if circuit.state == "open":  # begun before it was opened
        return replace(circuit, failures=failures)
    rest = min(limits.most_open_s, limits.open_s * 2.0 ** min(circuit.opened, 60))
    return Circuit("open", failures, circuit.opened + 1, now + rest, None, failure)


def held(circuit: Circuit, until: float, reason: str) -> Circuit:
    """Return the circuit left alone until a time, since the server asked for it, or would refuse every call."""
    return replace(
        circuit,
        state="open",
        opened=max(1, circuit.opened),
        until=max(until, circuit.until if circuit.state == "open" else 0.0),
        probing=None,
        reason=reason,
    )


class Breaker:
    """The state of one server's circuit, shared by threads and event loops.

    Args:
        limits: When to open it.
        clock: The time.
    """

    def __init__(self, limits: CircuitLimits, clock: Clock) -> None:
        self.limits, self._clock = limits, clock
        self._circuit = Circuit()
        self._lock = threading.Lock()

    @property
    def circuit(self) -> Circuit:
        """The state now; half open as soon as a probe might be let through."""
        circuit = self._circuit
        if circuit.state == "open" and self._clock.monotonic() >= circuit.until:
            return replace(circuit, state="half_open")
        return circuit

    @property
    def open(self) -> bool:
        """Whether no call would be let through now."""
        return admits(self._circuit, self.limits, self._clock.monotonic()) is None

    def admit(self) -> bool:
        """Let a call through, or not."""
        with self._lock:
            circuit = admits(self._circuit, self.limits, self._clock.monotonic())
            if circuit is not None:
                self._circuit = circuit
            return circuit is not None

    def report(self, failure: str | None) -> None:
        """Note how a call that was let through ended: None where the server did its part."""
        with self._lock:
            self._circuit = after(self._circuit, self.limits, self._clock.monotonic(), failure)

    def hold(self, seconds: float, reason: str) -> None:
        """Leave the server alone for a while, at most `most_open_s`."""
        with self._lock:
            until = self._clock.monotonic() + min(seconds, self.limits.most_open_s)
            self._circuit = held(self._circuit, until, reason)

    def abandon(self) -> None:
        """Note that a call that was let through ended without telling anything: another may probe."""
        with self._lock:
            if self._circuit.state == "half_open":
                self._circuit = replace(self._circuit, probing=None)

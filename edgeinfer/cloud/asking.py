"""How a server is asked: journal, credentials, circuit, retries. Everything that goes out goes through here."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Generic, Protocol, TypeVar

from edgeinfer.cloud.endpoint import Endpoint, checked_headers
from edgeinfer.cloud.verdict import Verdict, of_network, of_status
from edgeinfer.errors import (
    CircuitOpenError,
    CloudAnswerError,
    CloudFailedError,
    CloudRefusedError,
    EdgeInferError,
    NetworkError,
    NetworkTimeoutError,
)
from edgeinfer.frozen import frozen
from edgeinfer.host.clock import Clock
from edgeinfer.net.breaker import Breaker
from edgeinfer.net.exchange import Request, Response
from edgeinfer.net.retries import RetryBudget, backoff, retry_after
from edgeinfer.net.stepping import Do, Pause, Send, Steps

Read = TypeVar("Read")
Draw = Callable[[], float]
uniform: Draw = random.random


class Journal(Protocol):
    """Is told of every request; `edgeinfer.privacy.EgressRecord` stands behind the one that apps get."""

    def begin(self, url: str, size: int, why: str) -> int:
        """Note a request with a body of so many bytes that is about to be sent; what this raises keeps it back."""
        ...

    def end(self, number: int, outcome: str) -> None:
        """Note how it ended."""
        ...


@frozen
class CloudHealth:
    """How a server has been doing.

    Attributes:
        circuit: `closed` where it is asked, `open` where it is left alone, `half_open` where one call probes it.
        reason: Why it is left alone.
        failures: Failures in a row.
        calls: Inferences asked for.
        requests: Requests sent, questions about the server included.
        retries: Those that repeated one.
    """

    circuit: str
    reason: str
    failures: int
    calls: int
    requests: int
    retries: int


class Call:
    """One inference, from its first request to its end.

    Attributes:
        until: Seconds of the clock's `monotonic` at which it ends.
        journal: What is told of its requests.
        why: Why it takes place.
        requests: Requests sent for it so far.
        sent_bytes: Length of their bodies.
    """

    def __init__(self, until: float, journal: Journal | None = None, why: str = "asked") -> None:
        self.until, self.journal, self.why = until, journal, why
        self.requests = self.sent_bytes = 0

    def sent(self, size: int) -> None:
        """Note a request with a body of so many bytes."""
        self.requests += 1
        self.sent_bytes += size

    def part(self, until: float) -> Call:
        """Return a part of it that ends earlier."""
        return _Part(self, until)


class _Part(Call):
    """Its requests count for the whole."""

    def __init__(self, whole: Call, until: float) -> None:
        self._whole = whole
        super().__init__(until, whole.journal, whole.why)

    def sent(self, size: int) -> None:
        super().sent(size)
        self._whole.sent(size)


@frozen
class Question(Generic[Read]):
    """What is asked.

    Attributes:
        request: Without credentials.
        read: Makes the result of an answer; raises `CloudAnswerError`.
        what: What is asked for, for messages.
        why: For the journal.
        checked: Whether a 500 cannot be the input's fault.
        settles: Whether a good answer speaks for the server: one that knows its name may answer badly all the same.
        accepts: Statuses that `read` takes.
    """

    request: Request
    read: Callable[[Response], Read]
    what: str
    why: str
    checked: bool = True
    settles: bool = True
    accepts: tuple[int, ...] = (200,)


@frozen
class _Value(Generic[Read]):
    """What an answer holds."""

    value: Read


class Asker:
    """Asks one server; threads and event loops may share it.

    Attributes:
        breaker: Whether it may be asked.

    Args:
        endpoint: The server.
        clock: The time.
        draw: Draws from 0..1, for the jitter of retries.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock, draw: Draw) -> None:
        self.breaker = Breaker(endpoint.circuit, clock)
        self._endpoint, self._clock, self._draw = endpoint, clock, draw
        self._budget = RetryBudget(endpoint.retry)
        self._lock = threading.Lock()
        self._counts = {"calls": 0, "requests": 0, "retries": 0}

    @property
    def health(self) -> CloudHealth:
        """How the server has been doing."""
        circuit = self.breaker.circuit
        with self._lock:
            return CloudHealth(circuit.state, circuit.reason, circuit.failures, **self._counts)

    def begin(self) -> None:
        """Note an inference that is asked for: it earns a share of a retry."""
        self._budget.earn()
        self._count("calls")

    def asked(self, question: Question[Read], call: Call) -> Steps[Read]:
        """Ask, and ask again where that may help.

        Raises:
            CircuitOpenError: The server is left alone now; nothing was sent.
            NetworkError: There was no whole answer.
            CloudError: There was another.
        """
        for retries in itertools.count():
            if self._clock.monotonic() >= call.until:
                raise NetworkTimeoutError(f"the time was up before the cloud was asked for {question.what}")
            if not self.breaker.admit():
                raise self._left_alone()
            wait = None
            try:
                response = yield from self.sent(
                    question.request, call, "retry" if retries and question.settles else question.why
                )
                verdict = self._read(response, question)
                if isinstance(verdict, _Value):
                    return verdict.value
                wait = retry_after(response.headers, self._clock.utc()) if verdict.passing else None
            except NetworkError as error:
                verdict = of_network(error)
            except BaseException:
                self.breaker.abandon()
                raise
            self._judged(verdict)
            delay = max(wait or 0.0, backoff(self._endpoint.retry, retries, self._draw()))
            if not (verdict.passing and self._may_repeat(retries, delay, call)):
                self.hold_for(verdict, wait)
                raise verdict.error
            self._count("retries")
            yield Pause(delay)
        raise AssertionError("the loop ends by itself")

    def _read(self, response: Response, question: Question[Read]) -> _Value[Read] | Verdict:
        """Return what an answer holds, or what to make of it."""
        if response.status not in question.accepts:
            verdict = of_status(response, question.what, checked=question.checked)
            if verdict is not None:
                return verdict
        try:
            value = question.read(response)
        except CloudAnswerError as error:
            return Verdict(error, faulty=True)
        if question.settles:
            self.breaker.report(None)
        else:
            self.breaker.abandon()
        return _Value(value)

    def hold_for(self, verdict: Verdict, wait: float | None) -> None:
        """Leave the server alone where every request would fail alike, or where it asks for it."""
        if verdict.hold_s:
            self.breaker.hold(verdict.hold_s, str(verdict.error))
        elif wait:
            self.breaker.hold(wait, f"the server asks to be left alone for {wait:.0f} s")

    def sent(self, request: Request, call: Call, why: str) -> Steps[Response]:
        """Send one request, once, whatever comes of it.

        Raises:
            NetworkError: There was no whole answer.
        """
        credentials = yield from self._credentials(call)
        request = replace(request, headers={**credentials, **request.headers})
        journal, number = call.journal, None
        if journal is not None:
            number = yield Do(partial(journal.begin, request.url, len(request.body), why))
        call.sent(len(request.body))
        self._count("requests")
        outcome = "given up"
        try:
            response: Response = yield Send(request, call.until)
            outcome = f"status {response.status}"
            return response
        except NetworkError as error:
            outcome = type(error).__name__
            raise
        finally:
            if journal is not None and number is not None:
                with suppress(EdgeInferError):  # that it was sent is on record
                    journal.end(number, outcome)

    def _credentials(self, call: Call) -> Steps[Mapping[str, str]]:
        headers = self._endpoint.headers
        if headers is None or isinstance(headers, Mapping):
            return headers or {}
        try:
            given: object = yield Do(headers, call.until)
        except NetworkTimeoutError:
            raise
        except Exception as error:  # an app's own code; what it says may hold secrets
            raise CloudRefusedError(
                f"the endpoint's headers could not be asked for ({type(error).__name__})"
            ) from None
        if not isinstance(given, Mapping):
            found = type(given).__name__
            raise CloudRefusedError("the endpoint's headers", found=found, expected="a dict") from None
        return checked_headers(given)

    def _may_repeat(self, retries: int, delay: float, call: Call) -> bool:
        if self.breaker.open:
            return False
        in_time = self._clock.monotonic() + delay < call.until
        return retries + 1 < self._endpoint.retry.attempts and in_time and self._budget.spend()

    def _judged(self, verdict: Verdict) -> None:
        """Tell the circuit what a failure means: against the server, for it, or nothing."""
        if verdict.faulty:
            self.breaker.report(str(verdict.error))
        elif isinstance(verdict.error, CloudFailedError):
            self.breaker.abandon()
        else:
            self.breaker.report(None)

    def _left_alone(self) -> CircuitOpenError:
        circuit = self.breaker.circuit
        left = max(0.0, circuit.until - self._clock.monotonic())
        return CircuitOpenError(
            f"the cloud is left alone for {left:.0f} s more", found=circuit.reason or "a probe is under way"
        )

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

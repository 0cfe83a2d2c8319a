"""The client of one model behind the Open Inference Protocol.

Every conversation is a generator of steps (`edgeinfer.net.stepping`), so that threads and event loops share one core,
one circuit and one retry budget.

Invariants:
* no call outlives its deadline;
* what is asked of the server is told to the journal first; what the journal refuses is not sent;
* an input that does not fit what the server says of its model is not sent;
* a retry happens only for what may pass, within the deadline, and while the retry budget lasts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from edgeinfer.cloud.asking import Asker, Call, CloudHealth, Draw, Journal, Question, uniform
from edgeinfer.cloud.endpoint import Endpoint, model_url
from edgeinfer.cloud.messages import decode, encode
from edgeinfer.cloud.metadata import Abilities, ModelInfo, check_inputs, read_model, read_server
from edgeinfer.cloud.tensors import Tensor
from edgeinfer.cloud.verdict import of_status
from edgeinfer.errors import (
    BadResponseError,
    CloudAnswerError,
    CloudRequestError,
    ConnectionLostError,
    EdgeInferError,
    InputError,
    NetworkTimeoutError,
    PolicyError,
)
from edgeinfer.frozen import frozen
from edgeinfer.host.clock import Clock, SystemClock
from edgeinfer.net.exchange import Request, Response, Transport
from edgeinfer.net.http import HttpTransport
from edgeinfer.net.retries import retry_after
from edgeinfer.net.stepping import Performer, Steps, aperformed, performed

# A server need not tell of itself.
_PERHAPS_WITHOUT = (200, 400, 404, 405, 501)
_DOUBTFUL_S, _FRESH_S = 60.0, 86_400.0


class Known(Protocol):
    """Keeps what was found out of servers, from one start of an app to the next."""

    def get(self, server: str) -> Abilities | None:
        """Return what is known, or None."""
        ...

    def put(self, server: str, abilities: Abilities | None) -> None:
        """Keep it, or forget it."""
        ...


@frozen
class Answered:
    """A server's answer.

    Attributes:
        tensors: Its outputs by the server's names.
        server: What the server calls itself, with its release.
        requests: How often it was asked for this.
        sent_bytes: Length of all bodies.
    """

    tensors: dict[str, Tensor]
    server: str
    requests: int
    sent_bytes: int


class V2Client:
    """Asks one model; threads and event loops may share it.

    Attributes:
        endpoint: The server.
        model: The model's name there.
        url: The model's address.
        performer: Performs the steps of its conversations.

    Args:
        endpoint: The server.
        model: The model's name, where the endpoint has none.
        transport: What carries requests; httpx2 otherwise.
        clock: The time.
        known: Keeps what was found out of the server.
        check: Is told of the server's model before anything is sent to it; what it raises keeps it back.
        draw: Draws from 0..1, for the jitter of retries.
    """

    def __init__(  # noqa: PLR0913 - the seams, each replaced alone in tests
        self,
        endpoint: Endpoint,
        model: str | None = None,
        *,
        transport: Transport | None = None,
        clock: Clock | None = None,
        known: Known | None = None,
        check: Callable[[ModelInfo], None] | None = None,
        draw: Draw = uniform,
    ) -> None:
        self.endpoint, self.model = endpoint, endpoint.model or model or "model"
        self.url = model_url(endpoint.url, self.model, endpoint.version)
        self.clock: Clock = clock or SystemClock()
        self._transport: Transport = transport or HttpTransport(endpoint.certificates, endpoint.proxy)
        self.performer = Performer(self.clock, self._transport)
        self._asker = Asker(endpoint, self.clock, draw)
        self._known, self._check = known, check
        self._abilities: Abilities | None = None
        self._learned_at = self.clock.monotonic() - _FRESH_S

    @property
    def health(self) -> CloudHealth:
        """How the server has been doing."""
        return self._asker.health

    @property
    def left_alone(self) -> bool:
        """Whether no call would be let through now."""
        return self._asker.breaker.open

    def infer(
        self, inputs: Sequence[Tensor], outputs: Sequence[str] = (), *, deadline_s: float = 10.0
    ) -> Answered:
        """Ask the model.

        Args:
            inputs: By the server's names.
            outputs: Outputs that must be there; none takes all.
            deadline_s: Seconds in which the answer must be there, retries included.

        Raises:
            InputError: The inputs do not fit what the server says of its model; nothing was sent.
            NetworkError: There was no whole answer.
            CloudError: There was another than what was asked for.
        """
        return performed(self.steps(inputs, outputs, self._call(deadline_s)), self.performer.now)

    async def ainfer(
        self, inputs: Sequence[Tensor], outputs: Sequence[str] = (), *, deadline_s: float = 10.0
    ) -> Answered:
        """Ask the model without blocking the event loop; as `infer` otherwise."""
        return await aperformed(self.steps(inputs, outputs, self._call(deadline_s)), self.performer.later)

    def metadata(self, *, deadline_s: float = 10.0, journal: Journal | None = None) -> Abilities:
        """Return what the server says of itself and the model; raises as `infer` does."""
        return performed(self._told(self._call(deadline_s, journal)), self.performer.now)

    async def ametadata(self, *, deadline_s: float = 10.0, journal: Journal | None = None) -> Abilities:
        """Return what the server says, without blocking the event loop."""
        return await aperformed(self._told(self._call(deadline_s, journal)), self.performer.later)

    def ready(self, *, deadline_s: float = 10.0) -> bool:
        """Whether the server says that the model is ready; False, too, where it cannot be reached."""
        return performed(self._ready(self._call(deadline_s)), self.performer.now)

    async def aready(self, *, deadline_s: float = 10.0) -> bool:
        """Whether the model is ready, without blocking the event loop."""
        return await aperformed(self._ready(self._call(deadline_s)), self.performer.later)

    def close(self) -> None:
        """Give back connections."""
        self._transport.close()

    def steps(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[str],
        call: Call,
        accept: Callable[[dict[str, Tensor]], object] | None = None,
    ) -> Steps[Answered]:
        """Yield the steps of an inference, for whoever performs them; raises as `infer` does.

        Args:
            inputs: As for `infer`.
            outputs: Likewise.
            call: What it is part of.
            accept: Is given the answer's tensors; the `CloudAnswerError` that it raises speaks against the server.
        """
        self._asker.begin()
        abilities = yield from self._learned(inputs, call)
        try:
            if self._check is not None:
                self._check(abilities.model)
            checked = check_inputs(inputs, abilities.model)
        except (PolicyError, InputError):
            self._doubt()
            raise
        number = str(uuid.uuid4())
        message = encode(number, inputs, outputs, binary=abilities.binary, packed=self.endpoint.gzip)

        def read(answer: Response) -> dict[str, Tensor]:
            tensors = decode(answer, number, outputs)
            if accept is not None:
                accept(tensors)
            return tensors

        question = Question(
            Request("POST", f"{self.url}/infer", message.headers, message.body),
            read,
            what=f"an inference of model {self.model}",
            why=call.why,
            checked=checked,
        )
        try:
            tensors = yield from self._asker.asked(question, call)
        except (CloudRequestError, CloudAnswerError):
            self._doubt()
            raise
        return Answered(tensors, str(abilities.server), call.requests, call.sent_bytes)

    def _call(self, deadline_s: float, journal: Journal | None = None) -> Call:
        return Call(self.clock.monotonic() + deadline_s, journal)

    def _learned(self, inputs: Sequence[Tensor], call: Call) -> Steps[Abilities]:
        """Return what the server can do, found out once."""
        if self.clock.monotonic() - self._learned_at >= _FRESH_S:
            self._abilities = None
        found = self._abilities or (self._known.get(self.url) if self._known else None)
        sure = True
        if found is None:
            found = yield from self._told(call)
            if self.endpoint.binary is None and not found.binary:
                binary = yield from self._probed(inputs, found.model, call)
                found, sure = Abilities(found.server, found.model, bool(binary)), binary is not None
        if self.endpoint.binary not in (None, found.binary):
            found = Abilities(found.server, found.model, bool(self.endpoint.binary))
        if found != self._abilities:
            self._abilities, self._learned_at = found, self.clock.monotonic()
            if self._known is not None and sure:
                self._known.put(self.url, found)
        return found

    def _told(self, call: Call) -> Steps[Abilities]:
        """Ask for what the server says of itself and the model."""
        of_server = Question(
            Request("GET", self.endpoint.url.rstrip("/") + "/v2"),
            read_server,
            what="the server's metadata",
            why="metadata",
            settles=False,
            accepts=_PERHAPS_WITHOUT,
        )
        server = yield from self._asker.asked(of_server, call)
        of_model = Question(
            Request("GET", self.url),
            lambda answer: read_model(answer, self.model),
            what=f"model {self.model}",
            why="metadata",
            settles=False,
        )
        model = yield from self._asker.asked(of_model, call)
        return Abilities(server, model, server.says_binary)

    def _probed(self, inputs: Sequence[Tensor], model: ModelInfo, call: Call) -> Steps[bool | None]:
        """Find out whether the model takes bytes: one inference of zeros, on a connection that may break.

        Returns:
            None where it did not say in half of the time.
        """
        if any(each.datatype == "BYTES" for each in inputs):
            return True  # JSON cannot carry them
        check_inputs(inputs, model)
        zeros = [Tensor(each.name, each.datatype, np.zeros_like(each.value)) for each in inputs]
        message = encode("probe", zeros, (), binary=True, packed=False)
        request = Request("POST", f"{self.url}/infer", message.headers, message.body, apart=True)
        part = call.part((call.until + self.clock.monotonic()) / 2)
        try:
            answer = yield from self._asker.sent(request, part, "probe")
            verdict = of_status(answer, "a probe with zeros", checked=False)
            if verdict is None:
                return bool(decode(answer, "probe", ()))
        except NetworkTimeoutError:
            return None
        except (ConnectionLostError, BadResponseError, CloudAnswerError):
            return False
        if not (verdict.passing or verdict.hold_s):
            return False
        self._asker.hold_for(verdict, retry_after(answer.headers, self.clock.utc()))
        raise verdict.error

    def _ready(self, call: Call) -> Steps[bool]:
        try:
            answer = yield from self._asker.sent(Request("GET", f"{self.url}/ready"), call, "metadata")
        except EdgeInferError:
            return False
        # Some say it in the status alone.
        return answer.status == 200 and b'"ready":false' not in answer.body.replace(b" ", b"")

    def _doubt(self) -> None:
        """Forget what was found out some time ago: the server may be another one by now."""
        if self.clock.monotonic() - self._learned_at >= _DOUBTFUL_S:
            self._abilities = None
            if self._known is not None:
                self._known.put(self.url, None)

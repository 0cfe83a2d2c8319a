"""What an HTTP status of a server means for the call, for retries and for the circuit: one table, pure."""

from __future__ import annotations

import json

from edgeinfer.errors import (
    BadResponseError,
    CloudAnswerError,
    CloudElsewhereError,
    CloudError,
    CloudFailedError,
    CloudRefusedError,
    CloudRequestError,
    EdgeInferError,
    NetworkError,
    TlsError,
)
from edgeinfer.frozen import frozen
from edgeinfer.net.exchange import Response
from edgeinfer.net.retries import PASSING

_REFUSED_S = 60.0
_MOST_TOLD = 160


@frozen
class Verdict:
    """What to make of a failure.

    Attributes:
        error: What the caller is told.
        passing: Whether the same request may succeed soon.
        faulty: Whether it speaks against the server.
        hold_s: How long every request would fail alike: seconds to leave the server alone, or 0.
    """

    error: EdgeInferError
    passing: bool = False
    faulty: bool = False
    hold_s: float = 0.0


def of_network(error: NetworkError) -> Verdict:
    """Judge a request without a whole answer: who the server is, and what it speaks, does not change soon."""
    lasting = isinstance(error, TlsError | BadResponseError)
    return Verdict(error, passing=not lasting, faulty=True)


def of_status(response: Response, what: str, *, checked: bool) -> Verdict | None:
    """Judge an answer by its status; None for one that may be read.

    Args:
        response: The answer.
        what: What was asked, for messages.
        checked: Whether the input was held against what the server says that it takes: otherwise a 500 may be the
            input's fault, since some servers answer so to a wrong shape.
    """
    status = response.status
    if status == 200:
        return None
    if status in (401, 403, 404) or 300 <= status < 400:
        return Verdict(_elsewhere(response, what), hold_s=_REFUSED_S)
    if status in (408, 429) or status >= 500:
        unsure = status == 500 and not checked
        passing = status in PASSING or (status == 500 and checked)
        error: CloudError = CloudFailedError(f"the cloud failed at {what}", found=f"status {status}")
        return Verdict(error, passing=passing, faulty=not unsure)
    if status < 300:
        return Verdict(
            CloudAnswerError(f"the cloud's answer to {what}", found=f"status {status}", expected=200),
            faulty=True,
        )
    error = CloudRequestError(f"the cloud takes {what} for wrong", found=f"status {status}{_told(response)}")
    return Verdict(error)


def _elsewhere(response: Response, what: str) -> CloudError:
    """Return what is to be said of a server at which every request would fail alike."""
    found = f"status {response.status}"
    if response.status in (401, 403):
        return CloudRefusedError(
            f"the cloud refuses {what}",
            found=found,
            next_step="check the credentials in the endpoint's headers (they are not shown)",
        )
    if response.status == 404:
        return CloudElsewhereError(
            f"the cloud does not have {what}",
            found=found + _told(response),
            next_step="check the endpoint's URL, model and version",
        )
    return CloudElsewhereError(
        f"the cloud sends {what} elsewhere",
        found=found,
        next_step="name the final address in the endpoint's URL; redirects are not followed",
    )


def _told(response: Response) -> str:
    """Return what the protocol's error object says; other bodies may repeat the input, and are not shown."""
    try:
        said = json.loads(response.body[:65536])
        text = said["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return f": {text[:_MOST_TOLD]}" if isinstance(text, str) else ""

"""Requests to servers: the transport seam and httpx2 behind it, retries, circuit breaker."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.net.breaker import Breaker, Circuit, CircuitLimits
    from edgeinfer.net.exchange import Request, Response, Transport
    from edgeinfer.net.http import HttpTransport
    from edgeinfer.net.retries import RetryBudget, RetryPolicy, backoff, retry_after
    from edgeinfer.net.stepping import Do, Pause, Performer, Send, Steps, aperformed, performed

# httpx2 and asyncio load with the first request.
__getattr__ = lazily(
    __name__,
    {
        "Breaker": "breaker",
        "Circuit": "breaker",
        "CircuitLimits": "breaker",
        "Do": "stepping",
        "HttpTransport": "http",
        "Pause": "stepping",
        "Performer": "stepping",
        "Request": "exchange",
        "Response": "exchange",
        "RetryBudget": "retries",
        "RetryPolicy": "retries",
        "Send": "stepping",
        "Steps": "stepping",
        "Transport": "exchange",
        "aperformed": "stepping",
        "backoff": "retries",
        "performed": "stepping",
        "retry_after": "retries",
    },
)

__all__ = [
    "Breaker",
    "Circuit",
    "CircuitLimits",
    "Do",
    "HttpTransport",
    "Pause",
    "Performer",
    "Request",
    "Response",
    "RetryBudget",
    "RetryPolicy",
    "Send",
    "Steps",
    "Transport",
    "aperformed",
    "backoff",
    "performed",
    "retry_after",
]

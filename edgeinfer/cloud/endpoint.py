"""Where a model is served, and how it is asked: what an app says of a server."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from urllib.parse import SplitResult, quote, urlsplit

from edgeinfer.errors import InputError
from edgeinfer.frozen import frozen
from edgeinfer.net.breaker import CircuitLimits
from edgeinfer.net.retries import RetryPolicy

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]] | None
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Set by the client itself.
_OWN = frozenset(
    {"content-type", "content-length", "content-encoding", "host", "inference-header-content-length"}
)
_PATTERN = "https://host[:port][/path], without user, password, query or fragment"


@frozen
class Endpoint:
    """A model behind the Open Inference Protocol.

    Attributes:
        url: Of the server, up to where `/v2` follows: `https://models.example.org`.
        model: The model's name there; None takes what the bundle's `cloud` says, or else the bundle's name.
        version: One of the model's versions there; None lets the server choose.
        headers: Sent with every request: credentials. Or what returns them, asked before each request. They are
            never shown, recorded or logged.
        binary: Whether tensors go as bytes. None finds out: the server says so, or is asked once, with zeros.
        gzip: Whether bodies are packed. No server says whether it can unpack, and some cannot.
        allow_http: Whether `http:` may be used to another machine: without TLS everybody on the way reads inputs and
            credentials.
        certificates: A file in PEM to trust instead of the system's authorities.
        proxy: URL of a proxy to go through; those of the environment are not used.
        retry: How often and how soon to ask again.
        circuit: When to leave the server alone.

    Raises:
        InputError: The URL cannot be used, or a header is not valid.
    """

    url: str
    model: str | None = None
    version: str | None = None
    headers: Headers = field(default=None, repr=False)
    binary: bool | None = None
    gzip: bool = False
    allow_http: bool = False
    certificates: str | None = None
    proxy: str | None = field(default=None, repr=False)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    circuit: CircuitLimits = field(default_factory=CircuitLimits)

    @property
    def near(self) -> bool:
        """Whether it is on this machine, behind the loopback interface."""
        return on_this_machine(self.url)

    def __post_init__(self) -> None:
        parts = _split(self.url)
        if parts.scheme == "http" and not (self.allow_http or self.near):
            raise InputError(
                f"the cloud's URL leads to {parts.hostname} without TLS",
                expected="https",
                next_step="use https, or say allow_http=True for a network that you trust",
            )
        for name, text in (("model", self.model), ("version", self.version)):
            if text is not None and (not isinstance(text, str) or text.strip(".") == ""):
                raise InputError(f"{name} of the endpoint", found=repr(text), expected="a name")
        headers: object = self.headers
        if isinstance(headers, Mapping):
            checked_headers(headers)
        elif headers is not None and not callable(headers):
            found = type(headers).__name__
            raise InputError("headers of the endpoint", found=found, expected="a dict, or what returns one")


def on_this_machine(url: str) -> bool:
    """Whether a URL leads to the loopback interface."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def model_url(base: str, model: str, version: str | None) -> str:
    """Return the address of a model."""
    path = f"{base.rstrip('/')}/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that can be sent.

    Raises:
        InputError: One cannot be, named without its value.
    """
    for name, value in headers.items():
        good = isinstance(name, str) and _HEADER_NAME.fullmatch(name) and name.lower() not in _OWN
        if not good:
            raise InputError(
                "a header of the endpoint", found=repr(name), expected="a name that is not set anyway"
            )
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise InputError(
                f"the value of header {name}",
                found="one that cannot be sent (it is not shown)",
                expected="printable ASCII",
                next_step="look for a line end in the credentials",
            )
    return dict(headers)


def _split(url: object) -> SplitResult:
    """Return the parts of a URL; a message never shows it, since it might hold credentials."""
    wrong = InputError("the cloud's URL", found="another (it is not shown)", expected=_PATTERN)
    if not isinstance(url, str) or not url.isprintable() or any(each in url for each in " ?#@"):
        raise wrong
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise wrong from None
    if not usable:
        raise wrong
    return parts

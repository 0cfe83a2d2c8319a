"""What an app says of a server: URLs, headers, and what is never shown of them."""

from __future__ import annotations

import pytest

import edgeinfer as ei
from edgeinfer.cloud import Endpoint
from edgeinfer.cloud.endpoint import checked_headers, model_url, on_this_machine

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "https://models.example.org",
        "https://models.example.org/",
        "https://models.example.org:8443/serving/a%20b",
        "HTTPS://Models.Example.ORG",
        "https://192.0.2.1:65535",
        "https://[2001:db8::1]:1",
        "http://localhost:8000",
        "http://LOCALHOST",
        "http://127.0.0.1:8000/x",
        "http://127.255.0.9",
        "http://[::1]:8000",
    ],
)
def test_a_url_with_tls_or_to_this_machine_is_taken(url):
    assert Endpoint(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models.example.org",
        "models.example.org:8000",
        "//models.example.org",
        "/v2",
        "https",
        "https:",
        "https://",
        "https:///v2",
        "https://:8000",
        "https:models.example.org",
        "https:/models.example.org",
        "ftp://models.example.org",
        "file:///etc/passwd",
        "grpc://models.example.org",
        "httpss://models.example.org",
        "https://models.example.org:0",
        "https://models.example.org:-1",
        "https://models.example.org:99999",
        "https://models.example.org:port",
        "https://models.example.org:8000.5",
        "https://models.example.org?",
        "https://models.example.org/#",
        "https://models.example.org/?a=b",
        "https://models.example.org/#top",
        "https://models.example.org/a b",
        "https://models example.org",
        " https://models.example.org",
        "https://models.example.org ",
        "https://models.example.org\n",
        "https://models.\texample.org",
        "https://models.example.org/\r\nX-Other: 1",
        "https://models.example.org/\0",
        "https://models.example.org/\x1b[2J",
        "https://models.example.org/\u2028",
        "https://[::1",
        "https://::1]",
        "https://[nonsense]",
        None,
        5,
        b"https://models.example.org",
        ["https://models.example.org"],
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url):
    with pytest.raises(ei.InputError, match="the cloud's URL") as caught:
        Endpoint(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@models.example.org",
        f"https://{SECRET}@models.example.org",
        f"http://user:{SECRET}@localhost",
        f"ftp://user:{SECRET}@models.example.org",
        f"//user:{SECRET}@models.example.org",
        f" https://user:{SECRET}@models.example.org",
        f"https://user:{SECRET}@models.example.org:99999",
        f"https://user:pass@{SECRET}@models.example.org",
        # Where a slip of the pen moves them to another part of the URL.
        f"user:{SECRET}@models.example.org",
        f"https:user:{SECRET}@models.example.org",
        f"https:/user:{SECRET}@models.example.org",
        f"https//user:{SECRET}@models.example.org",
        f"https://user:pass/{SECRET}@models.example.org",
        f"https://us?er:{SECRET}@models.example.org",
        f"https://us#er:{SECRET}@models.example.org",
        # Where others put them.
        f"https://models.example.org/v2?token={SECRET}",
        f"https://models.example.org/?api_key={SECRET}",
        f"https://models.example.org/#access_token={SECRET}",
        f"https://models.example.org:99999/?key={SECRET}",
    ],
)
def test_credentials_in_a_url_are_refused_and_never_shown(url):
    with pytest.raises(ei.InputError, match="the cloud's URL") as caught:
        Endpoint(url)
    shown = [str(caught.value), repr(caught.value), repr(caught.value.found)]
    assert not any(SECRET in each for each in shown)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example.org",
        "HTTP://models.example.org",
        "http://192.168.1.7:8000",
        "http://0.0.0.0",
        "http://128.0.0.1",
        "http://localhost.example.org",
        "http://notlocalhost",
        "http://127.0.0.1.example.org",
        "http://[2001:db8::1]",
    ],
)
def test_http_to_another_machine_must_be_asked_for(url):
    with pytest.raises(ei.InputError, match="without TLS") as caught:
        Endpoint(url)
    assert "allow_http=True" in str(caught.value)
    assert Endpoint(url, allow_http=True).url == url


def test_allowing_http_allows_nothing_else():
    for url in (
        "ftp://models.example.org",
        "http://user:x@models.example.org",
        "http://models.example.org?a",
    ):
        with pytest.raises(ei.InputError):
            Endpoint(url, allow_http=True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost", True), ("http://127.0.0.1:1", True), ("http://127.9.9.9", True),
        ("http://[::1]:9/x", True), ("http://10.0.0.1", False), ("http://[::2]", False), ("http://x", False),
        ("http://", False),
    ],
)  # fmt: skip
def test_what_leads_to_this_machine(url, expected):
    assert on_this_machine(url) is expected


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {SECRET}\n", f"Bearer {SECRET}\r\nX-Other: 1", f"{SECRET}\0", f"{SECRET}\t", f"{SECRET}\x7f",
        f"{SECRET}é", f"\u2028{SECRET}", f"{SECRET}\ud800", SECRET.encode(), None, 5, [SECRET],
    ],
)  # fmt: skip
def test_a_header_s_value_that_cannot_be_sent_is_never_shown(value):
    with pytest.raises(ei.InputError, match="the value of header Authorization") as caught:
        Endpoint("https://models.example.org", headers={"Fine": "1", "Authorization": value})
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.found!r}"


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "X Y", "X:", "X\n", "X\r\nY", "é", "X\0", "(X)", 5, None, b"X",
        "Content-Type", "content-length", "HOST", "Content-Encoding", "Inference-Header-Content-Length",
    ],
)  # fmt: skip
def test_a_header_s_name_that_cannot_be_used_is_refused_without_its_value(name):
    with pytest.raises(ei.InputError, match="a header of the endpoint") as caught:
        Endpoint("https://models.example.org", headers={name: SECRET})
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()


def test_headers_that_can_be_sent_are_kept_as_they_are():
    given = {"Authorization": "Bearer a.b-c_d~e+f/g==", "X-Empty": "", "x!#$%&'*+.^_`|~-9": "a b"}
    assert checked_headers(given) == given
    assert checked_headers(given) is not given
    assert Endpoint("https://models.example.org", headers=given).headers == given


def test_an_endpoint_shows_no_header():
    for headers in ({"Authorization": SECRET}, {SECRET: "1"}):
        endpoint = Endpoint("https://models.example.org", model="m", headers=headers)
        assert SECRET not in f"{endpoint} {endpoint!r}"
        assert "models.example.org" in repr(endpoint)


def test_a_request_and_a_response_show_neither_headers_nor_body():
    from edgeinfer.net import Request, Response

    hidden = {"authorization": SECRET}, SECRET.encode()
    assert SECRET not in repr(Request("POST", "https://models.example.org", *hidden))
    assert SECRET not in repr(Response(200, *hidden))


def test_headers_that_are_asked_for_later_are_not_asked_for_yet():
    asked = []
    Endpoint("https://models.example.org", headers=lambda: asked.append(1) or {})
    assert not asked


@pytest.mark.parametrize(
    ("base", "model", "version", "expected"),
    [
        ("https://h", "m", None, "https://h/v2/models/m"),
        ("https://h/", "m", None, "https://h/v2/models/m"),
        ("https://h/serve//", "m", "3", "https://h/serve/v2/models/m/versions/3"),
        ("https://h", "a/b", None, "https://h/v2/models/a%2Fb"),
        ("https://h", "../../admin", None, "https://h/v2/models/..%2F..%2Fadmin"),
        ("https://h", "a b?c#d&e=f", None, "https://h/v2/models/a%20b%3Fc%23d%26e%3Df"),
        ("https://h", "100%", None, "https://h/v2/models/100%25"),
        ("https://h", "é", "ü", "https://h/v2/models/%C3%A9/versions/%C3%BC"),
        ("https://h", "m", "1/../2", "https://h/v2/models/m/versions/1%2F..%2F2"),
        ("https://h", "m\r\nX: 1", None, "https://h/v2/models/m%0D%0AX%3A%201"),
        ("https://h", "m-1_2.3~4", None, "https://h/v2/models/m-1_2.3~4"),
    ],
)
def test_a_model_s_name_is_one_segment_of_its_address(base, model, version, expected):
    assert model_url(base, model, version) == expected

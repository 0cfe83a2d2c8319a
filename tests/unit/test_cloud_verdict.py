"""What each status of a server means: one table."""

from __future__ import annotations

import json

import pytest

from edgeinfer.cloud.verdict import of_network, of_status
from edgeinfer.errors import (
    BadResponseError,
    CloudElsewhereError,
    CloudFailedError,
    CloudRefusedError,
    CloudRequestError,
    ConnectionLostError,
    NameNotFoundError,
    NetworkError,
    NetworkTimeoutError,
    TlsError,
    UnreachableError,
)
from edgeinfer.net import Response

# Status: the error, whether it may pass, whether it speaks against the server, seconds to leave the server alone.
TABLE = [
    (301, CloudElsewhereError, False, False, 60),
    (302, CloudElsewhereError, False, False, 60),
    (304, CloudElsewhereError, False, False, 60),
    (307, CloudElsewhereError, False, False, 60),
    (308, CloudElsewhereError, False, False, 60),
    (400, CloudRequestError, False, False, 0),
    (401, CloudRefusedError, False, False, 60),
    (403, CloudRefusedError, False, False, 60),
    (404, CloudElsewhereError, False, False, 60),
    (405, CloudRequestError, False, False, 0),
    (408, CloudFailedError, True, True, 0),
    (409, CloudRequestError, False, False, 0),
    (413, CloudRequestError, False, False, 0),
    (415, CloudRequestError, False, False, 0),
    (422, CloudRequestError, False, False, 0),
    (429, CloudFailedError, True, True, 0),
    (500, CloudFailedError, True, True, 0),
    (501, CloudFailedError, False, True, 0),
    (502, CloudFailedError, True, True, 0),
    (503, CloudFailedError, True, True, 0),
    (504, CloudFailedError, True, True, 0),
    (505, CloudFailedError, False, True, 0),
    (599, CloudFailedError, False, True, 0),
]
STATUSES = [row[0] for row in TABLE]


@pytest.mark.parametrize(("status", "error", "passing", "faulty", "hold_s"), TABLE)
def test_a_status_means(status, error, passing, faulty, hold_s):
    found = of_status(Response(status), "it", checked=True)
    assert type(found.error) is error
    assert (found.passing, found.faulty, found.hold_s) == (passing, faulty, hold_s)
    assert f"status {status}" in str(found.error)


def test_an_answer_may_be_read():
    for checked in (True, False):
        assert of_status(Response(200), "it", checked=checked) is None


@pytest.mark.parametrize("status", [row for row in STATUSES if row != 500])
def test_only_a_500_depends_on_whether_the_input_was_held_against_the_model(status):
    sure, unsure = (of_status(Response(status), "it", checked=checked) for checked in (True, False))
    assert (sure.passing, sure.faulty, sure.hold_s) == (unsure.passing, unsure.faulty, unsure.hold_s)
    assert type(sure.error) is type(unsure.error)


def test_a_500_to_an_input_that_could_not_be_checked_may_be_the_input_s_fault():
    found = of_status(Response(500), "it", checked=False)
    assert type(found.error) is CloudFailedError
    assert (found.passing, found.faulty, found.hold_s) == (False, False, 0)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (NetworkError, True),
        (NameNotFoundError, True),
        (UnreachableError, True),
        (NetworkTimeoutError, True),
        (ConnectionLostError, True),
        (TlsError, False),
        (BadResponseError, False),
    ],
)
def test_a_request_without_a_whole_answer_speaks_against_the_server(error, passing):
    given = error("it failed")
    found = of_network(given)
    assert found.error is given
    assert (found.passing, found.faulty, found.hold_s) == (passing, True, 0)


SHOWING = [status for status, error, *_ in TABLE if issubclass(error, CloudRequestError) and status >= 400]


@pytest.mark.parametrize("status", SHOWING)
def test_the_protocol_s_error_text_is_shown_for_a_wrong_request(status):
    body = json.dumps({"error": "unexpected shape for input 'x'"}).encode()
    found = of_status(Response(status, {}, body), "it", checked=True)
    assert f"found status {status}: unexpected shape for input 'x'" in str(found.error)


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in SHOWING])
def test_no_other_status_shows_what_the_server_wrote(status):
    body = json.dumps({"error": "secret"}).encode()
    headers = {"location": "https://secret.example.org", "www-authenticate": "secret"}
    found = of_status(Response(status, headers, body), "it", checked=True)
    assert "secret" not in f"{found.error} {found.error!r} {found.error.found!r}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"secret",
        b"<html>secret</html>",
        b'"secret"',
        b'["secret"]',
        b'{"detail": "secret"}',
        b'{"message": "secret"}',
        b'{"error": {"message": "secret"}}',
        b'{"error": ["secret"]}',
        b'{"error": null, "body": "secret"}',
        b'{"errors": "secret"}',
        b'{"error": "secret"',
        b"\xff secret",
        b"[" * 60_000 + b'"secret"',
        b'{"x": ' + b"9" * 5000 + b', "error": "secret"}',
    ],
)
def test_nothing_but_an_error_text_is_shown(body):
    for status in SHOWING:
        found = of_status(Response(status, {}, body), "it", checked=True)
        assert "secret" not in str(found.error)
        assert f"status {status}" in str(found.error)


def test_a_long_error_text_is_cut():
    for length in (160, 161, 10_000):
        body = json.dumps({"error": "x" * length}).encode()
        text = str(of_status(Response(400, {}, body), "it", checked=True).error)
        assert "x" * 160 in text
        assert "x" * 161 not in text


def test_an_error_text_of_a_size_that_nobody_reads_is_not_read():
    body = json.dumps({"error": "x" * 1_000_000}).encode()
    assert "xx" not in str(of_status(Response(400, {}, body), "it", checked=True).error)


def test_an_error_text_cannot_move_a_terminal_s_cursor():
    body = json.dumps({"error": "a\x1b[2Jb\r\nc\u202ed"}).encode()
    assert str(of_status(Response(400, {}, body), "it", checked=True).error).isprintable()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check the credentials"),
        (403, "check the credentials"),
        (404, "check the endpoint's URL"),
        (302, "redirects are not followed"),
    ],
)
def test_what_lasts_comes_with_what_to_do(status, advice):
    assert advice in str(of_status(Response(status), "it", checked=True).error)

"""What a predictor does when the cloud fails in every way, over real sockets: route, reason, and time."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest
from faulty_server import (
    Behaviour,
    changed,
    cut,
    drop_by_drop,
    half,
    never,
    raw,
    reset,
    says,
    serving,
    well,
)

import edgeinfer as ei
from edgeinfer.errors import EngineRunError
from edgeinfer.host import Surroundings
from edgeinfer.testing import FakeEngine, write_sample_bundle

pytestmark = pytest.mark.alone

DEADLINE_MS = 400.0
LATE_MS = 50.0
# The device is 60% sure of it, and 90% are asked for; the server is sure.
OUT_OF_MEMORY = EngineRunError("out of memory")
UNSURE = np.full((1, 1, 4, 4), 0.1, np.float32)


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Attributes:
        behave: What the server does with an inference.
        reason: What the answer's reason says of it.
        requests: Inferences that are sent, at most.
    """

    behave: Behaviour
    reason: str
    requests: int = 1


FAULTS = {
    "slow": Fault(never, "was not answered in time"),
    "hanging mid-body": Fault(half, "was not answered in time"),
    "a byte now and then": Fault(drop_by_drop, "was not answered in time"),
    "resets": Fault(reset, "failed (", 2),
    "cut off": Fault(cut, "failed (", 2),
    "garbage": Fault(raw(b"\x00\x01garbage\r\n\r\n"), "failed (illegal status line"),
    "html": Fault(says(200, b"<html>Sign in</html>", content_type="text/html"), "20 bytes of text/html"),
    "wrong shapes": Fault(
        changed(lambda body: body.replace(b'"shape":[1,2]', b'"shape":[2,1]')), "expected numbers [1, 2]"
    ),
    "nan": Fault(changed(lambda body: body[:-8] + np.full(2, np.nan, "<f4").tobytes()), "NaN or infinite"),
    "another answer": Fault(
        changed(lambda body: re.sub(rb'"id":"(.)', rb'"id":"x', body)), "another request"
    ),
    "not an array": Fault(
        says(200, b'{"outputs": "none"}', content_type="application/json"), "expected a list of outputs"
    ),
    "too busy": Fault(says(429, retry_after="3600"), "status 429"),
    "unavailable": Fault(says(503), "status 503", 2),
    "bad gateway": Fault(says(502, b"<html>", content_type="text/html"), "status 502", 2),
    "own error": Fault(says(500, b"Traceback"), "status 500", 2),
    "refused": Fault(says(401, b'{"error": "token abc is bad"}'), "status 401"),
    "gone": Fault(says(404), "status 404"),
    "elsewhere": Fault(says(302, location="https://elsewhere.example/"), "status 302"),
    "taken for wrong": Fault(says(400, b'{"error": "no"}'), "status 400: no"),
}


def predictor(folder, url: str, mode: str, **options) -> ei.Predictor:
    """A predictor on the sample bundle, with consent."""
    folder.mkdir(exist_ok=True)
    engine, fails = FakeEngine(), options.pop("fails", None)
    model = ei.load(write_sample_bundle(folder / "sample.eib"), engine=engine)
    engine.fails_on_run = fails
    home = ei.Home(folder / "home")
    ei.Consents(home).give("cloud_inference")
    return ei.Predictor(
        model,
        ei.Endpoint(url, certificates=options.pop("certificates", None)),
        policy=ei.Policy(mode=mode, **options),
        home=home,
        surroundings=Surroundings,
    )


def warmed(own: ei.Predictor) -> ei.Predictor:
    """Learns of the server and imports httpx2, so that what is timed is the call."""
    with suppress(ei.NetworkError):
        own.check_cloud(deadline_s=20)
    return own


def asked(own: ei.Predictor, way: str) -> tuple[ei.Prediction | ei.NoAnswerError, float]:
    """The answer or the error, and milliseconds."""
    start = time.perf_counter()
    try:
        if way == "thread":
            return own.predict(UNSURE, deadline_ms=DEADLINE_MS), (time.perf_counter() - start) * 1e3
        loop = asyncio.new_event_loop()
        try:
            start = time.perf_counter()
            given = loop.run_until_complete(own.apredict(UNSURE, deadline_ms=DEADLINE_MS))
            return given, (time.perf_counter() - start) * 1e3
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
    except ei.NoAnswerError as error:
        return error, (time.perf_counter() - start) * 1e3


@pytest.mark.parametrize("way", ["thread", "event loop"])
@pytest.mark.parametrize("name", FAULTS)
def test_an_unsure_answer_of_the_device_stays_when_the_cloud_fails(tmp_path, name, way):
    fault = FAULTS[name]
    with serving(fault.behave) as server, warmed(predictor(tmp_path, server.url, "prefer_on_device")) as own:
        given, ms = asked(own, way)
        assert (given.source, given.label) == ("device", "light")
        assert given.reason.startswith("confidence 0.60 is below 0.9, but the cloud gave no answer (")
        assert fault.reason in given.reason
        assert [each.where for each in given.attempts] == ["device", "cloud"]
        assert ms <= DEADLINE_MS + LATE_MS
        assert 1 <= sum(each.method == "POST" for each in server.requests) <= fault.requests


@pytest.mark.parametrize("name", FAULTS)
def test_the_device_answers_in_time_when_the_preferred_cloud_fails(tmp_path, name):
    fault = FAULTS[name]
    with serving(fault.behave) as server, warmed(predictor(tmp_path, server.url, "prefer_in_cloud")) as own:
        given, ms = asked(own, "thread")
        assert (given.source, given.label) == ("device", "light"), given
        assert "the cloud gave no answer (" in given.reason
        assert fault.reason in given.reason
        assert [each.where for each in given.attempts] == ["cloud", "device"]
        assert ms <= DEADLINE_MS + LATE_MS


@pytest.mark.parametrize("name", FAULTS)
def test_without_a_device_the_error_holds_the_cloud_s(tmp_path, name):
    fault = FAULTS[name]
    with serving(fault.behave) as server, warmed(predictor(tmp_path, server.url, "only_in_cloud")) as own:
        given, ms = asked(own, "thread")
        assert isinstance(given, ei.NoAnswerError)
        assert given.device is None
        assert fault.reason in str(given.cloud)
        assert isinstance(given.cloud, ei.NetworkError | ei.CloudError)
        assert "abc" not in str(given), "what a server says of credentials is not repeated"
        assert ms <= DEADLINE_MS + LATE_MS


@pytest.mark.parametrize("mode", ["prefer_on_device", "prefer_in_cloud"])
def test_both_fail_and_the_error_holds_both_causes(tmp_path, mode):
    with (
        serving(says(503)) as server,
        warmed(predictor(tmp_path, server.url, mode, fails=OUT_OF_MEMORY)) as own,
    ):
        given, ms = asked(own, "thread")
        assert isinstance(given, ei.NoAnswerError)
        assert isinstance(given.device, EngineRunError)
        assert isinstance(given.cloud, ei.CloudFailedError)
        assert "out of memory" in str(given)
        assert "status 503" in str(given)
        assert ms <= DEADLINE_MS + LATE_MS


def test_both_fail_and_the_declared_default_answers(tmp_path):
    own = predictor(
        tmp_path,
        "http://127.0.0.1:1",
        "prefer_on_device",
        fails=OUT_OF_MEMORY,
        default="unknown",
    )
    with warmed(own):
        given, ms = asked(own, "thread")
        assert (given.source, given.label, given.confidence) == ("default", "unknown", None)
        assert "out of memory" in given.reason
        assert ms <= DEADLINE_MS + LATE_MS


def test_the_cloud_answers_when_the_engine_raises(tmp_path):
    with (
        serving(well) as server,
        warmed(predictor(tmp_path, server.url, "prefer_on_device", fails=OUT_OF_MEMORY)) as own,
    ):
        given, _ = asked(own, "thread")
        assert (given.source, given.label) == ("cloud", "light")
        assert given.reason == "the device failed (out of memory)"
        assert [(each.where, each.outcome) for each in given.attempts] == [
            ("device", "out of memory"),
            ("cloud", "answered"),
        ]


def test_a_server_that_is_down(tmp_path):
    with warmed(predictor(tmp_path, "http://127.0.0.1:1", "prefer_on_device")) as own:
        given, ms = asked(own, "thread")
        assert given.source == "device"
        assert "All connection attempts failed" in given.reason
        assert ms <= DEADLINE_MS + LATE_MS


@pytest.mark.parametrize("hangs", [False, True])
def test_a_name_that_is_not_found_or_not_looked_up_in_time(tmp_path, monkeypatch, hangs):
    over = threading.Event()

    def look_up(*_arguments: object, **_more: object) -> list[object]:
        if hangs:
            over.wait(20)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    own = warmed(predictor(tmp_path, "http://127.0.0.1:1", "prefer_on_device"))
    own.close()
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with predictor(tmp_path / "other", "https://cloud.example", "prefer_on_device") as own:
        given, ms = asked(own, "thread")
        over.set()
        assert given.source == "device"
        assert ("was not answered in time" if hangs else "Name or service not known") in given.reason
        assert ms <= DEADLINE_MS + LATE_MS


def certificate(folder):
    """A certificate for 127.0.0.1 that nobody vouches for, and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_a_server_without_tls(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(b"220 mail.example\r\n")

        threading.Thread(target=greet, daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with warmed(predictor(tmp_path, url, "prefer_on_device")) as own:
            given, ms = asked(own, "thread")
            assert given.source == "device"
            assert "[SSL" in given.reason
            assert ms <= DEADLINE_MS + LATE_MS


def test_a_server_that_nobody_vouches_for_and_one_that_the_app_does(tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with serving(well, context) as server:
        url = server.url
        with warmed(predictor(tmp_path / "b", url, "prefer_on_device")) as own:
            given, _ = asked(own, "thread")
            assert "certificate verify failed" in given.reason
        with warmed(predictor(tmp_path / "c", url, "prefer_on_device", certificates=str(cert))) as own:
            given, _ = asked(own, "thread")
            assert given.source == "cloud", given.reason


def test_a_server_that_never_ends_the_handshake(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with predictor(tmp_path, url, "prefer_on_device") as own:
            given, ms = asked(own, "thread")
            assert "was not answered in time" in given.reason
            assert ms <= DEADLINE_MS + LATE_MS

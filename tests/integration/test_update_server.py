"""Updates from a real web server that breaks off, drips, ignores ranges, never ends, or asks for a login."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from device_rig import DeviceRig, answered
from signed_files import FAMILY

import edgeinfer as ei
from edgeinfer.bundle import Blob
from edgeinfer.host import SystemClock
from edgeinfer.net import HttpTransport
from edgeinfer.updates import BundleStore, DownloadLimits, Downloads

DATA = os.urandom(400_000)
BLOB = Blob(hashlib.sha256(DATA).hexdigest(), len(DATA))


class Server(ThreadingHTTPServer):
    """Serves `DATA` in the way that `behaviour` says for each request in turn, the last for all that follow."""

    daemon_threads = True

    def __init__(self, *behaviours):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours, self.ranges, self.ended = list(behaviours), [], threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/blobs"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        asked = self.headers.get("range")
        server.ranges.append(asked)
        behaviour = server.behaviours.pop(0) if len(server.behaviours) > 1 else server.behaviours[0]
        at = int(asked[6:-1]) if asked and behaviour != "no ranges" else 0
        if behaviour == "portal":
            self.answer(200, b"<html>log in</html>", {"content-type": "text/html"})
        elif behaviour == "endless":
            self.send_response(200)
            self.send_header("connection", "close")
            self.end_headers()
            while not server.ended.is_set():
                self.wfile.write(b"x" * 65_536)
        else:
            self.send_response(206 if at else 200)
            self.send_header("content-length", str(len(DATA) - at))
            self.send_header("etag", '"one"')
            if at:
                self.send_header("content-range", f"bytes {at}-{len(DATA) - 1}/{len(DATA)}")
            self.end_headers()
            self.body(behaviour, DATA[at:])

    def body(self, behaviour, rest):
        if behaviour == "breaks":
            self.wfile.write(rest[:100_000])
            self.close_connection = True
        elif behaviour == "drips":
            for at in range(0, len(rest), 100):
                self.wfile.write(rest[at : at + 100])
                self.wfile.flush()
                if self.server.ended.wait(0.05):
                    return
        else:
            self.wfile.write(rest)

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        with suppress(OSError):  # the client had enough
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture
def serving():
    servers = []

    def begin(*behaviours):
        server = Server(*behaviours)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.ended.set()
        server.shutdown()
        server.server_close()


def fetched(folder, server, **limits):
    store = BundleStore(folder)
    store.make()
    transport = HttpTransport()
    try:
        Downloads(server.url, store, transport, SystemClock(), DownloadLimits(**limits)).fetch(BLOB)
    finally:
        transport.close()
    return store.blob_path(BLOB.sha256).read_bytes()


def test_a_server_that_breaks_off_is_asked_for_the_rest(tmp_path, serving):
    server = serving("breaks", "breaks", "whole")
    assert fetched(tmp_path, server) == DATA
    first, second, third = server.ranges
    assert first is None
    assert 0 < int(second[6:-1]) <= 100_000 < int(third[6:-1])


def test_a_server_that_ignores_ranges_sends_all_again(tmp_path, serving):
    server = serving("breaks", "no ranges")
    assert fetched(tmp_path, server) == DATA


@pytest.mark.parametrize("behaviour", ["portal", "endless"])
def test_what_is_no_blob_ends_soon_and_leaves_nothing_large(tmp_path, serving, behaviour):
    began = time.monotonic()
    with pytest.raises(ei.BadResponseError):
        fetched(tmp_path, serving(behaviour), attempts=2)
    assert time.monotonic() - began < 10
    assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) <= len(DATA) + 1000


def test_a_server_that_drips_is_left_and_what_it_sent_is_kept(tmp_path, serving):
    server = serving("drips")
    began = time.monotonic()
    with pytest.raises(ei.NetworkTimeoutError):
        fetched(tmp_path, server, attempt_s=0.4, least_bytes_s=1e5, attempts=2)
    assert time.monotonic() - began < 5
    kept = (tmp_path / "partial" / BLOB.sha256).stat().st_size
    assert 0 < kept < len(DATA)
    server.behaviours = ["whole"]
    assert fetched(tmp_path, server) == DATA
    assert server.ranges[-1] == f"bytes={kept}-"


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_device_updates_itself_in_the_background_from_an_ordinary_web_server(tmp_path):
    rig = DeviceRig(tmp_path)
    rig.choose(rig.publish("2.0.0", b"new"))
    directory = str(rig.files.folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Files(*given, directory=directory))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    settings = ei.DeviceSettings(every_s=0.2, good_answers=3, load=rig.settings.load)
    rig.transport = None
    try:
        with rig.device(url=f"http://127.0.0.1:{server.server_port}", settings=settings) as device:
            model, until = device.model(FAMILY), time.monotonic() + 20
            while answered(device) != "2.0.0":
                assert time.monotonic() < until, device.status()
                threading.Event().wait(0.02)
            assert model is device.model(FAMILY)
            assert device.status().checked_s is not None
    finally:
        server.shutdown()
        server.server_close()

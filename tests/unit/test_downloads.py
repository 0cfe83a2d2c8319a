"""Downloads: they go on where they were, take no byte too many, and bring nothing but what was signed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from edgeinfer.bundle import Blob
from edgeinfer.errors import BadResponseError, ConnectionLostError, StoreError, UntrustedError, UpdateError
from edgeinfer.net import Request, Response
from edgeinfer.testing import FakeClock, FakeFileServer, ScriptedTransport
from edgeinfer.updates.bundle_store import BundleStore
from edgeinfer.updates.downloading import DownloadLimits, Downloads

DATA = bytes(range(256)) * 1024
BLOB = Blob(hashlib.sha256(DATA).hexdigest(), len(DATA))


class Rig:
    def __init__(self, folder, *, ranges=True, takes_s=0.0, limits=None):
        self.served = folder / "served" / "blobs" / "sha256"
        self.served.mkdir(parents=True)
        (self.served / BLOB.sha256).write_bytes(DATA)
        self.store = BundleStore(folder / "store")
        self.store.make()
        self.clock = FakeClock()
        self.server = FakeFileServer(folder / "served", ranges=ranges)
        self.transport = ScriptedTransport(self.server, self.clock, takes_s)
        self.downloads = Downloads("https://x/blobs/sha256", self.store, self.transport, self.clock, limits)

    def partial(self, data):
        (self.store.partial / BLOB.sha256).write_bytes(data)

    @property
    def stored(self):
        path = self.store.blob_path(BLOB.sha256)
        return path.read_bytes() if path.exists() else None

    @property
    def left(self):
        return sorted(each.name for each in self.store.partial.iterdir())


def cut(at: int, times: int = 1):
    """A server whose connections break after some bytes, so often."""
    left = [times]

    def change(_: Request, answer: Response) -> Response:
        if answer.status in (200, 206) and left[0]:
            left[0] -= 1
            return replace(answer, body=answer.body[:at])
        return answer

    return change


def test_a_blob_is_there_whole_and_nothing_else_is_left(tmp_path):
    rig = Rig(tmp_path)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert rig.left == []
    assert len(rig.transport.requests) == 1


def test_a_connection_that_breaks_costs_no_byte_twice(tmp_path):
    rig = Rig(tmp_path)
    rig.server.changes = cut(100_000, times=2)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert [each.headers.get("range") for each in rig.transport.requests] == [
        None,
        "bytes=100000-",
        "bytes=200000-",
    ]
    assert all(each.headers["if-range"].startswith('"') for each in rig.transport.requests[1:])
    assert rig.server.body_bytes == len(DATA)


def test_what_another_process_received_is_not_asked_for_again(tmp_path):
    rig = Rig(tmp_path)
    rig.partial(DATA[:200_000])
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert rig.server.body_bytes == len(DATA) - 200_000


def test_what_is_there_whole_is_only_hashed(tmp_path):
    rig = Rig(tmp_path)
    rig.partial(DATA)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert rig.transport.requests == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_first_part_of_something_else_is_thrown_away_once(tmp_path, ranges):
    rig = Rig(tmp_path, ranges=ranges)
    rig.partial(b"x" * 1000)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA


def test_a_file_that_changed_on_the_server_is_received_from_its_beginning(tmp_path):
    rig = Rig(tmp_path)
    rig.server.changes = cut(1000)
    hasty = DownloadLimits(attempts=1, least_bytes_s=1e12)
    with pytest.raises(ConnectionLostError):
        Downloads("https://x/blobs/sha256", rig.store, rig.transport, rig.clock, hasty).fetch(BLOB)
    rig.partial(b"old" * 300)
    sidecar = rig.store.partial / f"{BLOB.sha256}.json"
    sidecar.write_text('{"etag": "\\"of another\\""}')
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert rig.transport.requests[-1].headers["if-range"] == '"of another"'


def test_a_server_without_ranges_sends_all_again(tmp_path):
    rig = Rig(tmp_path, ranges=False)
    rig.server.changes = cut(100_000)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert rig.server.body_bytes == len(DATA) + 100_000


def answered(status=200, body=b"", **headers):
    return lambda _, __: Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body
    )


PORTAL = b"<html>please log in</html>"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (answered(body=PORTAL, content_length=str(len(PORTAL)), content_type="text/html"), BadResponseError),
        (answered(body=PORTAL), UpdateError),
        (answered(body=DATA[::-1], content_length=str(len(DATA))), UntrustedError),
        (answered(body=b"endless" * 100_000), UntrustedError),
        (answered(body=DATA, content_length=str(len(DATA)), content_encoding="gzip"), BadResponseError),
        (answered(206, DATA, content_range="bytes 5-9/10"), BadResponseError),
        (answered(404, b"no such file"), UpdateError),
        (answered(302, b"", location="https://elsewhere"), UpdateError),
        (answered(500), UpdateError),
        (answered(416), UpdateError),
        (answered(200, b""), UpdateError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or "",
)
def test_what_is_no_blob_is_refused_and_never_stored(tmp_path, change, error):
    rig = Rig(tmp_path)
    rig.server.changes = change
    with pytest.raises(error):
        rig.downloads.fetch(BLOB)
    assert rig.stored is None
    received = rig.store.partial / BLOB.sha256
    assert not received.exists() or received.stat().st_size <= BLOB.size
    rig.server.changes = None
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA


def test_what_never_ends_is_cut_at_the_signed_length(tmp_path):
    rig = Rig(tmp_path)
    rig.server.changes = answered(body=DATA * 50)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA
    assert all(each.max_bytes <= BLOB.size for each in rig.transport.requests)


def test_a_server_that_is_too_slow_is_left_alone(tmp_path):
    rig = Rig(tmp_path, takes_s=50.0, limits=DownloadLimits(least_bytes_s=1000))
    rig.server.changes = cut(10_000, times=100)
    with pytest.raises(ConnectionLostError):
        rig.downloads.fetch(BLOB)
    assert len(rig.transport.requests) == 3
    assert (rig.store.partial / BLOB.sha256).stat().st_size == 30_000


def test_a_slow_server_that_goes_on_is_waited_for(tmp_path):
    rig = Rig(tmp_path, takes_s=50.0, limits=DownloadLimits(least_bytes_s=100))
    rig.server.changes = cut(10_000, times=100)
    rig.downloads.fetch(BLOB)
    assert rig.stored == DATA


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    rig = Rig(tmp_path)
    (rig.store.partial).rmdir()
    (rig.store.partial).write_text("a file in its place")
    with pytest.raises(StoreError, match="bundles cannot be kept"):
        rig.downloads.fetch(BLOB)

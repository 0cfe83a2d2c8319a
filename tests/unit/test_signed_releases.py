"""Signed releases: what is taken, and every way in which somebody may try to have something else taken."""

from __future__ import annotations

import json
import shutil

import pytest
from releases_rig import FLAGS, Rig
from securesystemslib.signer import CryptoSigner
from signed_files import FAMILY, sha256

from edgeinfer.errors import (
    ConnectionLostError,
    EdgeInferError,
    NetworkTimeoutError,
    StoreError,
    UntrustedError,
    UpdateError,
)
from edgeinfer.net import Response
from edgeinfer.updates import FLAGS_ROLE, family_role, manifest_target

YEAR_S = 365 * 86_400.0


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_what_is_signed_is_taken(rig):
    rig.releases.check()
    assert rig.flags == FLAGS
    target = rig.releases.manifest(FAMILY, rig.digest)
    assert sha256(rig.releases.fetch(target)) == rig.digest


def test_a_check_with_nothing_new_is_two_small_requests(rig):
    rig.releases.check()
    assert rig.flags == FLAGS
    for releases in (rig.releases, rig.reopened()):
        asked, received = len(rig.transport.requests), rig.server.body_bytes
        releases.check()
        assert [each.url.rpartition("/")[2] for each in rig.transport.requests[asked:]] == [
            "2.root.json",
            "timestamp.json",
        ]
        assert rig.server.body_bytes - received <= 2048
    assert rig.transport.requests[-1].headers["if-none-match"].startswith('"')


def test_a_server_without_etags_costs_a_timestamp_more(rig):
    rig.server.changes = lambda _, answer: Response(
        answer.status, {key: value for key, value in answer.headers.items() if key != "etag"}, answer.body
    )
    rig.releases.check()
    before = rig.server.body_bytes
    rig.releases.check()
    assert 0 < rig.server.body_bytes - before <= 2048


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp", family_role(FAMILY), FLAGS_ROLE])
@pytest.mark.parametrize("how", ["unsigned", "by another key", "changed"])
def test_what_is_not_signed_as_it_must_be_is_refused(rig, role, how):
    rig.releases.check()
    signed = rig.files.signed[role]
    signed.version += 1
    signers = [CryptoSigner.generate_ed25519()] if how == "by another key" else []
    rig.files.write(role, None if how == "changed" else signers)
    if how == "changed":
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        path = rig.files.folder / "metadata" / name
        path.write_bytes(path.read_bytes().replace(b'"expires": "2', b'"expires": "3'))
    if role not in ("timestamp", "snapshot"):
        rig.files.publish()
    elif role == "snapshot":
        timestamp = rig.files.signed["timestamp"]
        timestamp.snapshot_meta.version, timestamp.version = signed.version, timestamp.version + 1
        rig.files.write("timestamp")
    with pytest.raises(UntrustedError):
        everything(rig.releases, rig.digest)


def everything(releases, digest):
    releases.check()
    releases.flags()
    releases.manifest(FAMILY, digest)


def test_one_stolen_key_of_the_targets_signs_nothing(rig):
    rig.releases.check()
    rig.files.add("targets", manifest_target(FAMILY, "d" * 64), b"evil")
    rig.files.targets.version += 1
    rig.files.write("targets", rig.files.signers["targets"][:1])
    rig.files.publish()
    with pytest.raises(UntrustedError, match=r"UnsignedMetadata.*1/2"):
        rig.releases.check()


def test_a_stolen_key_of_the_flags_chooses_among_what_was_signed_and_brings_no_other(rig):
    evil = b'{"evil": true}'
    rig.files.add(FLAGS_ROLE, manifest_target(FAMILY, sha256(evil)), evil)
    rig.files.publish(FLAGS_ROLE)
    rig.releases.check()
    assert rig.flags == FLAGS
    with pytest.raises(UntrustedError, match="a digest that the offline keys have not signed"):
        rig.releases.manifest(FAMILY, sha256(evil))
    assert rig.releases.manifest(FAMILY, rig.digest)


@pytest.mark.parametrize("paths", [("*",), ("flags/*", "models/*/*"), ("models/vision/*",)])
def test_flags_that_may_sign_more_than_flags_are_refused_whoever_allowed_it(rig, paths):
    rig.files.delegate(FLAGS_ROLE, paths)
    rig.files.publish("targets")
    with pytest.raises(UntrustedError, match="may sign more than flags"):
        rig.releases.check()


def test_a_manifest_under_another_s_name_is_refused(rig):
    rig.files.add(family_role(FAMILY), manifest_target(FAMILY, "e" * 64), b'{"another": 1}')
    rig.files.publish(family_role(FAMILY))
    rig.releases.check()
    with pytest.raises(UntrustedError, match="have not signed"):
        rig.releases.manifest(FAMILY, "e" * 64)


def test_a_manifest_of_another_family_is_not_this_one_s(rig):
    rig.releases.check()
    with pytest.raises(UntrustedError, match="have not signed"):
        rig.releases.manifest("speech", rig.digest)


@pytest.mark.parametrize("digest", ["", "../../x", "A" * 64, "a" * 63])
def test_a_digest_that_is_none_is_refused(rig, digest):
    rig.releases.check()
    with pytest.raises(UpdateError, match="64 hex digits"):
        rig.releases.manifest(FAMILY, digest)


def test_a_rollback_is_refused(rig, tmp_path):
    shutil.copytree(rig.files.folder, tmp_path / "old")
    rig.files.publish("targets")
    rig.releases.check()
    shutil.copytree(tmp_path / "old", rig.files.folder, dirs_exist_ok=True)
    with pytest.raises(UntrustedError, match="BadVersionNumber"):
        rig.reopened().check()


def test_parts_of_two_releases_are_not_mixed(rig):
    """A snapshot that was signed, but is not the one that the timestamp names."""
    rig.files.publish("targets")
    metadata = rig.files.folder / "metadata"
    version = rig.files.signed["snapshot"].version
    rig.server.changes = lambda request, answer: (
        Response(200, {}, (metadata / f"{version - 1}.snapshot.json").read_bytes())
        if request.url.endswith(f"{version}.snapshot.json")
        else answer
    )
    with pytest.raises(UntrustedError):
        rig.releases.check()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>please log in</html>",
        b"{}",
        b"[" * 5000,
        b'{"signed": {"_type": "timestamp"}, "signatures": []}',
        b"\xff\xfe\x00",
        b'{"signed": null, "signatures": null}',
        b"7" * 10_000,
    ],
    ids=["empty", "portal", "object", "deep", "half", "binary", "null", "number"],
)
@pytest.mark.parametrize("name", ["timestamp.json", ".snapshot.json", ".targets.json", "2.root.json"])
def test_malformed_metadata_are_refused_and_do_no_harm(rig, body, name):
    rig.answers(name, body)
    with pytest.raises(UpdateError) as error:
        rig.releases.check()
    assert "\n" not in str(error.value)
    rig.server.changes = None
    rig.releases.check()
    assert rig.flags == FLAGS


@pytest.mark.parametrize("name", ["timestamp.json", ".snapshot.json", ".targets.json", "2.root.json"])
def test_metadata_without_end_are_cut(rig, name):
    rig.answers(name, b" " * 20_000_000)
    with pytest.raises(UntrustedError, match="larger than it may be"):
        rig.releases.check()
    assert max(each.max_bytes for each in rig.transport.requests) <= 5_000_000


def test_flags_and_manifests_that_are_others_or_too_large_are_refused(rig):
    rig.releases.check()
    target = rig.releases.flags()
    for body in (b"x" * target.length, FLAGS + b" ", b"", b"<html>"):
        rig.answers("flags.json", body)
        with pytest.raises(UntrustedError):
            rig.releases.fetch(target)
    target.length = 5 * 1024 * 1024
    with pytest.raises(UntrustedError, match="at most"):
        rig.releases.fetch(target)


@pytest.mark.parametrize("status", [301, 403, 404, 500, 503])
def test_a_server_that_does_not_have_it_is_told(rig, status):
    rig.answers("timestamp.json", b"", status)
    with pytest.raises(UpdateError, match=f"answered with {status}"):
        rig.releases.check()


@pytest.mark.parametrize("error", [NetworkTimeoutError("slow"), ConnectionLostError("lost")])
def test_a_network_that_fails_is_told_as_what_it_is(rig, error):
    rig.server.changes = lambda _, __: error
    with pytest.raises(type(error)):
        rig.releases.check()


def test_a_request_has_an_end_in_time(rig):
    allowed = []
    begin = rig.transport.begin
    rig.transport.begin = lambda request, timeout_s: (allowed.append(timeout_s), begin(request, timeout_s))[1]
    rig.releases.check()
    assert allowed
    assert max(allowed) <= 30


def test_metadata_that_are_damaged_here_are_fetched_again(rig):
    rig.releases.check()
    folder = rig.folder / "metadata"
    for name in ("timestamp.json", "snapshot.json", "targets.json", "timestamp.etag"):
        (folder / name).write_bytes(b"\x00" * 50)
        releases = rig.reopened()
        releases.check()
        assert releases.manifest(FAMILY, rig.digest)


def test_what_a_process_left_that_was_killed_is_swept(rig):
    rig.releases.check()
    (rig.folder / "metadata" / "tmpabc123").write_bytes(b"half")
    rig.reopened().check()
    assert not list((rig.folder / "metadata").glob("tmp*"))


def test_a_folder_that_cannot_be_written_is_told(rig):
    shutil.rmtree(rig.folder / "metadata")
    (rig.folder / "metadata").write_text("a file")
    with pytest.raises(StoreError):
        rig.reopened()


def test_all_that_goes_wrong_is_of_the_error_tree(rig):
    for body in (b"null", b"0", b'"x"', json.dumps({"signed": [], "signatures": {}}).encode()):
        for name in ("timestamp.json", "2.root.json"):
            rig.answers(name, body)
            with pytest.raises(EdgeInferError):
                rig.releases.check()

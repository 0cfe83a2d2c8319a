"""Trusted time, and keys that are replaced: freezes, 1970, 2031, a timestamp key that was stolen."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from releases_rig import FLAGS, Rig
from securesystemslib.signer import CryptoSigner
from signed_files import FAMILY, NOW
from tuf.api.metadata import Root
from tuf.ngclient import Updater

from edgeinfer.errors import (
    ExpiredError,
    UntrustedError,
)
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock
from edgeinfer.updates import SignedTimes
from edgeinfer.version import BUILT

YEAR_S = 365 * 86_400.0


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_who_holds_back_what_is_new_is_found_out_when_the_old_ends(rig):
    rig.releases.check()
    rig.clock.advance(6 * 86_400)
    rig.releases.check()
    rig.clock.advance(2 * 86_400)
    with pytest.raises(ExpiredError, match=r"timestamp.json is expired.*check this machine's clock"):
        rig.releases.check()


def test_in_1970_updates_work_and_what_is_over_by_signed_time_is_refused(rig, tmp_path):
    shutil.copytree(rig.files.folder, tmp_path / "old")
    rig.clock = FakeClock(0.0)
    rig.releases = rig.reopened()
    rig.releases.check()
    assert rig.flags == FLAGS
    # The publisher goes on for months; somebody replays what was signed first to a device that saw it.
    rig.files.now = NOW + timedelta(days=20)
    rig.files.signed["timestamp"].expires = NOW + timedelta(days=27)
    rig.files.publish("targets")
    rig.releases.check()
    times = SignedTimes(Home(tmp_path / "home"))
    keys = (rig.files.signers["timestamp"][0].public_key.keyid,)
    assert times.latest(keys) == rig.files.now.timestamp()
    shutil.rmtree(tmp_path / "metadata")
    shutil.copytree(tmp_path / "old", rig.files.folder, dirs_exist_ok=True)
    with pytest.raises(ExpiredError):
        rig.reopened().check()


def test_in_1970_no_time_before_this_release_was_made_is_believed(rig):
    rig.clock = FakeClock(0.0)
    assert rig.reopened().now(()) == BUILT
    for role in ("targets", "snapshot", "timestamp"):
        rig.files.signed[role].expires = datetime.fromtimestamp(BUILT - 1, UTC)
    rig.files.publish("targets")
    with pytest.raises(ExpiredError):
        rig.reopened().check()


def test_in_2031_updates_are_refused_and_work_again_when_the_clock_is_right(rig):
    rig.releases.check()
    rig.clock.set_utc(NOW.timestamp() + 5 * YEAR_S)
    with pytest.raises(ExpiredError, match="check this machine's clock"):
        rig.reopened().check()
    rig.clock.set_utc(NOW.timestamp())
    rig.reopened().check()


def test_a_stolen_timestamp_key_cannot_hold_a_fleet_in_the_future(rig):
    rig.files.now = NOW + timedelta(days=4000)
    rig.files.signed["timestamp"].expires = NOW + timedelta(days=5000)
    rig.files.publish()
    rig.releases.check()
    rig.files.now = NOW
    rig.files.signed["timestamp"].expires = NOW + timedelta(days=7)
    rig.files.publish()
    with pytest.raises(ExpiredError):
        rig.reopened().check()
    replace_key(rig.files, "timestamp")
    rig.files.publish()
    rig.reopened().check()
    assert rig.reopened().now((rig.files.signers["timestamp"][0].public_key.keyid,)) == NOW.timestamp()


def replace_key(files, role):
    """Rotate the key of a role that the root names."""
    root, new = files.signed["root"], CryptoSigner.generate_ed25519()
    assert isinstance(root, Root)
    for old in files.signers[role]:
        root.revoke_key(old.public_key.keyid, role)
    root.add_key(new.public_key, role)
    files.signers[role] = [new]
    root.version += 1
    files.write("root")


def test_an_issue_time_that_is_none_is_no_time(rig):
    for issued in ("soon", True, -5, 10**30, int(NOW.timestamp()) + 900 * 86_400):
        timestamp = rig.files.signed["timestamp"]
        rig.files.publish()
        metadata = rig.files.folder / "metadata/timestamp.json"
        assert metadata.exists()
        timestamp.version += 1
        resign(rig.files, "timestamp", issued)
        rig.releases.check()
        assert rig.releases.now((rig.files.signers["timestamp"][0].public_key.keyid,)) == NOW.timestamp()


def resign(files, role, issued):
    from tuf.api.metadata import Metadata

    signed = files.signed[role]
    signed.unrecognized_fields["x-edgeinfer-issued"] = issued
    metadata = Metadata(signed)
    for signer in files.signers[role]:
        metadata.sign(signer, append=True)
    files.put("metadata/timestamp.json", metadata.to_bytes())


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_keys_that_are_replaced_are_followed(rig, role):
    rig.releases.check()
    replace_key(rig.files, role)
    if role == "targets":
        rig.files.signed["root"].roles["targets"].threshold = 1
        rig.files.signed["root"].version += 1
        rig.files.write("root")
    rig.files.publish(*(() if role in ("snapshot", "timestamp") else (role,)))
    releases = rig.reopened()
    releases.check()
    assert releases.manifest(FAMILY, rig.digest)


def test_a_root_that_too_few_signed_is_refused(rig):
    rig.files.signed["root"].version += 1
    rig.files.write("root", rig.files.signers["root"][:1])
    with pytest.raises(UntrustedError):
        rig.releases.check()


def test_python_tuf_still_judges_by_the_one_time_that_is_set(rig):
    """`reference_time` is private; without it a device in 1970 or 2031 would judge wrongly."""
    (rig.folder / "pin").mkdir()
    updater = Updater(str(rig.folder / "pin"), "https://x", fetcher=None, bootstrap=rig.files.root)
    assert isinstance(updater._trusted_set.reference_time, datetime)
    assert updater._trusted_set.reference_time.tzinfo is not None

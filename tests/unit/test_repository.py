"""A signed repository as real clients see it: python-tuf's updater, reading the folder that is served."""

from __future__ import annotations

import hashlib

import pytest
from repository_rig import DAY, FAMILY, LARGE, ROLES, Rig, flags_document
from tuf.api.exceptions import ExpiredMetadataError
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from edgeinfer.bundle import parse_manifest
from edgeinfer.errors import BundleError, FlagError, RepositoryError, UpdateError
from edgeinfer.host import FileLock
from edgeinfer.repository import KeyChange, Keys, Plan, Quorum, SignedRepository
from edgeinfer.testing import write_sample_bundle
from edgeinfer.updates.layout import FLAGS_TARGET, ISSUED, manifest_target

OTHER = "0" * 64


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_a_new_repository_is_refreshed_by_a_client_that_has_the_first_root_alone(tmp_path):
    rig = Rig(tmp_path, LARGE)
    rig.client().refreshed()
    assert sorted(rig.files()) == [
        f"metadata/{name}"
        for name in ("1.flags.json", "1.models-vision.json", "1.root.json", "1.snapshot.json", "1.targets.json",
                     "timestamp.json")
    ]  # fmt: skip
    root = rig.metadata("1.root.json")
    assert root["consistent_snapshot"] is True
    quorums = {name: (role["threshold"], len(role["keyids"])) for name, role in root["roles"].items()}
    assert quorums == {"root": (2, 3), "targets": (2, 3), "snapshot": (1, 1), "timestamp": (1, 1)}
    granted = {role["name"]: role for role in rig.metadata("1.targets.json")["delegations"]["roles"]}
    assert {
        name: (role["paths"], role["threshold"], role["terminating"]) for name, role in granted.items()
    } == {
        "flags": (["flags/*"], 1, True),
        FAMILY: (["models/vision/*"], 2, True),
    }


def test_every_role_says_when_it_was_signed_and_for_how_long_it_holds(rig):
    for name, days in (("1.root", 365), ("1.targets", 365), ("1.models-vision", 365), ("1.snapshot", 30),
                       ("1.flags", 30), ("timestamp", 7)):  # fmt: skip
        signed = Metadata.from_bytes(rig.files()[f"metadata/{name}.json"]).signed
        assert signed.unrecognized_fields[ISSUED] == rig.clock.utc()
        assert signed.expires.timestamp() == rig.clock.utc() + days * DAY
    rig.clock.advance(100)
    rig.add_flags(1)
    assert rig.metadata("2.flags.json")[ISSUED] == rig.clock.utc()
    assert rig.metadata("timestamp.json")[ISSUED] == rig.clock.utc()


def test_days_can_be_chosen(tmp_path):
    rig = Rig(tmp_path, Plan(Quorum(1, 1), Quorum(1, 1), days={"timestamp": 1, "root": 1000}))
    states = {role.name: (role.expires - role.issued) / DAY for role in rig.repository.status().roles}
    assert states == {"root": 1000, "targets": 365, "snapshot": 30, "timestamp": 1, "flags": 30}
    rig.repository.rotate("timestamp", KeyChange(days=2))
    rig.repository.refresh(["timestamp"])
    states = {role.name: (role.expires - role.issued) / DAY for role in rig.repository.status().roles}
    assert states["timestamp"] == 2


def test_a_bundle_that_was_added_is_found_with_its_blobs(rig):
    old = rig.client("old")
    old.refreshed()
    digest = rig.add_sample()
    for client in (old, rig.client()):
        manifest = client.target(manifest_target("vision", digest))
        assert hashlib.sha256(manifest).hexdigest() == digest
    for blob in parse_manifest(manifest).blobs().values():
        assert hashlib.sha256(rig.files()[f"blobs/sha256/{blob.sha256}"]).hexdigest() == blob.sha256
    target = rig.client().refreshed().get_targetinfo(manifest_target("vision", digest))
    assert target.custom == {"name": "sample", "version": "1"}


def test_what_is_offered_already_changes_nothing(rig):
    rig.add_sample()
    before = rig.files()
    assert rig.repository.add_bundle(rig.folder / "sample.eib", "vision").published == {}
    assert rig.files() == before


def test_a_blob_that_was_damaged_in_the_folder_is_mended_by_adding_its_bundle_again(rig):
    rig.add_sample()
    before = rig.files()
    (first, *_) = (rig.served / "blobs/sha256").iterdir()
    first.write_bytes(bytes(first.stat().st_size))
    assert "was changed" in rig.repository.status().faults[0]
    rig.repository.add_bundle(rig.folder / "sample.eib", "vision")
    assert rig.files() == before
    assert not rig.repository.status().faults


def test_a_new_family_gets_a_role_and_keys_of_its_own(rig):
    rig.client("old").refreshed()
    done = rig.repository.add_bundle(write_sample_bundle(rig.folder / "a.eib"), "audio")
    assert list(done.published) == ["models-audio", "targets", "snapshot", "timestamp"]
    assert [each.name for each in rig.repository.status().roles][-2:] == ["models-audio", FAMILY]
    digest = rig.repository.status().models[0].digest
    assert rig.client("old").target(manifest_target("audio", digest))
    assert rig.client("old").target(manifest_target("vision", digest)) is None
    assert len(rig.keys.of_role("models-audio")) == 3


@pytest.mark.parametrize("family", ["Vision", "../x", "", "a/b", "x" * 65])
def test_a_family_has_a_plain_name(rig, family):
    before = rig.files()
    with pytest.raises(UpdateError, match="name of a family"):
        rig.repository.add_bundle(write_sample_bundle(rig.folder / "a.eib"), family)
    assert rig.files() == before


@pytest.mark.parametrize("how", ["truncated", "flipped byte in a blob"])
def test_a_damaged_bundle_is_not_offered(rig, how):
    bundle = write_sample_bundle(rig.folder / "a.eib")
    data = bytearray(bundle.read_bytes())
    bundle.write_bytes(
        data[: len(data) // 2] if how == "truncated" else data.replace(b"a int8 model", b"b int8 model")
    )
    with pytest.raises(BundleError):
        rig.repository.add_bundle(bundle, "vision")
    assert not rig.repository.status().models


def test_flags_are_published_at_once_and_by_the_online_keys_alone(rig):
    digest = rig.add_sample()
    online = rig.folder / "online"
    online.mkdir()
    for role in ("flags", "snapshot", "timestamp"):
        for path in rig.keys.folder.glob(f"{role}-*"):
            (online / path.name).write_bytes(path.read_bytes())
    data = flags_document(1, model_vision=digest, shadow_vision={"digest": digest, "note": "x"})
    done = rig.with_keys(Keys(online)).add_flags(data)
    assert done.published == {"flags": 2, "snapshot": 3, "timestamp": 3}
    assert rig.client().target(FLAGS_TARGET) == data


@pytest.mark.parametrize(
    "values",
    [
        {"model_vision": OTHER},
        {"shadow_vision": OTHER},
        {"model_audio": "the sample"},
        {"model_vision": "the sample in capitals"},
        {"model_vision": {"digest": OTHER}},
        {"model_vision": {"digest": ["x"]}},
        {"model_vision": {"digest": None}},
        {"model_no_such_family": OTHER},
    ],
)
def test_flags_that_choose_what_no_key_of_the_family_signed_are_refused(rig, values):
    digest = rig.add_sample()
    told = {"the sample": digest, "the sample in capitals": digest.upper()}
    values = {
        name: told.get(value, value) if isinstance(value, str) else value for name, value in values.items()
    }
    before = rig.files()
    with pytest.raises(RepositoryError, match="no key of family"):
        rig.add_flags(1, **values)
    assert rig.files() == before


def test_flags_that_choose_no_digest_may_say_what_they_like(rig):
    rig.add_flags(1, model_vision="bundled", model_x=3, other=OTHER, modelvision=OTHER)
    assert rig.repository.status().flags_release == 1


@pytest.mark.parametrize("release", [0, 2, 3])
def test_flags_that_are_no_newer_are_refused(rig, release):
    rig.add_flags(3)
    before = rig.files()
    with pytest.raises(RepositoryError, match="expected 4 or later"):
        rig.add_flags(release, more=True)
    assert rig.files() == before
    rig.add_flags(4)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"flags": {"a": {"state": "on"}}}', b"\xff"])
def test_flags_with_faults_are_refused(rig, data):
    before = rig.files()
    with pytest.raises(FlagError):
        rig.repository.add_flags(data)
    assert rig.files() == before


def forged(rig: Rig, name: str, metadata: Metadata) -> None:
    """Publish a role's next version as whoever has its keys and those that are online can, with another tool."""
    roles = rig.repository.storage.published()
    metas = {name: metadata, "snapshot": roles["snapshot"], "timestamp": roles["timestamp"]}
    for each, below in zip(metas, (None, *metas), strict=False):
        signed = metas[each].signed
        signed.version += 1
        if below == name:
            signed.meta[f"{name}.json"] = MetaFile(metadata.signed.version)
        elif below is not None:
            signed.snapshot_meta = MetaFile(metas["snapshot"].signed.version)
        (signer,) = rig.keys.signers([key.keyid for key in rig.keys.of_role(each)])
        metas[each].sign(signer)
        rig.repository.storage.publish(each, metas[each])


def test_a_stolen_flags_key_cannot_ship_a_model(rig):
    """Its delegation names the flags alone, and a client looks for a model nowhere else than at its family's role."""
    rig.add_flags(1)
    path = manifest_target("vision", hashlib.sha256(b"evil").hexdigest())
    flags = rig.repository.storage.published()["flags"]
    flags.signed.targets[path] = TargetFile.from_data(path, b"evil")
    forged(rig, "flags", flags)
    updater = rig.client().refreshed()
    assert updater.get_targetinfo(FLAGS_TARGET) is not None
    assert updater.get_targetinfo(path) is None
    assert (
        f"flags: it signs {path}, which is not its own, or not named by its digest"
        in rig.repository.status().faults
    )
    with pytest.raises(RepositoryError, match="which is not its own"):
        rig.repository.refresh(["timestamp"])
    rig.add_flags(2)
    rig.repository.rotate("flags", KeyChange())
    assert rig.repository.status().faults == ()


def test_a_delegation_that_grants_the_flags_more_is_told_and_stops_every_change(rig):
    targets = rig.repository.storage.published()["targets"]
    targets.signed.delegations.roles["flags"].paths.append("models/vision/*")
    forged(rig, "targets", targets)
    rig.client().refreshed()  # which it is nothing to: the publisher has to notice
    told = "targets: it grants flags flags/*, models/vision/*, expected flags/*"
    assert told in rig.repository.status().faults
    for change in (lambda: rig.add_flags(1), rig.add_sample, lambda: rig.repository.refresh(ROLES)):
        with pytest.raises(RepositoryError, match="it grants flags"):
            change()


def test_an_expired_timestamp_is_refused_and_refresh_heals_it(rig):
    client = rig.client("old")
    client.refreshed()
    rig.clock.advance(7 * DAY + 1)
    for each in (client, rig.client()):
        with pytest.raises(ExpiredMetadataError):
            each.refreshed()
    assert rig.repository.refresh().published == {"timestamp": 2}
    client.refreshed()
    rig.client().refreshed()


def test_refresh_does_nothing_needless(rig):
    before = rig.files()
    assert rig.repository.refresh().published == {}
    rig.clock.advance(3 * DAY)
    assert rig.repository.refresh().published == {}
    assert rig.repository.refresh(within_days=2).published == {}
    assert rig.files() == before
    assert rig.repository.refresh(within_days=4.1).published == {"timestamp": 2}
    rig.clock.advance(13 * DAY)
    assert rig.repository.refresh().published == {"flags": 2, "snapshot": 2, "timestamp": 3}


def test_a_repository_lives_a_year_by_refresh_alone(rig):
    for _ in range(121):
        rig.clock.advance(3 * DAY)
        rig.repository.refresh()
        rig.client("old").refreshed()
    rig.clock.advance(3 * DAY)
    rig.repository.refresh()
    with pytest.raises(ExpiredMetadataError, match=r"root\.json is expired"):
        rig.client("old").refreshed()
    rig.repository.refresh(["root", "targets", FAMILY])
    rig.client("old").refreshed()


def test_refresh_goes_on_without_the_key_of_the_flags(rig):
    for path in rig.keys.folder.glob("flags-1.pem"):
        path.unlink()
    rig.clock.advance(20 * DAY)
    done = rig.repository.refresh()
    assert list(done.published) == ["snapshot", "timestamp"]
    assert done.waiting == {"flags": "0 of 1 signatures (left: flags-1)"}
    rig.client().refreshed()


def test_refresh_names_a_role_that_is_none(rig):
    with pytest.raises(RepositoryError, match="there is no role rooot"):
        rig.repository.refresh(["rooot"])


def test_a_bundle_is_offered_no_more_once_no_flag_chooses_it(rig):
    digest = rig.add_sample()
    rig.add_flags(1, model_vision=digest)
    with pytest.raises(RepositoryError, match="is still chosen"):
        rig.repository.remove("vision", digest)
    rig.add_flags(2)
    rig.repository.remove("vision", digest)
    assert rig.client().target(manifest_target("vision", digest)) is None
    with pytest.raises(RepositoryError, match="is not offered"):
        rig.repository.remove("vision", digest)
    assert not rig.repository.status().faults


def test_files_that_are_named_by_version_or_digest_never_change(rig):
    seen: dict[str, bytes] = {}
    digest = rig.add_sample()
    for step in (
        lambda: rig.add_flags(1, model_vision=digest),
        lambda: rig.repository.rotate("timestamp", KeyChange()),
        lambda: rig.repository.rotate(FAMILY, KeyChange()),
        lambda: rig.repository.refresh(ROLES),
        lambda: rig.add_flags(2),
        lambda: rig.repository.remove("vision", digest),
        lambda: rig.repository.rotate("targets", KeyChange()),
    ):
        step()
        now = {name: data for name, data in rig.files().items() if name != "metadata/timestamp.json"}
        assert {name: now.get(name) for name in seen} == seen
        seen |= now


def test_a_clock_that_is_behind_what_was_signed_publishes_nothing(rig):
    rig.clock.set_utc(1_000_000)
    with pytest.raises(RepositoryError, match="clock is behind"):
        rig.add_flags(1)


def test_a_repository_is_made_once(rig):
    with pytest.raises(RepositoryError, match="is made already"):
        rig.repository.create(Plan())


def test_without_a_repository_there_is_nothing_to_change(tmp_path):
    rig = Rig(tmp_path, None)
    for change in (
        rig.repository.status,
        rig.repository.refresh,
        lambda: rig.add_flags(1),
        lambda: rig.repository.rotate("root", KeyChange()),
        lambda: rig.repository.add_bundle("x", "vision"),
    ):
        with pytest.raises(RepositoryError, match="edgeinfer repo init"):
            change()


@pytest.mark.parametrize("days", [{"nobody": 3}, {"timestamp": 0}, {"root": 40_000}])
def test_days_are_those_of_a_role_and_some(tmp_path, days):
    rig = Rig(tmp_path, None)
    with pytest.raises(RepositoryError, match="days"):
        rig.repository.create(Plan(days=days))
    assert not rig.served.exists()


def test_keys_and_drafts_are_never_served(tmp_path):
    for inside in (tmp_path / "site", tmp_path / "site/a/../keys"):
        with pytest.raises(RepositoryError, match="folder of the keys would be served"):
            SignedRepository(tmp_path / "site", Keys(inside), Rig(tmp_path, None).clock)
    (tmp_path / "site").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    with pytest.raises(RepositoryError, match="folder of the keys would be served"):
        SignedRepository(tmp_path / "site", Keys(tmp_path / "link/keys"), Rig(tmp_path, None).clock)
    with pytest.raises(RepositoryError, match="folder of the drafts would be served"):
        SignedRepository(
            tmp_path / "link", Keys("keys"), Rig(tmp_path, None).clock, staging=tmp_path / "site/x"
        )


def test_two_publishers_do_not_write_at_once(rig):
    before = rig.files()
    with FileLock(rig.repository.storage.staging / "lock"):
        with pytest.raises(RepositoryError, match="another process changes"):
            rig.add_flags(1)
        assert rig.files() == before
        assert not rig.repository.status().faults  # looking waits for nobody
    rig.add_flags(1)


def test_an_update_check_with_nothing_new_is_two_small_requests(rig):
    client = rig.client("old")
    client.refreshed()
    client.refreshed()
    assert client.asked == ["metadata/2.root.json", "metadata/timestamp.json"]
    assert len(rig.files()["metadata/timestamp.json"]) < 1000


def test_a_client_refuses_what_was_changed_on_the_way(rig):
    rig.add_flags(1)
    path = rig.served / "metadata/2.snapshot.json"
    path.write_bytes(path.read_bytes().replace(b'"expires":"2027', b'"expires":"2037', 1))
    with pytest.raises(TufError):
        rig.client().refreshed()
    assert len(rig.repository.status().faults) == 2

"""Roles get other keys: clients with old roots follow, and holders on several machines sign."""

from __future__ import annotations

import json
import shutil

import pytest
from repository_rig import FAMILY, LARGE, ONLINE, ROLES, Desk, Rig, yes

from edgeinfer.errors import RepositoryError
from edgeinfer.repository import KeyChange, Keys
from edgeinfer.testing import write_sample_bundle
from edgeinfer.updates.layout import FLAGS_TARGET, manifest_target


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.made()
    return desk


@pytest.mark.parametrize("role", ROLES)
def test_a_client_follows_when_a_role_gets_other_keys(tmp_path, role):
    rig = Rig(tmp_path, LARGE)
    digest = rig.add_sample()
    rig.add_flags(1, model_vision=digest)
    old = rig.client("old")
    assert old.target(FLAGS_TARGET)
    before = {each.name: each.keys for each in rig.repository.status().roles}
    done = rig.repository.rotate(role, KeyChange())
    assert done.published
    assert not done.waiting
    states = {each.name: each for each in rig.repository.status().roles}
    assert not set(states[role].keys) & set(before[role])
    assert len(states[role].keys) == len(before[role])
    assert {name: each.keys for name, each in states.items() if name != role} == {
        name: keys for name, keys in before.items() if name != role
    }
    rig.add_flags(2, model_vision=digest)
    for client in (rig.client("old"), rig.client()):
        assert json.loads(client.target(FLAGS_TARGET))["metadata"]["version"] == "2"
        assert client.target(manifest_target("vision", digest))
    assert not rig.repository.status().faults


def test_all_roles_may_rotate_in_turn_and_every_root_stays(tmp_path):
    rig = Rig(tmp_path)
    rig.client("old").refreshed()
    for role in ROLES * 2:
        rig.repository.rotate(role, KeyChange())
    assert rig.repository.status().roles[0].version == 9
    assert all(f"metadata/{version}.root.json" in rig.files() for version in range(1, 10))
    rig.client("old").refreshed()


def test_a_removed_key_signs_no_more(rig):
    rig.repository.rotate(FAMILY, KeyChange(add=("models-vision-2",), remove=("models-vision-1",)))
    only_old = Keys(rig.folder / "only_old")
    only_old.folder.mkdir()
    for path in rig.keys.folder.iterdir():
        if path.stem != "models-vision-2":
            (only_old.folder / path.name).write_bytes(path.read_bytes())
    bundle = write_sample_bundle(rig.folder / "a.eib")
    done = rig.with_keys(only_old).add_bundle(bundle, "vision")
    assert done.waiting == {FAMILY: "0 of 1 signatures (left: models-vision-2)"}
    assert not done.published


def test_threshold_and_keys_change_one_by_one(tmp_path):
    rig = Rig(tmp_path, LARGE)
    rig.repository.rotate("root", KeyChange(add=("root-4",), threshold=3))
    (key,) = (
        key for key in rig.keys.of_role("root") if key.unrecognized_fields["x-edgeinfer-name"] == "root-2"
    )
    rig.repository.rotate("root", KeyChange(remove=(key.keyid[:10],)))
    root = rig.repository.status().roles[0]
    assert (root.threshold, root.keys) == (3, ("root-1", "root-3", "root-4"))
    rig.client().refreshed()


@pytest.mark.parametrize(
    ("role", "change", "message"),
    [
        ("nobody", KeyChange(), "there is no role nobody"),
        ("models-audio", KeyChange(), "there is no role models-audio"),
        ("root", KeyChange(remove=("root-9",)), "root has no key root-9"),
        ("root", KeyChange(remove=("root-1",)), "found 1 of 0 keys"),
        ("root", KeyChange(threshold=2), "found 2 of 1 keys"),
        ("timestamp", KeyChange(days=0), "how many days timestamp holds"),
        ("timestamp", KeyChange(add=("../x",)), "the name of a key"),
        ("timestamp", KeyChange(add=("root-1",)), "online key .* also signs for root"),
    ],
)
def test_keys_that_do_not_fit_change_nothing(rig, role, change, message):
    before = rig.files()
    with pytest.raises(RepositoryError, match=message):
        rig.repository.rotate(role, change)
    assert rig.files() == before
    assert not rig.repository.status().waiting


def test_new_root_keys_need_old_and_new_holders(desk):
    done = desk.at("root-1").rotate("root", KeyChange(add=("root-4",), remove=("root-1", "root-2")))
    assert done.waiting["root"] == (
        "1 of 2 signatures (left: root-2, root-3); by its new keys 1 of 2 signatures (left: root-3)"
    )
    done = desk.signed("root", "root-2")
    assert done.published == {}
    done = desk.signed("root", "root-3")
    assert done.published == {"root": 2}
    desk.rig.client().refreshed()


def test_new_family_keys_wait_for_the_family_s_new_holders(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    desk.publisher.refresh()
    for name in ("models-vision-4", "models-vision-5"):
        desk.rig.keys.make(name)
    change = KeyChange(("models-vision-4", "models-vision-5"), ("models-vision-1", "models-vision-2"))
    desk.at("targets-1").rotate(FAMILY, change)
    desk.signed("targets", "targets-2")
    done = desk.publisher.refresh()
    assert done.published == {}  # the family would be unsigned
    assert done.waiting[FAMILY].startswith("0 of 2 signatures")
    desk.signed(FAMILY, "models-vision-4", "models-vision-5")
    assert list(desk.publisher.refresh().published) == [FAMILY, "targets", "snapshot", "timestamp"]
    digest = desk.publisher.status().models[0].digest
    assert desk.rig.client().target(manifest_target("vision", digest))


def test_keys_that_are_left_keep_a_family_s_signatures(desk):
    """Two of three have signed, and a third is replaced: nobody of the family has to sign again."""
    desk.rig.keys.make("models-vision-4")
    desk.at("targets-1", "targets-2", *ONLINE).rotate(
        FAMILY, KeyChange(("models-vision-4",), ("models-vision-3",))
    )
    states = {each.name: each for each in desk.publisher.status().roles}
    assert (states[FAMILY].version, states[FAMILY].signed) == (1, 2)
    assert states[FAMILY].keys == ("models-vision-1", "models-vision-2", "models-vision-4")


def test_lost_targets_keys_are_replaced_by_the_root_when_that_is_asked_for(desk):
    holders = desk.at("root-1", "root-2", *ONLINE)
    done = holders.rotate("targets", KeyChange())
    assert done.published == {}
    assert "by its new keys 3 of 2 signatures" in done.waiting["targets"]
    done = holders.sign("targets", yes, lost=True)
    assert list(done.published) == ["targets", "snapshot", "root", "timestamp"]
    desk.rig.client().refreshed()
    assert desk.publisher.status().faults == ()


def test_a_lost_timestamp_key_is_replaced_by_the_root_when_that_is_asked_for(desk):
    client = desk.rig.client("old")
    client.refreshed()
    holders = desk.at("root-1", "root-2", "snapshot-1")
    done = holders.rotate("timestamp", KeyChange())
    assert "timestamp cannot be signed here" in done.notes[0]
    assert "--old-keys-lost" in done.notes[0]
    assert list(holders.sign("root", yes, lost=True).published) == ["root", "timestamp"]
    client.refreshed()


def test_between_old_and_new_root_everything_is_signed_for_both(desk):
    """A device that has not seen the new root takes the timestamp that belongs to it."""
    client = desk.rig.client("old")
    client.refreshed()
    everything = desk.rig.with_keys(desk.rig.keys)
    for role in ("timestamp", "snapshot", "targets"):
        everything.rotate(role, KeyChange())
        newest = max(
            int(path.name.split(".")[0]) for path in (desk.rig.served / "metadata").glob("*.root.json")
        )
        path = desk.rig.served / f"metadata/{newest}.root.json"
        path.rename(desk.rig.folder / "later")
        client.refreshed()
        desk.rig.client().refreshed()
        (desk.rig.folder / "later").rename(path)
        client.refreshed()


def test_a_kill_does_not_wait_for_the_rotation_of_its_key(desk):
    """The new key of the flags is not on the machine that kills; the role's rotation waits, and the kill does not."""
    desk.at("targets-1", "targets-2").rotate("flags", KeyChange())
    done = desk.publisher.add_flags(b'{"flags": {}, "metadata": {"version": "1"}}')
    assert done.published["flags"] == 2
    assert "edgeinfer repo refresh flags" in done.waiting["targets"]
    (new,) = (
        path for path in (desk.rig.folder / "targets-1_targets-2").glob("flags-2.*") if path.suffix == ".pem"
    )
    for path in (new, new.with_suffix(".json")):
        shutil.copy(path, desk.publisher.keys.folder)
    assert list(desk.publisher.refresh(["flags"]).published) == ["flags", "targets", "snapshot", "timestamp"]

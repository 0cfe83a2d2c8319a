"""The device: first start, trial, commit, revert, bundled, staying put, offline, clocks, and what cannot be written."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace

import pytest
from device_rig import ITEM, URL, DeviceRig, answered, failing
from signed_files import FAMILY

import edgeinfer as ei
from edgeinfer.host import FileLock, Surroundings
from edgeinfer.rollout import Exposures
from edgeinfer.testing.engine import mean_logits

YEAR_S = 365 * 86_400.0


@pytest.fixture
def rig(tmp_path):
    return DeviceRig(tmp_path)


def slots(device):
    return device._family(FAMILY).slots


def test_the_first_start_without_a_network_answers_by_what_came_with_the_app(rig):
    rig.server.changes = lambda _, __: ei.UnreachableError("no network")
    device = rig.device()
    assert answered(device) == "1.0.0"
    with pytest.raises(ei.UnreachableError):
        device.update()
    assert answered(device) == "1.0.0"
    assert device.status().models[FAMILY].slot == "bundled"


def test_a_version_that_is_chosen_is_tried_and_becomes_the_current(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.choose(digest)
    device = rig.device()
    assert answered(device) == "1.0.0"
    assert device.update() == ei.UpdateReport(flags=True, on_trial={FAMILY: digest})
    assert device.model(FAMILY).on_trial
    assert device.status().models[FAMILY].slot == "trial"
    assert answered(device, 2) == "2.0.0"
    assert device.model(FAMILY).on_trial
    assert answered(device) == "2.0.0"
    assert not device.model(FAMILY).on_trial
    assert slots(device).current.digest == digest
    assert device.status().models[FAMILY].slot == "current"
    device.close()
    assert answered(rig.device()) == "2.0.0"


def test_good_answers_add_up_over_starts(rig):
    rig.choose(rig.publish("2.0.0"))
    rig.device().update()
    for _ in range(3):
        with rig.device() as device:
            answered(device)
    assert slots(rig.device()).trial is None


def test_only_what_will_run_here_is_fetched(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    device.update()
    blobs = {each.url.rpartition("/")[2] for each in rig.transport.requests if "/blobs/" in each.url}
    manifest = device.model(FAMILY).model.manifest
    first, other = manifest.variants
    assert first.blob.sha256 in blobs
    assert other.blob.sha256 not in blobs
    reports = {each.blob.sha256 for each in manifest.documents.values()}
    assert not reports & blobs
    asked = len(rig.transport.requests)
    device.update()
    assert len(rig.transport.requests) - asked == 2


def test_a_fleet_is_rolled_back_by_naming_the_old_digest(rig):
    first, second = rig.publish("2.0.0", b"new"), rig.publish("3.0.0", b"newer")
    device = rig.device()
    for digest, version in ((first, "2.0.0"), (second, "3.0.0"), (first, "2.0.0")):
        rig.choose(digest)
        device.update()
        assert answered(device, 4) == version


def test_a_flag_can_bring_back_what_came_with_the_app(rig):
    device = rig.device()
    rig.choose(rig.publish("2.0.0", b"new"))
    device.update()
    assert answered(device, 4) == "2.0.0"
    rig.choose("")
    device.update()
    assert answered(device) == "1.0.0"
    assert slots(device).previous is not None


def test_a_kill_lets_what_runs_go_on(rig):
    device = rig.device()
    rig.choose(rig.publish("2.0.0", b"new"))
    device.update()
    assert answered(device, 4) == "2.0.0"
    rig.release += 1
    rig.files.add_flags(
        b'{"flags": {"model-vision": {"state": "DISABLED", "variants": {"a": ""}, "defaultVariant": "a"}},'
        b' "metadata": {"version": "9"}}'
    )
    device.update()
    assert answered(device) == "2.0.0"


def test_a_digest_that_the_offline_keys_have_not_signed_is_refused(rig):
    rig.choose("e" * 64)
    device = rig.device()
    answered(device)
    report = device.update()
    assert "have not signed" in report.refused[FAMILY]
    assert "have not signed" in device.status().models[FAMILY].refused
    assert answered(device) == "1.0.0"


def test_a_device_that_stays_put_takes_flags_and_no_version(rig):
    digest = rig.publish("2.0.0", b"new")
    rig.choose(digest, other={"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"})
    rig.settings = ei.DeviceSettings(stay_put=True, background=False, load=rig.settings.load)
    device = rig.device()
    device.update()
    assert answered(device) == "1.0.0"
    assert device.flags.value(ei.Flag("other", default=False))
    assert not any("/blobs/" in each.url for each in rig.transport.requests)


def test_offline_asks_nobody(rig):
    rig.settings = ei.DeviceSettings(offline=True, load=rig.settings.load)
    device = rig.device()
    with pytest.raises(ei.PolicyError, match="asks no server"):
        device.update()
    assert answered(device) == "1.0.0"
    assert rig.transport.requests == []


@pytest.mark.parametrize(
    ("around", "why"),
    [(Surroundings("metered"), "metered"), (Surroundings(battery=0.05), "battery is at 5%")],
)
def test_conditions_are_looked_at_before_a_byte_of_a_model_is_fetched(rig, around, why):
    rig.choose(rig.publish("2.0.0", b"new"))
    device, rig.around = rig.device(), around
    assert why in device.update().refused[FAMILY]
    assert not any("/blobs/" in each.url for each in rig.transport.requests)
    rig.around = Surroundings()
    device.update()
    assert answered(device) == "2.0.0"


def test_a_bundle_that_no_runtime_here_can_run_is_not_fetched(rig):
    def newer(manifest):
        variants = [replace(each, requires={"fake-engine": "9.0"}) for each in manifest.variants]
        return replace(manifest, variants=tuple(variants))

    rig.choose(rig.publish("2.0.0", b"new", newer))
    device = rig.device()
    assert "needs fake-engine >= 9.0, found 1.0" in device.update().refused[FAMILY]
    assert not any("/blobs/" in each.url for each in rig.transport.requests)


def test_a_bundle_that_does_not_fit_into_memory_is_not_fetched(rig):
    def large(manifest):
        return replace(
            manifest, variants=tuple(replace(each, memory_bytes=1 << 50) for each in manifest.variants)
        )

    rig.choose(rig.publish("2.0.0", b"new", large))
    assert "bytes of memory" in rig.device().update().refused[FAMILY]


def test_in_1970_updates_work(rig):
    rig.clock.set_utc(0.0)
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    device.update()
    assert answered(device, 4) == "2.0.0"


def test_in_2031_the_device_serves_refuses_updates_and_says_why(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    device.update()
    assert answered(device, 4) == "2.0.0"
    rig.clock.set_utc(rig.clock.utc() + 5 * YEAR_S)
    device = rig.device()
    assert answered(device) == "2.0.0"
    with pytest.raises(ei.ExpiredError):
        device.update()
    assert "clock" in device.status().problem
    assert answered(device) == "2.0.0"


def test_two_processes_do_not_update_at_once(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    held = FileLock(rig.folder / "home" / "update.lock")
    with held, pytest.raises(ei.UpdateError, match="another process updates"):
        device.update()
    device.update()
    assert answered(device) == "2.0.0"


def test_a_home_that_cannot_be_used_still_serves(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    with rig.device() as device:
        device.update()
        assert answered(device, 4) == "2.0.0"
    (rig.folder / "home" / "home.db").write_bytes(b"no database" * 1000)
    device = rig.device()
    assert answered(device) == "2.0.0"
    assert "cannot be used" in device.status().home
    with pytest.raises(ei.StoreError):
        device.update()
    rig.engine.answers[b"new"] = failing
    for _ in range(2):
        with pytest.raises(ei.NoAnswerError):
            device.model(FAMILY).predict(ITEM)
    assert answered(device) == "1.0.0"


def test_a_home_of_a_newer_release_still_serves(rig):
    with rig.device() as device:
        answered(device)
    connection = sqlite3.connect(rig.folder / "home" / "home.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    slots_file = rig.folder / "home" / "models" / "slots" / f"{FAMILY}.json"
    slots_file.parent.mkdir(parents=True, exist_ok=True)
    slots_file.write_text('{"format": 99}')
    device = rig.device()
    assert answered(device) == "1.0.0"
    assert "newer edgeinfer" in device.status().home


def test_what_nobody_needs_any_more_is_removed(rig):
    device = rig.device()
    for version in ("2.0.0", "3.0.0", "4.0.0"):
        rig.choose(rig.publish(version, version.encode()))
        device.update()
        assert answered(device, 4) == version
    rig.device().update()
    kept = {path.stem for path in (rig.folder / "home" / "models" / "manifests").iterdir()}
    assert kept == {slots(device).current.digest, slots(device).previous.digest}


def test_exposures_name_rollout_and_variant(rig):
    device = rig.device()
    answered(device)
    digest = rig.publish("2.0.0", b"new")
    rig.choose(digest, rollout="autumn")
    device.update()
    answered(device, 5)
    found = [(each.rollout, each.variant, each.digest == digest) for each in exposures(device)]
    assert found == [("", "", False), ("autumn", "new", True)]


def exposures(device):
    return Exposures(device._furniture.home).entries()


def test_answers_come_to_event_loops_too(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device()
    device.update()

    async def ask():
        return [(await device.model(FAMILY).apredict(ITEM)).bundle for _ in range(4)]

    assert len(set(asyncio.run(ask()))) == 1
    assert not device.model(FAMILY).on_trial
    rig.engine.answers[b"new"] = failing


def test_without_any_bundle_it_says_so(rig):
    device = rig.device(bundled=None)
    with pytest.raises(ei.BundleError, match=r"no version of vision answers here.*Device\(bundled"):
        device.model(FAMILY)
    rig.choose(rig.publish("2.0.0", b"new"))
    device.update()
    assert answered(device, 4) == "2.0.0"


@pytest.mark.parametrize("family", ["../../etc", "", "Vision", "a" * 65])
def test_a_family_whose_name_is_none_is_refused(rig, family):
    with pytest.raises(ei.UpdateError, match="name of a family"):
        rig.device().model(family)
    with pytest.raises(ei.UpdateError, match="name of a family"):
        rig.device(bundled={family: rig.bundled})


def test_a_call_that_is_under_way_ends_with_the_version_that_it_began_with(rig):
    device = rig.device()
    model = device.model(FAMILY)
    rig.choose(rig.publish("2.0.0", b"new"))
    before = model.predictor

    def swapped(image):
        if model.model.manifest.version == "1.0.0":
            device.update()
            assert not before._closed
        return mean_logits(image)

    rig.engine.answers[b"model"] = swapped
    assert model.predict(ITEM).bundle != model.model.digest
    assert model.model.manifest.version == "2.0.0"
    assert before._closed, "when nobody uses it any more"


def test_a_device_without_a_server_serves(rig):
    device = rig.device(url=None)
    assert answered(device) == "1.0.0"
    with pytest.raises(ei.PolicyError, match="no url"):
        device.update()


@pytest.mark.parametrize("root", [None, "/nowhere/1.root.json"])
def test_a_url_without_a_root_is_refused(rig, root):
    with pytest.raises(ei.PolicyError, match="root"):
        rig.device(root=root)


def test_the_installation_stays_in_its_share(rig):
    keys = set()
    for _ in range(2):
        with rig.device() as device:
            keys.add(device._furniture.key)
    assert len(keys) == 1
    (rig.folder / "home" / "installation").write_bytes(b"\xff\x00")
    with rig.device() as device:
        assert device._furniture.key not in keys


def test_the_url_is_asked_for_nothing_but_files(rig):
    rig.choose(rig.publish("2.0.0", b"new"))
    device = rig.device(context={"secret": "of the user"})
    device.update()
    key = device._furniture.key
    assert all(each.method == "GET" and not each.body for each in rig.transport.requests)
    assert all(each.url.startswith(URL) and "?" not in each.url for each in rig.transport.requests)
    assert key.encode() not in rig.transport.sent
    assert b"secret" not in rig.transport.sent

"""How a repository stands: what does not hold any more is told, whatever was done to the folder."""

from __future__ import annotations

import json

import pytest
from repository_rig import DAY, FAMILY, LARGE, Rig, write_version

from edgeinfer.errors import RepositoryError
from edgeinfer.repository import Model, alarms
from edgeinfer.repository.status import verified


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path, LARGE)
    digest = rig.add_sample()
    rig.add_flags(1, model_vision=digest)
    rig.repository.refresh(["root"])
    return rig


def test_what_is_published_is_told(rig):
    rig.repository.add_bundle(write_version(rig.folder / "b.eib", "2"), "vision")
    told = rig.repository.status()
    assert [
        (role.name, role.version, role.threshold, role.signed, len(role.keys)) for role in told.roles
    ] == [
        ("root", 2, 2, 3, 3),
        ("targets", 1, 2, 3, 3),
        ("snapshot", 4, 1, 1, 1),
        ("timestamp", 4, 1, 1, 1),
        ("flags", 2, 1, 1, 1),
        (FAMILY, 3, 2, 3, 3),
    ]
    assert told.roles[0].keys == ("root-1", "root-2", "root-3")
    assert told.roles[0].expires == rig.clock.utc() + 365 * DAY
    assert [(each.family, each.name, each.version) for each in told.models] == [
        ("vision", "sample", "1"),
        ("vision", "sample", "2"),
    ]
    assert all(isinstance(each, Model) and len(each.digest) == 64 for each in told.models)
    assert (told.flags_release, told.faults, told.waiting) == (1, (), {})
    assert alarms(told.roles, rig.clock.utc(), 30) == []


def test_looking_writes_nothing(rig):
    def everything() -> dict[str, tuple[int, bytes]]:
        files = (path for path in rig.folder.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = everything()
    rig.repository.status()
    assert everything() == before


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("metadata/1.root.json", "1.root.json is missing"),
        ("targets/flags/*.flags.json", "flags.json is missing"),
        ("targets/models/vision/*.json", ".json is missing"),
        ("blobs/sha256/*", "is missing"),
    ],
)
def test_a_file_that_is_gone_is_told(rig, pattern, message):
    next(iter(rig.served.glob(pattern))).unlink()
    assert any(message in fault for fault in rig.repository.status().faults)


@pytest.mark.parametrize(
    "pattern", ["targets/flags/*.flags.json", "targets/models/vision/*.json", "blobs/sha256/*"]
)
@pytest.mark.parametrize("how", ["flipped", "longer", "empty"])
def test_a_file_that_was_changed_is_told(rig, pattern, how):
    path = next(iter(rig.served.glob(pattern)))
    data = path.read_bytes()
    path.write_bytes({"flipped": bytes([data[0] ^ 1]) + data[1:], "longer": data + b" ", "empty": b""}[how])
    (fault, *_) = rig.repository.status().faults
    assert "was changed" in fault or "bytes, expected" in fault


@pytest.mark.parametrize(
    "name",
    ["1.root", "2.root", "1.targets", "3.snapshot", "timestamp", "2.flags", "2.models-vision"],
)
def test_metadata_that_nobody_signed_are_told(rig, name):
    path = rig.served / f"metadata/{name}.json"
    content = json.loads(path.read_bytes())
    content["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(content))
    faults = rig.repository.status().faults
    assert any("signed by enough" in fault for fault in faults)


@pytest.mark.parametrize("name", ["1.targets", "3.snapshot", "timestamp", "2.models-vision"])
def test_metadata_that_are_gone_stop_everything_with_their_name(rig, name):
    (rig.served / f"metadata/{name}.json").unlink()
    stopped(rig, name)


@pytest.mark.parametrize("name", ["1.targets", "3.snapshot", "timestamp", "2.root", "2.models-vision"])
@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b'{"signatures": [], "signed": {"_type": "x"}}']
)
def test_metadata_that_cannot_be_read_stop_everything_with_their_name(rig, name, data):
    (rig.served / f"metadata/{name}.json").write_bytes(data)
    stopped(rig, name)


def stopped(rig: Rig, name: str) -> None:
    before = rig.files()
    changes = (rig.repository.refresh, lambda: rig.add_flags(2), lambda: rig.repository.create(LARGE))
    for command in (rig.repository.status, *changes):
        with pytest.raises(RepositoryError, match=rf"{name}\.json"):
            command()
    assert rig.files() == before


def test_flags_that_choose_what_is_not_offered_are_told(rig):
    """As after a family's bundles were taken back by another tool."""
    storage = rig.repository.storage
    roles = storage.published()
    roles[FAMILY].signed.targets.clear()
    assert any("no key of family vision has signed" in fault for fault in verified(storage, roles))


def test_a_signature_that_is_missing_is_counted(rig):
    path = rig.served / "metadata/1.targets.json"
    content = json.loads(path.read_bytes())
    content["signatures"] = content["signatures"][:1]
    path.write_text(json.dumps(content))
    told = rig.repository.status()
    assert told.roles[1].signed == 1
    assert "targets is not signed by enough of its keys: edgeinfer repo refresh targets" in told.faults


def test_what_a_status_says_to_do_helps(rig):
    path = rig.served / "metadata/1.targets.json"
    content = json.loads(path.read_bytes())
    content["signatures"] = []
    path.write_text(json.dumps(content))
    rig.repository.refresh(["targets"])
    assert rig.repository.status().faults == ()
    rig.client().refreshed()

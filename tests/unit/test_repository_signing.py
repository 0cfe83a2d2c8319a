"""Drafts that gather signatures on several machines, and what holders of keys must not sign."""

from __future__ import annotations

import json
import shutil

import pytest
from repository_rig import FAMILY, LARGE, ONLINE, Desk, flags_document, write_version, yes
from tuf.api.metadata import Metadata

from edgeinfer.errors import RepositoryError
from edgeinfer.repository import KeyChange
from edgeinfer.testing import write_sample_bundle
from edgeinfer.updates.layout import ISSUED, manifest_target


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.made()
    return desk


def test_a_repository_is_made_when_enough_holders_have_signed_and_the_online_keys_are_there(tmp_path):
    desk = Desk(tmp_path)
    done = desk.publisher.create(LARGE)
    assert done.published == {}
    assert done.waiting == {
        "root": "0 of 2 signatures (left: root-1, root-2, root-3)",
        "targets": "0 of 2 signatures (left: targets-1, targets-2, targets-3)",
        "flags": "1 of 1 signatures",
        FAMILY: "0 of 2 signatures (left: models-vision-1, models-vision-2, models-vision-3)",
    }
    assert desk.rig.files() == {}
    desk.signed("targets", "targets-2", "targets-3")
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    done = desk.signed("root", "root-1")
    assert done.waiting["root"] == "1 of 2 signatures (left: root-2, root-3)"
    done = desk.signed("root", "root-3")
    assert done.waiting["root"] == "2 of 2 signatures (left: root-2)"
    assert "snapshot and timestamp cannot be signed here" in done.notes[0]
    assert desk.rig.files() == {}
    assert desk.publisher.refresh().published == {
        "flags": 1, FAMILY: 1, "targets": 1, "snapshot": 1, "root": 1, "timestamp": 1,
    }  # fmt: skip
    desk.rig.client().refreshed()
    assert desk.publisher.status().waiting == {}


def test_a_bundle_is_offered_when_enough_of_its_family_s_keys_have_signed(desk):
    bundle = write_sample_bundle(desk.rig.folder / "a.eib")
    done = desk.publisher.add_bundle(bundle, "vision")
    assert done.published == {}
    assert desk.publisher.status().waiting == {
        FAMILY: "0 of 2 signatures (left: models-vision-1, models-vision-2, models-vision-3)"
    }
    asked: list[str] = []
    desk.at("models-vision-2").sign(FAMILY, lambda changes: not asked.extend(changes))
    (line,) = [each for each in asked if each.startswith("+")]
    assert line.startswith("+ models/vision/")
    assert ".json: name sample, version 1, " in line
    assert "~ version: 1 -> 2" in asked
    done = desk.at("models-vision-3", *ONLINE).sign(FAMILY, yes)
    assert list(done.published) == [FAMILY, "snapshot", "timestamp"]
    digest = desk.publisher.status().models[0].digest
    assert desk.rig.client().target(manifest_target("vision", digest))


def test_an_unfinished_draft_holds_up_nothing_else(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    assert desk.publisher.add_flags(b'{"flags": {}, "metadata": {"version": "1"}}').published
    desk.rig.clock.advance(6 * 86_400)
    assert desk.publisher.refresh().published
    assert list(desk.publisher.status().waiting) == [FAMILY]


def test_more_may_be_added_to_a_draft_which_loses_its_signatures(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    desk.signed(FAMILY, "models-vision-1")
    done = desk.publisher.add_bundle(write_version(desk.rig.folder / "b.eib", "2"), "vision")
    assert done.notes == ("the draft of models-vision changed: the signatures that it had are gone",)
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    desk.publisher.refresh()
    assert [each.version for each in desk.publisher.status().models] == ["1", "2"]


def test_holders_may_sign_copies_at_the_same_time(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    draft = desk.staging / f"{FAMILY}.json"
    unsigned, copies = draft.read_bytes(), []
    for at in (1, 2):
        desk.signed(FAMILY, f"{FAMILY}-{at}")
        copies.append(desk.rig.folder / f"signed-{at}.json")
        shutil.copy(draft, copies[-1])
        draft.write_bytes(unsigned)
    done = desk.publisher.sign(FAMILY, yes, copies=copies)
    assert done.published[FAMILY] == 2


def test_a_copy_s_bad_signature_counts_for_nothing_and_another_draft_is_no_copy(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    draft, copy = desk.staging / f"{FAMILY}.json", desk.rig.folder / "copy.json"
    content = json.loads(draft.read_bytes())
    (key, *_) = (each.keyid for each in desk.rig.keys.of_role(FAMILY))
    content["signatures"] = [{"keyid": key, "sig": "00" * 64}, {"keyid": "stranger", "sig": "00"}]
    copy.write_text(json.dumps(content))
    done = desk.publisher.sign(FAMILY, yes, copies=[copy])
    assert done.waiting[FAMILY].startswith("0 of 2")
    content["signed"]["version"] = 9
    copy.write_text(json.dumps(content))
    with pytest.raises(RepositoryError, match="another draft"):
        desk.publisher.sign(FAMILY, yes, copies=[copy])


def test_who_does_not_approve_signs_nothing(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    before = (desk.staging / f"{FAMILY}.json").read_bytes()
    with pytest.raises(RepositoryError, match="nothing was signed"):
        desk.at("models-vision-1").sign(FAMILY, lambda _changes: False)
    assert (desk.staging / f"{FAMILY}.json").read_bytes() == before


def test_who_has_no_key_for_a_draft_is_not_asked(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")

    def asked(_changes: object) -> bool:
        raise AssertionError

    assert desk.at("root-1").sign(FAMILY, asked).waiting


def test_there_has_to_be_a_draft(desk):
    with pytest.raises(RepositoryError, match="there is no draft of root: expected one of none"):
        desk.publisher.sign("root", yes)


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("role", "fields", "message"),
    [
        (FAMILY, {"version": 1}, "there is no draft"),
        (FAMILY, {"expires": "2027-01-01T00:00:00Z"}, "it is over already"),
        (FAMILY, {ISSUED: NOW + 301}, "time of issue"),
        (FAMILY, {ISSUED: NOW - 1}, "time of issue"),
        (FAMILY, {ISSUED: "now"}, "time of issue"),
        (FAMILY, {"delegations": {"keys": {}, "roles": []}}, "it grants roles of its own"),
        (
            FAMILY,
            {"targets": {"models/vision/x.json": {"length": 1, "hashes": {"sha256": "0" * 64}}}},
            "not its own",
        ),
        (
            FAMILY,
            {"targets": {"flags/flags.json": {"length": 1, "hashes": {"sha256": "0" * 64}}}},
            "not its own",
        ),
        (
            FAMILY,
            {"targets": {f"models/vision/{'0' * 64}.json": {"length": 1, "hashes": {"sha256": "0" * 64}}}},
            "is missing",
        ),
        ("root", {"version": 3}, "leaves out one"),
        ("root", {"consistent_snapshot": False}, "consistent snapshots are off"),
        ("targets", {"delegations": {"keys": {}, "roles": []}}, "does not grant flags"),
        ("targets", {"targets": {"x": {"length": 1, "hashes": {"sha256": "0" * 64}}}}, "signs x itself"),
    ],
)
def test_a_draft_that_says_what_it_must_not_is_not_signed(desk, role, fields, message):
    desk.publisher.refresh([role])
    desk.edit(role, **fields)
    before = (desk.staging / f"{role}.json").read_bytes()
    with pytest.raises(RepositoryError, match=message):
        desk.at(f"{role}-1").sign(role, yes)
    assert (desk.staging / f"{role}.json").read_bytes() == before


def test_a_bundle_that_is_passed_off_as_another_is_not_signed(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    targets = json.loads((desk.staging / f"{FAMILY}.json").read_bytes())["signed"]["targets"]
    next(iter(targets.values()))["custom"]["version"] = "2"
    desk.edit(FAMILY, targets=targets)
    with pytest.raises(RepositoryError, match=r"it is signed as .*, and is sample 1"):
        desk.at("models-vision-1").sign(FAMILY, yes)


def test_a_bundle_whose_blob_is_gone_is_not_published(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    (blob, *_) = (desk.rig.served / "blobs/sha256").iterdir()
    blob.unlink()
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    done = desk.publisher.refresh()
    assert done.published == {}
    assert "is missing" in done.waiting[FAMILY]


@pytest.mark.parametrize("data", [b"", b"{}", b'{"signatures": [], "signed": {"_type": "root"}}', b"\xff"])
def test_a_damaged_draft_is_told_by_its_name(desk, data):
    (desk.staging / "root.json").write_bytes(data)
    with pytest.raises(RepositoryError, match=r"root\.json holds no metadata"):
        desk.publisher.refresh()


def test_a_draft_of_another_kind_is_refused(desk):
    shutil.copy(desk.rig.served / "metadata/1.root.json", desk.staging / "targets.json")
    with pytest.raises(RepositoryError, match="expected targets, found root metadata"):
        desk.publisher.refresh()


def test_a_draft_that_was_published_elsewhere_is_dropped(desk):
    desk.publisher.refresh(["root"])
    draft = (desk.staging / "root.json").read_bytes()
    desk.signed("root", "root-1", "root-2")
    (desk.staging / "root.json").write_bytes(draft)
    assert desk.publisher.refresh().notes == ()
    assert not (desk.staging / "root.json").exists()
    (desk.staging / "root.json").write_bytes(draft)
    desk.edit("root", **{ISSUED: NOW - 5})
    assert "was overtaken" in desk.publisher.refresh().notes[0]


def test_what_holders_are_shown_is_all_that_changes(desk):
    shown: list[str] = []
    desk.publisher.rotate(
        "targets", KeyChange(add=("targets-4",), remove=("targets-1",), threshold=3, days=100)
    )
    desk.at("root-1").sign("root", lambda changes: not shown.extend(changes))
    keys = {
        each.unrecognized_fields["x-edgeinfer-name"]: each
        for each in map(desk.publisher.keys.key, ["targets-4"])
    }
    assert [line.split(" (")[0] for line in shown] == [
        "- role targets, key targets-1",
        "+ role targets, key targets-4",
        "~ version: 1 -> 2",
        "~ role targets, threshold: 2 -> 3",
        "~ role targets, x-edgeinfer-days: 365 -> 100",
    ]
    assert keys["targets-4"].scheme in shown[1]


def test_a_draft_is_kept_with_the_signatures_that_it_has(desk):
    desk.publisher.refresh(["root"])
    desk.signed("root", "root-2")
    draft = Metadata.from_bytes((desk.staging / "root.json").read_bytes())
    (key,) = (each for each in desk.rig.keys.of_role("root") if each.keyid in draft.signatures)
    assert key.unrecognized_fields["x-edgeinfer-name"] == "root-2"


def test_a_bundle_that_flags_have_chosen_meanwhile_is_not_taken_back(desk):
    desk.publisher.add_bundle(write_sample_bundle(desk.rig.folder / "a.eib"), "vision")
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    desk.publisher.refresh()
    (model,) = desk.publisher.status().models
    desk.publisher.remove("vision", model.digest)
    desk.signed(FAMILY, "models-vision-1")
    desk.publisher.add_flags(flags_document(1, model_vision=model.digest))
    with pytest.raises(RepositoryError, match="no key of family vision has signed"):
        desk.signed(FAMILY, "models-vision-2")
    desk.publisher.add_flags(flags_document(2))
    desk.signed(FAMILY, "models-vision-2")
    desk.publisher.refresh()
    assert desk.publisher.status().models == ()


def test_a_version_that_a_kill_left_behind_is_never_written_over(desk):
    """Killed between the draft's writing and the timestamp's, and one more holder signed since."""
    desk.publisher.refresh([FAMILY])
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    left = desk.rig.served / f"metadata/2.{FAMILY}.json"
    shutil.copy(desk.staging / f"{FAMILY}.json", left)
    before = left.read_bytes()
    done = desk.signed(FAMILY, "models-vision-3")
    assert "2.models-vision.json is there already" in done.waiting[FAMILY]
    assert desk.publisher.add_flags(flags_document(1)).published  # nothing else is held up
    desk.publisher.refresh([FAMILY])
    desk.signed(FAMILY, "models-vision-1", "models-vision-2")
    assert desk.publisher.refresh().published[FAMILY] == 3
    assert left.read_bytes() == before

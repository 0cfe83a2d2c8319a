"""What metadata may say, what can be published together, alarms, and what is other: pure functions."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import pytest
from repository_rig import DAY, FAMILY, LARGE, Rig
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, SuccinctRoles, TargetFile, Targets

from edgeinfer.errors import RepositoryError
from edgeinfer.flags import read_document
from edgeinfer.repository import RoleState, alarms, differences
from edgeinfer.repository.changes import DAYS, days_of, delegate, grant, stamp
from edgeinfer.repository.roles import publishable
from edgeinfer.repository.rules import faults, role_faults, unsigned_digests

NOW = 1_800_000_000
A, B = "a" * 64, "b" * 64


@pytest.fixture
def roles(tmp_path):
    return Rig(tmp_path, LARGE).repository.storage.published()


def granted(name: str, paths: list[str] | None, **rest) -> Targets:
    """Targets that grant the flags what they may have, and one role more."""
    targets = Targets()
    delegate(targets, "flags", ["flags/*"])
    role = DelegatedRole(name, [], 1, rest.pop("terminating", True), paths, **rest)
    targets.delegations.roles[name] = role
    return targets


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (granted("flags", ["flags/*", "models/vision/*"]), "it grants flags flags/*, models/vision/*"),
        (granted("flags", ["*"]), "it grants flags *, expected flags/*"),
        (granted("flags", ["*/*"]), "it grants flags */*"),
        (granted("flags", None, path_hash_prefixes=["0"]), "it grants flags targets by their hashes"),
        (granted("flags", []), "it grants flags targets by their hashes"),
        (granted("flags", ["flags/*"], terminating=False), "goes on behind it"),
        (granted(FAMILY, ["models/*/*"]), "expected models/vision/*"),
        (granted(FAMILY, ["models/vision/*", "flags/*"]), "expected models/vision/*"),
        (granted("models-Vision", ["models/Vision/*"]), "no role of a repository"),
        (granted("models-", ["models//*"]), "no role of a repository"),
        (granted("root", ["*"]), "no role of a repository"),
        (granted("other", ["other/*"]), "no role of a repository"),
        (Targets(), "it grants no roles by name"),
        (
            Targets(delegations=Delegations({}, None, SuccinctRoles([], 1, 8, "x"))),
            "it grants no roles by name",
        ),
        (Targets(delegations=Delegations({}, {})), "it does not grant flags"),
    ],
)
def test_no_delegation_grants_more_than_the_layout_says(targets, message):
    assert message in " ".join(role_faults("targets", targets))


def test_a_repository_as_it_is_made_has_no_faults(roles):
    assert faults(roles) == []


@pytest.mark.parametrize(
    ("name", "path", "digest"),
    [
        ("flags", f"models/vision/{A}.json", A),
        ("flags", "flags/other.json", A),
        ("flags", "flags/flags.json", "../../x"),
        (FAMILY, "flags/flags.json", A),
        (FAMILY, f"models/audio/{A}.json", A),
        (FAMILY, f"models/vision/{B}.json", A),
        (FAMILY, "models/vision/x.json", "x"),
    ],
)
def test_a_role_signs_its_own_targets_alone(roles, name, path, digest):
    roles[name].signed.targets[path] = TargetFile(1, {"sha256": digest}, path)
    assert f"{name}: it signs {path}" in faults(roles)[0]


def test_a_key_counts_once(roles):
    root = roles["root"].signed
    (first, *_) = root.roles["root"].keyids
    twin = root.keys[first].to_dict()
    root.add_key(type(root.keys[first]).from_dict("f" * 64, twin), "root")
    assert faults(roles) == ["root: one of its keys counts twice"]


@pytest.mark.parametrize("offline", ["root", "targets", FAMILY])
def test_an_online_key_signs_for_nothing_offline(roles, offline):
    targets, root = roles["targets"].signed, roles["root"].signed
    key = targets.delegations.keys[targets.delegations.roles["flags"].keyids[0]]
    (targets if offline == FAMILY else root).add_key(key, offline)
    (found,) = faults(roles)
    assert found.startswith("flags: its online key")
    assert found.endswith(f"also signs for {offline}, which is offline")


def document(value: object, name: str = "model-vision"):
    flag = {"state": "ENABLED", "variants": {"v": value, "w": value}, "defaultVariant": "v"}
    return read_document(json.dumps({"flags": {name: flag}}).encode())


@pytest.mark.parametrize(
    ("value", "name", "found"),
    [
        (A, "model-vision", 0),
        (A, "shadow-vision", 0),
        (B, "model-vision", 2),
        (A, "model-audio", 2),
        (A, "model-", 0),
        (A, "other", 0),
        (A.upper(), "model-vision", 2),
        (A[:-1], "model-vision", 0),
        ("", "model-vision", 0),
        ({"digest": A}, "model-vision", 0),
        ({"digest": B}, "shadow-vision", 2),
        ({"digest": A[:-1]}, "model-vision", 2),
        ({"digest": 3}, "model-vision", 2),
        ({"other": B}, "model-vision", 0),
        (True, "model-vision", 0),
    ],
)
def test_flags_choose_among_what_is_signed(value, name, found):
    assert len(unsigned_digests(document(value, name), {"vision": {A}, "other": {B}})) == found


def state(name: str, left_days: float, days: float = 365) -> RoleState:
    end = NOW + left_days * DAY
    return RoleState(name, 1, int(end - days * DAY), end, 1, 1, ("k",))


@pytest.mark.parametrize(
    ("role", "days", "told"),
    [
        (state("root", 31), 30, []),
        (state("root", 29), 30, ["!!! THE ROOT expires in 29.0 days"]),
        (state("root", -2), 30, ["!!! THE ROOT EXPIRED 2.0 days ago"]),
        (state("root", 300), 400, ["!!! THE ROOT expires in 300.0 days"]),
        (state("targets", 29), 30, ["targets expires in 29.0 days: edgeinfer repo refresh targets"]),
        (state("timestamp", 2, 7), 30, []),  # a timer renews it when 3.5 days are left
        (state("timestamp", 1.7, 7), 30, ["timestamp expires in 1.7 days: edgeinfer repo refresh"]),
        (state("timestamp", 1.7, 7), 1, []),
        (state("flags", 7.4, 30), 30, ["flags expires in 7.4 days: edgeinfer repo refresh"]),
        (state("root", 0.5), 0, []),
        (state("root", 0), 0, []),
        (state("root", -0.1), 0, ["!!! THE ROOT EXPIRED 0.1 days ago"]),
    ],
)
def test_alarms(role, days, told):
    found = alarms([role], NOW, days)
    assert len(found) == len(told)
    assert all(each.startswith(start) for each, start in zip(found, told, strict=True))


def test_the_root_s_alarm_comes_first_and_then_what_ends_first():
    found = alarms([state("targets", 2), state(FAMILY, 1), state("root", 20)], NOW, 30)
    assert [line.split()[0] for line in found] == ["!!!", FAMILY, "targets"]


class Signed:
    """A root and targets signed by keys by name, in as many versions as a test wants."""

    def __init__(self) -> None:
        self.signers = {name: CryptoSigner.generate_ed25519() for name in "abcdef"}

    def keys(self, names: str):
        return [self.signers[name].public_key for name in names]

    def root(self, version: int, root: str, targets: str, by: str) -> Metadata[Root]:
        signed = Root()
        for name, keys in (("root", root), ("targets", targets), ("snapshot", "f"), ("timestamp", "f")):
            grant(signed, name, self.keys(keys), len(keys), 9)
        return self._signed(signed, version, by)

    def targets(self, version: int, flags: str, by: str) -> Metadata[Targets]:
        signed = Targets()
        delegate(signed, "flags", ["flags/*"])
        grant(signed, "flags", self.keys(flags), len(flags), 9)
        return self._signed(signed, version, by)

    def flags(self, version: int, by: str) -> Metadata[Targets]:
        return self._signed(Targets(), version, by)

    def _signed(self, signed, version: int, by: str):
        stamp(signed, version, NOW, 9)
        made = Metadata(signed)
        for name in by:
            made.sign(self.signers[name], append=True)
        return made


@pytest.mark.parametrize(
    ("drafts", "lost", "ready"),
    [
        ({"flags": "2 by c"}, False, {"flags"}),
        ({"flags": "2 by d"}, False, set()),
        ({"flags": "2 by nobody"}, False, set()),
        ({"targets": "2 by b, flags of d"}, False, set()),  # the flags would be unsigned
        ({"targets": "2 by b, flags of d", "flags": "2 by d"}, False, {"targets", "flags"}),
        ({"targets": "2 by b, flags of d", "flags": "2 by c"}, False, {"flags"}),
        ({"targets": "2 by nobody, flags of d", "flags": "2 by d"}, False, set()),
        ({"targets": "2 by nobody, flags of d", "flags": "2 by cd"}, False, {"flags"}),
        ({"root": "2 by a, targets of b"}, False, {"root"}),
        ({"root": "2 by nobody, targets of b"}, False, set()),
        ({"root": "2 by a, targets of e"}, False, set()),  # the targets would be unsigned
        ({"root": "2 by a, targets of e", "targets": "2 by e, flags of c"}, False, set()),  # for the old root
        ({"root": "2 by a, targets of e", "targets": "2 by e, flags of c"}, True, {"root", "targets"}),
        ({"root": "2 by a, targets of e", "targets": "2 by be, flags of c"}, False, {"root", "targets"}),
        ({"root": "2 by nobody, targets of e", "targets": "2 by be, flags of c"}, True, {"targets"}),
        ({"models-x": "2 by c"}, False, set()),  # nobody grants it
    ],
)
def test_what_is_published_leaves_every_role_signed(drafts, lost, ready):
    made = Signed()
    before = {
        "root": made.root(1, "a", "b", "a"),
        "targets": made.targets(1, "c", "b"),
        "flags": made.flags(1, "c"),
    }
    assert publishable(before, {}) == {}

    def read(name: str, text: str):
        said, _, granted_to = text.partition(", ")
        version, _, by = said.partition(" by ")
        by, to = by.replace("nobody", ""), granted_to.rpartition(" ")[2]
        if name == "root":
            return made.root(int(version), "a", to, by)
        return made.targets(int(version), to, by) if name == "targets" else made.flags(int(version), by)

    found = publishable(before, {name: read(name, text) for name, text in drafts.items()}, lost=lost)
    assert set(found) == ready


def test_a_first_root_is_published_with_all_that_it_needs():
    made = Signed()
    drafts = {
        "root": made.root(1, "ab", "c", "ab"),
        "targets": made.targets(1, "d", "c"),
        "flags": made.flags(1, "d"),
    }
    assert set(publishable({}, drafts)) == set(drafts)
    for name in drafts:
        assert publishable({}, {each: draft for each, draft in drafts.items() if each != name}) == {}


@pytest.mark.parametrize("threshold", [0, -1, 3])
def test_a_threshold_can_be_met(threshold):
    with pytest.raises(RepositoryError, match="expected 1 to all of its keys"):
        grant(Root(), "root", Signed().keys("ab"), threshold, 9)


@pytest.mark.parametrize("days", [0, -1, 36_501, None, "9", 1.5])
def test_days_are_a_whole_number(days):
    root = Root()
    root.roles["root"].unrecognized_fields[DAYS] = days
    with pytest.raises(RepositoryError, match="how many days root holds"):
        days_of(root, "root")


def test_two_keys_of_one_id_are_refused():
    made = Signed()
    first, second = made.keys("ab")
    second.keyid = first.keyid
    with pytest.raises(RepositoryError, match="has the id of another"):
        grant(Root(), "root", [first, second], 2, 9)


def test_differences_tell_a_key_by_its_content_and_hide_nothing_in_a_terminal():
    made = Signed()
    before = made.root(1, "a", "b", "").signed
    after = copy.deepcopy(before)
    assert differences(before, after) == []
    (keyid,) = after.roles["root"].keyids
    after.keys[keyid].keyval = made.keys("c")[0].keyval  # under the same id
    after.unrecognized_fields["x\x1b[2K"] = "new"
    gone, other, come = differences(before, after)
    assert gone.split(" (")[0][1:] == come.split(" (")[0][1:]
    assert gone[0] + come[0] == "-+"
    assert other == "+ x\\x1b[2K: new"


def test_differences_tell_what_is_too_long_to_show():
    before, after = Targets(), Targets()
    stamp(before, 1, NOW, 1), stamp(after, 1, NOW, 1)
    before.unrecognized_fields["x"], after.unrecognized_fields["x"] = "y" * 300 + "1", "y" * 300 + "2"
    (line,) = differences(before, after)
    assert line.count("... (sha256 ") == 2


def test_differences_tell_dates_and_targets():
    before, after = Targets(), Targets(targets={"p": TargetFile(5, {"sha256": A}, "p", {"custom": {"n": 1}})})
    stamp(before, 1, NOW, 1), stamp(after, 2, NOW + 60, 1)
    assert differences(before, after) == [
        f"+ p: n 1, 5 bytes, sha256 {A}",
        "~ version: 1 -> 2",
        "~ expires: 2027-01-16T08:00:00Z -> 2027-01-16T08:01:00Z",
        "~ x-edgeinfer-issued: 2027-01-15T08:00:00Z -> 2027-01-15T08:01:00Z",
    ]
    assert datetime.fromtimestamp(NOW, UTC).isoformat() == "2027-01-15T08:00:00+00:00"

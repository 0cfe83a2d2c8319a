"""`edgeinfer repo`, as typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from repository_rig import Client, flags_document
from tuf.api.metadata import Metadata

from edgeinfer.cli.main import cli
from edgeinfer.errors import EdgeInferError
from edgeinfer.host import SystemClock
from edgeinfer.repository import Keys, Plan, SignedRepository
from edgeinfer.testing import FakeClock, write_sample_bundle
from edgeinfer.updates.layout import manifest_target


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEINFER_KEY_PASSPHRASE", raising=False)
    return tmp_path


def typed(line: str, answer: str = "") -> str:
    done = CliRunner().invoke(cli, ["repo", *line.split()], input=answer, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(line: str, answer: str = "") -> tuple[str, str]:
    """What was printed, and the error that the command ends with."""
    done = CliRunner().invoke(cli, ["repo", *line.split()], input=answer)
    assert isinstance(done.exception, EdgeInferError), done.output
    return done.output, str(done.exception)


@pytest.fixture
def digest(here):
    """A repository with all keys at hand, which offers the sample."""
    typed("init --family vision")
    write_sample_bundle(here / "a.eib")
    return re.search(r"models/vision/(\w{64})\.json", typed("add a.eib --family vision"))[1]


def test_a_repository_is_made_with_its_keys_and_says_which_root_to_ship(here):
    printed = typed("init --family vision --family audio=3/4 --days timestamp=3")
    assert (
        "published: flags 1, models-audio 1, models-vision 1, targets 1, snapshot 1, root 1, timestamp 1"
        in printed
    )
    assert f"to ship with the app: {here}/repository/metadata/1.root.json" in printed
    assert len(list((here / "keys").glob("*.pem"))) == 3 + 3 + 3 + 4 + 3
    rows = {line.split()[0]: line.split() for line in typed("status").splitlines()}
    assert rows["models-audio"][-6:-4] == ["3", "4"]
    assert rows["timestamp"][4:6] == ["3.0", "days"]
    assert "every signature and file holds" in typed("status")


def test_a_bundle_and_flags_are_published_and_found(here, digest):
    (here / "flags.json").write_bytes(flags_document(7, model_vision=digest))
    printed = typed("add --flags flags.json")
    assert "flags: + flags/flags.json: version 7" in printed
    assert "published: flags 2, snapshot 3, timestamp 3" in printed
    told = typed("status")
    assert f"model vision  {digest}  sample 1" in told
    assert "flags release 7" in told
    root = (here / "repository/metadata/1.root.json").read_bytes()
    assert Client(here / "repository", here / "cache", root, SystemClock()).target(
        manifest_target("vision", digest)
    )
    assert refused("add --flags flags.json")[1].startswith("a document of flags that is no newer")
    assert "is still chosen" in refused(f"remove vision {digest}")[1]


def test_a_bundle_is_removed(digest):
    assert f"models-vision: - models/vision/{digest}.json" in typed(f"remove vision {digest}")
    assert digest not in typed("status")


def test_one_key_is_enough_only_where_that_is_said(here):
    for line in ("init --root 1/1", "init --targets 1/3", "init --family vision=1/1"):
        assert "--single-key allows it" in refused(line)[1]
        assert not (here / "repository").exists()
    typed("init --single-key --family vision")
    assert len(list((here / "keys").glob("*.pem"))) == 6
    assert "--single-key allows it" in refused("rotate root --threshold 1")[1]
    typed("rotate root --threshold 1 --single-key")
    typed("rotate timestamp --threshold 1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("init --root 2", "expected T/N"),
        ("init --root a/b", "expected T/N"),
        ("init --root 4/3", "found 4 of 3 keys"),
        ("init --root 0/3", "found 0 of 3 keys"),
        ("init --family Vision", "the name of a family"),
        ("init --days root", "expected ROLE=DAYS"),
        ("init --days nobody=3", "days for a role that is none"),
        ("init --keys repository/keys", "the folder of the keys would be served"),
        ("init --staging repository/x", "the folder of the drafts would be served"),
        ("add", "what to add"),
        ("add a.eib", "what to add"),
        ("add a.eib --family vision --flags x", "what to add"),
        ("add a.eib --family vision", "edgeinfer repo init"),
        ("add --flags none.json", "cannot be read"),
        ("status", "edgeinfer repo init"),
        ("refresh", "edgeinfer repo init"),
        ("rotate root", "edgeinfer repo init"),
        ("sign root", "edgeinfer repo init"),
        ("key root-1 --uri hsm:2", "expected --public FILE"),
    ],
)
def test_what_cannot_be_done_is_told(here, line, message):
    assert message in refused(line)[1]
    assert not (here / "repository/metadata").exists()


@pytest.mark.usefixtures("digest")
def test_a_holder_sees_what_changes_before_signing(here):
    holder = here / "holder"
    holder.mkdir()
    for name in ("root-1.json", "root-1.pem"):
        shutil.move(here / "keys" / name, holder / name)
    printed = typed("rotate root --threshold 3")
    assert "waits: root: 2 of 2 signatures (left: root-1); by its new keys 2 of 3 signatures" in printed
    printed, error = refused("sign root --keys holder", "n\n")
    assert "~ role root, threshold: 2 -> 3" in printed
    assert "sign root? [y/N]" in printed
    assert "nothing was signed" in error
    assert "published: root 2" in typed("sign root --keys holder", "y\n")
    assert "every signature and file holds" in typed("status")


@pytest.mark.usefixtures("digest")
def test_signatures_come_from_copies_too(here):
    (here / "away").mkdir()
    shutil.move(here / "keys/root-1.pem", here / "away/root-1.pem")
    shutil.copy(here / "keys/root-1.json", here / "away/root-1.json")
    typed("rotate root --threshold 3")
    unsigned = (here / "repository.staging/root.json").read_bytes()
    shutil.copytree(here / "repository", here / "b/repository")
    shutil.copytree(here / "repository.staging", here / "b/repository.staging")
    # Another machine, whose copy comes back.
    typed("sign root --yes --folder b/repository --keys away")
    (here / "repository.staging/root.json").write_bytes(unsigned)
    assert "published: root 2" in typed("sign root --yes --copy b/repository/metadata/2.root.json")


def test_keys_are_made_and_others_are_noted(here):
    printed = typed("key root-1 --keys mine")
    assert re.match(
        r"key root-1 \(ed25519 \w{12}\); for others, without its secret: mine/root-1\.json\n", printed
    )
    typed("key root-1 --keys theirs --public mine/root-1.json")
    theirs = json.loads((here / "theirs/root-1.json").read_bytes())
    assert theirs["uri"] == ""
    assert not (here / "theirs/root-1.pem").exists()
    typed("key root-2 --keys theirs --public mine/root-1.json --uri exec:sign")
    assert json.loads((here / "theirs/root-2.json").read_bytes())["uri"] == "exec:sign"
    assert "there is a key root-1" in refused("key root-1 --keys mine")[1]


def test_a_passphrase_comes_from_the_environment(here, monkeypatch):
    monkeypatch.setenv("EDGEINFER_KEY_PASSPHRASE", "secret")
    typed("init --single-key")
    assert all(b"ENCRYPTED" in path.read_bytes() for path in (here / "keys").glob("*.pem"))
    typed("refresh --if-within 10")
    monkeypatch.delenv("EDGEINFER_KEY_PASSPHRASE")
    assert "passphrase" in refused("refresh --if-within 10")[1]


@pytest.mark.usefixtures("digest")
def test_refresh_says_what_it_did():
    assert typed("refresh") == "nothing is over soon\n"
    assert typed("refresh --if-within 8") == "published: timestamp 3\n"
    assert "published: root 2" in typed("refresh root")
    assert "there is no role x" in refused("refresh x")[1]


@pytest.mark.usefixtures("digest")
def test_status_ends_with_1_where_a_role_is_over_by_then():
    assert "every signature and file holds" in typed("status --alarm-days 300")
    printed, error = refused("status --alarm-days 400")
    assert printed.splitlines()[-3].startswith("!!! THE ROOT expires in 365.0 days")
    assert error.startswith("!!! THE ROOT expires in 365.0 days")


@pytest.mark.usefixtures("digest")
def test_status_ends_with_1_where_something_does_not_hold(here):
    next((here / "repository/blobs/sha256").iterdir()).unlink()
    printed, error = refused("status")
    assert "is missing" in printed
    assert "1 faults" in error


def test_status_warns_of_what_is_over_soon():
    typed("init --single-key --days root=20")
    assert "!!! THE ROOT expires in 20.0 days" in typed("status")


def test_status_ends_with_1_once_something_is_over():
    SignedRepository("repository", Keys("keys"), FakeClock(1_700_000_000)).create(Plan())
    assert re.match(r"!!! THE ROOT EXPIRED \d+\.\d days ago", refused("status")[1])


@pytest.mark.usefixtures("digest")
def test_rotating_tells_old_and_new_keys():
    printed = typed("rotate timestamp")
    assert re.search(r"root: - role timestamp, key timestamp-1 \(ed25519 \w{16}\)\n", printed)
    assert re.search(r"root: \+ role timestamp, key timestamp-2 \(ed25519 \w{16}\)\n", printed)
    assert "published: timestamp 3, root 2\n" in printed
    printed = typed("rotate root --add root-4 --remove root-1")
    assert "root: + role root, key root-4" in printed


@pytest.mark.usefixtures("digest")
def test_a_new_family_gets_the_keys_that_are_asked_for(here):
    typed("add a.eib --family audio --quorum 2/2")
    targets = Metadata.from_bytes((here / "repository/metadata/2.targets.json").read_bytes()).signed
    role = targets.delegations.roles["models-audio"]
    assert (role.threshold, len(role.keyids), role.paths) == (2, 2, ["models/audio/*"])


def test_every_command_says_in_a_sentence_what_it_does():
    printed = typed("--help")
    for name in ("init", "key", "add", "remove", "sign", "rotate", "refresh", "status"):
        (line,) = (each for each in printed.splitlines() if each.split()[:1] == [name])
        assert len(line.split()) > 3
        assert Path(name).name in typed(f"{name} --help")


def flags_typed(line: str) -> str:
    done = CliRunner().invoke(cli, ["flags", *line.split()], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_published_flag_is_ramped_and_killed_in_place_signed_by_the_flags_key(here):
    typed("init --family vision")
    nothing = CliRunner().invoke(cli, ["flags", "kill", "cloud", "--repo", "repository"])
    assert "no flags are published yet" in str(nothing.exception)
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
    document = {"flags": {"cloud": flag}, "metadata": {"version": "1"}}
    (here / "flags.json").write_text(json.dumps(document))
    typed("add --flags flags.json")
    told = flags_typed("ramp cloud 5% --variant on --repo repository")
    assert '"on", 5000' in told
    assert "published: flags" in told
    assert "DISABLED" in flags_typed("kill cloud --repo repository")
    published = SignedRepository(here / "repository", Keys(here / "keys"), SystemClock()).flags()
    assert json.loads(published)["flags"]["cloud"]["state"] == "DISABLED"
    assert json.loads((here / "flags.json").read_text()) == document
    assert "every signature and file holds" in typed("status")
    (here / "keys").rename(here / "elsewhere")
    lacking = CliRunner().invoke(cli, ["flags", "kill", "cloud", "--undo", "--repo", "repository"])
    assert isinstance(lacking.exception, EdgeInferError)

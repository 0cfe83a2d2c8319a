"""Keys of publishers: files, programs, what others send, and signatures that are looked at before they count."""

from __future__ import annotations

import json
import shlex
import stat
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from repository_rig import SMALL, Rig
from securesystemslib.signer import Signature, Signer

from edgeinfer.errors import RepositoryError
from edgeinfer.repository import KeyChange, Keys
from edgeinfer.repository.signers import ProgramSigner, signature_of

PAYLOAD = b"what is to be signed"


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "keys")


def only_signer(keys: Keys) -> Signer:
    (found,) = keys.signers([keys.key(name).keyid for name in keys.names()])
    return found


def test_a_key_is_made_in_files_that_its_owner_alone_can_read(keys):
    key = keys.make("root-1")
    assert (key.keytype, key.scheme) == ("ed25519", "ed25519")
    assert stat.S_IMODE((keys.folder / "root-1.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in keys.folder.iterdir()) == ["root-1.json", "root-1.pem"]
    private = serialization.load_pem_private_key((keys.folder / "root-1.pem").read_bytes(), None)
    assert private.public_key().public_bytes_raw().hex() == key.keyval["public"]
    assert b"PRIVATE" not in (keys.folder / "root-1.json").read_bytes()
    signature = signature_of(only_signer(keys), PAYLOAD)
    keys.key("root-1").verify_signature(signature, PAYLOAD)


def test_keys_are_found_by_their_role_in_order(keys):
    for name in ("root-10", "root-2", "root-1", "roots-1", "root-x-1", "models-a-1", "models-a-1-1"):
        keys.make(name)
    assert [key.unrecognized_fields["x-edgeinfer-name"] for key in keys.of_role("root")] == [
        "root-1", "root-2", "root-10",
    ]  # fmt: skip
    assert len(keys.of_role("models-a")) == len(keys.of_role("models-a-1")) == 1


def test_a_passphrase_protects_new_keys_and_opens_them(tmp_path):
    Keys(tmp_path, "secret").make("root-1")
    assert b"ENCRYPTED" in (tmp_path / "root-1.pem").read_bytes()
    signature_of(only_signer(Keys(tmp_path, "secret")), PAYLOAD)
    for wrong in ("", "wrong"):
        with pytest.raises(RepositoryError, match="check its URI, its file, and the passphrase"):
            only_signer(Keys(tmp_path, wrong))
    Keys(tmp_path).make("root-2")  # an open one beside it needs none
    assert len(Keys(tmp_path, "secret").signers([Keys(tmp_path).key("root-2").keyid])) == 1


def test_a_repository_works_with_protected_keys(tmp_path):
    rig = Rig(tmp_path, SMALL, "secret")
    rig.add_flags(1)
    rig.client().refreshed()
    with pytest.raises(RepositoryError, match="passphrase"):
        rig.with_keys(Keys(rig.keys.folder)).refresh(["timestamp"])


@pytest.mark.parametrize("name", ["", "Root-1", "../x", "a/b", "x" * 101, "a b"])
def test_a_key_s_name_is_plain(keys, name):
    with pytest.raises(RepositoryError, match="the name of a key"):
        keys.make(name)
    assert not keys.folder.exists()


def test_a_key_is_made_once(keys):
    keys.make("root-1")
    before = (keys.folder / "root-1.pem").read_bytes()
    for again in (lambda: keys.make("root-1"), lambda: keys.describe("root-1", b"{}")):
        with pytest.raises(RepositoryError, match="there is a key root-1"):
            again()
    assert (keys.folder / "root-1.pem").read_bytes() == before


def test_without_its_private_half_a_key_does_not_sign(keys):
    key = keys.make("root-1")
    (keys.folder / "root-1.pem").unlink()
    assert keys.signers([key.keyid]) == []


def test_another_s_description_is_taken_without_its_uri(keys, tmp_path):
    other = Keys(tmp_path / "other")
    key = other.make("root-1")
    description = json.loads((other.folder / "root-1.json").read_bytes())
    description["uri"] = "exec:touch stolen"
    taken = keys.describe("root-2", json.dumps(description).encode())
    assert (taken.keyid, taken.keyval) == (key.keyid, key.keyval)
    assert taken.unrecognized_fields["x-edgeinfer-name"] == "root-2"
    assert keys.signers([key.keyid]) == []


@pytest.mark.parametrize(
    "public", [b"", b"{}", b"[]", b"1", b"-----BEGIN PUBLIC KEY-----", b"\xff", b'{"keyid": 1}',
               b'{"keyid": "a", "keytype": "x", "scheme": "x", "keyval": {}}'],
)  # fmt: skip
def test_what_is_no_public_key_is_not_taken(keys, public):
    with pytest.raises(RepositoryError, match="the public half of key root-1"):
        keys.describe("root-1", public)
    assert keys.names() == []


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"keyid": "a", "keytype": "x", "scheme": "x", "keyval": {}}']
)
def test_a_damaged_description_is_told_by_its_name(keys, content):
    keys.make("root-1")
    (keys.folder / "root-1.json").write_bytes(content)
    with pytest.raises(RepositoryError, match=r"root-1\.json describes no key"):
        keys.of_role("root")


def test_a_private_key_of_another_is_not_used(keys):
    keys.make("root-1"), keys.make("root-2")
    (keys.folder / "root-2.pem").replace(keys.folder / "root-1.pem")
    with pytest.raises(RepositoryError, match=r"file:root-1\.pem cannot be used"):
        keys.signers([keys.key("root-1").keyid])


@pytest.mark.parametrize("uri", ["nothing:x", "x", "hsm:2", "awskms:x"])
def test_a_uri_that_leads_nowhere_is_told(keys, uri):
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = keys.describe("root-1", public, uri)
    with pytest.raises(RepositoryError, match=f"key {uri} cannot be used"):
        keys.signers([key.keyid])


def test_securesystemslib_s_own_uris_sign(keys, tmp_path):
    other = Keys(tmp_path / "other")
    other.make("root-1")
    keys.describe("root-1", (other.folder / "root-1.json").read_bytes(), f"file2:{other.folder}/root-1.pem")
    signature_of(only_signer(keys), PAYLOAD)


SIGNS = """
import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
data = sys.stdin.buffer.read()
print(load_pem_private_key(open(sys.argv[1], "rb").read(), None).sign(data).hex())
"""


def program(folder: Path, text: str, *words: str) -> str:
    path = folder / "a program.py"
    path.write_text(textwrap.dedent(text))
    return shlex.join([sys.executable, str(path), *words])


def test_a_program_signs_without_a_shell(keys, tmp_path):
    other = Keys(tmp_path / "other")
    other.make("root-1")
    public = (other.folder / "root-1.json").read_bytes()
    keys.describe(
        "root-1", public, "exec:" + program(tmp_path, SIGNS, f"{other.folder}/root-1.pem", "$(exit 1)")
    )
    signature_of(only_signer(keys), PAYLOAD)


def test_a_repository_can_be_signed_by_programs_alone(tmp_path):
    rig = Rig(tmp_path)
    outside = Keys(tmp_path / "outside")
    for name in rig.keys.names():
        public = (rig.keys.folder / f"{name}.json").read_bytes()
        outside.describe(name, public, "exec:" + program(tmp_path, SIGNS, f"{rig.keys.folder}/{name}.pem"))
    rig.with_keys(outside).add_flags(b'{"flags": {}, "metadata": {"version": "1"}}')
    rig.with_keys(outside).rotate("root", KeyChange(days=100))
    rig.client().refreshed()
    assert rig.repository.status().faults == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise SystemExit('no card')", "failed: found exit status 1: no card"),
        ("raise SystemExit(3)", "exit status 3: silence"),
        ("print('no hex')", "expected a signature in hex, found b'no hex'"),
        ("print('é')", "expected a signature in hex"),
        ("print('00' * 64)", "no signature that its public key verifies"),
        ("print('')", "no signature that its public key verifies"),
        ("import signal; signal.pause()", "took too long: expected 0.5 s at most"),
    ],
)
def test_a_program_that_does_not_sign_is_told(keys, tmp_path, text, message):
    command = program(tmp_path, text)
    signer = ProgramSigner(command, keys.make("root-1"), patience_s=0.5 if "pause" in text else 60)
    with pytest.raises(RepositoryError) as told:
        signature_of(signer, PAYLOAD)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("command", "message"), [("", "a program that signs"), ("./none", "cannot be started")]
)
def test_a_program_has_to_be_there(keys, command, message):
    key = keys.make("root-1")
    with pytest.raises(RepositoryError, match=message):
        ProgramSigner.from_priv_key_uri(f"exec:{command}", key).sign(PAYLOAD)


def test_whatever_a_signer_raises_is_told_with_its_key(keys):
    key = keys.make("root-1")

    class Broken(Signer):
        public_key = key

        @classmethod
        def from_priv_key_uri(cls, *_):
            return cls()

        def sign(self, payload: bytes) -> Signature:  # noqa: ARG002
            raise OSError("the token was taken out")

    with pytest.raises(RepositoryError, match="the token was taken out"):
        signature_of(Broken(), PAYLOAD)


def test_keys_that_do_not_fit_a_plan_are_told(tmp_path):
    rig = Rig(tmp_path, None)
    rig.keys.make("root-1"), rig.keys.make("root-2")
    with pytest.raises(
        RepositoryError, match="expected 1, or none, to have them made, found 2: root-1, root-2"
    ):
        rig.repository.create(SMALL)

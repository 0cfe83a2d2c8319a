"""Keys of those who publish.

    keys/root-1.json   a key: its public half, and the URI by which it signs; none where only the public half is known
    keys/root-1.pem    its private half where that lies in a file: PKCS8, readable by this user alone

A key is named by its role and a number. The folder is never one that is served.

Invariants:
* a private key is made readable by its owner alone, and whole, before it has its name;
* a description that came from somebody else is never obeyed: its URI is dropped.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import Key, Signer, SSlibKey

from edgeinfer.errors import RepositoryError
from edgeinfer.host import atomic_file
from edgeinfer.repository.changes import NAME
from edgeinfer.repository.signers import FILE, signer_of

_NAME = re.compile(r"[a-z0-9-]{1,100}")
_IMPORT = "edgeinfer repo key NAME --public FILE"


class Keys:
    """A folder of keys.

    Args:
        folder: Made with the first key.
        secret: Encrypts and opens private keys in files, and is the PIN of devices; empty for neither.
    """

    def __init__(self, folder: str | os.PathLike[str], secret: str = "") -> None:
        self.folder = Path(folder)
        self._secret = secret

    def names(self) -> list[str]:
        """Return the names of all keys."""
        found = [path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem)]
        return sorted(found, key=lambda name: (len(name), name))

    def of_role(self, role: str) -> list[Key]:
        """Return the keys that are named for a role: `root-1`, `root-2`.

        Raises:
            RepositoryError: A description is damaged.
        """
        return [self.key(name) for name in self.names() if re.fullmatch(rf"{re.escape(role)}-\d+", name)]

    def key(self, name: str) -> Key:
        """Return the public half of a key.

        Raises:
            RepositoryError: There is none of this name, or its description is damaged.
        """
        return self._read(name)[0]

    def signers(self, wanted: Collection[str]) -> list[Signer]:
        """Return what signs here with those of some keys whose private half this machine can reach.

        Args:
            wanted: Their key ids.

        Raises:
            RepositoryError: One cannot be used although it should be here.
        """
        found = []
        for name in self.names():
            key, uri = self._read(name)
            if key.keyid in wanted:
                found.append(signer_of(uri, key, self.folder, self._secret))
        return [each for each in found if each is not None]

    def make(self, name: str) -> Key:
        """Make a key pair (ed25519) in files; return its public half.

        Raises:
            RepositoryError: There is a key of this name, or the folder cannot be written.
        """
        self._check_new(name)
        private = Ed25519PrivateKey.generate()
        protected = (
            serialization.BestAvailableEncryption(self._secret.encode())
            if self._secret
            else serialization.NoEncryption()
        )
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protected)
        self._write_private(self.folder / f"{name}.pem", pem)
        return self._describe(name, SSlibKey.from_crypto(private.public_key()), f"{FILE}:{name}.pem")

    def describe(self, name: str, public: bytes, uri: str = "") -> Key:
        """Note a key whose private half lies elsewhere; return its public half.

        Args:
            name: What it is called here.
            public: A public key as PEM, or another's description of a key; the URI in that one is dropped.
            uri: By which it signs; empty where it cannot sign from here.

        Raises:
            RepositoryError: There is a key of this name, or `public` is none.
        """
        self._check_new(name)
        try:
            if public.lstrip().startswith(b"-----"):
                key: Key = SSlibKey.from_crypto(serialization.load_pem_public_key(public))
            else:
                key = _parsed(json.loads(public), name)
        except (ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
            raise RepositoryError(
                f"the public half of key {name} ({error})",
                expected="a public key as PEM, or the .json that describes a key",
            ) from error
        return self._describe(name, key, uri)

    def _describe(self, name: str, key: Key, uri: str) -> Key:
        content = {
            "uri": uri,
            "keyid": key.keyid,
            "keytype": key.keytype,
            "scheme": key.scheme,
            "keyval": key.keyval,
        }
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(self.folder / f"{name}.json") as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")
        return self.key(name)

    def _read(self, name: str) -> tuple[Key, str]:
        path = self.folder / f"{name}.json"
        try:
            content = json.loads(path.read_bytes())
            return _parsed(content, name), str(content.get("uri", ""))
        except FileNotFoundError:
            raise RepositoryError(
                f"there is no key {name} in {self.folder}", next_step=f"make it, or {_IMPORT}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RepositoryError(f"{path} describes no key ({error})", next_step=_IMPORT) from error

    def _check_new(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise RepositoryError(
                "the name of a key", found=repr(name)[:80], expected="a role and a number, such as root-1"
            )
        if (self.folder / f"{name}.json").exists():
            raise RepositoryError(
                f"there is a key {name} in {self.folder} already", next_step="take another name"
            )

    def _write_private(self, path: Path, pem: bytes) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # No other user can read it, not even while it is written.
        handle, temporary = tempfile.mkstemp(".partial", f".{path.name}.", self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)


def _parsed(content: dict[str, Any], name: str) -> Key:
    fields = {each: content[each] for each in ("keytype", "scheme", "keyval")}
    return Key.from_dict(content["keyid"], {**fields, NAME: name})

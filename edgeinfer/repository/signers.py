"""What signs: a private key in a file, a program, or whatever securesystemslib reaches by URI.

    file:root-1.pem           beside the description of the key
    exec:COMMAND              a program: bytes to sign on its standard input, the signature in hex on its output
    hsm:2, awskms:..., ...    as securesystemslib has them

Every signature is verified with the public key before anyone gets it.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Key, SecretsHandler, Signature, Signer, SSlibKey

from edgeinfer.errors import EdgeInferError, RepositoryError

FILE, PROGRAM = "file", "exec"
_PATIENCE_S = 60.0
_SHOWN = 200


class ProgramSigner(Signer):
    """Has a program sign, which is started without a shell.

    Args:
        command: The program and its arguments, quoted as a shell reads them.
        public_key: What verifies its signatures.
        folder: Where it runs; a relative path to it counts from here.
        patience_s: How long it may take.
    """

    def __init__(
        self, command: str, public_key: Key, folder: Path | None = None, patience_s: float = _PATIENCE_S
    ) -> None:
        self._command, self._public_key = shlex.split(command), public_key
        self._folder, self._patience_s = folder, patience_s
        if not self._command:
            raise RepositoryError("a program that signs", found=repr(command), expected="exec:COMMAND")

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,  # noqa: ARG003 - the program asks for its own secrets
    ) -> ProgramSigner:
        """Return the signer of a URI `exec:COMMAND`."""
        return cls(priv_key_uri.removeprefix(f"{PROGRAM}:"), public_key)

    @property
    def public_key(self) -> Key:
        """What verifies its signatures."""
        return self._public_key

    def sign(self, payload: bytes) -> Signature:
        """Return the program's signature of `payload`.

        Raises:
            RepositoryError: It cannot be started, fails, takes too long, or answers no hex digits.
        """
        what = f"the program {self._command[0]} that signs"
        try:
            done = subprocess.run(  # noqa: S603 - it is what the key's owner wrote down, and there is no shell
                self._command,
                input=payload,
                capture_output=True,
                timeout=self._patience_s,
                check=False,
                cwd=self._folder,
            )
        except subprocess.TimeoutExpired:
            raise RepositoryError(
                f"{what} took too long", expected=f"{self._patience_s:g} s at most"
            ) from None
        except OSError as error:
            raise RepositoryError(
                f"{what} cannot be started ({error.strerror or error})", next_step="check the key's URI"
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-_SHOWN:]
            raise RepositoryError(
                f"{what} failed", found=f"exit status {done.returncode}: {said or 'silence'}"
            )
        text = done.stdout.strip()
        try:
            bytes.fromhex(text.decode("ascii"))
        except ValueError:
            raise RepositoryError(what, found=repr(text[:_SHOWN]), expected="a signature in hex") from None
        return Signature(self._public_key.keyid, text.decode("ascii"))


def signer_of(uri: str, key: Key, folder: Path, secret: str) -> Signer | None:
    """Return what signs with a key, or None where its private half is not on this machine.

    Args:
        uri: Where it signs; empty for a key of which only the public half is known.
        key: Its public half.
        folder: Where its description lies.
        secret: Opens a private key that is encrypted, or is the PIN of a device.

    Raises:
        RepositoryError: The private key cannot be read, belongs to another public one, or the URI leads nowhere.
    """
    scheme, _, rest = uri.partition(":")
    if not uri:
        return None
    try:
        if scheme == FILE:
            return _from_file(folder / rest, key, secret)
        if scheme == PROGRAM:
            return ProgramSigner(rest, key, folder)
        return Signer.from_priv_key_uri(uri, key, lambda _: secret)
    except EdgeInferError:
        raise
    except Exception as error:  # each kind of signer raises what it likes
        raise RepositoryError(
            f"key {uri} cannot be used ({type(error).__name__}: {error})",
            next_step="check its URI, its file, and the passphrase",
        ) from error


def _from_file(path: Path, key: Key, secret: str) -> Signer | None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not path.exists():
        return None
    data = path.read_bytes()
    password = secret.encode() if b"ENCRYPTED" in data else None
    assert isinstance(key, SSlibKey), "the key was read by Keys"
    return CryptoSigner(load_pem_private_key(data, password), key)


def signature_of(signer: Signer, payload: bytes) -> Signature:
    """Return a signature that its public key verifies.

    Raises:
        RepositoryError: The signer failed, or signed with another key.
    """
    try:
        made = signer.sign(payload)
        signer.public_key.verify_signature(made, payload)
    except EdgeInferError:
        raise
    except Exception as error:  # each kind of signer raises what it likes
        raise RepositoryError(
            f"key {signer.public_key.keyid[:12]} gave no signature that its public key verifies",
            found=f"{type(error).__name__}: {error}",
            next_step="check what its URI leads to",
        ) from error
    return made

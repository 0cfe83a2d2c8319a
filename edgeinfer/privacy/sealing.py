"""Sealing: what waits on a device can be read with the app's key alone.

AES-256-GCM (NIST SP 800-38D) of the `cryptography` package, with a random 96-bit nonce a message: fit for 2^32
messages a key (section 8.3), which no queue here comes near.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.importing import imported

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Sealer:
    """Seals and opens with one key.

    Attributes:
        key_id: Tells keys apart without telling anything of them.

    Args:
        key: 32 random bytes that the app keeps, in the platform's key store for instance.

    Raises:
        PolicyError: It is no such key, or `cryptography` is not installed.
    """

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
            found = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise PolicyError(
                "the key of the queue",
                found=found,
                expected="32 random bytes",
                next_step="secrets.token_bytes(32)",
            )
        try:
            library: Any = imported("cryptography.hazmat.primitives.ciphers.aead")
        except ImportError as error:
            raise PolicyError(
                "cases that wait are sealed with the package cryptography, which is not installed",
                next_step="pip install 'edgeinfer[cloud]'",
            ) from error
        self._cipher = library.AESGCM(key)
        self.key_id = hashlib.sha256(b"edgeinfer key id\0" + key).hexdigest()[:16]

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """Return bytes that only `open` with the same key and the same `about` turns back."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + bytes(self._cipher.encrypt(nonce, plain, about))

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            StoreError: It was sealed with another key, belongs elsewhere, or was changed.
        """
        invalid: Any = imported("cryptography.exceptions").InvalidTag
        try:
            return bytes(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about))
        except (invalid, ValueError) as error:
            raise StoreError("a sealed case cannot be opened: another key, or it was changed") from error

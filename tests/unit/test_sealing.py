"""Sealing: one key and one place open what was sealed, and nothing tells of what is in it."""

from __future__ import annotations

import copy
import hashlib
import sys

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.errors import PolicyError, StoreError
from edgeinfer.privacy import Sealer

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PLAIN, ABOUT = b"a picture of the user's kitchen", b"case 1 of bundle b"


@given(plain=st.binary(max_size=300), about=st.binary(max_size=50), key=st.binary(min_size=32, max_size=32))
def test_what_was_sealed_opens_with_its_key(plain, about, key):
    sealed = Sealer(key).seal(plain, about)
    assert Sealer(key).open(sealed, about) == plain
    # A random nonce of 12 bytes and GCM's tag of 16, and no byte more.
    assert len(sealed) == len(plain) + 28


def test_a_megabyte_comes_back():
    plain = bytes(range(256)) * 4096
    assert Sealer(KEY).open(Sealer(KEY).seal(plain, b""), b"") == plain


def test_it_is_aes_gcm_as_anybody_else_computes_it():
    sealed = Sealer(KEY).seal(PLAIN, ABOUT)
    assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], ABOUT) == PLAIN
    nonce = b"twelve bytes"
    assert Sealer(KEY).open(nonce + AESGCM(KEY).encrypt(nonce, PLAIN, ABOUT), ABOUT) == PLAIN


@pytest.mark.parametrize(
    ("key", "about"),
    [(OTHER, ABOUT), (KEY[::-1], ABOUT), (KEY, b"case 2 of bundle b"), (KEY, b""), (KEY, ABOUT + b"\0")],
)
def test_another_key_or_another_place_opens_nothing(key, about):
    sealed = Sealer(KEY).seal(PLAIN, ABOUT)
    with pytest.raises(StoreError, match="cannot be opened"):
        Sealer(key).open(sealed, about)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_anywhere_opens_nothing(bit):
    sealed = Sealer(KEY).seal(PLAIN, ABOUT)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << bit
        with pytest.raises(StoreError):
            Sealer(KEY).open(bytes(changed), ABOUT)


def test_what_was_cut_off_or_grew_opens_nothing():
    sealed = Sealer(KEY).seal(PLAIN, ABOUT)
    for changed in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0", b"\0" + sealed]:
        with pytest.raises(StoreError):
            Sealer(KEY).open(changed, ABOUT)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27, 28, 1000])
def test_bytes_that_were_never_sealed_open_nothing(length):
    with pytest.raises(StoreError):
        Sealer(KEY).open(bytes(length), ABOUT)


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (b"", "0 bytes"),
        (bytes(16), "16 bytes"),
        (bytes(24), "24 bytes"),
        (bytes(31), "31 bytes"),
        (bytes(33), "33 bytes"),
        ("k" * 32, "str"),
        (bytearray(32), "bytearray"),
        (None, "NoneType"),
        (32, "int"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_told(key, found):
    with pytest.raises(PolicyError, match="the key of the queue") as error:
        Sealer(key)
    assert (error.value.found, error.value.expected) == (found, "32 random bytes")
    assert "kkkk" not in str(error.value)


def test_equal_contents_are_sealed_differently_each_time():
    sealer = Sealer(KEY)
    sealed = [sealer.seal(PLAIN, ABOUT) for _ in range(500)]
    assert len({each[:12] for each in sealed}) == 500
    assert len({each[12:] for each in sealed}) == 500


def test_neither_the_content_nor_the_key_nor_the_place_is_in_what_was_sealed():
    plain = b"".join(hashlib.sha256(bytes([at])).digest() for at in range(20))
    sealed = Sealer(KEY).seal(plain, ABOUT)
    assert not [at for at in range(len(plain) - 4) if plain[at : at + 4] in sealed]
    assert not [at for at in range(len(KEY) - 4) if KEY[at : at + 4] in sealed]
    assert ABOUT not in sealed


def test_keys_are_told_apart_by_what_tells_nothing_of_them():
    assert Sealer(KEY).key_id == Sealer(bytes(KEY)).key_id
    assert Sealer(KEY).key_id != Sealer(OTHER).key_id
    # What a list of likely keys would be searched for.
    plain_digests = [hashlib.new(name, KEY).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]
    assert not any(each.startswith(Sealer(KEY).key_id) for each in [KEY.hex(), *plain_digests])


def test_a_sealer_does_not_show_its_key():
    sealer = Sealer(KEY)
    assert KEY not in vars(sealer).values()
    assert KEY.hex() not in repr(vars(sealer))
    assert "\\x05\\x06" not in repr(sealer) + repr(vars(copy.copy(sealer)))


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(PolicyError, match="not installed") as error:
        Sealer(KEY)
    assert error.value.next_step == "pip install 'edgeinfer[cloud]'"

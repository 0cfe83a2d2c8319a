"""Records kept from one start to the next: what is damaged, foreign or hostile is as good as none."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import make_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgeinfer.bundle
from edgeinfer.bundle import Blob, TensorBlob
from edgeinfer.host import keep, keeping, kept

VALUE = TensorBlob(Blob("ab", 3), "float32", (1, 2))


@pytest.fixture
def file(tmp_path):
    keep(str(tmp_path), "things", "key", {"a": (VALUE, None, 0.5)})
    (found,) = (tmp_path / "things").iterdir()
    return found


def get(file):
    return kept(str(file.parent.parent), "things", "key")


def test_what_is_kept_comes_back(file):
    assert get(file) == {"a": (VALUE, None, 0.5)}
    assert kept(str(file.parent.parent), "things", "another key") is None
    assert kept(str(file.parent.parent), "other things", "key") is None


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_changed_bit_makes_it_none(tmp_path_factory, at, bit):
    folder = tmp_path_factory.getbasetemp() / "bits"
    keep(str(folder), "things", "key", {"a": VALUE})
    (file,) = (folder / "things").iterdir()
    data = bytearray(file.read_bytes())
    data[int(at * len(data))] ^= 1 << bit
    file.write_bytes(bytes(data))
    assert get(file) is None


def test_a_file_of_another_key_is_none(file):
    keep(str(file.parent.parent), "things", "another", 1)
    (other,) = set(file.parent.iterdir()) - {file}
    file.write_bytes(other.read_bytes())
    assert get(file) is None


class Runs:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("made",)


class Imports:
    """Unpickled, it is a class that is no record of ours."""

    def __reduce__(self):
        return type(make_dataclass("Foreign", ["a"])), ()


@pytest.mark.parametrize("hostile", [Runs(), Imports(), pickle.Unpickler, edgeinfer.bundle.open_bundle])
def test_nothing_but_records_is_made_whatever_the_digest_says(file, hostile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"a": hostile})
    digest = hashlib.sha256(b"key\0" + data).digest()
    file.write_bytes(keeping._MARK + digest + data)
    assert get(file) is None
    assert not (tmp_path / "made").exists()


def test_a_record_that_has_other_fields_by_now_is_none(file, monkeypatch):
    monkeypatch.setattr(Blob, "__dataclass_fields__", {**Blob.__dataclass_fields__, "more": None})
    assert get(file) is None


def test_only_so_many_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "_MOST_RECORDS", 3)
    for at in range(5):
        keep(str(tmp_path), "things", str(at), at)
    assert len(list((tmp_path / "things").iterdir())) == 3
    assert kept(str(tmp_path), "things", "4") == 4

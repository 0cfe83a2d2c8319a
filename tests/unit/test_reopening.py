"""A bundle opened again: from what was kept while it is the same, in full as soon as it is not."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

import edgeinfer as ei
from edgeinfer.bundle import keep_opened, open_bundle, reopen
from edgeinfer.testing import write_sample_bundle

MODELS = Path(__file__).parents[2] / "sample_apps/models"


@pytest.fixture(params=["file", "folder"])
def bundle(request, tmp_path):
    return write_sample_bundle(tmp_path / "bundle", form=request.param)


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


def opened(bundle, cache):
    """What a start opens, and what the one after it does."""
    first = open_bundle(bundle)
    keep_opened(first, cache)
    return first, reopen(bundle, cache)


def test_it_is_the_same_bundle(bundle, cache):
    first, again = opened(bundle, cache)
    assert again.manifest == first.manifest
    assert (again.digest, again.manifest_bytes, again.path) == (first.digest, first.manifest_bytes, bundle)
    assert again.verify() == len(first.manifest.blobs())


def test_nothing_was_kept_of_another(bundle, cache, tmp_path):
    opened(bundle, cache)
    assert reopen(tmp_path / "another.eib", cache) is None
    assert reopen(None, cache) is None
    assert reopen(bundle, str(tmp_path / "another cache")) is None


def test_another_manifest_is_read_in_full(cache, sample):
    opened(sample, cache)
    data = sample.read_bytes()
    at = data.index(b'"name": "') + len(b'"name": "')
    sample.write_bytes(data[:at] + b"X" + data[at + 1 :])
    assert reopen(sample, cache) is None
    with pytest.raises(ei.BundleError, match="damaged"):
        ei.load(sample)


def test_entries_at_other_places_are_read_in_full(cache, sample):
    opened(sample, cache)
    with zipfile.ZipFile(sample) as archive:
        entries = {info: archive.read(info) for info in reversed(archive.infolist())}
    with zipfile.ZipFile(sample, "w") as archive:
        for info, content in entries.items():
            archive.writestr(info.filename, content)
    assert reopen(sample, cache) is None
    with open_bundle(sample) as whole:
        assert whole.verify()


def test_one_that_was_cut_or_is_gone_is_read_in_full(bundle, cache):
    opened(bundle, cache)
    if bundle.is_dir():
        shutil.rmtree(bundle)
    else:
        bundle.write_bytes(bundle.read_bytes()[:40])
    assert reopen(bundle, cache) is None


def test_a_changed_blob_never_reaches_anyone(bundle, cache):
    first, again = opened(bundle, cache)
    blob = first.manifest.variants[0].blob
    if bundle.is_dir():
        place, start = bundle / "blobs/sha256" / blob.sha256, 0
    else:
        place, start = bundle, first.container.places()[f"blobs/sha256/{blob.sha256}"][0]
    data = bytearray(place.read_bytes())
    data[start] ^= 1
    place.write_bytes(bytes(data))
    with pytest.raises(ei.DigestError, match="was changed"):
        again.read(blob)


def test_places_are_those_that_the_zip_module_reads(sample):
    with open_bundle(sample) as bundle, zipfile.ZipFile(sample) as archive:
        data, places = sample.read_bytes(), bundle.container.places()
        assert set(places) == set(archive.namelist())
        for name, (at, size) in places.items():
            assert data[at : at + size] == archive.read(name)


def test_an_unwritable_cache_costs_no_answer(sample, tmp_path):
    (tmp_path / "file").write_text("no folder")
    first, again = opened(sample, str(tmp_path / "file"))
    assert again is None
    assert first.manifest.name


def test_a_bundle_written_anew_at_the_same_path_is_the_new_one(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.eib"
    for name in ("digits", "spoken-digits", "digits"):
        shutil.copy(MODELS / f"{name}.eib", path)
        for _ in range(2):
            assert ei.load(path, engine="litert", measure=False).manifest.name == name

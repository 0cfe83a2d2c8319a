from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.bundle import Blob, BlobSet, open_bundle, write_bundle
from edgeinfer.errors import BundleError, DigestError, ManifestError
from edgeinfer.testing import DAMAGES, damage, sample_manifest, write_sample_bundle


@pytest.mark.parametrize("form", ["file", "folder"])
def test_what_was_written_is_read(tmp_path, form):
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    digest = write_bundle(tmp_path / "b", manifest, blobs, form=form)
    with open_bundle(tmp_path / "b") as bundle:
        assert bundle.manifest == manifest
        assert bundle.digest == digest == hashlib.sha256(bundle.manifest_bytes).hexdigest()
        assert bundle.verify() == len(manifest.blobs())
        assert bundle.read(manifest.variants[0].blob) == b"a int8 model"


def test_both_forms_are_the_same_bundle_and_the_file_is_the_same_bytes_each_time(tmp_path):
    first = write_sample_bundle(tmp_path / "a.eib")
    second = write_sample_bundle(tmp_path / "b.eib")
    folder = write_sample_bundle(tmp_path / "folder", "folder")
    assert first.read_bytes() == second.read_bytes()
    with open_bundle(first) as one, open_bundle(folder) as other:
        assert one.digest == other.digest


def test_the_file_begins_with_the_manifest_and_stores_everything(sample):
    with zipfile.ZipFile(sample) as archive:
        assert archive.namelist()[0] == "manifest.json"
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("how", DAMAGES)
def test_every_damage_is_noticed(sample, tmp_path, how):
    broken = damage(sample, how, tmp_path / "broken.eib")
    with pytest.raises(BundleError) as caught, open_bundle(broken) as bundle:
        bundle.verify()
    assert "\n" not in str(caught.value)
    assert not (tmp_path.parent / "climbed").exists()


@pytest.mark.parametrize("change", ["flip", "grow", "shrink", "remove"])
def test_every_damage_to_a_folder_is_noticed(tmp_path, change):
    folder = write_sample_bundle(tmp_path / "b", "folder")
    blob = sorted((folder / "blobs/sha256").iterdir())[0]
    data = blob.read_bytes()
    changed = {"flip": bytes([data[0] ^ 1]) + data[1:], "grow": data + b"x", "shrink": data[:-1]}
    if change == "remove":
        blob.unlink()
    else:
        blob.write_bytes(changed[change])
    with open_bundle(folder) as bundle, pytest.raises(BundleError):
        bundle.verify()


def test_a_folder_may_hold_blobs_of_others(tmp_path):
    folder = write_sample_bundle(tmp_path / "b", "folder")
    (folder / "blobs/sha256" / ("0" * 64)).write_bytes(b"another bundle's")
    with open_bundle(folder) as bundle:
        assert bundle.verify() > 0


def test_a_path_without_a_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match="nothing there; check the path"):
        open_bundle(tmp_path / "none.eib")
    with pytest.raises(ManifestError, match=r"no manifest\.json in it"):
        open_bundle(tmp_path)


def test_a_copy_appears_only_when_it_is_verified(sample, tmp_path):
    with open_bundle(sample) as bundle:
        blob = bundle.manifest.variants[0].blob
        bundle.copy(blob, tmp_path / "model")
        assert (tmp_path / "model").read_bytes() == b"a int8 model"
    broken = damage(sample, "a bit of a blob flipped", tmp_path / "broken.eib")
    with open_bundle(broken) as bundle, pytest.raises(DigestError):
        bundle.copy(blob, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not list(tmp_path.glob(".*.partial"))


def test_a_source_that_changes_while_packing_is_noticed(tmp_path):
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    model = tmp_path / "model"
    model.write_bytes(b"first")
    variant = replace(manifest.variants[0], blob=blobs.add(model))
    model.write_bytes(b"other")
    with pytest.raises(DigestError, match="changed while it was packed"):
        write_bundle(tmp_path / "b.eib", replace(manifest, variants=(variant,)), blobs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_manifest_that_names_what_was_not_added_is_refused(tmp_path):
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    variant = replace(manifest.variants[0], blob=Blob("0" * 64, 3))
    with pytest.raises(BundleError, match="was not added"):
        write_bundle(tmp_path / "b.eib", replace(manifest, variants=(variant,)), blobs)


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("keep")
    with pytest.raises(BundleError, match="not an empty folder"):
        write_sample_bundle(tmp_path / "b", "folder")
    assert (tmp_path / "b" / "mine").read_text() == "keep"


_FULL_DISK = """
import resource, sys
from pathlib import Path
from edgeinfer.errors import BundleError
from edgeinfer.testing import write_sample_bundle
# The kernel refuses every byte of a file beyond this, as a full disk does.
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_sample_bundle(Path(sys.argv[1]), sys.argv[3])
except BundleError as error:
    print(error)
"""


@pytest.mark.parametrize("form", ["file", "folder"])
@pytest.mark.parametrize("room", [0, 100, 4000])
def test_a_full_disk_leaves_the_old_bundle_and_nothing_else(tmp_path, room, form):
    target = tmp_path / "b.eib"
    before = write_sample_bundle(target).read_bytes() if form == "file" else None
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(target), str(room), form],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
    assert "free space" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == (["b.eib"] if before else [])
    if before:
        assert target.read_bytes() == before


def test_blobs_are_streamed(tmp_path):
    """Packing and verifying 200 MB takes far less memory than that."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(200_000_000)
    code = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from edgeinfer.bundle import BlobSet, open_bundle, write_bundle
from edgeinfer.testing import sample_manifest
blobs = BlobSet(); manifest = sample_manifest(blobs)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = Path(sys.argv[1])
variant = replace(manifest.variants[0], blob=blobs.add(folder / "big"))
write_bundle(folder / "b.eib", replace(manifest, variants=(variant,)), blobs)
with open_bundle(folder / "b.eib") as bundle:
    bundle.verify()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16_000, "KiB"


def test_the_manifest_is_plain_json_under_its_names(sample):
    with open_bundle(sample) as bundle:
        value = json.loads(bundle.manifest_bytes)
    assert (value["format"], value["schema_version"], value["name"]) == ("edgeinfer-bundle", 1, "sample")
    assert "latency" not in value["variants"][0], "None is absence"


def test_fields_of_a_newer_writer_are_ignored(sample, tmp_path):
    with zipfile.ZipFile(sample) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries["manifest.json"])
    manifest["invented_later"] = {"any": ["thing"]}
    entries["manifest.json"] = json.dumps(manifest).encode()
    newer = tmp_path / "newer.eib"
    with zipfile.ZipFile(newer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with open_bundle(newer) as bundle:
        assert bundle.manifest.name == "sample"


def test_a_path_given_as_text_works(sample):
    with open_bundle(str(sample)) as bundle:
        assert bundle.path == Path(sample)

"""What `edgeinfer inspect` shows of what held-out data said."""

from __future__ import annotations

from dataclasses import replace

from click.testing import CliRunner

from edgeinfer.bundle import BlobSet, Document, write_bundle
from edgeinfer.cli.inspect import inspect
from edgeinfer.errors import BundleError
from edgeinfer.testing import damage, sample_manifest


def test_drift_classes_and_cascade_are_shown(sample):
    shown = CliRunner().invoke(inspect, [str(sample)]).output
    for line in (
        "drift       5 features of 50 validation items, by fake-int8",
        "image.brightness  mean of image",
        "element 0 of image",
        "projection of logits",
        "classes     2 measured on 50 validation items, by fake-int8; the weakest:",
        "dark: 88.0% (76.0-94.0) of 50, 5 taken for light",
        "0.9 *  88.0% (76.0-94.0)  88.0% (76.0-94.0)  -",
        "* recommended: a sample",
    ):
        assert line in shown


def test_a_damaged_confusion_matrix_is_no_traceback(sample, tmp_path):
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    assert manifest.confusion is not None
    digest = manifest.confusion.counts.blob.sha256
    whole = tmp_path / "b"
    write_bundle(whole, manifest, blobs, form="folder")
    (whole / "blobs/sha256" / digest).write_bytes(bytes(16))
    done = CliRunner().invoke(inspect, [str(whole)])
    assert isinstance(done.exception, BundleError)
    damage(sample, "counts that do not add up", tmp_path / "c.eib")
    done = CliRunner().invoke(inspect, [str(tmp_path / "c.eib")])
    assert "drift.image.brightness.counts: expected 50, found a sum of 6" in str(done.exception)


def test_the_card_is_printed_or_missed(tmp_path, sample):
    done = CliRunner().invoke(inspect, ["--card", str(sample)])
    assert done.exit_code == 1
    assert "holds no model-card.md; its documents: report.md" in done.output
    assert CliRunner().invoke(inspect, ["--report", str(sample)]).output == "# sample\n"
    blobs = BlobSet()
    manifest = sample_manifest(blobs)
    card = {"model-card.md": Document(blobs.add(b"# card\n"), "text/markdown")}
    write_bundle(tmp_path / "c.eib", replace(manifest, documents={**manifest.documents, **card}), blobs)
    assert CliRunner().invoke(inspect, ["--card", str(tmp_path / "c.eib")]).output == "# card\n"

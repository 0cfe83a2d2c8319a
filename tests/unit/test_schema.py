from __future__ import annotations

import json
import zipfile

import jsonschema
import pytest

from edgeinfer.bundle import BlobSet, encode, parse_manifest
from edgeinfer.bundle.schema import PATH, manifest_schema, schema_text
from edgeinfer.errors import ManifestError
from edgeinfer.testing import damage, sample_manifest

VALIDATOR = jsonschema.Draft202012Validator(manifest_schema())
# Damages of the manifest's form; the others are of the file, or of rules between fields.
_OF_FORM = (
    "a manifest that is a list",
    "another format",
    "an unknown version",
    "a version that is true",
    "a field missing",
    "a number where text belongs",
    "text where a number belongs",
    "a digest that is no digest",
    "a size of -1",
    "an unknown step",
    "no variants",
)


def test_the_shipped_file_is_what_the_dataclasses_say():
    assert PATH.read_text() == schema_text(), "run: python -m edgeinfer.bundle.schema"


def test_the_schema_is_a_schema_and_takes_a_manifest():
    jsonschema.Draft202012Validator.check_schema(manifest_schema())
    VALIDATOR.validate(json.loads(json.dumps(encode(sample_manifest(BlobSet())))))


def test_every_table_is_described():
    for name, definition in manifest_schema()["$defs"].items():
        assert definition["description"], name


@pytest.mark.parametrize("how", _OF_FORM)
def test_schema_and_reader_refuse_the_same_manifests(sample, tmp_path, how):
    with zipfile.ZipFile(damage(sample, how, tmp_path / "broken.eib")) as archive:
        data = archive.read("manifest.json")
    assert not VALIDATOR.is_valid(json.loads(data))
    with pytest.raises(ManifestError):
        parse_manifest(data)

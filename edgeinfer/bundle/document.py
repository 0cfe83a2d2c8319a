"""The manifest's JSON text: strict reading, deterministic writing."""

from __future__ import annotations

import json

from edgeinfer.bundle.canonical import unique_keys
from edgeinfer.bundle.codec import decode, encode
from edgeinfer.bundle.containers import GET_ANOTHER, MAX_MANIFEST_BYTES
from edgeinfer.bundle.manifest import FORMAT, SCHEMA_VERSION, Manifest
from edgeinfer.bundle.rules import check_manifest
from edgeinfer.errors import ManifestError


def parse_manifest(data: bytes) -> Manifest:
    """Read `manifest.json`.

    Raises:
        ManifestError: Anything about it is not as this module's invariants say.
    """
    value = _parse_json(data)
    if not isinstance(value, dict):
        raise ManifestError("manifest.json", found=type(value).__name__, expected="a JSON object")
    if value.get("format") != FORMAT:
        raise ManifestError(
            "manifest.format",
            found=repr(value.get("format")),
            expected=repr(FORMAT),
            next_step="not an edgeinfer bundle",
        )
    version = value.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ManifestError(
            "manifest.schema_version",
            found=repr(version),
            expected=SCHEMA_VERSION,
            next_step="upgrade edgeinfer, or repack the bundle with this version",
        )
    manifest = decode(Manifest, value, where="manifest")
    check_manifest(manifest)
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write a manifest: UTF-8 JSON, two spaces of indent, keys sorted, one newline at the end.

    Raises:
        ManifestError: It breaks a rule that a reader would refuse it for.
    """
    check_manifest(manifest)
    text = json.dumps(encode(manifest), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    data = (text + "\n").encode()
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(
            "manifest.json", found=f"{len(data)} bytes", expected=f"at most {MAX_MANIFEST_BYTES}"
        )
    return data


def _parse_json(data: bytes) -> object:
    def no_constants(name: str) -> object:
        raise ValueError(f"{name} is not a JSON number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique_keys, parse_constant=no_constants)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"manifest.json is not valid JSON ({error})", next_step=GET_ANOTHER) from None

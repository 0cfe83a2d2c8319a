"""Ways to break a bundle file that a reader must notice."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Entries = dict[str, bytes]
_ZEROS = 64 * 1024 * 1024


def damage(path: str | Path, how: str, target: str | Path) -> Path:
    """Write a damaged copy of a bundle file to `target` and return it.

    Args:
        path: A whole bundle in one file.
        how: A key of `DAMAGES`.
        target: Where the copy goes.
    """
    target = Path(target)
    DAMAGES[how](Path(path), target)
    return target


def _cut(path: Path, target: Path) -> None:
    data = path.read_bytes()
    target.write_bytes(data[: len(data) // 2])


def _empty(_: Path, target: Path) -> None:
    target.write_bytes(b"")


def _other_file(_: Path, target: Path) -> None:
    target.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def _entries(path: Path) -> Entries:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(entries: Entries, target: Path, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def _blobs(entries: Entries) -> list[str]:
    return [name for name in entries if name.startswith("blobs/")]


def _blob_swapped(path: Path, target: Path) -> None:
    entries = _entries(path)
    first, second = _blobs(entries)[:2]
    entries[first], entries[second] = entries[second], entries[first]
    _write(entries, target)


def _blob_changed(path: Path, target: Path) -> None:
    entries = _entries(path)
    name = _blobs(entries)[0]
    data = entries[name]
    entries[name] = bytes([data[0] ^ 1]) + data[1:]
    _write(entries, target)


def _blob_longer(path: Path, target: Path) -> None:
    entries = _entries(path)
    entries[_blobs(entries)[0]] += bytes(_ZEROS)
    _write(entries, target)


def _blob_missing(path: Path, target: Path) -> None:
    entries = _entries(path)
    del entries[_blobs(entries)[0]]
    _write(entries, target)


def _bomb(path: Path, target: Path) -> None:
    entries = _entries(path)
    entries[_blobs(entries)[0]] = bytes(_ZEROS)
    _write(entries, target, zipfile.ZIP_DEFLATED)


def _climbing_path(path: Path, target: Path) -> None:
    _write({**_entries(path), "blobs/sha256/../../../climbed": b"x"}, target)


def _absolute_path(path: Path, target: Path) -> None:
    _write({**_entries(path), "/tmp/climbed": b"x"}, target)  # noqa: S108 - never written to


def _stranger(path: Path, target: Path) -> None:
    _write({**_entries(path), "blobs/sha256/" + "0" * 64: b"x"}, target)


def _no_manifest(path: Path, target: Path) -> None:
    entries = _entries(path)
    del entries["manifest.json"]
    _write(entries, target)


def _huge_manifest(path: Path, target: Path) -> None:
    _write({**_entries(path), "manifest.json": b" " * (5 * 1024 * 1024)}, target)


def _manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Path, Path], None]:
    def apply(path: Path, target: Path) -> None:
        entries = _entries(path)
        manifest = json.loads(entries["manifest.json"])
        change(manifest)
        entries["manifest.json"] = json.dumps(manifest).encode()
        _write(entries, target)

    return apply


def _set(*place: Any, to: object) -> Callable[[Path, Path], None]:
    def change(manifest: dict[str, Any]) -> None:
        value: Any = manifest
        for key in place[:-1]:
            value = value[key]
        value[place[-1]] = to

    return _manifest(change)


def _text(data: bytes) -> Callable[[Path, Path], None]:
    return lambda path, target: _write({**_entries(path), "manifest.json": data}, target)


_SHARE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 50, "split": "validation"}
# Name of the damage, and what writes a copy of the first path with it to the second.
DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "cut in half": _cut,
    "empty": _empty,
    "another kind of file": _other_file,
    "two blobs swapped": _blob_swapped,
    "a bit of a blob flipped": _blob_changed,
    "a blob longer than stated": _blob_longer,
    "a blob missing": _blob_missing,
    "a compressed blob that unpacks to 64 MiB": _bomb,
    "a path that climbs out": _climbing_path,
    "an absolute path": _absolute_path,
    "a blob that the manifest does not name": _stranger,
    "no manifest": _no_manifest,
    "a manifest of 5 MiB": _huge_manifest,
    "a manifest that is no JSON": _text(b"{"),
    "a manifest that is no UTF-8": _text(b'{"format": "\xff"}'),
    "a manifest that is a list": _text(b"[]"),
    "a manifest with a key twice": _text(b'{"format": "edgeinfer-bundle", "format": "edgeinfer-bundle"}'),
    "a manifest nested too deep": _text(b"[" * 200_000),
    "another format": _set("format", to="tarball"),
    "an unknown version": _set("schema_version", to=99),
    "a version that is true": _set("schema_version", to=True),
    "a field missing": _manifest(lambda manifest: manifest.pop("variants")),
    "a number where text belongs": _set("name", to=7),
    "text where a number belongs": _set("variants", 0, "blob", "size", to="7"),
    "a digest that is no digest": _set("variants", 0, "blob", "sha256", to="../../etc/passwd"),
    "a size of -1": _set("variants", 0, "blob", "size", to=-1),
    "an unknown step": _set("inputs", 0, "preprocess", 0, "op", to="sharpen"),
    "steps that do not match their digest": _set("inputs", 0, "preprocess", 2, "factor", to=1.0),
    "a number beyond every type": _set("inputs", 0, "preprocess", 0, "max_pixels", to=10**400),
    "a fill that is no grey level": _set("inputs", 0, "preprocess", 1, "fill", to=300),
    "half of a surrogate pair": _set("version", to="\ud800"),
    "a label that steers the terminal": _set("outputs", 0, "labels", 0, to="\x1b[2J"),
    "a runtime version that is no version": _set("variants", 0, "requires", to={"fake-engine": "9" * 5000}),
    "a temperature that overflows": _set("outputs", 0, "postprocess", 0, "temperature", to=5e-324),
    "a binding of another shape": _set("variants", 0, "outputs", "logits", "shape", to=["batch", 3]),
    "a binding of another type": _set("variants", 0, "inputs", "image", "dtype", to="int64"),
    "a binding that moves the batch": _set("variants", 0, "outputs", "logits", "permute", to=[1, 0]),
    "an input of another shape than its steps make": _set("inputs", 0, "shape", to=["batch", 1, 5, 4]),
    "an input with a fixed batch": _set("inputs", 0, "shape", to=[1, 1, 4, 4]),
    "labels chosen before probabilities": _set(
        "outputs", 0, "postprocess", to=[{"op": "top_k", "k": 1}, {"op": "softmax"}]
    ),
    "boxes in an output that is not there": _set(
        "outputs",
        0,
        "postprocess",
        to=[
            {"op": "boxes", "output": "none"},
            {"op": "score_threshold", "least": 0.5},
            {"op": "non_maximum_suppression", "iou": 0.5},
        ],
    ),
    "no variants": _set("variants", to=[]),
    "two variants of one id": _set("variants", 1, "id", to="fake-int8"),
    "labels that are too few": _set("outputs", 0, "labels", to=["one"]),
    "a variant bound to another input": _set("variants", 0, "inputs", to={}),
    "golden outputs without golden inputs": _manifest(lambda manifest: manifest.pop("golden")),
    "a drift reference from training data": _set("drift", "split", to="train"),
    "a drift reference of no variant": _set("drift", "variant", to="fake-int4"),
    "counts that do not add up": _set("drift", "features", 0, "counts", to=[1, 2, 3]),
    "more symbols than a report may hold": _set("drift", "features", 0, "counts", to=[1] * 11),
    "edges out of order": _set("drift", "features", 0, "edges", to=[0.25, -0.25]),
    "an edge too many": _set("drift", "features", 1, "edges", to=[0.0, 1.0]),
    "a statistic of no input": _set("drift", "features", 0, "measure", "input", to="sound"),
    "a statistic that nobody knows": _set("drift", "features", 0, "measure", "statistic", to="mood"),
    "an element beyond the item": _set("drift", "features", 1, "measure", "index", to=16),
    "an index where none belongs": _set("drift", "features", 0, "measure", "index", to=0),
    "a class without a symbol": _set("drift", "features", 2, "groups", to=[0, 0]),
    "a direction of another length": _set("drift", "features", 4, "measure", "direction", to=[1.0]),
    "a confusion matrix of another shape": _set("confusion", "counts", "shape", to=[4, 1]),
    "a class that the model does not name": _set("confusion", "per_class", "grey", to=_SHARE),
    "a cascade without calibration": _manifest(lambda manifest: manifest.pop("calibration")),
    "thresholds out of order": _set("cascade", "points", 0, "threshold", to=0.95),
    "a recommended threshold that is not listed": _set("cascade", "recommended", to=0.7),
    "a golden tensor of another shape": _set("golden", "inputs", "image", "shape", to=[2, 1, 4, 5]),
}

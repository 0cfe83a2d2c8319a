"""The manifest's JSON text: strict reading, deterministic writing, and the rules between fields.

Invariants of what `parse_manifest` returns:
* every field has its declared type, every number is finite, no key occurs twice;
* every digest is 64 lower-case hex digits, every size is not negative, and equal digests have equal sizes;
* every variant binds exactly the manifest's inputs and outputs, with as many axes as they have;
* the preprocessing steps stand in an order that can be executed and their digest is the stated one;
* golden tensors fit the tensors that they stand for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

from edgeinfer.bundle.codec import MANIFEST, decode, encode
from edgeinfer.bundle.manifest import (
    FORMAT,
    SCHEMA_VERSION,
    Binding,
    Golden,
    Input,
    Manifest,
    Output,
    TensorBlob,
    Variant,
)
from edgeinfer.bundle.steps import (
    CenterCrop,
    Decode,
    Layout,
    Normalize,
    PreprocessStep,
    Resize,
    Scale,
    steps_digest,
)
from edgeinfer.errors import ManifestError

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_WIDTHS = {
    "float32": 4,
    "float16": 2,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "bool": 1,
}
HEX_PATTERN = "[0-9a-f]{64}"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_HEX, _NAME = re.compile(HEX_PATTERN), re.compile(NAME_PATTERN)
# Steps may be left out, but those that are there keep this order.
_STAGE: dict[type, int] = {Decode: 0, Resize: 1, CenterCrop: 1, Scale: 2, Normalize: 3, Layout: 4}


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
    def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a key occurs twice in one object")
        return result

    def no_constants(name: str) -> object:
        raise ValueError(f"{name} is not a JSON number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=no_constants)
    except (ValueError, RecursionError) as error:
        raise ManifestError(
            f"manifest.json is not valid JSON ({error})", next_step="get the bundle again or repack it"
        ) from None


def check_manifest(manifest: Manifest) -> None:
    """Hold a manifest against the rules between its fields.

    Raises:
        ManifestError: The first rule that is broken.
    """
    _require(
        _NAME.fullmatch(manifest.name), "manifest.name", manifest.name, "letters, digits, '.', '_' or '-'"
    )
    _require(manifest.inputs, "manifest.inputs", "an empty list", "at least one input")
    _require(manifest.outputs, "manifest.outputs", "an empty list", "at least one output")
    _require(manifest.variants, "manifest.variants", "an empty list", "at least one variant")
    _unique("manifest.inputs", (each.name for each in manifest.inputs))
    _unique("manifest.outputs", (each.name for each in manifest.outputs))
    _unique("manifest.variants", (each.id for each in manifest.variants))
    for input_ in manifest.inputs:
        _check_input(input_)
    for output in manifest.outputs:
        _check_output(output)
    for variant in manifest.variants:
        _check_variant(variant, manifest)
    for name in manifest.documents:
        _require(_NAME.fullmatch(name), "manifest.documents", repr(name), "a plain file name")
    if manifest.golden:
        _check_golden(manifest.golden, manifest)
    _check_blobs(manifest)


def _check_blobs(manifest: Manifest) -> None:
    sizes: dict[str, int] = {}
    for blob in manifest._mentions():
        _require(_HEX.fullmatch(blob.sha256), "blob.sha256", repr(blob.sha256), "64 lower-case hex digits")
        _require(blob.size >= 0, f"blob {blob.sha256[:12]}", f"size {blob.size}", "a size of 0 or more")
        known = sizes.setdefault(blob.sha256, blob.size)
        _require(known == blob.size, f"blob {blob.sha256[:12]}", f"sizes {known} and {blob.size}", "one size")


def _check_shape(where: str, shape: tuple[int | str, ...]) -> None:
    _require(shape, f"{where}.shape", "no axes", "at least one axis")
    for at, axis in enumerate(shape):
        if isinstance(axis, str):
            _require(at == 0, f"{where}.shape", f"{axis!r} at axis {at}", "a free length at axis 0 alone")
        else:
            _require(axis > 0, f"{where}.shape", str(axis), "lengths above 0")


def _check_input(input_: Input) -> None:
    where = f"input {input_.name}"
    _check_shape(where, input_.shape)
    digest = steps_digest(input_.preprocess)
    _require(
        digest == input_.preprocess_digest, f"{where}.preprocess_digest", input_.preprocess_digest, digest
    )
    if input_.preprocess:
        _check_steps(where, input_.preprocess)
        _require(
            input_.dtype == "float32", f"{where}.dtype", input_.dtype, "float32 behind preprocessing steps"
        )


def _check_steps(where: str, steps: tuple[PreprocessStep, ...]) -> None:
    stages = [_STAGE[type(step)] for step in steps]
    names = ", ".join(step.op for step in steps)
    in_order = stages == sorted(stages) and all(stages.count(stage) <= 1 for stage in (0, 2, 3, 4))
    _require(
        in_order and stages[0] == 0,
        f"{where}.preprocess",
        names,
        "decode first, then resize or center_crop, scale, normalize, layout, each of the last at most once",
    )
    channels = 3 if isinstance(steps[0], Decode) and steps[0].color == "RGB" else 1
    for step in steps:
        if isinstance(step, Normalize):
            good = len(step.mean) == len(step.std) == channels and all(value > 0 for value in step.std)
            _require(good, f"{where}.normalize", f"{step}", f"{channels} means and as many std above 0")
        if isinstance(step, Resize | CenterCrop):
            good = 0 < step.height <= 16384 and 0 < step.width <= 16384
            _require(good, f"{where}.{step.op}", f"{step.height}x{step.width}", "1 to 16384 a side")


def _check_output(output: Output) -> None:
    where = f"output {output.name}"
    _check_shape(where, output.shape)
    if output.labels is not None:
        last = output.shape[-1]
        _require(len(output.labels) == last, f"{where}.labels", f"{len(output.labels)} labels", f"{last}")
    for step in output.postprocess:
        if step.op == "softmax":
            _require(step.temperature > 0, f"{where}.softmax", step.temperature, "a temperature above 0")
        else:
            _require(step.k > 0, f"{where}.top_k", step.k, "a k above 0")


def _check_variant(variant: Variant, manifest: Manifest) -> None:
    where = f"variant {variant.id}"
    _require(_NAME.fullmatch(variant.id), "variant.id", repr(variant.id), "letters, digits, '.', '_' or '-'")
    for kind, bindings, declared in (
        ("inputs", variant.inputs, {each.name: each.shape for each in manifest.inputs}),
        ("outputs", variant.outputs, {each.name: each.shape for each in manifest.outputs}),
    ):
        _require(set(bindings) == set(declared), f"{where}.{kind}", sorted(bindings), sorted(declared))
        for name, binding in bindings.items():
            _check_binding(f"{where}.{kind}.{name}", binding, len(declared[name]))
    outputs = {each.name: each.shape for each in manifest.outputs}
    for name, tensor in variant.golden_outputs.items():
        _require(name in outputs, f"{where}.golden_outputs", name, f"one of {sorted(outputs)}")
        _check_tensor(f"{where}.golden_outputs.{name}", tensor, outputs[name])
    for name, tolerance in variant.tolerances.items():
        good = tolerance.atol >= 0 and tolerance.rtol >= 0
        _require(good, f"{where}.tolerances.{name}", tolerance, "bounds of 0 or more")


def _check_binding(where: str, binding: Binding, axes: int) -> None:
    _check_shape(where, binding.shape)
    _require(len(binding.shape) == axes, f"{where}.shape", f"{len(binding.shape)} axes", axes)
    if binding.permute is not None:
        good = sorted(binding.permute) == list(range(axes))
        _require(good, f"{where}.permute", binding.permute, f"each of 0..{axes - 1} once")
    if binding.quantization is not None:
        _require(binding.quantization.scale > 0, f"{where}.scale", binding.quantization.scale, "above 0")
        good = binding.dtype in ("int8", "uint8", "int16")
        _require(good, f"{where}.dtype", binding.dtype, "int8, uint8 or int16 where it is quantized")


def _check_tensor(where: str, tensor: TensorBlob, shape: tuple[int | str, ...]) -> None:
    good = len(tensor.shape) == len(shape) and all(length > 0 for length in tensor.shape)
    good = good and all(got == want for got, want in zip(tensor.shape[1:], shape[1:], strict=True))
    _require(good, f"{where}.shape", list(tensor.shape), f"cases x {list(shape[1:])}")
    size = math.prod(tensor.shape) * _WIDTHS[tensor.dtype]
    _require(tensor.blob.size == size, f"{where}.blob.size", tensor.blob.size, size)


def _check_golden(golden: Golden, manifest: Manifest) -> None:
    declared = {each.name: each for each in manifest.inputs}
    _require(set(golden.inputs) == set(declared), "golden.inputs", sorted(golden.inputs), sorted(declared))
    cases = {tensor.shape[:1] for tensor in golden.inputs.values()}
    _require(len(cases) == 1, "golden.inputs", f"{len(cases)} different case counts", "one")
    for name, tensor in golden.inputs.items():
        _check_tensor(f"golden.inputs.{name}", tensor, declared[name].shape)
        _require(
            tensor.dtype == declared[name].dtype, f"golden.inputs.{name}", tensor.dtype, declared[name].dtype
        )
    for name, pictures in golden.pictures.items():
        good = name in declared and bool(declared[name].preprocess)
        _require(good, "golden.pictures", name, "an input that has preprocessing steps")
        count = golden.inputs[name].shape[0]
        _require(len(pictures) <= count, f"golden.pictures.{name}", len(pictures), f"at most {count}")


def _unique(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, where, f"{name!r} twice", "unique names")
        seen.add(name)


def _require(good: object, where: str, found: object, expected: object) -> None:
    if not good:
        raise ManifestError(where, found=found, expected=expected, next_step=MANIFEST.next_step)

"""The rules between a manifest's fields.

Invariants of a manifest that passed `check_manifest`:
* every digest is 64 lower-case hex digits, every size is not negative, and equal digests have equal sizes;
* every variant binds exactly the manifest's inputs and outputs, with their types and as many axes;
* the preprocessing steps can be executed, make the input's shape, and their digest is the stated one;
* golden tensors fit the tensors that they stand for;
* what is said for drift, confusion, cascades and the cloud fits the inputs, outputs and variants that it is said of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from edgeinfer.bundle.all_steps import steps_digest
from edgeinfer.bundle.answer_rules import check_answer
from edgeinfer.bundle.budgets import check_budgets
from edgeinfer.bundle.cloud_rules import check_cloud
from edgeinfer.bundle.content import TensorBlob
from edgeinfer.bundle.manifest import Binding, Golden, Input, Manifest, Output, Variant
from edgeinfer.bundle.preprocess_rules import check_steps
from edgeinfer.bundle.reference_rules import check_references
from edgeinfer.bundle.require import HEX_PATTERN, NAME_PATTERN, require

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
_HEX, _NAME = re.compile(HEX_PATTERN), re.compile(NAME_PATTERN)
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}")
# Beyond this, float32 arithmetic is no longer of use to anyone.
_LARGE = 1e6
_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def check_manifest(manifest: Manifest) -> None:
    """Hold a manifest against the rules between its fields.

    Raises:
        ManifestError: The first rule that is broken.
    """
    require(
        _NAME.fullmatch(manifest.name), "manifest.name", manifest.name, "letters, digits, '.', '_' or '-'"
    )
    require(manifest.inputs, "manifest.inputs", "an empty list", "at least one input")
    require(manifest.outputs, "manifest.outputs", "an empty list", "at least one output")
    require(manifest.variants, "manifest.variants", "an empty list", "at least one variant")
    _unique("manifest.inputs", (each.name for each in manifest.inputs))
    _unique("manifest.outputs", (each.name for each in manifest.outputs))
    _unique("manifest.variants", (each.id for each in manifest.variants))
    for input_ in manifest.inputs:
        _check_input(input_)
    for output in manifest.outputs:
        _check_shape(f"output {output.name}", output.shape)
    for output in manifest.outputs:
        check_answer(output, manifest)
    for variant in manifest.variants:
        _check_variant(variant, manifest)
    for name in manifest.documents:
        require(_NAME.fullmatch(name), "manifest.documents", repr(name), "a plain file name")
    if manifest.golden:
        _check_golden(manifest.golden, manifest)
    check_references(manifest)
    if manifest.cloud:
        check_cloud(manifest.cloud, manifest)
    if manifest.budgets:
        check_budgets(manifest.budgets)
    _check_blobs(manifest)


def _check_blobs(manifest: Manifest) -> None:
    sizes: dict[str, int] = {}
    for blob in manifest._mentions():
        require(_HEX.fullmatch(blob.sha256), "blob.sha256", repr(blob.sha256), "64 lower-case hex digits")
        require(blob.size >= 0, f"blob {blob.sha256[:12]}", f"size {blob.size}", "a size of 0 or more")
        known = sizes.setdefault(blob.sha256, blob.size)
        require(known == blob.size, f"blob {blob.sha256[:12]}", f"sizes {known} and {blob.size}", "one size")


def _check_shape(where: str, shape: tuple[int | str, ...], *, free: bool = True) -> None:
    """Axis 0 is the batch: a name in the manifest's own tensors, a name or a length in a file's."""
    require(shape, f"{where}.shape", "no axes", "at least one axis")
    require(
        isinstance(shape[0], str) or not free, f"{where}.shape", list(shape), "a name for axis 0, the batch"
    )
    require(isinstance(shape[0], str) or shape[0] > 0, f"{where}.shape", list(shape), "lengths above 0")
    good = all(isinstance(axis, int) and axis > 0 for axis in shape[1:])
    require(good, f"{where}.shape", list(shape), "lengths above 0 behind axis 0")


def _check_input(input_: Input) -> None:
    where = f"input {input_.name}"
    _check_shape(where, input_.shape)
    digest = steps_digest(input_.preprocess)
    found = input_.preprocess_digest
    require(digest == found, f"{where}.preprocess_digest", found, digest)
    if input_.preprocess:
        made = check_steps(where, input_.preprocess)
        require(input_.dtype == "float32", f"{where}.dtype", input_.dtype, "float32 behind steps")
        fits = len(input_.shape) == 1 + len(made) and all(
            want is None or got == want for got, want in zip(input_.shape[1:], made, strict=True)
        )
        require(fits, f"{where}.shape", list(input_.shape), f"what its steps make: {['batch', *made]}")


def _check_variant(variant: Variant, manifest: Manifest) -> None:
    where = f"variant {variant.id}"
    require(_NAME.fullmatch(variant.id), "variant.id", repr(variant.id), "letters, digits, '.', '_' or '-'")
    for package, version in variant.requires.items():
        require(
            _VERSION.fullmatch(version),
            f"{where}.requires.{package}",
            repr(version),
            "release numbers, such as 1.20",
        )
    for kind, bindings, declared in (
        ("inputs", variant.inputs, {each.name: each for each in manifest.inputs}),
        ("outputs", variant.outputs, {each.name: each for each in manifest.outputs}),
    ):
        require(set(bindings) == set(declared), f"{where}.{kind}", sorted(bindings), sorted(declared))
        for name, binding in bindings.items():
            _check_binding(f"{where}.{kind}.{name}", binding, declared[name])
    batches = {
        binding.shape[0] if isinstance(binding.shape[0], int) else None for binding in variant.inputs.values()
    }
    require(len(batches) == 1, f"{where}.inputs", f"batches {sorted(map(str, batches))}", "one batch for all")
    outputs = {each.name: each.shape for each in manifest.outputs}
    for name, tensor in variant.golden_outputs.items():
        require(name in outputs, f"{where}.golden_outputs", name, f"one of {sorted(outputs)}")
        _check_tensor(f"{where}.golden_outputs.{name}", tensor, outputs[name])
        # The golden inputs' own shapes are checked later: one may still have no axes here.
        cases = {each.shape[:1] for each in manifest.golden.inputs.values()} if manifest.golden else set()
        good = tensor.shape[:1] in cases
        require(good, f"{where}.golden_outputs.{name}", list(tensor.shape), "as many cases as golden inputs")
    for name, tolerance in variant.tolerances.items():
        good = 0 <= tolerance.atol < _LARGE and 0 <= tolerance.rtol < 1
        require(good, f"{where}.tolerances.{name}", tolerance, "0 <= atol < 1e6 and 0 <= rtol < 1")


def _check_binding(where: str, binding: Binding, declared: Input | Output) -> None:
    axes = len(declared.shape)
    _check_shape(where, binding.shape, free=False)
    require(len(binding.shape) == axes, f"{where}.shape", f"{len(binding.shape)} axes", axes)
    if binding.permute is not None:
        good = sorted(binding.permute) == list(range(axes)) and binding.permute[0] == 0
        require(good, f"{where}.permute", list(binding.permute), f"0, then each of 1..{axes - 1} once")
    order = binding.permute or tuple(range(axes))
    # An input's permutation leads to the file's order, an output's back from it.
    expected = [declared.shape[at] for at in order] if isinstance(declared, Input) else list(declared.shape)
    got = list(binding.shape) if isinstance(declared, Input) else [binding.shape[at] for at in order]
    require(
        got[1:] == expected[1:],
        f"{where}.shape",
        list(binding.shape),
        f"lengths that fit {list(declared.shape)}",
    )
    if binding.quantization is None:
        require(binding.dtype == declared.dtype, f"{where}.dtype", binding.dtype, declared.dtype)
        return
    scale, zero_point = binding.quantization.scale, binding.quantization.zero_point
    require(
        declared.dtype == "float32", f"{where}.quantization", declared.dtype, "a float32 tensor to quantize"
    )
    require(binding.dtype in _RANGES, f"{where}.dtype", binding.dtype, f"one of {', '.join(_RANGES)}")
    low, high = _RANGES[binding.dtype]
    require(1e-30 < scale < 1e30, f"{where}.scale", scale, "between 1e-30 and 1e30")
    require(low <= zero_point <= high, f"{where}.zero_point", zero_point, f"{low} to {high}")


def _check_tensor(where: str, tensor: TensorBlob, shape: tuple[int | str, ...]) -> None:
    good = len(tensor.shape) == len(shape) and all(length > 0 for length in tensor.shape)
    good = good and all(got == want for got, want in zip(tensor.shape[1:], shape[1:], strict=True))
    require(good, f"{where}.shape", list(tensor.shape), f"cases x {list(shape[1:])}")
    size = math.prod(tensor.shape) * _WIDTHS[tensor.dtype]
    require(tensor.blob.size == size, f"{where}.blob.size", tensor.blob.size, size)


def _check_golden(golden: Golden, manifest: Manifest) -> None:
    declared = {each.name: each for each in manifest.inputs}
    require(set(golden.inputs) == set(declared), "golden.inputs", sorted(golden.inputs), sorted(declared))
    cases = {tensor.shape[:1] for tensor in golden.inputs.values()}
    require(len(cases) == 1, "golden.inputs", f"{len(cases)} different case counts", "one")
    for name, tensor in golden.inputs.items():
        _check_tensor(f"golden.inputs.{name}", tensor, declared[name].shape)
        require(
            tensor.dtype == declared[name].dtype, f"golden.inputs.{name}", tensor.dtype, declared[name].dtype
        )
    for name, sources in golden.sources.items():
        good = name in declared and bool(declared[name].preprocess)
        require(good, "golden.sources", name, "an input that has preprocessing steps")
        count = golden.inputs[name].shape[0]
        require(len(sources) <= count, f"golden.sources.{name}", len(sources), f"at most {count}")


def _unique(where: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        require(name not in seen, where, f"{name!r} twice", "unique names")
        seen.add(name)

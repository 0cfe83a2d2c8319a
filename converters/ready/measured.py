"""What a ready model's variants answer to the golden inputs, how long they take, and how far kernels differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edgeinfer as ei
from converters.ready.agreement import Agreement
from converters.ready.files import ReadyFile
from converters.ready.golden import ORIGIN, golden_inputs
from converters.ready.plain import PlainEngine
from converters.ready.recipe import ReadyRecipe
from converters.ready.report import ReadyFigures
from converters.ready.wrap import Contract, contract
from converters.tensors import stored
from edgeinfer.bundle import BlobSet, Golden, Latency, Tolerance, Variant, open_bundle
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.errors import ConversionError
from edgeinfer.host import processor
from edgeinfer.inference import measure

_TIMED_SECONDS = 0.5
_ROUNDING = 1e-4
# Kernels of other processors differ as those here do; twice that is allowed, and three steps of integers.
_SPREAD, _STEPS = 2.0, 3


@dataclass(frozen=True)
class GoldenSet:
    """Golden inputs.

    Attributes:
        tensors: `(cases, ...) float32`, as the manifest declares the input.
        pictures: Encoded pictures that they come from, or nothing.
    """

    tensors: NDArray[np.float32]
    pictures: tuple[bytes, ...]

    def stored(self, blobs: BlobSet, made: Contract) -> Golden:
        """Return it as it stands in a manifest."""
        name = made.input.name
        pictures = {name: tuple(blobs.add(each) for each in self.pictures)} if self.pictures else {}
        return Golden(ORIGIN, {name: stored(self.tensors, blobs)}, pictures)


def golden_set(recipe: ReadyRecipe, file: ReadyFile) -> tuple[Contract, GoldenSet]:
    """Return what the bundle takes and gives, by its first file, and golden inputs for it.

    Raises:
        ConversionError: The file cannot be run, or does not fit the recipe.
        DataError: The label file does not fit.
    """
    made = contract(recipe, file, _shapes(file))
    return made, GoldenSet(*golden_inputs(made))


def measured(
    draft: Path,
    files: Sequence[ReadyFile],
    golden: GoldenSet,
    alike: Mapping[str, Agreement],
    blobs: BlobSet,
) -> tuple[list[Variant], tuple[ReadyFigures, ...]]:
    """Return the draft's variants with golden outputs, tolerances and latency, and the figures of each.

    Args:
        draft: A bundle with the files as variants.
        files: In the draft's order.
        golden: Inputs.
        alike: How quantized variants agree with their float forms, by id.
        blobs: Receives the golden outputs.

    Raises:
        ConversionError: A variant answers NaN or infinite values.
    """
    with open_bundle(draft) as bundle:
        variants = bundle.manifest.variants
        name = bundle.manifest.inputs[0].name
    done, figures = [], []
    for file, variant in zip(files, variants, strict=True):
        outputs = _run(draft, variant.id, name, golden, None)
        _check_finite(variant.id, outputs)
        plain = _run(draft, variant.id, name, golden, PlainEngine(file.engine))
        spread = max(_apart(value, plain[each]) for each, value in outputs.items())
        info = engine_named(file.engine).info()
        timed = measure(draft, variant.id, file.engine, seconds=_TIMED_SECONDS)
        latency = Latency(timed.p50_us, f"{info.package} {info.version}", timed.threads, processor())
        whole = replace(
            variant,
            golden_outputs={each: stored(value, blobs) for each, value in outputs.items()},
            tolerances={file.engine: _tolerance(file, outputs, spread)},
            latency=latency,
            memory_bytes=timed.memory_bytes,
        )
        done.append(whole)
        figures.append(
            ReadyFigures(
                id=variant.id,
                bytes=variant.blob.size,
                latency=latency,
                spread=spread,
                notes=file.notes,
                origin_sha256=file.sha256,
                agreement=alike.get(variant.id),
            )
        )
    return done, tuple(figures)


def _check_finite(variant: str, outputs: Mapping[str, NDArray[np.generic]]) -> None:
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ConversionError(
                f"variant {variant} answers NaN or infinite values for output {name}",
                found="on synthetic pictures",
                next_step="check mean, std and scale under [input], and the model",
            )


def _run(
    draft: Path, variant: str, name: str, golden: GoldenSet, engine: PlainEngine | None
) -> dict[str, NDArray[np.generic]]:
    with ei.load(draft, variant=variant, engine=engine, measure=False, self_test=False) as model:
        return model.run({name: golden.tensors})


def _tolerance(file: ReadyFile, outputs: Mapping[str, NDArray[np.generic]], spread: float) -> Tolerance:
    values = [value.astype(np.float64) for value in outputs.values()]
    largest = max(float(np.abs(value).max()) for value in values)
    step = 0.0
    if file.precision != "fp32":
        step = max(float(value.max() - value.min()) / 255 for value in values)
        step = max([step, *(each.quantization.scale for each in file.outputs if each.quantization)])
    return Tolerance(_STEPS * step + _SPREAD * spread + _ROUNDING * largest, 1e-3)


def _shapes(file: ReadyFile) -> list[tuple[int, ...]]:
    """Return the outputs' shapes without the batch, as one run gives them."""
    tensor = file.input
    lengths = [
        each if isinstance(each, int) else 1 if at == 0 else None for at, each in enumerate(tensor.shape)
    ]
    if None in lengths:
        raise ConversionError(
            f"input {tensor.name} leaves lengths beside the batch open",
            found=list(tensor.shape),
            next_step="export it with stated lengths",
        )
    count = lengths[0]
    fed = np.zeros([each or 1 for each in lengths], tensor.dtype)
    session = engine_named(file.engine).load(file.path.read_bytes(), SessionOptions())
    try:
        given = session.run({tensor.name: fed})
    finally:
        session.close()
    shapes = []
    for each in file.outputs:
        shape = given[each.name].shape
        if not shape or shape[0] != count:
            raise ConversionError(
                f"output {each.name} has no batch axis",
                found=list(shape),
                expected=f"axis 0 of {count}, as the input's",
                next_step="choose other outputs, or export with the batch in front",
            )
        shapes.append(shape[1:])
    return shapes


def _apart(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))

"""The self-test: golden inputs must give the golden outputs here, or the variant does not answer."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from edgeinfer.bundle import Bundle, TensorBlob, Tolerance
from edgeinfer.engines.seam import Array
from edgeinfer.errors import SelfTestError
from edgeinfer.inference.bound import BoundVariant
from edgeinfer.preprocess import Preprocessor

# Where the manifest names no tolerance for an engine; the converter states one for each it ran.
_DEFAULT = Tolerance(atol=1e-3, rtol=1e-3)
# Sources are lossless and their items must come out exactly; only float rounding may differ.
_PREPROCESS = Tolerance(atol=1e-5, rtol=1e-5)


def read_tensor(bundle: Bundle, tensor: TensorBlob) -> Array:
    """Return a stored tensor, verified.

    Raises:
        BundleError: The blob is missing or not the one that the manifest names.
    """
    stored = np.frombuffer(bundle.read(tensor.blob), np.dtype(tensor.dtype).newbyteorder("<"))
    value: Array = stored.reshape(tensor.shape).astype(tensor.dtype)
    return value


def golden_inputs(bundle: Bundle) -> dict[str, Array]:
    """Return the golden inputs by name, or an empty dict where the bundle has none."""
    golden = bundle.manifest.golden
    return {name: read_tensor(bundle, tensor) for name, tensor in golden.inputs.items()} if golden else {}


def one_item(bundle: Bundle) -> dict[str, Array]:
    """Return inputs of one item: the first golden ones, or zeros where the bundle brings none."""
    golden = golden_inputs(bundle)
    if golden:
        return {name: value[:1] for name, value in golden.items()}
    return {
        each.name: np.zeros([axis if isinstance(axis, int) else 1 for axis in each.shape], each.dtype)
        for each in bundle.manifest.inputs
    }


def run_golden(bundle: Bundle, bound: BoundVariant, engine: str) -> int:
    """Run the golden inputs and compare; return the number of cases (0 without golden inputs).

    Raises:
        SelfTestError: An output differs by more than the variant's tolerance for this engine.
    """
    inputs = golden_inputs(bundle)
    if not inputs or not bound.variant.golden_outputs:
        return 0
    count = len(next(iter(inputs.values())))
    got = bound.run(inputs, count)
    tolerance = bound.variant.tolerances.get(engine, _DEFAULT)
    for name, tensor in bound.variant.golden_outputs.items():
        expected = read_tensor(bundle, tensor)
        _compare(f"variant {bound.variant.id} on {engine}: output {name}", got[name], expected, tolerance)
    return count


def run_golden_sources(bundle: Bundle) -> int:
    """Preprocess the golden sources and compare with the golden inputs; return the number compared.

    Raises:
        SelfTestError: The preprocessing on this machine gives other values.
        EngineUnavailable: There are pictures and Pillow is not installed.
    """
    golden = bundle.manifest.golden
    if golden is None:
        return 0
    done = 0
    for declared in bundle.manifest.inputs:
        sources = golden.sources.get(declared.name, ())
        expected = read_tensor(bundle, golden.inputs[declared.name]) if sources else np.empty(0)
        preprocess = Preprocessor(declared.preprocess)
        for at, blob in enumerate(sources):
            got = preprocess(bundle.read(blob))[0]
            _compare(f"preprocessing of golden {preprocess.kind} {at}", got, expected[at], _PREPROCESS)
            done += 1
    return done


def can_preprocess(bundle: Bundle) -> bool:
    """Return whether this device can preprocess for every input: pictures need Pillow."""
    kinds = {Preprocessor(each.preprocess).kind for each in bundle.manifest.inputs}
    return "image" not in kinds or find_spec("PIL") is not None


def _compare(where: str, got: Array, expected: Array, tolerance: Tolerance) -> None:
    if got.shape != expected.shape:
        raise SelfTestError(f"{where} has another shape", found=got.shape, expected=expected.shape)
    if not np.isfinite(expected).all():
        raise SelfTestError(
            f"{where}: the golden values are NaN or infinite", next_step="get the bundle again"
        )
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    allowed = tolerance.atol + tolerance.rtol * np.abs(expected.astype(np.float64))
    # Not `difference > allowed`: a NaN must fail too.
    wrong = ~(difference <= allowed)
    if wrong.any():
        raise SelfTestError(
            f"{where} differs from the golden output in {int(wrong.sum())} of {wrong.size} values",
            found=f"largest difference {float(np.max(difference)):.3g}",
            expected=f"at most {tolerance.atol:.3g} + {tolerance.rtol:.3g} x value",
            next_step="do not use this variant here; report engine, version and processor to its maker",
        )

"""A session behind the manifest's names, layouts and types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import numpy as np

from edgeinfer.bundle import Binding, Manifest, Variant
from edgeinfer.engines import Session, TensorInfo
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EngineError, EngineRunError, ModelLoadError
from edgeinfer.preprocess import dequantize, quantize


class BoundVariant:
    """Runs a variant on tensors as the manifest declares them, whatever the file's own form is."""

    def __init__(self, variant: Variant, manifest: Manifest, session: Session) -> None:
        self.variant = variant
        self.session = session
        self._outputs = {output.name: output.shape for output in manifest.outputs}
        _check_bindings(variant, variant.inputs, session.inputs)
        _check_bindings(variant, variant.outputs, session.outputs)
        first = next(iter(variant.inputs.values())).shape[0]
        self._batch = first if isinstance(first, int) else None
        # What does not change from call to call is worked out once.
        self._feeds = [(name, each.tensor, _feed(each)) for name, each in variant.inputs.items()]
        self._takes = [
            (
                name,
                variant.outputs[name].tensor,
                _take(variant.outputs[name]),
                output.shape[1:],
                len(output.shape),
            )
            for name, output in ((output.name, output) for output in manifest.outputs)
        ]

    @property
    def free_batch(self) -> bool:
        """Whether the file takes batches of any size."""
        return self._batch is None

    def run(self, inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Run a batch.

        Args:
            inputs: Tensors by the manifest's names, checked by `ArrayCheck`.
            count: Items in the batch.

        Returns:
            Tensors by the manifest's names. A file with a fixed batch is run as often as it takes,
            the last time with its last item repeated.

        Raises:
            EngineRunError: The engine failed, or gave tensors that the manifest does not declare.
        """
        fed = {tensor: feed(inputs[name]) for name, tensor, feed in self._feeds}
        if self._batch is None or self._batch == count:
            return self._run_once(fed, count)
        parts = []
        for start in range(0, count, self._batch):
            part = {
                name: _padded(value[start : start + self._batch], self._batch) for name, value in fed.items()
            }
            parts.append(self._run_once(part, self._batch))
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in self._outputs}

    def _run_once(self, fed: Mapping[str, Array], count: int) -> dict[str, Array]:
        try:
            given = self.session.run(fed)
        except EngineError:
            raise
        except Exception as error:  # an engine of the caller's own may raise anything
            raise EngineRunError(f"variant {self.variant.id} failed ({error!r})") from error
        outputs = {}
        for name, tensor, take, tail, axes in self._takes:
            value = given.get(tensor)
            if value is not None and value.ndim == axes:
                if take is not None:
                    value = take(value)
                shape = value.shape
                if shape[0] == count and shape[1:] == tail:
                    outputs[name] = value
                    continue
            self._complain(name, value, (count, *tail))
        return outputs

    def _complain(self, name: str, value: Array | None, expected: tuple[int | str, ...]) -> NoReturn:
        raise EngineRunError(
            f"variant {self.variant.id} gave another output {name}",
            found=None if value is None else value.shape,
            expected=expected,
            next_step="run `edgeinfer verify`; the model file does not do what its manifest says",
        )


def _padded(part: Array, batch: int) -> Array:
    missing = batch - len(part)
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


def _feed(binding: Binding) -> Callable[[Array], Array]:
    """Return what makes the engine's tensor of the manifest's."""
    permute, quantization, dtype = binding.permute, binding.quantization, binding.dtype
    if quantization is not None:

        def quantized(value: Array) -> Array:
            if permute is not None:
                value = value.transpose(permute)
            return np.ascontiguousarray(quantize(value.astype(np.float32, copy=False), quantization, dtype))

        return quantized
    if permute is None:
        return _contiguous
    tail = [length for length in binding.shape[1:] if isinstance(length, int)]
    all_known = len(tail) == len(permute) - 1
    if permute[0] == 0 and all_known and _moves_ones_alone(permute, tail):
        shape = (-1, *tail)
        # An axis of length 1 has no order: the same bytes under another shape.
        return lambda value: _contiguous(value).reshape(shape)
    return lambda value: np.ascontiguousarray(value.transpose(permute))


def _contiguous(value: Array) -> Array:
    return value if value.flags.c_contiguous else np.ascontiguousarray(value)


def _moves_ones_alone(permute: Sequence[int], tail: Sequence[int]) -> bool:
    """Whether the axes that are longer than 1 keep their order; `tail` is the engine's shape without the batch."""
    longer = [axis for axis, length in zip(permute[1:], tail, strict=True) if length != 1]
    return longer == sorted(longer)


def _take(binding: Binding) -> Callable[[Array], Array] | None:
    """Return what makes the manifest's tensor of the engine's, or None where they are the same."""
    permute, quantization = binding.permute, binding.quantization
    if permute is None and quantization is None:
        return None

    def taken(value: Array) -> Array:
        if quantization is not None:
            value = dequantize(value, quantization)
        return value.transpose(permute) if permute is not None else value

    return taken


def _check_bindings(
    variant: Variant, bindings: Mapping[str, Binding], tensors: tuple[TensorInfo, ...]
) -> None:
    found = {tensor.name: tensor for tensor in tensors}
    for name, binding in bindings.items():
        tensor = found.get(binding.tensor)
        expected = f"{binding.tensor} {binding.dtype} {list(binding.shape)}"
        if tensor is None or tensor.dtype != binding.dtype or not _same_shape(tensor.shape, binding.shape):
            seen = [f"{each.name} {each.dtype} {list(each.shape)}" for each in tensors]
            raise ModelLoadError(
                f"variant {variant.id} does not hold the tensor that {name} is bound to",
                found="; ".join(seen),
                expected=expected,
                next_step="repack the bundle: its manifest and model file do not belong together",
            )


def _same_shape(file: tuple[int | str | None, ...], manifest: tuple[int | str, ...]) -> bool:
    if len(file) != len(manifest):
        return False
    # A length that the file leaves open, beside the batch, is checked when it has answered.
    return all(
        got == want or (not isinstance(got, int) and (at > 0 or isinstance(want, str)))
        for at, (got, want) in enumerate(zip(file, manifest, strict=True))
    )

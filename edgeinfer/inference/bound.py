"""A session behind the manifest's names, layouts and types."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.bundle import Binding, Manifest, Variant
from edgeinfer.engines import Session, TensorInfo
from edgeinfer.engines.seam import Array
from edgeinfer.errors import InputError, ModelLoadError
from edgeinfer.preprocess import dequantize, quantize


class BoundVariant:
    """Runs a variant on tensors as the manifest declares them, whatever the file's own form is."""

    def __init__(self, variant: Variant, manifest: Manifest, session: Session) -> None:
        self.variant = variant
        self.session = session
        self._outputs = [output.name for output in manifest.outputs]
        _check_bindings(variant, variant.inputs, session.inputs)
        _check_bindings(variant, variant.outputs, session.outputs)
        first = next(iter(variant.inputs.values())).shape[0]
        self._batch = first if isinstance(first, int) else None

    def run(self, inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Run a batch.

        Args:
            inputs: Tensors by the manifest's names, checked by `check_arrays`.
            count: Items in the batch.

        Returns:
            Tensors by the manifest's names. A file with a fixed batch is run as often as it takes.

        Raises:
            InputError: The file's fixed batch does not divide the count.
            EngineRunError: The engine failed.
        """
        fed = {
            binding.tensor: _to_engine(inputs[name], binding) for name, binding in self.variant.inputs.items()
        }
        if self._batch is None or self._batch == count:
            return self._named(self.session.run(fed))
        if count % self._batch:
            raise InputError(
                f"variant {self.variant.id} has a fixed batch",
                found=f"{count} items",
                expected=f"a multiple of {self._batch}",
            )
        parts = []
        for start in range(0, count, self._batch):
            part = {name: value[start : start + self._batch] for name, value in fed.items()}
            parts.append(self._named(self.session.run(part)))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _named(self, given: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: _from_engine(given[self.variant.outputs[name].tensor], self.variant.outputs[name])
            for name in self._outputs
        }


def _to_engine(value: Array, binding: Binding) -> Array:
    if binding.permute is not None:
        value = value.transpose(binding.permute)
    if binding.quantization is not None:
        value = quantize(value.astype(np.float32, copy=False), binding.quantization, binding.dtype)
    return np.ascontiguousarray(value)


def _from_engine(value: Array, binding: Binding) -> Array:
    if binding.quantization is not None:
        value = dequantize(value, binding.quantization)
    return value.transpose(binding.permute) if binding.permute is not None else value


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
    return all(
        got == want or (not isinstance(got, int) and isinstance(want, str))
        for got, want in zip(file, manifest, strict=True)
    )

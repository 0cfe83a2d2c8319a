"""A session behind the manifest's names, layouts and types."""

from __future__ import annotations

from collections.abc import Mapping

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

    def run(self, inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Run a batch.

        Args:
            inputs: Tensors by the manifest's names, checked by `check_arrays`.
            count: Items in the batch.

        Returns:
            Tensors by the manifest's names. A file with a fixed batch is run as often as it takes,
            the last time with its last item repeated.

        Raises:
            EngineRunError: The engine failed, or gave tensors that the manifest does not declare.
        """
        fed = {
            binding.tensor: _to_engine(inputs[name], binding) for name, binding in self.variant.inputs.items()
        }
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
        return {name: self._named(name, given, count) for name in self._outputs}

    def _named(self, name: str, given: Mapping[str, Array], count: int) -> Array:
        binding, declared = self.variant.outputs[name], self._outputs[name]
        value = given.get(binding.tensor)
        if value is not None and value.ndim == len(declared):
            value = _from_engine(value, binding)
            if value.shape == (count, *declared[1:]):
                return value
        raise EngineRunError(
            f"variant {self.variant.id} gave another output {name}",
            found=None if value is None else value.shape,
            expected=(count, *declared[1:]),
            next_step="run `edgeinfer verify`; the model file does not do what its manifest says",
        )


def _padded(part: Array, batch: int) -> Array:
    missing = batch - len(part)
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


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
    # A length that the file leaves open, beside the batch, is checked when it has answered.
    return all(
        got == want or (not isinstance(got, int) and (at > 0 or isinstance(want, str)))
        for at, (got, want) in enumerate(zip(file, manifest, strict=True))
    )

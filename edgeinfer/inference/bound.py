"""A session behind the manifest's names, layouts and types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import numpy as np

from edgeinfer.bundle import Binding, Manifest, Variant
from edgeinfer.engines import Session, TensorInfo
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EngineError, EngineRunError, ModelLoadError
from edgeinfer.inference.lane import Run
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
            (each.name, (out := variant.outputs[each.name]).tensor, _take(out), (1, *each.shape[1:]))
            for each in manifest.outputs
        ]

    @property
    def free_batch(self) -> bool:
        """Whether the file takes batches of any size."""
        return self._batch is None

    def runner(self) -> Run:
        """Return what runs as `run` does, as fast as this variant allows."""
        if len(self._feeds) != 1 or len(self._takes) != 1:
            return self.run
        ((name, tensor, feed),) = self._feeds
        ((output, taken, take, one),) = self._takes
        if take is not None:
            return self.run
        session_run, shape = self.session.run, tuple(one)
        run_one: Callable[[Array], Array | None] = getattr(
            self.session, "run_one", lambda value: session_run({tensor: value}).get(taken)
        )
        same_bytes, batch, in_parts = _same_bytes(self.variant.inputs[name]), self._batch, self.run

        def run(inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
            if batch is not None and count != batch:
                return in_parts(inputs, count)
            value = inputs[name]
            if same_bytes is not None:
                value = value.reshape(same_bytes)
            elif feed is not None:
                value = feed(value)
            try:
                answer = run_one(value)
            except EngineError:
                raise
            except Exception as error:  # an engine of the caller's own may raise anything
                raise self._failed(error) from error
            if answer is None or (
                answer.shape != shape if count == 1 else answer.shape != (count, *shape[1:])
            ):
                self._complain(output, answer, (count, *shape[1:]))
            return {output: answer}

        return run

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
        fed = {}
        for name, tensor, feed in self._feeds:
            fed[tensor] = inputs[name] if feed is None else feed(inputs[name])
        if self._batch is None or self._batch == count:
            return self._checked(self._run_session(fed), count)
        parts = []
        for start in range(0, count, self._batch):
            part = {
                name: _padded(value[start : start + self._batch], self._batch) for name, value in fed.items()
            }
            parts.append(self._checked(self._run_session(part), self._batch))
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in self._outputs}

    def _run_session(self, fed: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return self.session.run(fed)
        except EngineError:
            raise
        except Exception as error:  # an engine of the caller's own may raise anything
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EngineRunError:
        return EngineRunError(f"variant {self.variant.id} failed ({error!r})")

    def _checked(self, given: Mapping[str, Array], count: int) -> dict[str, Array]:
        """Return the manifest's tensors of the engine's."""
        outputs = {}
        for name, tensor, take, one in self._takes:
            value = given.get(tensor)
            if take is not None and value is not None and value.ndim == len(one):
                value = take(value)
            if value is None or value.shape != (one if count == 1 else (count, *one[1:])):
                self._complain(name, value, (count, *one[1:]))
            outputs[name] = value
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


def _feed(binding: Binding) -> Callable[[Array], Array] | None:
    """Return what makes the engine's tensor of the manifest's, or None where they are the same."""
    permute, quantization, dtype = binding.permute, binding.quantization, binding.dtype
    if quantization is not None:

        def quantized(value: Array) -> Array:
            if permute is not None:
                value = value.transpose(permute)
            return np.ascontiguousarray(quantize(value.astype(np.float32, copy=False), quantization, dtype))

        return quantized
    if permute is None:
        return None
    same_bytes = _same_bytes(binding)
    if same_bytes is not None:
        return lambda value: value.reshape(same_bytes)
    return lambda value: np.ascontiguousarray(value.transpose(permute))


def _same_bytes(binding: Binding) -> tuple[int, ...] | None:
    """Return the engine's shape where its tensor is the manifest's under another shape, or None.

    An axis of length 1 has no order: where only such axes move, the bytes stay where they are.
    """
    permute = binding.permute
    tail = [length for length in binding.shape[1:] if isinstance(length, int)]
    if (
        permute is None
        or binding.quantization is not None
        or permute[0] != 0
        or len(tail) != len(permute) - 1
    ):
        return None
    longer = [axis for axis, length in zip(permute[1:], tail, strict=True) if length != 1]
    return (-1, *tail) if longer == sorted(longer) else None


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

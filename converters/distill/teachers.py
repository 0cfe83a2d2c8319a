"""Models to learn from, as functions from inputs to logits."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from converters.distill.compute import arithmetic, device, laid_out
from converters.quiet import logged
from edgeinfer.errors import ConversionError
from edgeinfer.host import usable_cpus

# From `(N, ...) float32` inputs to `(N, classes) float32` logits, without a gradient.
Answer = Callable[[torch.Tensor], torch.Tensor]
# Probabilities of quantized models are steps of 1/256.
_SUMS, _LEAST = 0.02, 1e-7


def load_program(data: bytes, log: Path) -> torch.export.ExportedProgram:
    """Return what `torch.export.save` wrote.

    Raises:
        ConversionError: The bytes are something else.
    """
    try:
        with logged(log):
            return torch.export.load(io.BytesIO(data))
    except Exception as error:  # its readers raise many types
        raise ConversionError(
            f"cannot load the teacher ({first_line(error)})",
            next_step="write it with torch.export.save(program, path)",
        ) from error


def load_module(data: bytes, log: Path) -> nn.Module:
    """Return a `.pt2` file's modules under the names that they had, for hooks on inner layers.

    Raises:
        ConversionError: The bytes are no exported program.
    """
    program = load_program(data, log)
    with logged(log):
        return torch.export.unflatten(program)


def answer_of(name: str, data: bytes, log: Path, precision: str = "fp32") -> Answer:
    """Return the function that a `.pt2` or `.onnx` file computes.

    Args:
        name: Name of the file, whose suffix tells its format.
        data: Its content.
        log: Where to write what loading prints.
        precision: `fp32`, `bf16` or `auto`, for `.pt2`.

    Raises:
        ConversionError: The file cannot be loaded.
    """
    if name.endswith(".onnx"):
        return _onnx_answer(data)
    module, place = load_program(data, log).module().to(device()), device()

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), arithmetic(precision):
            result = module(laid_out(inputs).to(place))
        if not isinstance(result, torch.Tensor):
            raise TypeError(f"it gives {type(result).__name__}, not one tensor")
        return result.float().cpu()

    return answer


def _onnx_answer(data: bytes) -> Answer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cpus()
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its readers raise many types
        raise ConversionError(
            f"cannot load the teacher ({first_line(error)})",
            next_step="check it with onnx.checker; weights must be inside the file",
        ) from error
    if len(session.get_inputs()) != 1:
        found = ", ".join(each.name for each in session.get_inputs())
        raise ConversionError(
            "the teacher's inputs",
            found=found,
            expected="one",
            next_step="export it with the data's input alone",
        )
    (input_,) = session.get_inputs()

    def answer(inputs: torch.Tensor) -> torch.Tensor:
        outputs = session.run(None, {input_.name: np.ascontiguousarray(inputs.numpy())})
        return torch.from_numpy(np.asarray(outputs[0]))

    return answer


def mirrored(answer: Answer) -> Answer:
    """Return the mean of the answers for pictures and for their mirror images."""
    return lambda inputs: (answer(inputs) + answer(inputs.flip(-1))) / 2


def are_probabilities(answers: torch.Tensor) -> bool:
    """Return whether every row of `(N, classes)` lies in 0..1 and sums to 1: a softmax ends such a model."""
    inside = bool((answers >= 0).all() and (answers <= 1).all())
    return inside and bool(((answers.sum(1) - 1).abs() < _SUMS).all())


def logarithm(probabilities: torch.Tensor) -> torch.Tensor:
    """Return logits whose softmax the probabilities are; those that were rounded to 0 are small."""
    return probabilities.clamp_min(_LEAST).log()


def logarithm_of(answer: Answer) -> Answer:
    """Return the function that gives logits for a model that gives probabilities."""
    return lambda inputs: logarithm(answer(inputs))


def mean_of(logits: list[torch.Tensor]) -> torch.Tensor:
    """Return the logarithm of the mean of the members' probabilities; one member's logits as they are."""
    if len(logits) == 1:
        return logits[0]
    stacked = torch.stack([each.log_softmax(1) for each in logits])
    mean: torch.Tensor = stacked.logsumexp(0) - math.log(len(logits))
    return mean


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]

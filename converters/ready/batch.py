"""A free batch axis, where the model allows one: tried, and proven by batches of one and of three."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converters.ready.proof import copied, outputs_of, probes, repeated, same
from edgeinfer.errors import ConversionError

BATCH = "batch"


def fix_lengths(model: onnx.ModelProto, lengths: tuple[int | None, ...]) -> None:
    """Give the input the lengths that it leaves open, axis 0 apart.

    Args:
        model: Changed in place; with one input.
        lengths: Per axis, None where the recipe says nothing.

    Raises:
        ConversionError: A length is neither in the file nor known.
    """
    (declared,) = model.graph.input
    axes = declared.type.tensor_type.shape.dim
    for at, axis in enumerate(axes):
        if at and axis.dim_value <= 0:
            wanted = lengths[at] if at < len(lengths) else None
            if wanted is None:
                shown = [each.dim_value or each.dim_param or "?" for each in axes]
                raise ConversionError(
                    f"input {declared.name} leaves axis {at} open",
                    found=shown,
                    expected="lengths",
                    next_step="state height and width under [input]",
                )
            axis.dim_value = wanted


def state_outputs(model: onnx.ModelProto) -> None:
    """Write the outputs' types and lengths, as the runtime makes them, into the graph.

    Raises:
        ConversionError: The runtime cannot run the model, or an output has no batch axis.
    """
    (declared,) = model.graph.input
    count = declared.type.tensor_type.shape.dim[0].dim_value or 1
    values = outputs_of(model, repeated(probes(model), count))
    names = [each.name for each in model.graph.output]
    del model.graph.output[:]
    for name in names:
        value = values[name]
        if value.ndim == 0 or value.shape[0] != count:
            raise ConversionError(
                f"output {name} has no batch axis",
                found=list(value.shape),
                expected=f"axis 0 of {count}, as the input's",
                next_step="choose other outputs, or export with the batch in front",
            )
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        model.graph.output.append(helper.make_tensor_value_info(name, kind, value.shape))


def free_batch(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """Return the model with a free batch, or with its batch of one number where it computes wrongly otherwise.

    Args:
        model: Cleaned, with its outputs' lengths stated.

    Returns:
        The model, and what was found.
    """
    (declared,) = model.graph.input
    axis = declared.type.tensor_type.shape.dim[0]
    fixed = axis.dim_value
    given = probes(model)
    one = _with_batch(model, fixed or 1)
    if (fixed or 1) == 1:
        parts = [outputs_of(one, given[at : at + 1]) for at in range(len(given))]
        singly = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for candidate, how in (
            (_with_batch(model, None), ""),
            (_free_reshapes(model), " through its reshapes"),
        ):
            try:
                if same(singly, outputs_of(candidate, given)):
                    what = "batch of 1 made free" if fixed else "batch is free"
                    return candidate, f"{what}{how}: a batch of 3 equals 3 of 1"
            except ConversionError:
                continue
    return one, f"batch stays {fixed or 1}: the model computes something else in another one"


def _with_batch(model: onnx.ModelProto, count: int | None) -> onnx.ModelProto:
    copy = copied(model)
    for each in (*copy.graph.input, *copy.graph.output):
        axis = each.type.tensor_type.shape.dim[0]
        if count is None:
            axis.dim_param = BATCH
        else:
            axis.dim_value = count
    return copy


def _free_reshapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let every reshape to a stated batch of 1 keep the batch of what it reshapes (0, in ONNX's words)."""
    copy = _with_batch(model, None)
    graph = copy.graph
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape" and not _allows_zero(node)}
    for weight in graph.initializer:
        if weight.name in targets:
            weight.CopyFrom(numpy_helper.from_array(_kept(numpy_helper.to_array(weight)), weight.name))
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in targets:
            for attribute in node.attribute:
                if attribute.name == "value":
                    attribute.t.CopyFrom(numpy_helper.from_array(_kept(numpy_helper.to_array(attribute.t))))
    return copy


def _kept(
    shape: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    changed = shape.copy()
    if changed.ndim == 1 and len(changed) and changed[0] == 1:
        changed[0] = 0
    return changed


def _allows_zero(node: onnx.NodeProto) -> bool:
    return any(each.name == "allowzero" and each.i for each in node.attribute)

"""A foreign ONNX file, made fit to ship: read whole, cut to its outputs, cleaned, lowered to a release.

Nothing here changes what the model computes; `converters.ready.proof` holds the result against the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import onnx
from onnx import version_converter

from converters.export.runtimes import IR_SINCE, OPSET_SINCE, opset_of, release_order
from converters.export.slim_onnx import drop_notes
from edgeinfer.errors import ConversionError

# Quantization per channel needs 13; converters of operator sets meet fewer gaps above 17.
_LEAST_QUANTIZED = 13
_RAISED_TO = 17


def read_onnx(path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Return a model with all its weights inside, and what was done for that.

    Raises:
        ConversionError: It cannot be read, is cut short, or a file with its weights is missing.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ConversionError(
            f"cannot read the model {path} ({error.strerror or error})", next_step="check model.path"
        ) from error
    except Exception as error:  # protobuf's errors share no base of their own
        raise _damaged(path, error) from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise _damaged(path, "it holds no graph, or names no operator set")
    elsewhere = [each for each in model.graph.initializer if each.data_location == onnx.TensorProto.EXTERNAL]
    notes = []
    if elsewhere:
        files = {entry.value for each in elsewhere for entry in each.external_data if entry.key == "location"}
        try:
            onnx.load_external_data_for_model(model, str(path.parent))
        except Exception as error:  # onnx raises its own, OSError and ValueError
            raise ConversionError(
                f"{path.name} keeps weights in another file, which cannot be read ({error})",
                next_step="put that file beside the model, under the name that the model gives it",
            ) from error
        notes.append(f"took in {len(elsewhere)} weights from {', '.join(sorted(files)) or 'another file'}")
        for each in elsewhere:
            each.ClearField("external_data")
            each.data_location = onnx.TensorProto.DEFAULT
    return model, notes


def clean(model: onnx.ModelProto, outputs: Sequence[str] | None) -> list[str]:
    """Cut a model behind the outputs asked for, and remove what it does not compute with; say what was done.

    Args:
        model: Changed in place.
        outputs: Tensors that become its outputs; None keeps the file's own.

    Raises:
        ConversionError: It has several inputs, or no tensor of an output's name.
    """
    graph = model.graph
    notes = []
    weights = {each.name for each in graph.initializer}
    _name_nodes(graph)
    listed = [each for each in graph.input if each.name in weights]
    if listed:
        _keep(graph.input, (each for each in graph.input if each.name not in weights))
        notes.append(f"took {len(listed)} weights out of the inputs")
    if outputs is not None and list(outputs) != [each.name for each in graph.output]:
        notes += _cut(graph, outputs)
    nodes = _needed(graph)
    if len(nodes) < len(graph.node):
        notes.append(f"removed {len(graph.node) - len(nodes)} nodes that no output needs")
        _keep(graph.node, nodes)
    used = set(_read_by(graph.node)) | {each.name for each in graph.output}
    unused = [each for each in graph.initializer if each.name not in used]
    if unused:
        _keep(graph.initializer, (each for each in graph.initializer if each.name in used))
        notes.append(f"removed {len(unused)} weights that nothing uses")
    _keep(graph.input, (each for each in graph.input if each.name in used))
    if len(graph.input) != 1:
        names = ", ".join(each.name for each in graph.input) or "none"
        raise ConversionError(
            "the model takes another number of inputs than one",
            found=names,
            expected="one input, the picture or tensor",
            next_step="fold the others in as constants, and export again",
        )
    before = model.ByteSize()
    drop_notes(model)
    if model.ByteSize() < before:
        notes.append(f"removed {before - model.ByteSize():,} bytes of names and notes for debugging")
    return notes


def lower(model: onnx.ModelProto, release: str, *, quantize: bool) -> tuple[onnx.ModelProto, list[str]]:
    """Return a model whose operator set and file version a release takes, and what was done.

    Args:
        model: Cleaned.
        release: Of ONNX Runtime.
        quantize: Whether it will be quantized, which old operator sets do not allow.

    Raises:
        ConversionError: It uses what the release does not have, or cannot be raised for quantization.
    """
    opset, version = opset_of(model), model.ir_version
    highest = max(
        each for each, since in OPSET_SINCE.items() if release_order(since) <= release_order(release)
    )
    newest = max(each for each, since in IR_SINCE.items() if release_order(since) <= release_order(release))
    notes = []
    wanted = min(opset, highest)
    if quantize and opset < _LEAST_QUANTIZED:
        wanted = _RAISED_TO
    if wanted != opset:
        model = _converted(model, opset, wanted, release)
        notes.append(f"operator set {opset} to {wanted}")
    allowed = min(max(version, min(IR_SINCE)), newest)
    if allowed != version:
        model.ir_version = allowed
        notes.append(f"file version (IR) {version} to {allowed}")
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # as above
        raise ConversionError(
            f"the model uses what ONNX Runtime {release} does not have ({error})",
            next_step="raise runtimes.onnxruntime in the recipe, or export for an older operator set",
        ) from error
    return model, notes


def _converted(model: onnx.ModelProto, opset: int, wanted: int, release: str) -> onnx.ModelProto:
    version = model.ir_version
    model.ir_version = max(version, min(IR_SINCE))
    try:
        converted = version_converter.convert_version(model, wanted)
    except Exception as error:  # its C++ side raises RuntimeError and others, by operator
        if wanted > opset:
            why, way = "which quantizing needs", "export for a newer operator set"
        else:
            why = f"which ONNX Runtime {release} takes"
            newer = OPSET_SINCE.get(opset, "a newer release")
            way = f"raise runtimes.onnxruntime to {newer}, or export for an older operator set"
        raise ConversionError(
            f"operator set {opset} cannot be turned into {wanted}, {why} ({error})", next_step=way
        ) from error
    converted.graph.ClearField("value_info")
    return converted


def _cut(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[str]:
    made = {name for node in graph.node for name in node.output}
    missing = [name for name in outputs if name not in made]
    if missing:
        raise ConversionError(
            "the model has no such tensor",
            found=", ".join(missing),
            expected=f"names of its tensors; its outputs are {', '.join(each.name for each in graph.output)}",
            next_step="mend `outputs` in the recipe",
        )
    own = {each.name: each for each in graph.output}
    # Of a tensor inside the graph no type is stated; the runtime knows it.
    given = [own.get(name) or onnx.ValueInfoProto(name=name) for name in outputs]
    kept = [onnx.ValueInfoProto.FromString(each.SerializeToString()) for each in given]
    _keep(graph.output, kept)
    return [f"cut behind {', '.join(outputs)}"]


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Name the nodes that have no name by operator and place in the file."""
    names = {node.name for node in graph.node}
    for at, node in enumerate(graph.node):
        if not node.name and f"{node.op_type}_{at}" not in names:
            node.name = f"{node.op_type}_{at}"


def _needed(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    wanted = {each.name for each in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(_read_by([node]))
    return nodes[::-1]


def _read_by(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Yield every name that nodes read, those inside their branches and bodies too."""
    for node in nodes:
        # An optional input that is left out has the empty name.
        yield from (name for name in node.input if name)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _read_by(inner.node)
                yield from (each.name for each in inner.output)


def _keep(field: object, items: Iterable[object]) -> None:
    """Replace what a repeated field of a message holds."""
    kept = list(items)
    del field[:]  # type: ignore[attr-defined]
    field.extend(kept)  # type: ignore[attr-defined]


def _damaged(path: Path, reason: object) -> ConversionError:
    return ConversionError(
        f"{path.name} is no whole ONNX model ({reason})",
        next_step="copy or export it again; `python -m onnx.checker`, where it is installed, says more",
    )

"""An ONNX file of the same answers and fewer bytes: short names, no notes, equal weights stored once.

Kept: every node, its attributes that say something and its order; names, types and shapes of inputs
and outputs. Zero points that are zero stay too: leaving them out is allowed by the operator, but
ONNX Runtime 1.20 then refuses the fused Gemm and later ones leave it in float.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from itertools import count

import onnx

_DIGITS = string.ascii_letters + string.digits


def slim_onnx(content: bytes) -> bytes:
    """Return a smaller ONNX file that computes the same bits.

    Args:
        content: A model with its weights inside. One with functions or nested graphs keeps its names,
            since those may capture them.
    """
    model = onnx.load_from_string(content)
    drop_notes(model)
    for field in ("producer_name", "producer_version", "domain", "model_version"):
        model.ClearField(field)
    model.graph.ClearField("quantization_annotation")
    drop_imports(model)
    for node in model.graph.node:
        _drop_defaults(node)
    if not model.functions and not any(_nests(node) for node in model.graph.node):
        _share_initializers(model.graph)
        _shorten_names(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


def drop_notes(model: onnx.ModelProto) -> None:
    """Drop what exporters note for debugging: source lines and names, a fifth of a small model."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("value_info")


def drop_imports(model: onnx.ModelProto) -> None:
    """Drop operator sets that nothing uses: they cost bytes, and an old runtime may not know their version."""
    used = {"", *(node.domain for node in _nodes(model.graph))}
    used |= {node.domain for function in model.functions for node in function.node}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _nests(node: onnx.NodeProto) -> bool:
    return any(each.HasField("g") or len(each.graphs) for each in node.attribute)


# What the ONNX operator specification takes when the attribute is absent.
_DEFAULTS: dict[str, Callable[[onnx.AttributeProto], bool]] = {
    "auto_pad": lambda each: each.s == b"NOTSET",
    "group": lambda each: each.i == 1,
    "strides": lambda each: set(each.ints) <= {1},
    "dilations": lambda each: set(each.ints) <= {1},
    "pads": lambda each: set(each.ints) <= {0},
}


def _drop_defaults(node: onnx.NodeProto) -> None:
    """Drop a convolution's attributes that are what they would be without being said."""
    if node.domain or node.op_type != "Conv":
        return
    kept = [each for each in node.attribute if each.name not in _DEFAULTS or not _DEFAULTS[each.name](each)]
    del node.attribute[:]
    node.attribute.extend(kept)


def _share_initializers(graph: onnx.GraphProto) -> None:
    """Keep one initializer of each type, shape and content; those a caller may override stay, and int8 ones.

    Where a processor needs it, ONNX Runtime stores int8 weights and their zero points anew as uint8, once for each
    layer that reads them, and fails to load a file in which two layers read the same.
    """
    fixed = {each.name for each in (*graph.input, *graph.output)}
    first: dict[tuple[object, ...], str] = {}
    name_of: dict[str, str] = {}
    kept = []
    for each in graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        key: tuple[object, ...] = (each.data_type, array.shape, array.tobytes())
        if each.name in fixed:
            kept.append(each)
            continue
        if each.data_type == onnx.TensorProto.INT8:
            key = (each.name,)
        name_of[each.name] = first.setdefault(key, each.name)
        if name_of[each.name] == each.name:
            kept.append(onnx.numpy_helper.from_array(array, each.name))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = name_of.get(name, name)


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Name inner tensors by the shortest unused words, in the order in which they appear."""
    borders = {each.name for each in (*graph.input, *graph.output)}
    words = (word for word in _words() if word not in borders)
    short: dict[str, str] = {"": ""} | {name: name for name in borders}

    def of(name: str) -> str:
        if name not in short:
            short[name] = next(words)
        return short[name]

    for node in graph.node:
        node.ClearField("name")
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = of(name)
    for each in graph.initializer:
        each.name = of(str(each.name))


def _words() -> Iterator[str]:
    """Yield `a`, `b` ... `9`, `aa`, `ba` ..."""
    for number in count():
        word = ""
        left = number + 1
        while left:
            left, digit = divmod(left - 1, len(_DIGITS))
            word += _DIGITS[digit]
        yield word

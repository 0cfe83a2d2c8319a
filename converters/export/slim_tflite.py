"""A TFLite file of the same answers and fewer bytes: what only people read goes, what is equal is stored once.

Kept: every operator, its options and order; every tensor's type, shape and quantization; names of the
inputs and outputs and the signatures. The schema is the file's own, so that a runtime that took the
file before takes it after.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

_IDENTIFIER = b"TFL3"
# `force_align: 16` of Buffer.data in the TFLite schema: kernels read weights in place.
_WEIGHT_ALIGNMENT = 16
# Of a flatbuffer, whose offsets have a sign; with room for what alignment adds.
_LARGEST = 2**31 - 2**20
# Says which runtime is old enough; the rest is for converters.
_NEEDED_METADATA = b"min_runtime_version"


def slim_tflite(content: bytes) -> bytes:
    """Return a smaller TFLite file that computes the same bits.

    Args:
        content: A file; one whose parts do not fit a flatbuffer (2 GB) comes back as it is.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(content) > _LARGEST or any(
        operator.largeCustomOptionsOffset for graph in model.subgraphs for operator in graph.operators
    ):
        return content
    _take_in(model, content)
    _drop_names(model)
    _drop_empty_quantization(model)
    _drop_metadata(model)
    _share_buffers(model)
    builder = SharingBuilder(len(content))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _take_in(model: Any, content: bytes) -> None:
    """Bring buffers that lie behind the flatbuffer, where quantizers put those of larger files, into it."""
    for buffer in model.buffers:
        # 0 and 1 stand for none; the schema keeps both apart for writers.
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0


def _drop_names(model: Any) -> None:
    """Leave a name only where a caller may ask for it: at the borders and in signatures."""
    model.description = None
    for at, graph in enumerate(model.subgraphs):
        kept = {*_indices(graph.inputs), *_indices(graph.outputs)}
        for signature in model.signatureDefs or ():
            if signature.subgraphIndex == at:
                kept |= {each.tensorIndex for each in (*(signature.inputs or ()), *(signature.outputs or ()))}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept:
                tensor.name = None


def _indices(vector: NDArray[np.int32] | None) -> list[int]:
    return [] if vector is None else [int(each) for each in vector]


def _drop_empty_quantization(model: Any) -> None:
    """Drop parameters that say nothing, and observed ranges beside the scales that were made of them."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            given = tensor.quantization
            if given is None or given.details is not None:
                continue
            if given.scale is None or not len(given.scale):
                tensor.quantization = None
            else:
                given.min = given.max = None


def _drop_metadata(model: Any) -> None:
    model.metadata = [each for each in model.metadata or () if each.name == _NEEDED_METADATA] or None
    # The vector that metadata used before it had names.
    model.metadataBuffer = None


def _share_buffers(model: Any) -> None:
    """Keep one buffer of each content, the empty one first as the schema wants, and none that nothing names."""
    kept = [model.buffers[0]]
    places: dict[bytes, int] = {b"": 0}

    def place(index: int) -> int:
        buffer = model.buffers[index]
        content = b"" if buffer.data is None else bytes(buffer.data)
        if content not in places:
            places[content] = len(kept)
            kept.append(buffer)
        return places[content]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if not tensor.isVariable:
                tensor.buffer = place(tensor.buffer)
    for each in model.metadata or ():
        each.buffer = place(each.buffer)
    model.buffers = kept


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A flatbuffers builder that writes equal vectors, strings and tables once.

    A flatbuffer is a graph of offsets, so that several tables may point at one child; readers cannot
    tell. In int8 models the gain is mostly the per-channel zero points: eight zero bytes a channel for
    each convolution's weights, and again for its bias.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[object, ...], int] = {}
        self._fields: list[tuple[object, ...]] = []
        self.current_vtable: list[int] | None = None

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        """Begin a vector; bytes are aligned as the schema has it, which the generated code forgets."""
        aligned = _WEIGHT_ALIGNMENT if elemSize == 1 else alignment
        return int(super().StartVector(elemSize, numElems, aligned))

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        """Write a vector, or return where an equal one is."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        """Write a string, or return where an equal one is."""
        key = (s,)
        if key not in self._written:
            self._written[key] = super().CreateString(s, encoding, errors)
        return self._written[key]

    def StartObject(self, numfields: int) -> None:  # noqa: N802
        """Begin a table."""
        super().StartObject(numfields)
        self._fields = []

    def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:  # noqa: N802
        """Write a number of a table."""
        super().PrependSlot(flags, o, x, d)
        self._fields.append((flags, o, x))

    def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802
        """Write a table's reference to what was written before."""
        super().PrependUOffsetTRelativeSlot(o, x, d)
        self._fields.append(("offset", o, x))

    def EndObject(self) -> int:  # noqa: N802
        """End a table, or take it back and return where an equal one is."""
        assert self.current_vtable is not None, "StartObject"
        key = (len(self.current_vtable), *self._fields)
        if key in self._written:
            self.head = len(self.Bytes) - self.objectEnd
            self.current_vtable = None
            self.nested = False
        else:
            self._written[key] = super().EndObject()
        return self._written[key]

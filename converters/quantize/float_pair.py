"""The float student in both formats, with the ranges and layers that quantizing needs: one set for both."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from converters.quantize.clipping import Method
from converters.quantize.layers import Layer, find_layers
from converters.quantize.ranges import Items, Ranges, collect_ranges
from converters.quantize.tensor_map import MOVING, TfliteActivations, map_tensors, tflite_ranges


@dataclass(frozen=True)
class FloatPair:
    """One network as two fp32 files.

    Attributes:
        onnx: The ONNX file.
        tflite: The TFLite file.
        mapped: ONNX tensor per TFLite tensor of the same values.
        ranges: Of the ONNX tensors.
        tflite_ranges: The same under the TFLite file's names.
        layers: Operators with weights, as both files name them.
    """

    onnx: Path
    tflite: Path
    mapped: Mapping[str, str]
    ranges: Ranges
    tflite_ranges: Ranges
    layers: tuple[Layer, ...]

    def with_ranges(self, ranges: Ranges, items: Items) -> FloatPair:
        """Return it with other ranges of the ONNX tensors, learned ones for example.

        Args:
            ranges: Of every float tensor of the ONNX file.
            items: Calibration inputs, for tensors that only the TFLite file has.
        """
        own = tflite_ranges(self.tflite, self.mapped, ranges, items)
        return replace(self, ranges=ranges, tflite_ranges=own)


def calibrated(
    onnx_path: Path, tflite_path: Path, items: Items, method: Method, percentile: float
) -> FloatPair:
    """Measure the ranges of a network's activations and find its tensors and layers in both files.

    Args:
        onnx_path: The fp32 ONNX file.
        tflite_path: The fp32 TFLite file of the same network.
        items: Calibration inputs.
        method: How ranges follow from values.
        percentile: For the method `percentile`.

    Raises:
        ConversionError: The files differ in their output, or a value is NaN or infinite.
    """
    ranges = collect_ranges(onnx_path, items, method, percentile)
    mapped = map_tensors(onnx_path, tflite_path, items)
    own = tflite_ranges(tflite_path, mapped, ranges, items)
    return FloatPair(onnx_path, tflite_path, mapped, ranges, own, find_layers(onnx_path, tflite_path, mapped))


def float_tensors(pair: FloatPair, chosen: Collection[Layer], whole: Path, mixed: Path) -> set[str]:
    """Return the tensors whose operators are kept in float so that the TFLite file computes what the ONNX file does.

    Beside the layers' own: operators whose input or output the ONNX file no longer quantizes, because
    only float layers make or read it.

    Args:
        pair: The float files.
        chosen: Layers in float.
        whole: The ONNX file with every layer in int8.
        mixed: The ONNX file with the chosen layers in float.
    """
    no_more = _quantized(whole) - _quantized(mixed)
    real = {name for name, source in pair.mapped.items() if source in no_more}
    found = {layer.tensor for layer in chosen if layer.tensor is not None} | real
    for operator, source, output in TfliteActivations(pair.tflite).operators():
        if source in real:
            found.add(output)
            if operator in MOVING:
                real.add(output)
    return found


def _quantized(path: Path) -> set[str]:
    graph = onnx.load(path).graph
    return {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}

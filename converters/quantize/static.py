"""The quantize step: static int8 from validation pictures, for both formats from the same ranges' data.

ONNX: QDQ, activations uint8 and weights int8 per channel, min-max (the fused, fast form on x86).
TFLite: weights and activations int8 with true minima and maxima; the quantizer's default is a moving
average that clips. Inputs and outputs stay float32, so that callers never see a scale.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.dataset import load_split
from converters.export.artifacts import MODELS, Artifact, write_artifacts
from converters.export.float_models import INPUT
from converters.quiet import logged
from converters.recipe import Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode
from edgeinfer.errors import ConversionError
from edgeinfer.preprocess import Preprocessor


def quantize_onnx(float_path: Path, tensors: NDArray[np.float32], scratch: Path, path: Path) -> None:
    """Write the int8 ONNX file.

    Args:
        float_path: The fp32 file.
        tensors: Calibration inputs, `(N, C, H, W) float32`.
        scratch: Folder for an intermediate file.
        path: Where to.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[NDArray[np.float32]] = iter(tensors)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            row = next(self._rows, None)
            return None if row is None else {INPUT: row[None]}

    prepared = scratch / "prepared.onnx"
    quant_pre_process(str(float_path), str(prepared))
    quantize_static(
        str(prepared),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def quantize_tflite(float_path: Path, tensors: NDArray[np.float32], path: Path) -> None:
    """Write the int8 TFLite file, float32 at its borders.

    Args:
        float_path: The fp32 file.
        tensors: Calibration inputs, `(N, C, H, W) float32`.
        path: Where to.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.utils import qsv_utils

    quantizing = quantizer.Quantizer(str(float_path), recipe.static_wi8_ai8())
    for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        quantizing.update_quantization_recipe(".*", border, algorithm_key=AlgorithmName.NO_QUANTIZE)
    calibrator = Calibrator(str(float_path), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    rows = [{"args_0": row} for row in _channels_last(tensors)]
    calibrator.calibrate({"serving_default": rows}, quantizing._recipe_manager)
    result: Any = quantizing.quantize(calibrator.get_model_qsvs(), enable_progress_report=False)
    result.export_model(str(path), overwrite=True)


def _channels_last(tensors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensors.transpose(0, 2, 3, 1))[:, None]


def _settings(recipe: Recipe) -> object:
    return {"quantize": encode(recipe.quantize), "input": encode(recipe.input), "seed": recipe.seed}


def _run(context: Context) -> None:
    recipe = context.recipe
    validation = load_split(context.needs, "validation")
    order = np.random.default_rng(recipe.seed).permutation(len(validation.labels))
    chosen = validation.items[order[: recipe.quantize.calibration_items]]
    tensors = Preprocessor(recipe.input.steps()).tensors(chosen)
    log, models = context.scratch / "quantize.log", _fresh(context.give(MODELS))
    with context.report.bar("quantizing", 2) as bar:
        try:
            with logged(log):
                quantize_onnx(context.needs["fp32.onnx"], tensors, context.scratch, models / "int8.onnx")
            bar.advance(note="int8.onnx")
            with logged(log):
                quantize_tflite(context.needs["fp32.tflite"], tensors, models / "int8.tflite")
            bar.advance(note="int8.tflite")
        except Exception as error:  # both quantizers raise whatever their passes raise
            raise ConversionError(
                f"quantizing the student failed ({error})", next_step=f"the whole story is in {log}"
            ) from error
    for name in ("fp32.onnx", "fp32.tflite"):
        shutil.copyfile(context.needs[name], models / name)
    write_artifacts(models, _ARTIFACTS)


def _fresh(folder: Path) -> Path:
    """Return the folder empty: what a killed run left in it is no part of the result."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


# In the order in which a device should try them.
_ARTIFACTS = (
    Artifact("tflite-int8", "int8.tflite", "tflite", "int8", "litert", "static"),
    Artifact("onnx-int8", "int8.onnx", "onnx", "int8", "onnxruntime", "static", "U8S8"),
    Artifact("tflite-fp32", "fp32.tflite", "tflite", "fp32", "litert"),
    Artifact("onnx-fp32", "fp32.onnx", "onnx", "fp32", "onnxruntime"),
)

QUANTIZE = Step(
    "quantize",
    ("items.npy", "splits.npz", "fp32.onnx", "fp32.tflite"),
    (MODELS,),
    _settings,
    _run,
)

"""ONNX Runtime as converters look into files with it: silent, on one thread, so that sums round the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal


def onnx_session(
    model: Path | bytes,
    *,
    optimize: Literal["none", "basic", "all"] = "all",
    written: Path | None = None,
    arena: bool = True,
) -> Any:
    """Return an `onnxruntime.InferenceSession` on the processor.

    Args:
        model: The file, or its content.
        optimize: What is done to the graph. Above `basic` operators appear that belong to this runtime
            alone; with `none` every tensor keeps its name.
        written: Receives the optimized graph.
        arena: Whether memory is kept for later runs: as much as the largest batch took, for good.

    Raises:
        Exception: Whatever the runtime raises, which shares no base.
    """
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = {
        "none": levels.ORT_DISABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "all": levels.ORT_ENABLE_ALL,
    }[optimize]
    if written is not None:
        options.optimized_model_filepath = str(written)
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = arena
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

"""The slim step: the model files that ship, without what only people read.

It comes last, so that whoever looks inside the layers (calibration, sensitivity, debugging) does so by
name in the files before it. That nothing else has changed is not believed but run: each file is held
against the one it was made of, bit by bit, in the engine that ships.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.export.artifacts import MODELS, NAMED_MODELS, Artifact, load_artifacts, write_artifacts
from converters.export.slim_onnx import slim_onnx
from converters.export.slim_tflite import slim_tflite
from converters.quiet import logged
from converters.steps import Context, Step
from edgeinfer.engines import SessionOptions, TensorInfo, engine_named
from edgeinfer.errors import ConversionError

_SLIMMERS = {"onnx": slim_onnx, "tflite": slim_tflite}
_PROBES = 3


def slim(artifact: Artifact, content: bytes) -> bytes:
    """Return a file of the same answers and at most as many bytes.

    Args:
        artifact: What the file is, and the engine that runs it.
        content: The file.

    Raises:
        ConversionError: The smaller file answers otherwise, or the engine refuses it.
    """
    smaller = _SLIMMERS[artifact.format](content)
    before, after = (_answers(artifact.engine, each) for each in (content, smaller))
    if before.keys() != after.keys() or any(not np.array_equal(before[name], after[name]) for name in before):
        raise ConversionError(
            f"{artifact.file} answers otherwise without its names and notes",
            expected="the same bits",
            next_step="report this; until it is mended, take the file of the quantize step",
        )
    return min(smaller, content, key=len)


def _answers(engine: str, content: bytes) -> Mapping[str, NDArray[np.uint8]]:
    """Return every output of a few seeded inputs as bytes, by the file's own names."""
    session = engine_named(engine).load(content, SessionOptions())
    generator = np.random.default_rng(0)
    try:
        runs = [
            session.run({each.name: _probe(each, generator) for each in session.inputs})
            for _ in range(_PROBES)
        ]
    finally:
        session.close()
    return {name: np.concatenate([run[name].reshape(-1).view(np.uint8) for run in runs]) for name in runs[0]}


def _probe(tensor: TensorInfo, generator: np.random.Generator) -> NDArray[np.generic]:
    shape = tuple(axis if isinstance(axis, int) else 1 for axis in tensor.shape)
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return generator.normal(size=shape).astype(dtype)
    return generator.integers(0, 128 if dtype.itemsize == 1 else 2, shape).astype(dtype)


def _run(context: Context) -> None:
    source, target = context.needs[NAMED_MODELS], context.give(MODELS)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    artifacts = load_artifacts(source)
    with context.report.bar("slimming", len(artifacts)) as bar:
        for artifact in artifacts:
            content = (source / artifact.file).read_bytes()
            with logged(context.scratch / "slim.log"):
                smaller = slim(artifact, content)
            (target / artifact.file).write_bytes(smaller)
            bar.advance(note=f"{artifact.file} {len(content):,} -> {len(smaller):,} bytes")
    write_artifacts(target, artifacts)


SLIM = Step("slim", (NAMED_MODELS,), (MODELS,), lambda _: {}, _run)

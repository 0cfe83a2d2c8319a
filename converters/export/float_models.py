"""The export step: the float student as ONNX with a free batch, and as TFLite for batch 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import onnx
import torch
from torch import nn

from converters.data.dataset import load_record
from converters.distill.folding import folded
from converters.distill.student import load_network
from converters.export.blame import export_error
from converters.export.penultimate import PENULTIMATE, WithPenultimate
from converters.export.slim_onnx import drop_notes
from converters.quiet import logged
from converters.recipe import LARGEST_BATCH, Recipe
from converters.steps import Context, Step
from edgeinfer.bundle import encode

INPUT, OUTPUT = "input", "logits"
# A module, the shape of its input without the batch, and where to.
Export = Callable[[nn.Module, tuple[int, ...], Path], None]


def export_onnx(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write `(N, ...) -> (N, classes)` as one ONNX file, weights inside.

    Args:
        module: In evaluation mode; a `WithPenultimate` gives two outputs.
        shape: `(C, H, W)` of pictures and spectra, `(values,)` of rows.
        path: Where to.
    """
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    program = torch.onnx.export(
        module,
        (torch.zeros(2, *shape),),
        dynamo=True,
        external_data=False,
        input_names=[INPUT],
        output_names=[OUTPUT, PENULTIMATE] if isinstance(module, WithPenultimate) else [OUTPUT],
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    assert program is not None, "dynamo=True returns a program"
    model = program.model_proto
    drop_notes(model)
    if isinstance(module, WithPenultimate):
        _unwrap(model.graph)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _unwrap(graph: onnx.GraphProto) -> None:
    """Give weights the names that they have in the student: layers are known to people by them."""
    own = {each.name: each.name.removeprefix(WithPenultimate.PREFIX) for each in graph.initializer}
    for initializer in graph.initializer:
        initializer.name = own[initializer.name]
    for node in graph.node:
        node.input[:] = [own.get(name, name) for name in node.input]


def export_tflite(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write `(1, H, W, C) -> (1, classes)` as TFLite, whose kernels want channels last; rows as they are.

    Args:
        module: In evaluation mode, channels first.
        shape: `(C, H, W)` of pictures and spectra, `(values,)` of rows.
        path: Where to.
    """
    import litert_torch

    if len(shape) == 3:
        channels, *sides = shape
        module, shape = litert_torch.to_channel_last_io(module, args=[0]).eval(), (*sides, channels)
    litert_torch.convert(module, (torch.zeros(1, *shape),)).export(str(path))


def _settings(recipe: Recipe) -> object:
    return {
        "input": encode(recipe.input),
        "student": encode(recipe.student),
        "penultimate": recipe.drift.projections > 0,
    }


def export_each(
    module: nn.Module, written: nn.Module, shape: tuple[int, ...], files: Mapping[Path, Export], log: Path
) -> Iterator[Path]:
    """Write a module in several formats and give each file when it is there.

    Args:
        module: What is exported: in evaluation mode, batch norms folded.
        written: The same as its maker wrote it, for messages.
        shape: Of an input, without the batch.
        files: How to write each file.
        log: Where the exporters' own words go.

    Raises:
        ConversionError: An operator has no form in that format; names the module and the line that use it.
    """
    for path, export in files.items():
        try:
            with logged(log):
                export(module, shape, path)
        except Exception as error:  # the exporters raise whatever their passes raise
            raise export_error(path.name, error, written.eval(), torch.zeros(2, *shape), log) from error
        yield path


def _run(context: Context) -> None:
    recipe = context.recipe
    classes = len(load_record(context.needs).classes)
    written = load_network(recipe, classes, context.needs["student.pt"])
    module, shape = folded(written), recipe.input.shape
    if recipe.drift.projections:
        module = WithPenultimate(module, shape)
    files = {context.give("fp32.onnx"): export_onnx, context.give("fp32.tflite"): export_tflite}
    log = context.scratch / "export.log"
    with context.report.bar("exporting", len(files)) as bar:
        for path in export_each(module, written, shape, files, log):
            bar.advance(note=path.name)


EXPORT = Step("export", ("data.json", "student.pt"), ("fp32.onnx", "fp32.tflite"), _settings, _run)

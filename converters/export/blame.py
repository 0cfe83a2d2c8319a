"""Which line of which module an exporter could not translate, and the nearest way out.

Exporters name the operator of a traced graph. A person needs the line that they wrote: it is found
by exporting the module once more as a graph that remembers where each operator came from.
"""

from __future__ import annotations

import linecache
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import fx, nn

from converters.quiet import logged
from edgeinfer.errors import ConversionError

_TARGET = re.compile(r"target=torch\.ops\.(\w+\.\w+(?:\.\w+)?)\]?\(|OpOverload\(op='(\w+\.\w+)'")
_PLACE = re.compile(r'File "([^"]+)", line (\d+), in \w+')
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib"))
_OURS = str(Path(__file__).parents[2] / "converters" / "export")
# What to do instead, by what is in the operator's name; the first that fits.
_WAYS_OUT = (
    ("_local_scalar_dense", "keep the value a tensor: leave out .item() and float()"),
    ("unique|nonzero|masked_select", "shapes must not depend on values: use torch.where and masks"),
    (
        "fft|complex|stft",
        "compute the spectrum in the preprocessing, or as a product with fixed cosines and sines",
    ),
    ("linalg|svd|eig|qr|cholesky|inverse", "compute the decomposition once and store its result as a buffer"),
    ("adaptive", "write the pooling as x.mean((2, 3)), or with a fixed kernel"),
)
_CONTROL_FLOW = "choose between values with torch.where instead of if, and give loops a fixed length"
_GENERAL = (
    "write it with convolutions, matrix products and elementwise arithmetic, or move it to the preprocessing"
)


@dataclass(frozen=True)
class Culprit:
    """Where something that cannot be exported comes from.

    Attributes:
        operator: Its name, for example `aten.erfinv`; None where Python code itself cannot be traced.
        module: Dotted name of the module that uses it, with its class.
        place: File and line.
        code: That line.
    """

    operator: str | None
    module: str | None
    place: str | None
    code: str | None

    def shown(self) -> str:
        """Return it for a message: `module odd (Odd), nets.py:12: return torch.erfinv(x)`."""
        where = [f"module {self.module}" if self.module else "", self.place or ""]
        known = ", ".join(part for part in where if part)
        return f"{known}: {self.code}" if known and self.code else known or "the exporter did not say where"


def export_error(
    file: str, error: Exception, module: nn.Module, example: torch.Tensor, log: Path
) -> ConversionError:
    """Return what to tell of a failed export.

    Args:
        file: What was to be written: `fp32.onnx` or `fp32.tflite`.
        error: What the exporter raised.
        module: As its maker wrote it, in evaluation mode: not folded, so that lines and names are theirs.
        example: An input, with a batch of two.
        log: Where the exporter's own story went.
    """
    culprit = find_culprit(error, module, example, log)
    if culprit.operator is None:
        what = f"step export: {file} cannot be made from Python code that depends on values"
        first = next(iter(_COLOUR.sub("", str(error)).strip().splitlines()), type(error).__name__)
        found, way = f"{culprit.shown()} ({first})", _CONTROL_FLOW
    else:
        what = f"step export: {file} cannot express {culprit.operator}"
        found, way = culprit.shown(), _way_out(culprit.operator, str(error))
    return ConversionError(what, found=found, next_step=f"{way}; the whole story is in {log}")


def find_culprit(error: Exception, module: nn.Module, example: torch.Tensor, log: Path) -> Culprit:
    """Return what an exporter's error is about, as far as it can be told."""
    operator = _operator(error)
    try:
        with logged(log):
            program = torch.export.export(module, (example,))
            graphs = (program.graph, program.run_decompositions().graph)
    except Exception as again:  # torch.export raises whatever tracing the user's code raises
        return _in_code(again, module) or _in_code(error, module) or Culprit(operator, None, None, None)
    for graph in graphs:
        for node in graph.nodes:
            if operator and _is_same(operator, str(node.target)):
                return _of_node(operator, node)
    return _in_code(error, module) or Culprit(operator, None, None, None)


def _operator(error: BaseException | None) -> str | None:
    while error is not None:
        if found := _TARGET.search(str(error)):
            space, name = (found.group(1) or found.group(2)).split(".")[:2]
            return f"{space}.{name}"
        error = error.__cause__
    return None


def _is_same(operator: str, target: str) -> bool:
    """Return whether a node's target is the operator, or what a primitive such as `prims.erf_inv` stands for."""
    if target.startswith(f"{operator}."):
        return True
    space, _, name = operator.partition(".")
    plain = target.split(".")[1] if target.count(".") else target
    return space == "prims" and plain.replace("_", "").endswith(name.replace("_", ""))


def _of_node(operator: str, node: fx.Node) -> Culprit:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else kind.__qualname__
    places = _PLACE.findall(node.meta.get("stack_trace") or "")
    module = f"{path or 'itself'} ({kind.rpartition('.')[2]})" if kind else None
    return Culprit(operator, module, *(_line(places[-1][0], int(places[-1][1])) if places else (None, None)))


def _in_code(error: BaseException, module: nn.Module) -> Culprit | None:
    """Return the last line of the user's own code that an error passed through."""
    users = [(frame, line) for frame, line in _frames(error) if _is_the_users(frame.f_code.co_filename)]
    if not users:
        return None
    frame, line = users[-1]
    owner = frame.f_locals.get("self")
    name = next((name for name, each in module.named_modules() if each is owner), None)
    shown = None if name is None else f"{name or 'itself'} ({type(owner).__qualname__})"
    return Culprit(None, shown, *_line(frame.f_code.co_filename, line))


def _frames(error: BaseException | None) -> Iterator[tuple[FrameType, int]]:
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            yield trace.tb_frame, trace.tb_lineno
            trace = trace.tb_next
        error = error.__cause__


def _is_the_users(file: str) -> bool:
    return not file.startswith(("<", _OURS, *_LIBRARIES))


def _line(file: str, number: int) -> tuple[str, str]:
    return f"{Path(file).name}:{number}", linecache.getline(file, number).strip()


def _way_out(operator: str, story: str) -> str:
    for pattern, way in _WAYS_OUT:
        if re.search(pattern, operator) or (pattern.startswith("fft") and "complex" in story.splitlines()[0]):
            return way
    return _GENERAL

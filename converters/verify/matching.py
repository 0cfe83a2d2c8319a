"""Which tensor of an exported file is which layer of the student: told by values, since exporters rename.

A probe runs through the student and through the file; tensors with equal values are the same layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

_INPUT_LAYER = "input"
# What fuses with the operation before it, so that the file knows only the value behind.
_ACTIVATIONS = frozenset({"relu", "relu_", "hardtanh", "hardtanh_", "relu6", "clamp", "clamp_min"})
# What moves values and computes none.
_MOVES = frozenset(
    {"view", "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "clone", "contiguous"}
    | {"dropout", "alias", "detach", "pad", "constant_pad_nd", "getitem", "slice", "expand", "_to_copy", "to"}
)
# Two exporters and torch sum in another order; layers of one network differ by far more.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Layer:
    """One operation of the student with the activation that follows it alone.

    Attributes:
        name: Path of the module, as in `named_modules()`, for example `features.3`; for a function
            call in a module's `forward` the module's path and the function's name.
        kinds: What computes: the module's class or the function's name, then the activation's.
        inputs: Names of the layers whose values it takes.
        shape: Shape of its value for the probe, `(N, ...)`.
    """

    name: str
    kinds: tuple[str, ...]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A student's layers in order of execution, and each one's value for a probe, by layer."""

    layers: tuple[Layer, ...]
    values: Mapping[str, NDArray[np.float32]]


def trace(module: nn.Module, probe: NDArray[np.float32]) -> Trace:
    """Run a probe through a student and keep every layer's value.

    Args:
        module: In evaluation mode; takes one tensor.
        probe: `(N, ...) float32`; a few real inputs, so that no two layers are equal by chance.
    """
    inputs = torch.from_numpy(probe)
    graph = torch.export.export(module, (inputs,)).module()
    assert isinstance(graph, fx.GraphModule)
    recorder = _Recorder(graph)
    with torch.no_grad():
        recorder.run(inputs)
    ends = {node: _end(node) for node in graph.graph.nodes if node in recorder.values and _computes(node)}
    names = _names([node for node in ends if not _fused(node)])
    layers, values = [], {}
    for node, name in names.items():
        end = ends[node]
        value = recorder.values[end].numpy()
        kinds = (_kind(node),) if end is node else (_kind(node), _kind(end))
        before = tuple(dict.fromkeys(names[each] for each in _sources(node, names)))
        layers.append(Layer(name, kinds, before, tuple(value.shape)))
        values[name] = value
    return Trace(tuple(layers), values)


def match(traced: Trace, tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, str]:
    """Return the name of a file's tensor per layer, for the layers that the file has.

    Args:
        traced: The student's layers for a probe.
        tensors: The float file's tensors for the same probe, by name; axes channels first or last.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for layer in traced.layers:
        wanted = traced.values[layer.name]
        for name, value in tensors.items():
            if name not in taken and any(_equal(each, wanted) for each in _arrangements(value)):
                found[layer.name] = name
                taken.add(name)
                break
    return found


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps the tensor of each node."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.values: dict[fx.Node, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor) and result.is_floating_point() and n.op != "get_attr":
            # Operations in place would change what was kept.
            self.values[n] = result.detach().clone()
        return result


def _computes(node: fx.Node) -> bool:
    return node.op == "placeholder" or (node.op == "call_function" and _function(node) not in _MOVES)


def _function(node: fx.Node) -> str:
    target = node.target
    packet = getattr(target, "overloadpacket", target)
    return str(getattr(packet, "__name__", packet)).rsplit(".", 1)[-1]


def _end(node: fx.Node) -> fx.Node:
    """Return the activation that alone follows a node, or the node."""
    users = list(node.users)
    follows = len(users) == 1 and _function(users[0]) in _ACTIVATIONS and node.op == "call_function"
    return users[0] if follows and _function(node) not in _ACTIVATIONS else node


def _fused(node: fx.Node) -> bool:
    before = node.all_input_nodes
    return bool(before) and _computes(before[0]) and _end(before[0]) is node


def _home(node: fx.Node) -> tuple[str, str]:
    """Return path and class of the innermost module that a node was called in."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    return str(path), str(kind).rsplit(".", 1)[-1]


def _kind(node: fx.Node) -> str:
    if node.op == "placeholder":
        return _INPUT_LAYER
    path, kind = _home(node)
    own = path.rsplit(".", 1)[-1]
    # Torch's own leaf modules are called by their class; what a forward calls, by the function.
    leaf = getattr(nn, kind, None) is not None and kind != "Sequential" and own
    return kind if leaf else _function(node)


def _names(nodes: list[fx.Node]) -> dict[fx.Node, str]:
    names: dict[fx.Node, str] = {}
    modules = {_home(node)[0] for node in nodes if _kind(node) != _function(node)}
    taken: dict[str, int] = {}
    for node in nodes:
        path = _home(node)[0]
        if node.op == "placeholder":
            name = _INPUT_LAYER
        elif path in modules and _kind(node) != _function(node):
            name = path
        else:
            name = f"{path}.{_function(node)}".lstrip(".")
        taken[name] = taken.get(name, 0) + 1
        names[node] = name if taken[name] == 1 else f"{name}#{taken[name]}"
    return names


def _sources(node: fx.Node, names: Mapping[fx.Node, str]) -> Iterator[fx.Node]:
    """Yield the nearest named nodes that a node's values come from."""
    for before in node.all_input_nodes:
        if before in names:
            yield before
        else:
            yield from _sources(before, names)


def _arrangements(value: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    yield value
    if value.ndim > 2:
        yield np.moveaxis(value, -1, 1)


def _equal(value: NDArray[np.generic], wanted: NDArray[np.float32]) -> bool:
    if value.size != wanted.size or value.shape[0] != wanted.shape[0]:
        return False
    if value.shape != wanted.shape and _without_ones(value) != _without_ones(wanted):
        return False
    given = value.reshape(wanted.shape).astype(np.float64)
    scale = float(np.linalg.norm(wanted))
    return float(np.linalg.norm(given - wanted)) <= _TOLERANCE * max(scale, 1e-12)


def _without_ones(value: NDArray[np.generic]) -> tuple[int, ...]:
    """Return the lengths behind the batch that are not 1: a mean may keep its axes."""
    return tuple(length for length in value.shape[1:] if length != 1)

"""A network that computes as its int8 files will, for training; any that `torch.fx` can trace.

The grids stand where both quantizers put them: behind the input, each layer with its ReLU, additions, means
and all else that computes. What only moves values keeps the grid of what it took.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import fx, nn

from converters.distill.folding import folded
from converters.quantize.fake import ActivationQuantizer, QuantizedLayer
from converters.quantize.ranges import Tensors
from edgeinfer.errors import ConversionError

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.ConvTranspose1d, nn.ConvTranspose2d)
_CLIPPING = (nn.ReLU, nn.ReLU6)
_CLIPPING_CALLS = {torch.relu, F.relu, F.relu6, "relu", "relu_"}
_MOVING = (nn.Flatten, nn.Dropout, nn.Identity, nn.MaxPool1d, nn.MaxPool2d, nn.ZeroPad2d, nn.Unflatten)
_MOVING_CALLS = {
    torch.flatten, torch.reshape, torch.transpose, torch.permute, torch.squeeze, torch.unsqueeze,
    F.dropout, F.max_pool2d, F.max_pool1d, F.pad,
    "flatten", "reshape", "view", "transpose", "permute", "squeeze", "unsqueeze", "contiguous",
}  # fmt: skip
_SUFFIX = "_grid"
# Kernels of the exported files sum in another order than PyTorch's.
_EQUAL = 1e-4


class QatNetwork(nn.Module):
    """A network with every activation, weight and bias on the grid of its int8 files.

    Takes and gives what the network does. Batch norms are folded first. Its state, ranges among it, is
    all in its state dict.
    """

    steps: torch.Tensor

    def __init__(self, network: nn.Module, example: torch.Tensor, observe_steps: int) -> None:
        """Insert the grids.

        Args:
            network: Takes one tensor; any mode.
            example: A batch of inputs that it takes.
            observe_steps: Training steps in which ranges follow the data, before they are learned.

        Raises:
            ConversionError: It cannot be traced, or has no layer whose weights can be quantized.
        """
        super().__init__()
        self._observe_steps = observe_steps
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.network = _traced(folded(network))
        floats = {name for name, _ in activations(self.network, example)}
        # Per node of the float graph: the node on whose grid its values lie, or will behind its ReLU.
        self.grids: dict[str, str] = {}
        self._insert(floats)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the int8 network."""
        if self.training:
            observing = int(self.steps) < self._observe_steps
            for each in self._quantizers().values():
                each.observing = observing
            self.steps += 1
        result: torch.Tensor = self.network(x)
        return result

    def folded(self) -> fx.GraphModule:
        """Return the float network of the weights as trained, in evaluation mode, to be exported."""
        network: fx.GraphModule = copy.deepcopy(self.network)
        inner = dict(network.named_modules())
        for node in list(network.graph.nodes):
            module = inner.get(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, ActivationQuantizer):
                node.replace_all_uses_with(node.args[0])
                network.graph.erase_node(node)
            elif isinstance(module, QuantizedLayer):
                _set(network, str(node.target), module.layer)
        network.delete_all_unused_submodules()
        network.recompile()
        network.eval()
        return network

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the range of every activation on a grid, by node of the float graph."""
        quantizers = self._quantizers()
        return {node: quantizers[grid].range() for node, grid in self.grids.items()}

    def settle(self) -> None:
        """Set every scale to what the quantizers will compute from the range."""
        for each in self._quantizers().values():
            each.settle()

    def _quantizers(self) -> dict[str, ActivationQuantizer]:
        found = {}
        for name, module in self.network.named_children():
            if isinstance(module, ActivationQuantizer):
                found[name.removesuffix(_SUFFIX)] = module
        return found

    def _insert(self, floats: set[str]) -> None:
        inner, layers = dict(self.network.named_modules()), 0
        nodes = [node for node in self.network.graph.nodes if node.name in floats]
        for node in nodes:
            source = self._grid_of(node.args[0]) if node.args else None
            if _is(node, inner, _LAYERS, set()):
                layers += 1
                given = None if source is None else self._quantizers()[source]
                _set(self.network, str(node.target), QuantizedLayer(inner[str(node.target)], given))
            if source is not None and _is(node, inner, _MOVING, _MOVING_CALLS):
                self.grids[node.name] = source
            elif not _clipped_next(node, inner):
                self._put_behind(node)
        for node in reversed(nodes):
            if node.name not in self.grids:
                self.grids[node.name] = self.grids[next(iter(node.users)).name]
        if not layers:
            raise ConversionError(
                "the student has no layer to train for int8",
                expected="nn.Conv1d, nn.Conv2d, nn.Linear or their transposed forms as modules",
                next_step="leave out [quantize.qat], or write functional layers as modules",
            )
        self.network.recompile()

    def _put_behind(self, node: fx.Node) -> None:
        name = node.name + _SUFFIX
        self.network.add_submodule(name, ActivationQuantizer())
        with self.network.graph.inserting_after(node):
            quantizer = self.network.graph.call_module(name, ())
        node.replace_all_uses_with(quantizer)
        quantizer.args = (node,)
        self.grids[node.name] = node.name

    def _grid_of(self, source: object) -> str | None:
        if not isinstance(source, fx.Node):
            return None
        # What was put behind a node stands in its place.
        taken = source.args[0] if str(source.target).endswith(_SUFFIX) else source
        return self.grids.get(str(taken))


def activations(network: fx.GraphModule, x: torch.Tensor) -> list[tuple[str, NDArray[np.float32]]]:
    """Return every float tensor that a traced network computes, its input first, in order."""
    found = []

    class Recording(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if (
                isinstance(value, torch.Tensor)
                and value.is_floating_point()
                and n.op not in ("output", "get_attr")
            ):
                found.append((n.name, value.detach().cpu().numpy()))
            return value

    with torch.no_grad():
        Recording(network.eval()).run(x)
    return found


def named_as(
    tensors: Tensors, own: list[tuple[str, NDArray[np.float32]]], grids: Mapping[str, str]
) -> dict[str, str]:
    """Return the grid of each of an exported graph's tensors that has the values of a node on one.

    Args:
        tensors: Of the exported graph.
        own: Of the network, for the same input, in order.
        grids: By node of the network.
    """
    given = {}
    for name, values in tensors.items():
        scale = max(float(np.abs(values).max()), 1e-30)
        for node, other in own:
            # The last of equal ones: behind a ReLU that changed nothing.
            same = other.size == values.size and node in grids
            if same and np.abs(other.ravel() - values.ravel()).max() / scale < _EQUAL:
                given[name] = grids[node]
    return given


def _traced(network: nn.Module) -> fx.GraphModule:
    if isinstance(network, fx.GraphModule):
        return network
    try:
        return fx.symbolic_trace(network)
    except Exception as error:  # tracing runs the user's forward on proxies, which may fail in any way
        raise ConversionError(
            f"the student cannot be traced to train it for int8 ({error})",
            expected="a forward without control flow that depends on data",
            next_step="leave out [quantize.qat], or write the network's forward without such control flow",
        ) from error


def _is(node: fx.Node, inner: dict[str, nn.Module], kinds: tuple[type, ...], calls: set[Any]) -> bool:
    if node.op == "call_module":
        return isinstance(inner[str(node.target)], kinds)
    return node.op in ("call_function", "call_method") and node.target in calls


def _clipped_next(node: fx.Node, inner: dict[str, nn.Module]) -> bool:
    """Whether only ReLUs read a node, into which the engines fuse it."""
    users = list(node.users)
    return bool(users) and all(_is(user, inner, _CLIPPING, _CLIPPING_CALLS) for user in users)


def _set(network: fx.GraphModule, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)

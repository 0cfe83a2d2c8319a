"""Batch norms into the layers before them: what is exported, quantized and shipped."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def folded(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are part of the layer before them.

    A module that cannot be traced, for control flow that depends on data, keeps its batch norms: the
    answers are the same, the files a little larger.
    """
    module = copy.deepcopy(module).eval()
    try:
        traced = fx.symbolic_trace(module)
    except Exception:  # tracing runs the user's forward on proxies, which may fail in any way
        return module
    inner = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        if _foldable(node, inner, calls):
            source = node.args[0]
            fuse = fuse_linear_bn_eval if isinstance(inner[source.target], nn.Linear) else fuse_conv_bn_eval
            _replace(traced, source.target, fuse(inner[source.target], inner[node.target]))
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def _foldable(node: fx.Node, inner: dict[str, nn.Module], calls: Counter[object]) -> bool:
    if node.op != "call_module" or not isinstance(inner[str(node.target)], nn.modules.batchnorm._BatchNorm):
        return False
    source = node.args[0]
    return (
        isinstance(source, fx.Node)
        and source.op == "call_module"
        and len(source.users) == calls[source.target] == calls[node.target] == 1
        and isinstance(inner[str(source.target)], nn.Conv1d | nn.Conv2d | nn.Linear)
        and isinstance(inner[str(node.target)].running_mean, torch.Tensor)
    )


def _replace(traced: fx.GraphModule, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(traced.get_submodule(parent), own, module)

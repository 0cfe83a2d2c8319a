"""The layer before the last as a second output, for recipes whose drift reference looks at it.

It costs a copy of its values at each run and, in an int8 file, one more dequantization; no weight is
added. Recipes that do not name it get files with one output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgeinfer.errors import ConversionError

PENULTIMATE = "penultimate"


class WithPenultimate(nn.Module):
    """A network that also gives what its last linear layer takes.

    Output: `(N, classes)` logits and `(N, 1, D)` values of the penultimate layer. The axis in between makes
    them a tensor of their own: the TFLite quantizer feeds a layer floats beside int8 weights where its
    input is an output of the graph too.

    Args:
        module: In evaluation mode.
        shape: Of one preprocessed item.

    Raises:
        ConversionError: Its answer does not come from a linear layer.
    """

    # Of the names of everything inside.
    PREFIX = "module."

    def __init__(self, module: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.module = module
        self._taken: list[torch.Tensor] = []
        last = _last_linear(module, torch.zeros(2, *shape))
        last.register_forward_pre_hook(self._take)
        self.eval()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and what they were computed from."""
        self._taken.clear()
        logits: torch.Tensor = self.module(x)
        return logits, self._taken.pop().unsqueeze(1)

    def _take(self, _: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        self._taken.append(given[0])


def _last_linear(module: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return the linear layer whose result is the module's."""
    ran: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        ran.append((layer, given[0], result))

    handles = [each.register_forward_hook(note) for each in module.modules() if isinstance(each, nn.Linear)]
    try:
        with torch.no_grad():
            answer = module(example)
    finally:
        for handle in handles:
            handle.remove()
    if ran:
        layer, given, result = ran[-1]
        if given.ndim == 2 and result.shape == answer.shape and torch.equal(result, answer):
            return layer
    raise ConversionError(
        "the student has no penultimate layer to project",
        found=f"{len(ran)} linear layers, none of which gives the answer",
        expected="a network that ends in torch.nn.Linear on a vector an item",
        next_step="leave out drift.projections, or end the network in a linear layer",
    )

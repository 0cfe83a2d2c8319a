"""Which layers lose what quantization loses, found by leaving each in float and measuring.

The decisions are pure; what they decide on is measured by `OnnxTrial`, on validation items. Only the
ONNX file is tried: the TFLite file of the same ranges computes the same integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.export.onnx_session import onnx_session
from converters.export.slim_onnx import slim_onnx
from converters.json_file import load_json
from converters.quantize.layers import Layer
from converters.quantize.onnx_int8 import quantize_onnx
from converters.quantize.ranges import Items, Ranges, batches, largest_batch

# Name of the file that the quantize step gives.
SENSITIVITY = "sensitivity.json"
_BATCH = 32
# How many layers in float are searched for where none were asked for.
_TOGETHER = 4
_NEARLY = 0.9


@dataclass(frozen=True)
class Kept:
    """What was measured with some layers in float and the rest in int8.

    Attributes:
        layers: Those in float.
        accuracy: Top-1, None without labels.
        agreement: Share of items on which it names the class that the float file names.
        divergence: Mean Kullback-Leibler divergence of its probabilities from the float file's, in nats.
        bytes: Size of the ONNX file as it would ship.
    """

    layers: tuple[str, ...]
    accuracy: float | None
    agreement: float
    divergence: float
    bytes: int


@dataclass(frozen=True)
class Sensitivity:
    """What the pass found.

    Attributes:
        items: Validation items measured on.
        float_accuracy: Top-1 of the float file on them, None without labels.
        whole: Every layer in int8.
        alone: Each layer alone in float, the most sensitive first.
        together: One, two, three ... layers in float, found by adding whichever brings back most; as many
            as it takes, none where nothing is lost.
        chosen: Layers that are kept in float in what is shipped.
    """

    items: int
    float_accuracy: float | None
    whole: Kept
    alone: tuple[Kept, ...]
    together: tuple[Kept, ...]
    chosen: tuple[str, ...] = ()

    def drop(self, kept: Kept) -> float:
        """Return the share of items lost to the float file: of accuracy, or of agreement without labels."""
        labelled = self.float_accuracy is not None and kept.accuracy is not None
        best, own = (self.float_accuracy, kept.accuracy) if labelled else (1.0, kept.agreement)
        # Shares of whole items: what differs in the last digits is rounding.
        return round((best or 0.0) - (own or 0.0), 9)

    def advice(self) -> str:
        """Return what to keep in float, what it regains and what it costs, in a sentence."""
        lost = self.drop(self.whole)
        # What is better than the float file is luck, and no reason to keep more.
        gains = [lost - max(self.drop(kept), 0.0) for kept in self.together]
        most = max(gains, default=0.0)
        # The first that does nearly as much as the best.
        at = next((at for at, gain in enumerate(gains) if gain >= _NEARLY * most), None)
        best, regained = (self.whole, 0.0) if at is None else (self.together[at], gains[at])
        if lost <= 0 or regained <= 0:
            return (
                f"int8 loses {lost * 100:.1f} points on {self.items} validation items; no layer regains any"
            )
        which = "this layer" if len(best.layers) == 1 else f"these {len(best.layers)} layers"
        return (
            f"keep {which} in fp32 and regain {regained * 100:.1f} of {lost * 100:.1f} points "
            f"for {(best.bytes - self.whole.bytes) / 1000:.1f} kB: {', '.join(best.layers)}"
        )


# Where no int8 file is asked for.
NOT_MEASURED = Sensitivity(0, None, Kept((), None, 1.0, 0.0, 0), (), ())


def explore(
    measure: Callable[[tuple[str, ...]], Kept],
    layers: Sequence[str],
    items: int,
    float_accuracy: float | None,
    most: float | None,
) -> Sensitivity:
    """Rank layers by what each alone brings back, and search for few that bring back all together.

    Each step of the search adds the layer with which the divergence becomes least: a layer may help
    only beside another, where the tensor between the two is what cannot be quantized.

    Args:
        measure: Measures with these layers in float.
        layers: Names of all that can be kept.
        items: How many items `measure` measures on.
        float_accuracy: Of the float file on them.
        most: Largest drop: layers are added until it is kept, and are then `chosen`; the best set is
            chosen where none keeps it. None chooses nothing, and looks for few that regain all.
    """
    whole = measure(())
    alone = sorted((measure((name,)) for name in layers), key=_loss)
    found = Sensitivity(items, float_accuracy, whole, tuple(alone), ())
    sets = [whole]
    while found.drop(sets[-1]) > (most or 0.0) and len(sets[-1].layers) < len(layers):
        kept = sets[-1].layers
        if most is None and len(kept) == _TOGETHER:
            break
        others = [name for name in layers if name not in kept]
        sets.append(min((measure((*kept, name)) for name in others), key=_loss) if kept else alone[0])
    chosen: tuple[str, ...] = ()
    if most is not None:
        good = [kept for kept in sets if found.drop(kept) <= most]
        chosen = (good[0] if good else min(sets, key=found.drop)).layers
    return replace(found, together=tuple(sets[1:]), chosen=chosen)


def _loss(kept: Kept) -> tuple[float, int]:
    return kept.divergence, kept.bytes


class OnnxTrial:
    """Quantizes with some layers in float, runs items, and holds the answers against the float file's."""

    def __init__(
        self,
        float_path: Path,
        ranges: Ranges,
        layers: Sequence[Layer],
        items: Items,
        labels: NDArray[np.int64] | None,
        per_channel: bool = True,
    ) -> None:
        self._float_path, self._ranges = float_path, ranges
        self._nodes = {layer.name: layer.node for layer in layers}
        self._items, self._labels, self._per_channel = items, labels, per_channel
        self._wanted = onnx_logits(float_path, items)
        self.float_accuracy = self._accuracy(self._wanted)

    def measure(self, names: Iterable[str], scratch: Path) -> Kept:
        """Measure with these layers in float.

        Args:
            names: Layers.
            scratch: Folder for the file.
        """
        names, path = tuple(names), scratch / "trial.onnx"
        nodes = [self._nodes[name] for name in names]
        quantize_onnx(
            self._float_path, self._ranges, scratch, path, float_nodes=nodes, per_channel=self._per_channel
        )
        given = onnx_logits(path, self._items)
        size = len(slim_onnx(path.read_bytes()))
        path.unlink()
        agreement = float((given.argmax(1) == self._wanted.argmax(1)).mean())
        return Kept(names, self._accuracy(given), agreement, divergence(self._wanted, given), size)

    def _accuracy(self, given: NDArray[np.float32]) -> float | None:
        return None if self._labels is None else float((given.argmax(1) == self._labels).mean())


def onnx_logits(path: Path, items: Items) -> NDArray[np.float32]:
    """Return `(N, classes) float32` of an ONNX file's first output, one thread."""
    session = onnx_session(path)
    name = session.get_inputs()[0].name
    size = largest_batch(session, _BATCH)
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches(items, size)])


def divergence(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> float:
    """Return the mean of KL(softmax(wanted) || softmax(given)) in nats over `(N, classes)` logits."""
    one, other = (_log_softmax(values.astype(np.float64)) for values in (wanted, given))
    return float((np.exp(one) * (one - other)).sum(1).mean())


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def load_sensitivity(path: Path) -> Sensitivity:
    """Return what the quantize step wrote."""
    return load_json(Sensitivity, path)

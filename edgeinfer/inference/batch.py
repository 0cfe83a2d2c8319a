"""Several calls in one run: their tensors joined along the batch axis, and the answers parted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeinfer.engines.seam import Array


def joined(calls: Sequence[tuple[Mapping[str, Array], int]]) -> tuple[Mapping[str, Array], int]:
    """Return tensors by name with the items of all calls, in order, and their number."""
    if len(calls) == 1:
        return calls[0]
    names = calls[0][0]
    together = {name: np.concatenate([inputs[name] for inputs, _ in calls]) for name in names}
    return together, sum(count for _, count in calls)


def parted(outputs: dict[str, Array], counts: Sequence[int]) -> list[dict[str, Array]]:
    """Return each call's own tensors: copies, so that one that is kept does not keep the others'."""
    if len(counts) == 1:
        return [outputs]
    parts, start = [], 0
    for count in counts:
        parts.append({name: value[start : start + count].copy() for name, value in outputs.items()})
        start += count
    return parts

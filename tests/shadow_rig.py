"""A model, a candidate in its shadow, and a caller who waits until it has looked, which no other caller does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import edgeinfer as ei
from edgeinfer.rollout import Shadow, ShadowCandidate, ShadowLimits
from edgeinfer.testing import FakeEngine
from edgeinfer.testing.engine import mean_logits

LIGHT, DARK = (np.full((4, 4), level, np.uint8) for level in (255, 0))
# It works as much as it can.
ALL = ShadowLimits(cpu_share=1.0)


def loader(bundle: Path) -> Callable[..., ei.Model]:
    """What loads the sample bundle with an engine that answers in some way."""

    def load(answer: Callable[[Any], Any] = mean_logits) -> ei.Model:
        return ei.load(bundle, engine=FakeEngine(answer=answer), self_test=False)

    return load


def candidate(model: ei.Model, load: Callable[[], ei.Model], memory_bytes: int = 0) -> ShadowCandidate:
    """A candidate with the digest of the model that serves."""
    return ShadowCandidate(model.digest, load, memory_bytes)


def ask(model: ei.Model, shadow: Shadow, *pictures: Any) -> None:
    """Answer, hand over, and wait until the shadow is idle again."""
    for picture in pictures:
        prepared = model.prepare(picture)
        shadow.offer(prepared, model.answer(prepared))
        settled(shadow)


def settled(shadow: Shadow) -> None:
    """Wait until the shadow has compared what was handed over."""
    assert shadow._work.place.acquire(timeout=30)
    shadow._work.place.release()

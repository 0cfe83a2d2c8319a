"""Watches a loaded model at work: outputs are looked at, times are counted, and changes are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.bundle import Manifest, Variant
from edgeinfer.engines.seam import Array
from edgeinfer.frozen import frozen
from edgeinfer.host import resident_bytes
from edgeinfer.host.hooks import tell
from edgeinfer.inference.arrays import all_finite
from edgeinfer.inference.lane import Lane

if TYPE_CHECKING:
    from edgeinfer.inference.health import Health

# Reading memory and sensors takes some hundred microseconds; with a hook they are read at most this often.
_AGAIN_NS = 1_000_000_000


@frozen
class Loaded:
    """What loading took: milliseconds, and bytes of resident memory where the platform tells."""

    ms: float
    grown_bytes: int | None


class Watch:
    """What a model's health is made of. Threads may share it.

    Args:
        lane: The model's lane; it is told to report here.
        variant: What runs.
        manifest: What the bundle says.
        loaded: What loading took.
    """

    def __init__(self, lane: Lane, variant: Variant, manifest: Manifest, loaded: Loaded) -> None:
        self._lane, self._budgets, self._loaded = lane, manifest.budgets, loaded
        self._floats = [each.name for each in manifest.outputs if each.dtype.startswith("float")]
        self._checked = self._not_finite = self._saturated = 0
        self._lock = threading.Lock()
        self.shed = 0
        self.shedding: Callable[[], bool] = lambda: False
        self._hook: Callable[[Health], object] | None = None
        self._told: frozenset[str] = frozenset()
        self._next_ns = 0
        self.also(lane, variant)

    def tell(self, hook: Callable[[Health], object] | None) -> None:
        """Call a hook with the health whenever its kinds of alarms are others than before."""
        self._hook = hook

    def health(self) -> Health:
        """Return the state now."""
        from edgeinfer.host import thermal
        from edgeinfer.inference.health import Health, with_alarms

        times, heat = self._lane.durations, thermal()
        counts = times.counts()
        now = Health(
            runs=sum(counts),
            errors=self._lane.errors,
            p50_ms=_ms(times.quantile_ns(0.5)),
            p99_ms=_ms(times.quantile_ns(0.99)),
            largest_ms=times.largest_ns / 1e6,
            load_ms=self._loaded.ms,
            resident_bytes=resident_bytes(),
            grown_bytes=self._loaded.grown_bytes,
            celsius=heat.celsius,
            throttled=heat.throttled,
            checked=self._checked,
            not_finite=self._not_finite,
            saturated=self._saturated,
            in_line=self._lane.in_line,
            shed=self.shed,
            shedding=self.shedding(),
        )
        return with_alarms(now, self._budgets)

    def also(self, lane: Lane, variant: Variant) -> None:
        """Look at the outputs of a variant that answers for the model."""
        ends = _ends(variant)
        # Most models have one output to look at, and every step counts behind a run that used the caches.
        only = self._floats[0] if len(self._floats) == 1 and not ends else None

        def ran(outputs: Mapping[str, Array]) -> None:
            broken = full = False
            if only is None or not all_finite(outputs[only]):
                broken = not all(all_finite(outputs[name]) for name in self._floats)
                full = any(_at_ends(outputs[name], each) for name, each in ends.items())
            with self._lock:
                self._checked += 1
                self._not_finite += broken
                self._saturated += full
            if self._hook is not None:
                self._tell_changes(at_once=broken or full)

        lane.ran = ran

    def _tell_changes(self, *, at_once: bool) -> None:
        now = time.perf_counter_ns()
        with self._lock:
            if now < self._next_ns and not at_once:
                return
            self._next_ns = now + _AGAIN_NS
        health = self.health()
        kinds = frozenset(alarm.kind for alarm in health.alarms)
        if kinds != self._told:
            self._told = kinds
            tell(self._hook, health, "on_health")


def _ends(variant: Variant) -> dict[str, tuple[np.float32, np.float32]]:
    """Return the least and largest real value of each output that is quantized in the file."""
    found = {}
    for name, each in variant.outputs.items():
        if each.quantization is not None:
            kind, zero = np.iinfo(each.dtype), each.quantization.zero_point
            scale = np.float32(each.quantization.scale)
            found[name] = (np.float32(kind.min - zero) * scale, np.float32(kind.max - zero) * scale)
    return found


def _at_ends(values: Array, ends: tuple[np.float32, np.float32]) -> bool:
    low, high = ends
    return bool(np.count_nonzero((values <= low) | (values >= high)) * 2 > values.size)


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e6

"""Processors this process may use."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """Return how many logical processors this process may run on, at least 1.

    Respects the affinity mask (cpusets, taskset) where the platform tells it.
    """
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1

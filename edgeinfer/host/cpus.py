"""Processors: how many this process may use, and what they are called."""

from __future__ import annotations

import math
import os
import platform

from edgeinfer.host.cgroup import processor_quota


def usable_cpus() -> int:
    """Return how many logical processors this process may keep busy, at least 1.

    Respects the affinity mask (cpusets, taskset) and the quota of its control group, rounded up: a
    quota of one and a half leaves two threads something to do.
    """
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return max(1, seen if quota is None else min(seen, math.ceil(quota)))


def processor() -> str:
    """Return the architecture and, where the platform tells it, the processor's model name."""
    return f"{platform.machine()} {_model() or platform.processor()}".strip()


def _model() -> str | None:
    """Return what Linux calls the processor; asking Python would start a process."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as listing:
            for line in listing:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model"):
                    return value.strip()
    except OSError:
        return None
    return None

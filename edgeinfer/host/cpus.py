"""Processors: how many this process may use, and what they are called."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def usable_cpus() -> int:
    """Return how many logical processors this process may run on, at least 1.

    Respects the affinity mask (cpusets, taskset) where the platform tells it.
    """
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def processor() -> str:
    """Return the architecture and, where the platform tells it, the processor's model name."""
    name = platform.processor()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                name = value.strip()
                break
    return f"{platform.machine()} {name}".strip()

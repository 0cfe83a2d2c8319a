"""Memory of this process."""

from __future__ import annotations

import os
import sys


def resident_bytes() -> int | None:
    """Return the resident memory of this process in bytes, or None where the platform does not tell.

    Linux tells the present value; macOS, through `getrusage`, only the highest one so far.
    """
    try:
        with open("/proc/self/statm", encoding="utf-8") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def available_bytes() -> int | None:
    """Return the memory in bytes that Linux can give without swapping, or None where the platform does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def grown_since(before: int | None) -> int | None:
    """Return by how many bytes resident memory has grown, 0 where it shrank, or None where it is not told."""
    after = resident_bytes()
    return max(0, after - before) if before is not None and after is not None else None

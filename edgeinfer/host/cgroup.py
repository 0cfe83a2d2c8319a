"""Limits that a Linux control group sets on this process: containers and services live in one."""

from __future__ import annotations

from collections.abc import Iterator

from edgeinfer.frozen import frozen

# Version 1 says "no limit" with the largest multiple of a page that fits 63 bits.
_NO_LIMIT_V1 = 1 << 60


@frozen
class GroupLimits:
    """What the tightest of the groups that hold this process allows; None where nothing is limited.

    Attributes:
        cpus: Processor time a second, in processors: 1.5 is one and a half.
        memory_bytes: Resident memory above which processes of the group are killed.
    """

    cpus: float | None = None
    memory_bytes: int | None = None


def group_limits(root: str = "/") -> GroupLimits:
    """Read the limits of every group that holds this process, in either version of the interface.

    Sources: the kernel's documentation, `admin-guide/cgroup-v2` (`cpu.max`, `memory.max`) and
    `scheduler/sched-bwc`, `admin-guide/cgroup-v1/memory` (`cpu.cfs_quota_us`, `memory.limit_in_bytes`).

    Args:
        root: Where `proc` and `sys` are; another folder in tests.
    """
    cpus: list[float] = []
    memory: list[int] = []
    for group in _groups(root):
        cpus += _cpu_max(_words(f"{group}/cpu.max"))
        cpus += _cpu_max(_words(f"{group}/cpu.cfs_quota_us") + _words(f"{group}/cpu.cfs_period_us"))
        for name in ("memory.max", "memory.limit_in_bytes"):
            memory += [int(word) for word in _words(f"{group}/{name}")[:1] if word.isdigit()]
    bounded = [each for each in memory if each < _NO_LIMIT_V1]
    return GroupLimits(min(cpus, default=None), min(bounded, default=None))


def _groups(root: str) -> Iterator[str]:
    """Yield the folder of each group that holds this process, up to the root of its hierarchy."""
    mounts = f"{root}/sys/fs/cgroup"
    for line in _lines(f"{root}/proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # Within a container the path may be the host's, while the group is mounted as the root.
        hierarchies = (
            [mounts] if not controllers else [f"{mounts}/{controllers}", *_each(mounts, controllers)]
        )
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for hierarchy in hierarchies:
            for length in range(len(parts), -1, -1):
                if ".." not in parts[:length]:
                    yield "/".join([hierarchy, *parts[:length]])


def _each(mounts: str, controllers: str) -> list[str]:
    return [f"{mounts}/{name}" for name in controllers.split(",") if name in ("cpu", "memory")]


def _cpu_max(words: list[str]) -> list[float]:
    """Return quota over period, nothing for `max` and for version 1's -1."""
    if len(words) < 2 or not words[0].isdigit() or not words[1].isdigit() or words[1] == "0":
        return []
    return [int(words[0]) / int(words[1])]


def _words(path: str) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []

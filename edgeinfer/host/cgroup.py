"""The processor time that Linux control groups leave to this process: containers and services live in one."""

from __future__ import annotations

from collections.abc import Iterator


def processor_quota(root: str = "/") -> float | None:
    """Return what the tightest of the groups that hold this process allows, in either version of the interface.

    Sources: the kernel's documentation, `admin-guide/cgroup-v2` (`cpu.max`) and `scheduler/sched-bwc`
    (`cpu.cfs_quota_us`).

    Args:
        root: Where `proc` and `sys` are; another folder in tests.

    Returns:
        Processor time a second, in processors: 1.5 is one and a half; None where nothing is limited.
    """
    found: list[float] = []
    for group in _groups(root):
        found += _cpu_max(_words(f"{group}/cpu.max"))
        found += _cpu_max(_words(f"{group}/cpu.cfs_quota_us") + _words(f"{group}/cpu.cfs_period_us"))
    return min(found, default=None)


def _groups(root: str) -> Iterator[str]:
    """Yield the folder of each group that holds this process, up to the root of its hierarchy."""
    mounts = f"{root}/sys/fs/cgroup"
    for line in _lines(f"{root}/proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Within a container the path may be the host's, while the group is mounted as the root.
        hierarchies = [mounts] if not controllers else [f"{mounts}/{controllers}", f"{mounts}/cpu"]
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for hierarchy in hierarchies:
            for length in range(len(parts), -1, -1):
                if ".." not in parts[:length]:
                    yield "/".join([hierarchy, *parts[:length]])


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

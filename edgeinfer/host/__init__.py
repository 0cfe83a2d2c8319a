"""This machine: its files, processors and memory."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.host.affinity import allowed_processors, keep_on, processor_in_use
    from edgeinfer.host.caches import cache_folder
    from edgeinfer.host.cgroup import processor_quota
    from edgeinfer.host.clock import Clock, SystemClock
    from edgeinfer.host.cpus import processor, usable_cpus
    from edgeinfer.host.files import atomic_directory, atomic_file, sync_directory
    from edgeinfer.host.heat import Thermal, thermal
    from edgeinfer.host.hooks import tell
    from edgeinfer.host.keeping import keep, keep_bytes, kept, kept_bytes
    from edgeinfer.host.lock import FileLock, locked
    from edgeinfer.host.memory import available_bytes, grown_since, resident_bytes
    from edgeinfer.host.output import output_to
    from edgeinfer.host.packages import packages_of, versions_of
    from edgeinfer.host.surroundings import Surroundings, surroundings_now

# A start needs some of it.
__getattr__ = lazily(
    __name__,
    {
        "Clock": "clock",
        "FileLock": "lock",
        "Surroundings": "surroundings",
        "SystemClock": "clock",
        "Thermal": "heat",
        "allowed_processors": "affinity",
        "atomic_directory": "files",
        "atomic_file": "files",
        "available_bytes": "memory",
        "cache_folder": "caches",
        "grown_since": "memory",
        "keep": "keeping",
        "keep_bytes": "keeping",
        "keep_on": "affinity",
        "kept": "keeping",
        "kept_bytes": "keeping",
        "locked": "lock",
        "output_to": "output",
        "packages_of": "packages",
        "processor": "cpus",
        "processor_in_use": "affinity",
        "processor_quota": "cgroup",
        "resident_bytes": "memory",
        "surroundings_now": "surroundings",
        "sync_directory": "files",
        "tell": "hooks",
        "thermal": "heat",
        "usable_cpus": "cpus",
        "versions_of": "packages",
    },
)

__all__ = [
    "Clock",
    "FileLock",
    "Surroundings",
    "SystemClock",
    "Thermal",
    "allowed_processors",
    "atomic_directory",
    "atomic_file",
    "available_bytes",
    "cache_folder",
    "grown_since",
    "keep",
    "keep_bytes",
    "keep_on",
    "kept",
    "kept_bytes",
    "locked",
    "output_to",
    "packages_of",
    "processor",
    "processor_in_use",
    "processor_quota",
    "resident_bytes",
    "surroundings_now",
    "sync_directory",
    "tell",
    "thermal",
    "usable_cpus",
    "versions_of",
]

"""This machine: its files, processors and memory."""

from edgeinfer.host.affinity import allowed_processors, keep_on, processor_in_use
from edgeinfer.host.caches import cache_folder, keep_newest
from edgeinfer.host.cgroup import GroupLimits, group_limits
from edgeinfer.host.cpus import processor, usable_cpus
from edgeinfer.host.files import atomic_directory, atomic_file
from edgeinfer.host.lock import FileLock
from edgeinfer.host.memory import grown_since, resident_bytes
from edgeinfer.host.output import output_to
from edgeinfer.host.packages import packages_of, versions_of
from edgeinfer.host.thermal import Thermal, thermal

__all__ = [
    "FileLock",
    "GroupLimits",
    "Thermal",
    "allowed_processors",
    "atomic_directory",
    "atomic_file",
    "cache_folder",
    "group_limits",
    "grown_since",
    "keep_newest",
    "keep_on",
    "output_to",
    "packages_of",
    "processor",
    "processor_in_use",
    "resident_bytes",
    "thermal",
    "usable_cpus",
    "versions_of",
]

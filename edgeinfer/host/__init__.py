"""This machine: its files, processors and memory."""

from edgeinfer.host.cpus import processor, usable_cpus
from edgeinfer.host.files import atomic_directory, atomic_file
from edgeinfer.host.lock import FileLock
from edgeinfer.host.memory import resident_bytes
from edgeinfer.host.output import output_to
from edgeinfer.host.packages import packages_of

__all__ = [
    "FileLock",
    "atomic_directory",
    "atomic_file",
    "output_to",
    "packages_of",
    "processor",
    "resident_bytes",
    "usable_cpus",
]

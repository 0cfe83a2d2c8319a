"""This machine: its files, processors and memory."""

from edgeinfer.host.cpus import usable_cpus
from edgeinfer.host.files import atomic_directory, atomic_file
from edgeinfer.host.memory import resident_bytes

__all__ = ["atomic_directory", "atomic_file", "resident_bytes", "usable_cpus"]

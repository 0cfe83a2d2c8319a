"""This machine: its files, processors and memory."""

from edgeinfer.host.cpus import processor, usable_cpus
from edgeinfer.host.files import atomic_directory, atomic_file
from edgeinfer.host.memory import resident_bytes
from edgeinfer.host.output import output_to

__all__ = ["atomic_directory", "atomic_file", "output_to", "processor", "resident_bytes", "usable_cpus"]

"""Feature flags: documents in flagd's format, compiled for this device, read in a microsecond."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.flags.checking import document_faults
    from edgeinfer.flags.document import Document, read_document
    from edgeinfer.flags.flag import Flag, FlagDetails
    from edgeinfer.flags.flags import Flags, FlagSession
    from edgeinfer.flags.provider import EdgeProvider
    from edgeinfer.flags.sources import FileSource, Source

__getattr__ = lazily(
    __name__,
    {
        "Document": "document",
        "EdgeProvider": "provider",
        "FileSource": "sources",
        "Flag": "flag",
        "FlagDetails": "flag",
        "FlagSession": "flags",
        "Flags": "flags",
        "Source": "sources",
        "document_faults": "checking",
        "read_document": "document",
    },
)

__all__ = [
    "Document",
    "EdgeProvider",
    "FileSource",
    "Flag",
    "FlagDetails",
    "FlagSession",
    "Flags",
    "Source",
    "document_faults",
    "read_document",
]

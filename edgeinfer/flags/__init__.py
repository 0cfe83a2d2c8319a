"""Feature flags: documents in flagd's format, compiled for this device, read in a microsecond."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.flags.authoring import differences, killed, ramped, revived
    from edgeinfer.flags.checking import document_faults
    from edgeinfer.flags.document import Document, read_document
    from edgeinfer.flags.explaining import explained
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
        "differences": "authoring",
        "document_faults": "checking",
        "explained": "explaining",
        "killed": "authoring",
        "ramped": "authoring",
        "read_document": "document",
        "revived": "authoring",
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
    "differences",
    "document_faults",
    "explained",
    "killed",
    "ramped",
    "read_document",
    "revived",
]

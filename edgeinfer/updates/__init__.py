"""Signed updates: TUF's metadata, downloads that resume, and slots that a device can fall back to."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.updates.layout import manifest_target

# tuf and cryptography load with the first check.
__getattr__ = lazily(__name__, {"manifest_target": "layout"})

__all__ = ["manifest_target"]

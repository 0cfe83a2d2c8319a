"""home.db: the one database of what a device keeps."""

from edgeinfer.store.home import Home

__all__ = ["Home"]

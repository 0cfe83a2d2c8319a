"""home.db: the one database of what a device keeps."""

from edgeinfer.store.home import Home, count

__all__ = ["Home", "count"]

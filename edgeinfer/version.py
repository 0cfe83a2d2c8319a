"""The release, and when it was made."""

__version__ = "0.1.0"

# Seconds since 1970 (2026-11-24): no clock of a device that runs this release is right and before it.
BUILT = 1_795_478_400.0

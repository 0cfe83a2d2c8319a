"""What a version served in: the rollout and the variant whose flag chose it."""

from __future__ import annotations

from contextlib import suppress

from edgeinfer.errors import StoreError
from edgeinfer.flags import Flags
from edgeinfer.rollout import Exposure, Exposures, choose, model_flag


class Exposing:
    """Notes the first answer of a family in each rollout; safe to share between threads.

    Attributes:
        due: Whether the next answer may be the first in a rollout.

    Args:
        family: The family's name.
        flags: The device's.
        exposures: Where to note it; None where the home cannot be written.
    """

    def __init__(self, family: str, flags: Flags, exposures: Exposures | None) -> None:
        self._family, self._flags, self._exposures = family, flags, exposures
        self._flag = model_flag(family)
        self._last: Exposure | None = None
        self.due = exposures is not None
        flags.on_change(self._changed)

    def renewed(self) -> None:
        """Another version answers from now on."""
        self.due = self._exposures is not None

    def served(self, digest: str, *, bundled: bool) -> None:
        """Note that a digest served, if it has not before in this rollout and variant.

        Args:
            digest: Of the bundle.
            bundled: Whether it came with the app.
        """
        if not self.due or self._exposures is None:
            return
        choice = choose(self._flags.details(self._flag), ())
        by_flag = choice.digest == digest or (bundled and choice.digest == "")
        of = (choice.rollout, choice.variant) if by_flag else ("", "")
        exposure = Exposure(self._family, *of, digest)
        with suppress(StoreError):  # the next answer tries again
            self._exposures.note(exposure)
            self._last, self.due = exposure, False

    def of(self, digest: str) -> Exposure | None:
        """Return what a digest served in, if it has."""
        return self._last if self._last is not None and self._last.digest == digest else None

    def _changed(self, keys: frozenset[str]) -> None:
        if self._flag.key in keys:
            self.renewed()

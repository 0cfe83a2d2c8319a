"""Choosing what runs here: by a contest at the first load on a device, remembered for the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from edgeinfer.bundle import Bundle
from edgeinfer.engines import Engine, SessionOptions
from edgeinfer.errors import EngineError
from edgeinfer.frozen import frozen
from edgeinfer.inference.activate import activate
from edgeinfer.inference.bound import BoundVariant
from edgeinfer.inference.remembered import Entry, key_of, recall, remember
from edgeinfer.inference.selection import Selection, Wishes


@frozen
class Terms:
    """How a variant is chosen.

    Attributes:
        options: How sessions run.
        self_test: Hold answers to the golden outputs.
        measure: Time those that can run, and take the fastest; otherwise the first in the manifest's order.
        seconds: Time for that.
        isolate: Load and run each in a child process first, which alone dies when an engine crashes.
        cache: Folder in which selections are kept, or None.
        clock: Seconds, never going back.
    """

    options: SessionOptions
    self_test: bool = True
    measure: bool = True
    seconds: float = 0.3
    isolate: bool = False
    cache: str | None = None
    clock: Callable[[], float] = time.perf_counter


def choose(
    bundle: Bundle, engines: Sequence[Engine], wishes: Wishes, terms: Terms
) -> tuple[BoundVariant, Selection]:
    """Return the variant that answers here, loaded, and how it came to be that one.

    Raises:
        NoVariantError: None can run here, or none was wished for that is there.
        BundleError: A blob cannot be read or is not the one that the manifest names.
    """
    key = None
    if terms.cache:
        how = (terms.options.threads, terms.measure)
        key = (terms.cache, key_of(bundle.digest, [each.name for each in engines], wishes, how))
        recalled = _recalled(bundle, engines, key, terms)
        if recalled is not None:
            return recalled
    from edgeinfer.inference.contest import hold  # a start that recalls its choice does without

    bound, selection, prepared = hold(bundle, engines, wishes, terms)
    if key and terms.self_test:
        chosen_at = selection.candidates.index(selection.chosen)
        entry = Entry(selection.candidates, chosen_at, selection.reason, selection.batch_gain, prepared)
        lost = remember(*key, entry)
        if lost:
            selection = replace(selection, reason=f"{selection.reason}; not remembered: {lost}")
    return bound, selection


def _recalled(
    bundle: Bundle, engines: Sequence[Engine], key: tuple[str, str], terms: Terms
) -> tuple[BoundVariant, Selection] | None:
    """Load what was chosen before; None where nothing was, or where it fails now and has to be chosen anew."""
    entry = recall(*key)
    if entry is None:
        return None
    chosen = entry.candidates[entry.chosen]
    try:
        engine = next(each for each in engines if each.name == chosen.engine)
        kept = terms.cache if entry.prepared else None
        options = replace(terms.options, provider=chosen.provider, cache=kept)
        bound = activate(bundle, chosen.variant, engine, options, self_test=False)
    except (EngineError, StopIteration):
        return None
    return bound, Selection(entry.candidates, chosen, entry.reason, cached=True, batch_gain=entry.batch_gain)

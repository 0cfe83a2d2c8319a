"""A contest of all that could run here: loaded, held to the golden outputs, and timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.bundle import Bundle
from edgeinfer.engines import Engine
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EngineError, SelfTestError
from edgeinfer.inference.activate import activate
from edgeinfer.inference.bound import BoundVariant
from edgeinfer.inference.golden import one_item
from edgeinfer.inference.selection import Candidate, Selection, Wishes, candidates, none_left
from edgeinfer.inference.trial import fastest_of

if TYPE_CHECKING:
    from edgeinfer.inference.choose import Terms

# Of two that are this close, the manifest's order decides: noise must not.
_TIE = 1.02
_BATCH, _BATCH_LEAST = 16, 4
_BEHIND = "not tried: one before it runs"


def hold(
    bundle: Bundle, engines: Sequence[Engine], wishes: Wishes, terms: Terms
) -> tuple[BoundVariant, Selection, bool]:
    """Return what answers, why, and whether it runs in the form that its engine keeps.

    Raises:
        NoVariantError: None can run here, or none was wished for that is there.
        BundleError: A blob cannot be read or is not the one that the manifest names.
    """
    found = candidates(bundle.manifest, engines, wishes)
    by_name = {each.name: each for each in engines}
    running: dict[int, BoundVariant] = {}
    try:
        for at, candidate in enumerate(found):
            if candidate.rejected:
                continue
            if running and not terms.measure:
                found[at] = replace(candidate, rejected=_BEHIND)
                continue
            try:
                running[at] = _tried(bundle, candidate, by_name[candidate.engine], terms)
            except (EngineError, SelfTestError) as error:
                found[at] = replace(candidate, rejected=str(error))
            else:
                found[at] = replace(candidate, placement=running[at].session.provider)
        if not running:
            raise none_left(bundle.manifest.name, found)
        chosen, selection = _fastest(bundle, found, running, (wishes, terms))
        gain = batch_gain(running[chosen], one_item(bundle), terms) if terms.measure else None
        selection = replace(selection, batch_gain=gain)
        kept = _kept(bundle, found[chosen], by_name[found[chosen].engine], terms)
        if kept is not None:
            return kept, selection, True
        return running.pop(chosen), selection, False
    finally:
        for bound in running.values():
            bound.session.close()


def _kept(bundle: Bundle, chosen: Candidate, engine: Engine, terms: Terms) -> BoundVariant | None:
    """Return the chosen one in the form that its engine keeps for the next start, held to its golden outputs too.

    None where nothing is kept, or where that form answers otherwise here.
    """
    if terms.cache is None:
        return None
    options = replace(terms.options, provider=chosen.provider, cache=terms.cache)
    try:
        return activate(bundle, chosen.variant, engine, options, self_test=terms.self_test)
    except (EngineError, SelfTestError):
        return None


def _tried(bundle: Bundle, candidate: Candidate, engine: Engine, terms: Terms) -> BoundVariant:
    if terms.isolate:
        from edgeinfer.inference.measurement import measure

        measure(bundle.path, candidate.variant, candidate.engine, threads=terms.options.threads, seconds=0.0)
    options = replace(terms.options, provider=candidate.provider)
    bound = activate(bundle, candidate.variant, engine, options, self_test=terms.self_test)
    if not terms.measure:
        return bound
    try:
        bound.run(one_item(bundle), 1)  # what cannot answer, and has no golden outputs, is not timed
    except BaseException:
        bound.session.close()
        raise
    return bound


def _fastest(
    bundle: Bundle, found: list[Candidate], running: dict[int, BoundVariant], how: tuple[Wishes, Terms]
) -> tuple[int, Selection]:
    """Return the index of the one that runs, and what to say of it."""
    wishes, terms = how
    asked = f" of those that were asked for ({wishes})" if str(wishes) else ""
    first = next(iter(running))
    if len(running) == 1:
        reason = f"the first of the manifest's variants{asked} that runs here"
        if terms.measure:
            reason = f"the only one{asked} that runs here"
        return first, Selection(tuple(found), found[first], reason)
    inputs = one_item(bundle)
    times = fastest_of([_run(each, inputs) for each in running.values()], terms.seconds, terms.clock)
    for at, taken in zip(running, times, strict=True):
        found[at] = replace(found[at], p50_us=taken)
    known = {at: taken for at, taken in zip(running, times, strict=True) if taken is not None}
    if not known:
        return first, Selection(
            tuple(found), found[first], f"the first{asked} that runs here: no time to measure"
        )
    best = min(known.values())
    chosen = next(at for at, taken in known.items() if taken <= best * _TIE)
    for at in running:
        if at != chosen:
            found[at] = replace(found[at], rejected=_slower(found[at], found[chosen]))
    reason = (
        f"the fastest of {len(known)}{asked} that were measured here, {found[chosen].p50_us:.0f} us a run"
    )
    return chosen, Selection(tuple(found), found[chosen], reason)


def batch_gain(bound: BoundVariant, one: dict[str, Array], terms: Terms) -> float | None:
    """Return the time of an item in a batch over that of one alone, or None where the batch is fixed.

    Takes a third of the time for the choice; a model too slow for four items in it is not measured.

    Args:
        bound: What runs.
        one: Inputs of one item.
        terms: Time and clock.
    """
    if not bound.free_batch:
        return None
    seconds = terms.seconds / 3
    (alone,) = fastest_of([lambda: bound.run(one, 1)], seconds / 4, terms.clock)
    if not alone or alone * _BATCH_LEAST > seconds * 1e6 / 2:
        return None
    size = min(_BATCH, int(seconds * 1e6 / 2 / alone))
    many = {name: np.repeat(value, size, axis=0) for name, value in one.items()}
    single, batch = fastest_of(
        [lambda: bound.run(one, 1), lambda: bound.run(many, size)], seconds / 2, terms.clock
    )
    return batch / size / single if single and batch else None


def _slower(candidate: Candidate, chosen: Candidate) -> str:
    if candidate.p50_us is None or chosen.p50_us is None:
        return "not measured: the time was up"
    return (
        f"{candidate.p50_us:.0f} us a run here, {candidate.p50_us / chosen.p50_us:.2f} times the chosen one's"
    )


def _run(bound: BoundVariant, inputs: dict[str, Array]) -> Callable[[], object]:
    return lambda: bound.run(inputs, 1)

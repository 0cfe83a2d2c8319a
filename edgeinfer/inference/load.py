"""From a bundle to a model that answers: open, choose, test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeinfer.bundle import Bundle, keep_opened, open_bundle, reopen
from edgeinfer.engines import ENGINE_NAMES, Engine, SessionOptions, engine_named
from edgeinfer.errors import InputError
from edgeinfer.host import grown_since, resident_bytes
from edgeinfer.inference.choose import Terms, choose
from edgeinfer.inference.model import Hooks, Model
from edgeinfer.inference.prediction import Prediction
from edgeinfer.inference.process import cache, checked_threads
from edgeinfer.inference.selection import Selection, Wishes
from edgeinfer.inference.served import Served
from edgeinfer.inference.serving import Serving
from edgeinfer.inference.traffic import Traffic
from edgeinfer.inference.watch import Loaded, Watch

if TYPE_CHECKING:
    from edgeinfer.inference.health import Health


def load(  # noqa: PLR0913 - each is a choice that a caller may want to make alone
    path: str | os.PathLike[str],
    *,
    engine: str | Engine | None = None,
    variant: str | None = None,
    precision: str | None = None,
    wishes: Wishes | None = None,
    threads: int = 1,
    measure: bool | None = None,
    traffic: Traffic | None = None,
    isolate: bool = False,
    self_test: bool = True,
    on_prediction: Callable[[Prediction], object] | None = None,
    on_health: Callable[[Health], object] | None = None,
) -> Model:
    """Open a bundle and return the model that runs here.

    On the first load on a device every variant is loaded on every engine that is installed, held against its golden
    outputs, and timed in turns for 0.3 s; the fastest answers. What was found is kept in the
    cache folder and used again while bundle, device, packages and wishes are the same. `Model.selection` says what was
    considered and why.

    Args:
        path: A `.eib` file or a bundle folder.
        engine: Insist on an engine, by name or as an object with the Engine protocol.
        variant: Insist on a variant, by id.
        precision: Insist on a precision, for example `int8`.
        wishes: Further ones: provider, memory, what to avoid.
        threads: Threads one run may use. One is fastest for small models.
        measure: Take the fastest; otherwise the first in the manifest's order that runs here. Left open, engines
            of the caller's own are not measured.
        traffic: How many calls at once are taken.
        isolate: Load and run each variant in a child process first: a file that crashes an engine is
            rejected, and does not end this process.
        self_test: Run the golden inputs first. Without it a broken engine goes unnoticed.
        on_prediction: Gets every answer, on the thread that asked for it. What a hook raises becomes a warning.
        on_health: Gets the model's health when its kinds of alarms change.

    Raises:
        BundleError: The bundle cannot be read, or a blob is not the one that the manifest names.
        NoVariantError: No variant can run here, or none was wished for that is there.
        EngineUnavailable: The engine asked for is unknown or not installed.
        SelfTestError: The preprocessing gives other values here than where the bundle was made.
    """
    start, before = time.perf_counter(), resident_bytes()
    engines = _engines(engine)
    own = engine is not None and not isinstance(engine, str)
    if engine is not None:
        engines[0].info()
    wished = wishes or Wishes()
    wished = replace(wished, variant=variant or wished.variant, precision=precision or wished.precision)
    terms = Terms(
        SessionOptions(checked_threads(threads)),
        self_test=self_test,
        measure=not own if measure is None else measure,
        isolate=isolate,
        cache=None if own else cache(),
    )
    traffic = traffic or Traffic()
    with _opened(path, terms.cache) as bundle:
        normal, selection = _served(bundle, engines, wished, (terms, traffic))
        lighter = None
        try:
            if self_test and not selection.cached:
                _check_preprocessing(bundle)
            if traffic.shed_to is not None:
                lighter = _lighter(bundle, engines, (normal, wished), (terms, traffic))
        except BaseException:
            normal.close()
            raise
        loaded = Loaded((time.perf_counter() - start) * 1e3, grown_since(before))
        watch = Watch(normal.lane, normal.variant, bundle.manifest, loaded)
        serving = Serving(normal, watch, lighter, traffic.shedding)
        hooks = Hooks(on_prediction, on_health)
        return Model(bundle.manifest, bundle.digest, selection, serving, hooks)


def _opened(path: str | os.PathLike[str], cache: str | None) -> Bundle:
    before = reopen(path, cache) if cache else None
    if before is not None:
        return before
    bundle = open_bundle(path)
    if cache:
        keep_opened(bundle, cache)
    return bundle


def _check_preprocessing(bundle: Bundle) -> None:
    from edgeinfer.inference.golden import can_preprocess, run_golden_sources

    if can_preprocess(bundle):
        run_golden_sources(bundle)


def _served(
    bundle: Bundle, engines: list[Engine], wishes: Wishes, how: tuple[Terms, Traffic]
) -> tuple[Served, Selection]:
    terms, traffic = how
    bound, selection = choose(bundle, engines, wishes, terms)
    try:
        return Served(bound, bundle.manifest, selection, (terms.options.threads, traffic)), selection
    except BaseException:
        bound.session.close()
        raise


def _lighter(
    bundle: Bundle, engines: list[Engine], beside: tuple[Served, Wishes], how: tuple[Terms, Traffic]
) -> Served:
    (normal, wishes), (_, traffic) = beside, how
    if traffic.shed_to == normal.variant.id:
        raise InputError(
            "shed_to of traffic",
            found=f"{traffic.shed_to}, which answers already",
            expected="a smaller variant than the one that answers",
            next_step="name the variant that normally answers with load(variant=...)",
        )
    # What must be avoided, and what must compute, holds for it too.
    served, _ = _served(bundle, engines, replace(wishes, variant=traffic.shed_to, precision=None), how)
    return served


def _engines(engine: str | Engine | None) -> list[Engine]:
    if engine is None:
        return [engine_named(name) for name in ENGINE_NAMES]
    if isinstance(engine, str):
        return [engine_named(engine)]
    if not hasattr(engine, "load"):
        raise InputError(
            "engine", found=type(engine).__name__, expected="a name or an object with the Engine protocol"
        )
    return [engine]

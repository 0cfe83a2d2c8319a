"""The loaded model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, cast

import numpy as np

from edgeinfer.bundle import Bundle, Manifest, open_bundle
from edgeinfer.engines import ENGINE_NAMES, Engine, SessionOptions, engine_named
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EngineRunError, InputError
from edgeinfer.inference.answer import Answer
from edgeinfer.inference.arrays import array_check
from edgeinfer.inference.choose import Terms, choose
from edgeinfer.inference.golden import can_preprocess, run_golden_sources
from edgeinfer.inference.prediction import Detection, LabelScore, Prediction, Timings
from edgeinfer.inference.process import cache, checked_threads
from edgeinfer.inference.selection import Selection, Wishes
from edgeinfer.inference.served import Served, deadline, in_worker
from edgeinfer.inference.traffic import Traffic
from edgeinfer.preprocess import Placement, Preprocessor

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = (
        str
        | os.PathLike[str]
        | bytes
        | Image
        | Array
        | tuple[Array, int]
        | Sequence[object]
        | Mapping[str, Array]
        | Mapping[str, object]
    )


class Model:
    """A bundle that answers on this machine. Made by `load`; safe to share between threads.

    Attributes:
        manifest: What the bundle says about itself.
        digest: Identity of the bundle.
        selection: Every variant and engine that was considered, and why one was chosen.
    """

    def __init__(self, bundle: Bundle, served: Served, selection: Selection) -> None:
        self.manifest: Manifest = bundle.manifest
        self.digest = bundle.digest
        self.selection = selection
        self._served = served
        self._run = served.run
        self._check = array_check(self.manifest.inputs)
        self._preprocess = {each.name: Preprocessor(each.preprocess) for each in bundle.manifest.inputs}
        self._answer = Answer(bundle.manifest)
        # What does not change from one prediction to the next.
        self._runtime = selection.chosen.runtime or selection.chosen.engine

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the answer's outputs, or None."""
        return self._answer.labels

    def __repr__(self) -> str:
        return f"<Model {self.manifest.name} {self.manifest.version}: {self._served.variant.id} on {self._runtime}>"

    def run(self, inputs: Mapping[str, Array], *, deadline_ms: float | None = None) -> dict[str, Array]:
        """Run the model on preprocessed tensors.

        Args:
            inputs: Arrays by input name, of the manifest's dtypes and shapes; the batch is free
                where the manifest says so.
            deadline_ms: Milliseconds from now in which the answer must be there. The run then takes place on
                another thread: an engine cannot be interrupted, and what is late ends by itself.

        Returns:
            Arrays by output name, with the same batch.

        Raises:
            InputError: A name, dtype or shape differs from the manifest, or a value is not finite.
            DeadlineError: The time was up.
            OverloadError: Too many calls stand in line.
            EngineRunError: The engine failed.
        """
        if deadline_ms is None:
            return self._run(inputs, self._check(inputs))
        until = deadline(deadline_ms)
        return self._served.run_by(inputs, self._check(inputs), until)

    def predict(self, source: Source, *, deadline_ms: float | None = None) -> Prediction:
        """Answer for one item.

        Args:
            source: What the model's preprocessing starts from: a picture (path, encoded bytes, PIL image,
                or `(H, W[, C]) uint8` pixels), a recording (path or bytes of a WAV file, or
                `(samples, rate)`), or a row (a dict by column name, a list in the order of the columns,
                or either as the path or bytes of JSON). Or the preprocessed tensor, with or without its
                batch axis, or a dict of preprocessed tensors with their batch axis.
            deadline_ms: As for `run`, for all of it; preparing the item is not interrupted, and counts.

        Raises:
            InputError: It does not fit the model, or is a batch of several items.
            DecodeError: It is damaged, not of its kind, or too large.
            DeadlineError: The time was up.
            OverloadError: Too many calls stand in line.
            EngineRunError: The engine failed.
        """
        until = None if deadline_ms is None else deadline(deadline_ms)
        start = time.perf_counter()
        inputs, placement = self._prepared(source)
        prepared = time.perf_counter()
        outputs = self._run(inputs, 1) if until is None else self._served.run_by(inputs, 1, until)
        return self._prediction(outputs, placement, (start, prepared, time.perf_counter()))

    async def apredict(self, source: Source, *, deadline_ms: float | None = None) -> Prediction:
        """Answer for one item, without blocking the event loop; as `predict` otherwise.

        A task that is cancelled takes its call out of the line; one whose run has begun leaves the result behind.
        """
        until = None if deadline_ms is None else deadline(deadline_ms)
        start = time.perf_counter()
        inputs, placement = await in_worker(lambda: self._prepared(source))
        prepared = time.perf_counter()
        outputs = await self._served.arun(inputs, 1, until)
        return self._prediction(outputs, placement, (start, prepared, time.perf_counter()))

    def _prepared(self, source: Source) -> tuple[Mapping[str, Array], Placement | None]:
        inputs, placement = self._prepare(source)
        count = self._check(inputs)
        if count != 1:
            raise InputError(
                "predict takes one item",
                found=f"a batch of {count}",
                next_step="hand it to run, or item by item",
            )
        return inputs, placement

    def _prediction(
        self, outputs: Mapping[str, Array], placement: Placement | None, times: tuple[float, float, float]
    ) -> Prediction:
        start, prepared, ran = times
        top, detections = self._say(outputs, placement)
        end = time.perf_counter()
        return Prediction(
            label=top[0].label if top else None,
            confidence=top[0].confidence if top else None,
            top=top,
            detections=detections,
            outputs=outputs,
            source="device",
            reason=self.selection.reason,
            variant=self._served.variant.id,
            engine=self._runtime,
            bundle=self.digest,
            latency_ms=(end - start) * 1e3,
            timings=Timings((prepared - start) * 1e3, (ran - prepared) * 1e3, (end - ran) * 1e3),
        )

    def predict_many(self, sources: Iterable[Source]) -> Iterator[Prediction]:
        """Answer for each item as it comes, in order; holds one at a time in memory.

        Raises:
            InputError: As `predict` does, when the item's turn comes.
            EngineRunError: Likewise.
        """
        if isinstance(sources, str | bytes | Mapping) or not isinstance(sources, Iterable):
            raise InputError(
                "predict_many takes several items",
                found=type(sources).__name__,
                expected="a list or another iterable",
            )
        return (self.predict(source) for source in sources)

    def _prepare(self, source: Source) -> tuple[Mapping[str, Array], Placement | None]:
        """Return the tensors, and for a detector's picture where they lie in it."""
        if isinstance(source, Mapping) and not self._is_row(source):
            return cast("Mapping[str, Array]", source), None
        if len(self.manifest.inputs) != 1:
            names = ", ".join(each.name for each in self.manifest.inputs)
            raise InputError("this model takes several inputs", expected=f"a dict of arrays with {names}")
        declared = self.manifest.inputs[0]
        preprocess = self._preprocess[declared.name]
        if isinstance(source, np.ndarray) and (preprocess.kind != "image" or source.dtype.kind == "f"):
            return {declared.name: source[None] if source.ndim == len(declared.shape) - 1 else source}, None
        if preprocess.kind == "tensor":
            raise InputError(
                f"input {declared.name} takes a tensor", found=type(source).__name__, expected="a numpy array"
            )
        if not self._answer.detects:
            return {declared.name: preprocess(source)}, None
        item, placement = preprocess.placed(source)
        return {declared.name: preprocess.tensors(item[None])}, placement

    def _is_row(self, source: Mapping[str, object]) -> bool:
        """Whether a mapping is a row of a table: the others hold arrays, and a row holds none."""
        kinds = [preprocess.kind for preprocess in self._preprocess.values()]
        return kinds == ["table"] and not any(isinstance(value, np.ndarray) for value in source.values())

    def _say(
        self, outputs: Mapping[str, Array], placement: Placement | None
    ) -> tuple[tuple[LabelScore, ...], tuple[Detection, ...] | None]:
        try:
            if self._answer.detects:
                return (), self._answer.detections(outputs, placement)
            return self._answer.top(outputs[self._answer.name][0]), None
        except EngineRunError as error:
            raise EngineRunError(
                f"variant {self._served.variant.id}: {error.what}", next_step=error.next_step
            ) from None

    def close(self) -> None:
        """Free the model's memory; it cannot answer any more."""
        self._served.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
) -> Model:
    """Open a bundle and return the model that runs here.

    On the first load on a device every variant is loaded on every engine that is installed, held against its golden
    outputs, and timed in turns for a third of a second; the fastest answers. What was found is kept in the
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

    Raises:
        BundleError: The bundle cannot be read, or a blob is not the one that the manifest names.
        NoVariantError: No variant can run here, or none was wished for that is there.
        EngineUnavailable: The engine asked for is unknown or not installed.
        SelfTestError: The preprocessing gives other values here than where the bundle was made.
    """
    options = SessionOptions(checked_threads(threads))
    engines = _engines(engine)
    own = engine is not None and not isinstance(engine, str)
    if engine is not None:
        engines[0].info()
    wished = wishes or Wishes()
    wished = replace(wished, variant=variant or wished.variant, precision=precision or wished.precision)
    terms = Terms(
        options,
        self_test=self_test,
        measure=not own if measure is None else measure,
        isolate=isolate,
        cache=None if own else cache(),
    )
    with open_bundle(path) as bundle:
        bound, selection = choose(bundle, engines, wished, terms)
        try:
            if self_test and not selection.cached and can_preprocess(bundle):
                run_golden_sources(bundle)
            served = Served(bound, bundle.manifest, selection, (options.threads, traffic or Traffic()))
        except BaseException:
            bound.session.close()
            raise
        return Model(bundle, served, selection)


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

"""The loaded model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from edgeinfer.engines.seam import Array
from edgeinfer.errors import EngineRunError, InputError
from edgeinfer.frozen import frozen
from edgeinfer.host.hooks import tell
from edgeinfer.inference.answer import Answer
from edgeinfer.inference.intake import Intake, Prepared
from edgeinfer.inference.prediction import Detection, LabelScore, Prediction, Timings
from edgeinfer.inference.selection import Selection
from edgeinfer.inference.served import Served, deadline, in_worker
from edgeinfer.inference.serving import Serving
from edgeinfer.preprocess import Placement

if TYPE_CHECKING:
    from edgeinfer.bundle import Manifest
    from edgeinfer.inference.health import Health
    from edgeinfer.inference.intake import Source


@frozen
class Hooks:
    """What an app wants to be told; what a hook raises becomes a warning.

    Attributes:
        on_prediction: Gets every answer, on the thread that asked for it.
        on_health: Gets the health when its kinds of alarms change; asked at most once a second, and at once where
            outputs are wrong.
    """

    on_prediction: Callable[[Prediction], object] | None = None
    on_health: Callable[[Health], object] | None = None


class Model:
    """A bundle that answers on this machine. Made by `load`; safe to share between threads.

    Attributes:
        manifest: What the bundle says about itself.
        digest: Identity of the bundle.
        selection: Every variant and engine that was considered, and why one was chosen.
    """

    def __init__(
        self, manifest: Manifest, digest: str, selection: Selection, serving: Serving, hooks: Hooks
    ) -> None:
        self.manifest, self.digest, self.selection = manifest, digest, selection
        self._serving, self._hooks = serving, hooks
        self._answer = Answer(manifest)
        self._intake = Intake(manifest, detects=self._answer.detects)
        # What does not change from one call to the next.
        self._check = self._intake.check
        self._run = self._run_now if serving.sheds else serving.normal.run
        serving.watch.tell(hooks.on_health)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the answer's outputs, or None."""
        return self._answer.labels

    @property
    def health(self) -> Health:
        """How it is doing now: times, memory, heat, outputs that cannot be right, budgets exceeded."""
        return self._serving.watch.health()

    def __repr__(self) -> str:
        served = self._serving.normal
        return (
            f"<Model {self.manifest.name} {self.manifest.version}: {served.variant.id} on {served.runtime}>"
        )

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
        served, _ = self._serving.now()
        return served.run_by(inputs, self._check(inputs), until)

    def _run_now(self, inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
        served, _ = self._serving.now()
        return served.run(inputs, count)

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
        return self._answered(*self._timed(source), until)

    def prepare(self, source: Source) -> Prepared:
        """Return an item as the model takes it, for `answer` or for the cloud; raises as `predict` does."""
        return self._intake.one(source)

    def answer(
        self, prepared: Prepared, *, preparing_s: float = 0.0, deadline_ms: float | None = None
    ) -> Prediction:
        """Answer for an item that took so many seconds to prepare; as `predict` otherwise."""
        until = None if deadline_ms is None else deadline(deadline_ms)
        return self._answered(prepared, preparing_s, until)

    async def aanswer(
        self, prepared: Prepared, *, preparing_s: float = 0.0, deadline_ms: float | None = None
    ) -> Prediction:
        """Answer for an item that is prepared, without blocking the event loop; as `predict` otherwise."""
        until = None if deadline_ms is None else deadline(deadline_ms)
        start = time.perf_counter()
        return await self._aanswered(prepared, (start - preparing_s, start), until)

    def expected_ms(self) -> tuple[float, float]:
        """Return what a run takes, judged by those before, and how long one would stand in line now; 0 at first."""
        return self._serving.normal.expected_ms()

    @property
    def calls_in_line(self) -> int:
        """Calls that stand in line now."""
        return self._serving.normal.lane.in_line

    async def apredict(self, source: Source, *, deadline_ms: float | None = None) -> Prediction:
        """Answer for one item, without blocking the event loop; as `predict` otherwise.

        A task that is cancelled takes its call out of the line; one whose run has begun leaves the result behind.
        """
        until = None if deadline_ms is None else deadline(deadline_ms)
        start = time.perf_counter()
        prepared = await in_worker(lambda: self._intake.one(source))
        return await self._aanswered(prepared, (start, time.perf_counter()), until)

    def predict_many(self, sources: Iterable[Source]) -> Iterator[Prediction]:
        """Answer for each item, in order; the next items are prepared on other threads meanwhile.

        Where preparing an item takes under half a millisecond that would not pay, and each is prepared in its turn. A
        few items are held in memory, whatever their number.

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
        from edgeinfer.inference.ahead import ahead

        return (self._answered(*each, None) for each in ahead(self._timed, sources))

    async def _aanswered(
        self, prepared: Prepared, begun: tuple[float, float], until: int | None
    ) -> Prediction:
        inputs, placement = prepared
        served, reason = self._serving.now()
        outputs = await served.arun(inputs, 1, until)
        return self._said(served, reason, (outputs, placement), (*begun, time.perf_counter()))

    def _timed(self, source: Source) -> tuple[Prepared, float]:
        start = time.perf_counter()
        prepared = self._intake.one(source)
        return prepared, time.perf_counter() - start

    def _answered(self, prepared: Prepared, preparing_s: float, until: int | None) -> Prediction:
        inputs, placement = prepared
        served, reason = self._serving.now()
        begun = time.perf_counter()
        outputs = served.run(inputs, 1) if until is None else served.run_by(inputs, 1, until)
        # An item that was prepared ahead has waited since; that time is nobody's.
        times = (begun - preparing_s, begun, time.perf_counter())
        return self._said(served, reason, (outputs, placement), times)

    def _said(
        self,
        served: Served,
        reason: str,
        answer: tuple[Mapping[str, Array], Placement | None],
        times: tuple[float, float, float],
    ) -> Prediction:
        outputs, _ = answer
        start, prepared, ran = times
        top, detections = self._say(served, *answer)
        end = time.perf_counter()
        prediction = Prediction(
            label=top[0].label if top else None,
            confidence=top[0].confidence if top else None,
            top=top,
            detections=detections,
            outputs=outputs,
            source="device",
            reason=reason,
            variant=served.variant.id,
            engine=served.runtime,
            bundle=self.digest,
            latency_ms=(end - start) * 1e3,
            timings=Timings((prepared - start) * 1e3, (ran - prepared) * 1e3, (end - ran) * 1e3),
        )
        tell(self._hooks.on_prediction, prediction, "on_prediction")
        return prediction

    def _say(
        self, served: Served, outputs: Mapping[str, Array], placement: Placement | None
    ) -> tuple[tuple[LabelScore, ...], tuple[Detection, ...] | None]:
        try:
            if self._answer.detects:
                return (), self._answer.detections(outputs, placement)
            return self._answer.top(outputs[self._answer.name][0]), None
        except EngineRunError as error:
            raise EngineRunError(
                f"variant {served.variant.id}: {error.what}", next_step=error.next_step
            ) from None

    def close(self) -> None:
        """Free the model's memory; it cannot answer any more."""
        self._serving.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

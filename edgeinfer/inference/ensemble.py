"""Several models that answer together, and under a spike the best of them alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from edgeinfer.errors import EngineRunError, InputError
from edgeinfer.inference.combine import Combine, Probabilities, combined
from edgeinfer.inference.load_level import LoadLevel
from edgeinfer.inference.model import Model
from edgeinfer.inference.prediction import LabelScore, Prediction, Timings
from edgeinfer.inference.served import deadline, in_worker
from edgeinfer.inference.shedding import Shedding

if TYPE_CHECKING:
    from edgeinfer.inference.intake import Prepared, Source


class Ensemble:
    """Answers with several classifiers of the same classes; members may be of different bundles.

    A member whose engine fails is left out of that answer, and its reason says so. While calls stand in line for too
    long the best member answers alone, and the reason says that too.

    Args:
        members: Two or more loaded models whose labels are the same, in any order. They stay the caller's to close.
        combine: `mean` of the probabilities, or `vote`, where the confidence is the share of votes.
        best: Index of the member that answers alone under load; by default the one of the highest accuracy that its
            bundle tells, else the first.
        shedding: When that begins and ends.

    Raises:
        InputError: The models cannot answer together.
    """

    def __init__(
        self,
        members: Sequence[Model],
        *,
        combine: Combine = "mean",
        best: int | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        _check(members, combine, best)
        self.labels: tuple[str, ...] = members[0].labels or ()
        self._members, self._combine = tuple(members), combine
        self._best = self._members[_most_accurate(members) if best is None else best]
        # Where each class of the answer stands in a member's own order.
        self._places = [[(each.labels or ()).index(label) for label in self.labels] for each in members]
        self._level = LoadLevel(shedding or Shedding())
        for each in members:
            each._serving.normal.lane.on_delay = self._level.seen

    def predict(self, source: Source, *, deadline_ms: float | None = None) -> Prediction:
        """Answer for one item; arguments and errors are those of `Model.predict`."""
        until = None if deadline_ms is None else deadline(deadline_ms)
        if self._level.high:
            alone = self._best.predict(source, deadline_ms=_left_ms(until))
            return replace(alone, reason=f"{self._level.reason}, so that {_name(self._best)} answers alone")
        start = time.perf_counter()
        answers: list[Prediction] = []
        probabilities: list[Probabilities] = []
        failed: list[tuple[Model, EngineRunError]] = []
        prepared: dict[tuple[str, ...], Prepared] = {}
        for member, place in zip(self._members, self._places, strict=True):
            steps = tuple(each.preprocess_digest for each in member.manifest.inputs)
            if steps not in prepared:
                prepared[steps] = member._intake.one(source)
            try:
                answers.append(member._answered(prepared[steps], 0.0, until))
                probabilities.append(member._answer.probabilities(answers[-1].outputs)[place])
            except EngineRunError as error:
                failed.append((member, error))
        if not answers:
            raise failed[-1][1]
        reason = f"{self._combine} of {len(answers)} members"
        if failed:
            reason = f"{self._combine} of {len(answers)} of {len(self._members)} members: " + "; ".join(
                f"{_name(member)} failed ({error.what})" for member, error in failed
            )
        return self._together(answers, probabilities, reason, start)

    async def apredict(self, source: Source, *, deadline_ms: float | None = None) -> Prediction:
        """Answer for one item, without blocking the event loop; as `predict` otherwise."""
        until = None if deadline_ms is None else deadline(deadline_ms)
        return await in_worker(lambda: self.predict(source, deadline_ms=_left_ms(until)))

    def _together(
        self, answers: list[Prediction], probabilities: list[Probabilities], reason: str, start: float
    ) -> Prediction:
        ranking, confidences = combined(probabilities, self._combine)
        first = answers[0]
        top = tuple(
            LabelScore(self.labels[at], at, float(confidences[at])) for at in ranking[: len(first.top)]
        )
        run_ms = sum(each.timings.run_ms for each in answers)
        after_ms = sum(each.timings.postprocess_ms for each in answers)
        taken_ms = (time.perf_counter() - start) * 1e3
        return replace(
            first,
            label=top[0].label,
            confidence=top[0].confidence,
            top=top,
            outputs={"probabilities": confidences[None]},
            reason=reason,
            variant=" + ".join(each.variant for each in answers),
            engine=" + ".join(dict.fromkeys(each.engine for each in answers)),
            bundle=" + ".join(dict.fromkeys(each.bundle for each in answers)),
            latency_ms=taken_ms,
            timings=Timings(max(0.0, taken_ms - run_ms - after_ms), run_ms, after_ms),
        )


def _check(members: Sequence[Model], combine: str, best: int | None) -> None:
    if combine not in get_args(Combine):
        raise InputError("combine of an ensemble", found=repr(combine), expected="mean or vote")
    if len(members) < 2 or not all(isinstance(each, Model) for each in members):
        raise InputError("an ensemble", found=f"{len(members)} members", expected="two or more loaded models")
    if best is not None and best not in range(len(members)):
        raise InputError("best of an ensemble", found=best, expected=f"an index below {len(members)}")
    labels = set(members[0].labels or ())
    for each in members:
        if not each.labels or set(each.labels) != labels:
            raise InputError(
                f"{_name(each)} cannot answer with {_name(members[0])}",
                found=", ".join(each.labels or ("no labels",)),
                expected=", ".join(sorted(labels)) or "labels",
                next_step="take models of the same classes",
            )
        if each._serving.sheds:
            raise InputError(
                f"{_name(each)} sheds load by itself", next_step="load it without shed_to: the ensemble sheds"
            )


def _most_accurate(members: Sequence[Model]) -> int:
    told = [each._serving.normal.variant.accuracy for each in members]
    values = [-1.0 if each is None else each.value for each in told]
    return values.index(max(values))


def _name(member: Model) -> str:
    return f"{member.manifest.name} {member.manifest.version}"


def _left_ms(until_ns: int | None) -> float | None:
    return None if until_ns is None else (until_ns - time.perf_counter_ns()) / 1e6

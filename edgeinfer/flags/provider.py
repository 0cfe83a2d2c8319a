"""The device's flags for programs that ask by OpenFeature's API.

    from openfeature import api
    api.set_provider(EdgeProvider(flags))

Source: OpenFeature specification, section 2 (providers) and 5 (events), with the Python SDK's names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderFatalError, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from edgeinfer.errors import EdgeInferError
from edgeinfer.flags.flag import Flag
from edgeinfer.frozen import frozen
from edgeinfer.host import tell

if TYPE_CHECKING:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType
    from openfeature.hook import Hook
    from openfeature.track import TrackingEventDetails

    from edgeinfer.flags.flags import Flags

Answer = TypeVar("Answer")


@frozen
class Tracked:
    """What a program tracked: that something happened which a flag was meant to bring about, or not.

    Attributes:
        name: Of the event.
        context: Attributes of the call.
        value: A number, if there is one.
        attributes: What else is told.
    """

    name: str
    context: Mapping[str, Any]
    value: float | None
    attributes: Mapping[str, Any]


class EdgeProvider(AbstractProvider):
    """Answers OpenFeature's questions from a device's flags.

    Args:
        flags: The flags; whoever asks adds the context of a call to the device's.
        hooks: Run with every question.
        on_track: Gets what a program tracks. What it raises becomes a warning.
    """

    def __init__(
        self, flags: Flags, *, hooks: Sequence[Hook] = (), on_track: Callable[[Tracked], object] | None = None
    ) -> None:
        super().__init__()
        self._flags, self._hooks, self._on_track = flags, list(hooks), on_track
        self._ready = self._stale = False
        flags.on_change(self._changed)

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata("edgeinfer")

    def get_provider_hooks(self) -> list[Hook]:
        """Return the hooks it was given."""
        return self._hooks

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - each call brings it along
        """See that there are flags: those that are kept, or came with the app, or else the first to be fetched.

        Raises:
            ProviderFatalError: There are none, and nowhere to fetch them from.
            ProviderNotReadyError: They cannot be fetched now; the provider becomes ready when some are.
        """
        flags = self._flags
        if flags.document is None and flags.has_source:
            try:
                flags.refresh()
            except EdgeInferError as error:
                raise ProviderNotReadyError(str(error)) from error
            flags.activate()
        if flags.document is None:
            raise ProviderFatalError(
                "no document of flags came with the app or is kept, and there is no source"
            )
        self._ready = True

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Hand on what a program tracks."""
        told = tracking_event_details
        event = Tracked(
            tracking_event_name,
            _attributes(evaluation_context),
            None if told is None else told.value,
            {} if told is None else dict(told.attributes),
        )
        tell(self._on_track, event, "on_track")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Answer with a boolean."""
        return self._answer(flag_key, default_value, bool(default_value), evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Answer with text."""
        return self._answer(flag_key, default_value, "", evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Answer with a whole number."""
        return self._answer(flag_key, default_value, 0, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Answer with a number."""
        return self._answer(flag_key, default_value, 0.0, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Answer with an object."""
        return self._answer(flag_key, default_value, {}, evaluation_context)

    def _answer(
        self, key: str, default: Answer, kind: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Answer]:
        if self._flags.document is None:
            message = "there is no document of flags yet"
            return FlagResolutionDetails(default, ErrorCode.PROVIDER_NOT_READY, message, Reason.ERROR)
        try:
            told = self._flags.details(Flag(key, kind), _attributes(context))
        except EdgeInferError as error:  # a name that is none
            return FlagResolutionDetails(default, ErrorCode.FLAG_NOT_FOUND, str(error), Reason.ERROR)
        return FlagResolutionDetails(
            value=default if told.variant is None else told.value,
            error_code=None if told.error is None else ErrorCode(told.error),
            error_message=told.message or None,
            reason=Reason(told.reason),
            variant=told.variant,
            flag_metadata=dict(told.metadata),
        )

    def _changed(self, keys: frozenset[str]) -> None:
        if self._flags.stale and not self._stale:
            self.emit_provider_stale(
                ProviderEventDetails(message="the flags could not be fetched for too long")
            )
        elif self._flags.document is not None and (self._stale or not self._ready):
            self._ready = True
            self.emit_provider_ready(ProviderEventDetails())
        self._stale = self._flags.stale
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=sorted(keys)))


def _attributes(context: EvaluationContext | None) -> dict[str, Any]:
    if context is None:
        return {}
    own = {} if context.targeting_key is None else {"targetingKey": context.targeting_key}
    return {**context.attributes, **own}

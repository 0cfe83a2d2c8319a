"""The error tree: everything edgeinfer raises on purpose.

    EdgeInferError
    ├── BundleError              a bundle cannot be read or written
    │   ├── ManifestError        its manifest is missing, of another version, or wrongly typed
    │   └── DigestError          a blob is not the one that the manifest names
    ├── InputError               what the caller handed in does not fit the model
    │   └── DecodeError          bytes that are no picture or recording, damaged, or over the limit
    ├── EngineError              an inference engine failed
    │   ├── EngineUnavailable    it is not installed, or too old for the variant
    │   ├── ModelLoadError       it refused the model file
    │   └── EngineRunError       it failed while running
    ├── SelfTestError            a variant does not reproduce the golden outputs here
    ├── NoVariantError           no variant of the bundle can run here; lists why for each
    ├── DeadlineError            the answer was not ready in time
    ├── OverloadError            too many calls stand in line
    ├── NetworkError             a request got no whole answer
    │   ├── NameNotFoundError    the server's name could not be resolved
    │   ├── UnreachableError     no connection could be made
    │   ├── TlsError             the server could not prove who it is
    │   ├── NetworkTimeoutError  the answer was not there in time
    │   ├── ConnectionLostError  the connection broke off
    │   └── BadResponseError     what came is no HTTP, or too large
    ├── CloudError               a server answered, and not with what was asked for
    │   ├── CloudRefusedError    it refused the credentials, or none were sent
    │   ├── CloudRequestError    it took the request for wrong
    │   │   └── CloudElsewhereError  it does not have the model, or sends requests elsewhere
    │   ├── CloudFailedError     it failed, or is too busy
    │   ├── CloudAnswerError     its answer is damaged, of other shapes, or not finite
    │   └── CircuitOpenError     it failed too often, and is left alone for a while
    ├── PolicyError              a policy, or what it needs, is not valid
    ├── FlagError                a document of flags, a context or a declared flag is not valid
    ├── StoreError               what this device keeps cannot be read or written
    ├── UpdateError              an update is not taken; what runs goes on
    │   ├── UntrustedError       what came is not signed as it must be, was changed, or is older
    │   ├── ExpiredError         it was signed too long ago, or this clock is ahead
    │   └── RequirementError     it is not for this device, or not now
    ├── RepositoryError          a signed repository cannot be made or changed
    ├── NoAnswerError            neither device nor cloud could answer; holds both causes
    └── ConversionError          a converter step failed
        ├── RecipeError          the recipe is not valid
        ├── DataError            the training data is not usable
        └── GateError            a limit stated in the recipe was missed

Each says in one line what failed, what was found against what was expected, and what to do next.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with what would move a terminal's cursor, or end its line, written as an escape."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


class EdgeInferError(Exception):
    """Base of the tree; catching it catches all that edgeinfer raises on purpose.

    Args:
        what: What failed, naming the thing it failed on.
        found: What was measured or seen there.
        expected: What would have been right.
        next_step: What the reader can do about it.
    """

    def __init__(
        self, what: str, *, found: object = None, expected: object = None, next_step: str = ""
    ) -> None:
        self.what = what
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(what)

    def __str__(self) -> str:
        """The whole message, in one line."""
        text = self.what
        if self.expected is not None:
            text += f": expected {self.expected}"
        if self.found is not None:
            text += f"{',' if self.expected is not None else ':'} found {self.found}"
        if self.next_step:
            text += f"; {self.next_step}"
        return printable(" ".join(text.split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep every field when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.what, self.found, self.expected, self.next_step))


def _rebuild(
    kind: type[EdgeInferError], what: str, found: object, expected: object, next_step: str
) -> EdgeInferError:
    return kind(what, found=found, expected=expected, next_step=next_step)


class BundleError(EdgeInferError):
    """A bundle cannot be read or written."""


class ManifestError(BundleError):
    """A manifest is missing, of a version this software does not know, or wrongly typed."""


class DigestError(BundleError):
    """A blob is not the one that the manifest names."""


class InputError(EdgeInferError):
    """What the caller handed in does not fit the model."""


class DecodeError(InputError):
    """Bytes that are no picture or recording, are damaged, or over the limit."""


class EngineError(EdgeInferError):
    """An inference engine failed."""


class EngineUnavailable(EngineError):  # noqa: N818 - the state is the error
    """An engine is not installed, or too old for the variant."""


class ModelLoadError(EngineError):
    """An engine refused the model file."""


class EngineRunError(EngineError):
    """An engine failed while running."""


class SelfTestError(EdgeInferError):
    """A variant does not reproduce the golden outputs on this machine."""


class NoVariantError(EdgeInferError):
    """No variant of the bundle can run here."""


class DeadlineError(EdgeInferError):
    """An answer was not ready in time."""


class OverloadError(EdgeInferError):
    """Too many calls stand in line."""


class NetworkError(EdgeInferError):
    """A request got no whole answer."""


class NameNotFoundError(NetworkError):
    """A server's name could not be resolved."""


class UnreachableError(NetworkError):
    """No connection could be made."""


class TlsError(NetworkError):
    """A server could not prove who it is, or a connection could not be made secret."""


class NetworkTimeoutError(NetworkError):
    """An answer was not there in time."""


class ConnectionLostError(NetworkError):
    """A connection broke off."""


class BadResponseError(NetworkError):
    """What came back is no HTTP, cannot be unpacked, or is too large."""


class CloudError(EdgeInferError):
    """A server answered, and not with what was asked for."""


class CloudRefusedError(CloudError):
    """A server refused the credentials, or none were sent."""


class CloudRequestError(CloudError):
    """A server took a request for wrong, or does not have the model."""


class CloudElsewhereError(CloudRequestError):
    """A server does not have the model, or sends requests elsewhere: no request would do."""


class CloudFailedError(CloudError):
    """A server failed, or is too busy."""


class CloudAnswerError(CloudError):
    """A server's answer is damaged, has other names or shapes, or is not finite."""


class CircuitOpenError(CloudError):
    """A server failed too often, or asked for it, and is left alone for a while."""


class PolicyError(EdgeInferError):
    """A policy, or what it needs, is not valid."""


class FlagError(EdgeInferError):
    """A document of flags cannot be used, or a flag or a context is declared wrongly."""


class UpdateError(EdgeInferError):
    """An update is not taken; what runs goes on."""


class UntrustedError(UpdateError):
    """What came is not signed as it must be, was changed on the way, or is older than what was seen."""


class ExpiredError(UpdateError):
    """What came was signed too long ago, or the clock of this machine is ahead."""


class RequirementError(UpdateError):
    """An update is not for this device, or not now."""


class RepositoryError(EdgeInferError):
    """A signed repository cannot be made or changed."""


class StoreError(EdgeInferError):
    """What this device keeps cannot be read or written."""


class NoAnswerError(EdgeInferError):
    """Neither device nor cloud could answer.

    Args:
        what: What failed.
        device: Why the device gave no answer, or None where it was not asked.
        cloud: Why the cloud gave none; text where it was not asked.
    """

    def __init__(
        self, what: str, *, device: EdgeInferError | None = None, cloud: EdgeInferError | str = ""
    ) -> None:
        self.device, self.cloud = device, cloud
        super().__init__(
            what, found=f"on the device: {device or 'not asked'}; in the cloud: {cloud or 'not asked'}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Keep both causes when the error crosses a process boundary."""
        return (_no_answer, (self.what, self.device, self.cloud))


def _no_answer(what: str, device: EdgeInferError | None, cloud: EdgeInferError | str) -> NoAnswerError:
    return NoAnswerError(what, device=device, cloud=cloud)


class ConversionError(EdgeInferError):
    """A converter step failed."""


class RecipeError(ConversionError):
    """A recipe is not valid."""


class DataError(ConversionError):
    """The training data is not usable."""


class GateError(ConversionError):
    """A limit that the recipe states was missed."""

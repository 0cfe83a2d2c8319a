"""Which bundle a device runs of a family, and which runs in its shadow: what the answers of two flags come to. Pure.

Invariants:
* a digest that was vetoed on this device is not chosen, whatever a flag says;
* an answer that is none (killed, failed, malformed, not there) changes nothing: what runs goes on, and nothing runs
  beside it.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from edgeinfer.flags import Flag, FlagDetails
from edgeinfer.frozen import frozen

_DIGEST = re.compile("[0-9a-f]{64}")
_BUNDLED = ""


@frozen
class Choice:
    """What a device is to run of a family.

    Attributes:
        digest: Of the bundle; empty for the one that came with the app, None for whatever runs now.
        variant: The flag's variant; empty where it gave none.
        rollout: Id of the flag's rollout; empty without one.
        reason: Why, in words.
    """

    digest: str | None
    variant: str
    rollout: str
    reason: str


@frozen
class ShadowChoice:
    """What is to run beside the bundle that serves.

    Attributes:
        digest: Of the candidate, None for nothing.
        sample: The share of inferences that it is asked as well, 0..1.
        reason: Why, in words.
    """

    digest: str | None
    sample: float
    reason: str


def model_flag(family: str) -> Flag[str]:
    """Return the flag whose answer is the digest that a device runs of a family; empty for the one of the app."""
    return Flag(f"model-{family}", default=_BUNDLED)


def shadow_flag(family: str) -> Flag[dict[str, Any]]:
    """Return the flag whose answer is `{"digest": ..., "sample": 0..1}` of a family's candidate, or `{}`."""
    return Flag(f"shadow-{family}", default={})


def choose(answer: FlagDetails[str], vetoed: Container[str]) -> Choice:
    """Return what to run.

    Args:
        answer: Of `model_flag`.
        vetoed: Digests that this device does not run any more; the empty text among them where the one that came with
            the app is.
    """
    variant, rollout = answer.variant or "", answer.metadata.get("rollout", "")
    rollout = rollout if isinstance(rollout, str) else ""
    no = _unanswered(answer)
    if not no and answer.value != _BUNDLED and not _DIGEST.fullmatch(answer.value):
        no = f"{answer.value[:80]!r} of variant {variant} is no digest: expected 64 hexadecimal digits, or nothing"
    if not no and answer.value in vetoed:
        no = f"{_named(answer.value)} of variant {variant} was vetoed on this device"
    if no:
        return Choice(None, variant, rollout, f"what runs goes on: {no}")
    return Choice(answer.value, variant, rollout, f"flag {answer.key}: variant {variant} ({answer.reason})")


def choose_shadow(answer: FlagDetails[dict[str, Any]], vetoed: Container[str], running: str) -> ShadowChoice:
    """Return what to run beside what serves.

    Args:
        answer: Of `shadow_flag`.
        vetoed: Digests that this device does not run any more.
        running: The digest that serves.
    """
    wish: Any = answer.value
    digest, sample = wish.get("digest"), wish.get("sample")
    no = _unanswered(answer) or _unusable(wish)
    if not no and digest in vetoed:
        no = f"{_named(digest)} was vetoed on this device"
    elif not no and digest == running:
        no = f"{_named(digest)} serves already"
    if no:
        return ShadowChoice(None, 0.0, f"no shadow: {no}")
    return ShadowChoice(
        digest, float(sample), f"flag {answer.key}: variant {answer.variant} ({answer.reason})"
    )


def _unusable(wish: Any) -> str:
    """Return why an object asks for no shadow; empty where it does."""
    digest, sample = wish.get("digest"), wish.get("sample")
    if not wish:
        return "none is asked for"
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return f"{str(digest)[:80]!r} is no digest: expected 64 hexadecimal digits"
    if type(sample) not in (int, float) or not 0 <= sample <= 1:
        return f"sample is {str(sample)[:20]}: expected 0 to 1"
    return ""


def _unanswered(answer: FlagDetails[Any]) -> str:
    """Return why a flag gave nothing but the program's default; empty where it gave something."""
    if answer.variant is not None:
        return ""
    told = {"DISABLED": "was killed", "STALE": "is too old"}.get(
        answer.reason, answer.message or "says nothing"
    )
    return f"flag {answer.key}: {told}"


def _named(digest: str) -> str:
    return digest[:12] or "the bundle of the app"

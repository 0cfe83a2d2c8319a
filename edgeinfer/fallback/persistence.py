"""What a predictor keeps in a home: consents and egress record, earlier answers, cases that wait."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from edgeinfer.errors import StoreError
from edgeinfer.fallback.answer_cache import AnswerCache
from edgeinfer.fallback.deciding import ESCALATIONS
from edgeinfer.fallback.deferred import DeferredQueue, expire
from edgeinfer.fallback.journal import HOUR_S, Allowed, EgressJournal, KnownServers
from edgeinfer.fallback.policy import QueueLimits
from edgeinfer.privacy import Consents, EgressRecord, Sealer

if TYPE_CHECKING:
    from edgeinfer.fallback.policy import Policy
    from edgeinfer.fallback.sides import CloudSide
    from edgeinfer.privacy import Purpose
    from edgeinfer.store import Home


class Persistence:
    """The home of one bundle's predictor.

    Attributes:
        home: Where all of it is kept.

    Args:
        home: Likewise.
        bundle: SHA-256 of the bundle.
        key: The app's, which seals the cases that wait; without one none waits.

    Raises:
        PolicyError: It is no such key, or `cryptography` is not installed.
    """

    def __init__(self, home: Home, bundle: str, key: bytes | None) -> None:
        self.home, self._bundle = home, bundle
        self._sealer = None if key is None else Sealer(key)
        self._consents, self._egress = Consents(home), EgressRecord(home)

    @property
    def servers(self) -> KnownServers:
        """What was found out of servers."""
        return KnownServers(self.home)

    def allows(self, purpose: Purpose, version: str) -> bool:
        """Whether the user agreed to that version of a purpose's text.

        Raises:
            StoreError: The home cannot be read.
        """
        return self._consents.allows(purpose, version)

    def escalations(self) -> int:
        """Return the calls that were handed on in the last hour.

        Raises:
            StoreError: The home cannot be read.
        """
        return self._egress.sent_since(ESCALATIONS, self.home.clock.utc() - HOUR_S)

    def cache(self, policy: Policy, cloud: str) -> AnswerCache | None:
        """Return the answer cache, if the policy has one.

        Args:
            policy: What holds.
            cloud: Where answers from the cloud come from.
        """
        return None if policy.cache is None else AnswerCache(self.home, policy.cache, self._bundle, cloud)

    def queue(self, policy: Policy) -> DeferredQueue | None:
        """Return the queue, if the policy has one and there is a key."""
        if policy.queue is None or self._sealer is None:
            return None
        return DeferredQueue(self.home, policy.queue, self._bundle, self._sealer)

    def journal(self, policy: Policy, side: CloudSide, *purposes: Purpose) -> EgressJournal:
        """Return what a call's requests are told to."""
        most = policy.max_escalations_per_hour if policy.mode == "prefer_on_device" else None
        allowed = Allowed(purposes, policy.consent_version, policy.digest, self._bundle, side.reduced, most)
        return EgressJournal(self.home, allowed)

    def expire(self, policy: Policy) -> None:
        """Erase the cases that have waited for too long, of bundles and policies that are gone too."""
        with suppress(StoreError):  # what cannot be read is not sent either
            expire(self.home, policy.queue or QueueLimits())

"""What a user agreed to, what left the device, and how what waits is sealed."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.privacy.consent import PURPOSES, Consent, Consents, Purpose, agreed
    from edgeinfer.privacy.egress import Budget, Departure, EgressRecord
    from edgeinfer.privacy.sealing import Sealer

__getattr__ = lazily(
    __name__,
    {
        "Budget": "egress",
        "Consent": "consent",
        "Consents": "consent",
        "Departure": "egress",
        "EgressRecord": "egress",
        "PURPOSES": "consent",
        "Purpose": "consent",
        "Sealer": "sealing",
        "agreed": "consent",
    },
)

__all__ = [
    "PURPOSES",
    "Budget",
    "Consent",
    "Consents",
    "Departure",
    "EgressRecord",
    "Purpose",
    "Sealer",
    "agreed",
]

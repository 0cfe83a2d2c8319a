"""The publisher's side of signed updates: keys, signatures of several people, static files that any server serves."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.repository.changes import differences
    from edgeinfer.repository.keys import Keys
    from edgeinfer.repository.planning import KeyChange, Plan, Quorum
    from edgeinfer.repository.publication import Outcome
    from edgeinfer.repository.repository import SignedRepository
    from edgeinfer.repository.status import Model, RoleState, Status, alarms

# tuf and cryptography load with the first repository.
__getattr__ = lazily(
    __name__,
    {
        "KeyChange": "planning",
        "Keys": "keys",
        "Model": "status",
        "Outcome": "publication",
        "Plan": "planning",
        "Quorum": "planning",
        "RoleState": "status",
        "SignedRepository": "repository",
        "Status": "status",
        "alarms": "status",
        "differences": "changes",
    },
)

__all__ = [
    "KeyChange",
    "Keys",
    "Model",
    "Outcome",
    "Plan",
    "Quorum",
    "RoleState",
    "SignedRepository",
    "Status",
    "alarms",
    "differences",
]

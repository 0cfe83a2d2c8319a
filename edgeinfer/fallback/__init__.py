"""Local or cloud: the decision, the predictor that carries it out, and what it keeps meanwhile."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.fallback.conversation import Decided
    from edgeinfer.fallback.deciding import Local, Route, Signals, decide
    from edgeinfer.fallback.draining import Deferred
    from edgeinfer.fallback.policy import (
        MODES,
        CacheLimits,
        Mode,
        Policy,
        QueueLimits,
        RemotePolicy,
        tightened,
    )
    from edgeinfer.fallback.policy_file import load_policy, read_remote_policy
    from edgeinfer.fallback.predictor import Predictor, PredictorHealth

__getattr__ = lazily(
    __name__,
    {
        "CacheLimits": "policy",
        "Decided": "conversation",
        "Deferred": "draining",
        "Local": "deciding",
        "MODES": "policy",
        "Mode": "policy",
        "Policy": "policy",
        "Predictor": "predictor",
        "PredictorHealth": "predictor",
        "QueueLimits": "policy",
        "RemotePolicy": "policy",
        "Route": "deciding",
        "Signals": "deciding",
        "decide": "deciding",
        "load_policy": "policy_file",
        "read_remote_policy": "policy_file",
        "tightened": "policy",
    },
)

__all__ = [
    "MODES",
    "CacheLimits",
    "Decided",
    "Deferred",
    "Local",
    "Mode",
    "Policy",
    "Predictor",
    "PredictorHealth",
    "QueueLimits",
    "RemotePolicy",
    "Route",
    "Signals",
    "decide",
    "load_policy",
    "read_remote_policy",
    "tightened",
]

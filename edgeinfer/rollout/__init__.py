"""Rollout on the device: which bundle it runs, what was served by it, what stops it, and what runs beside it."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.rollout.choosing import (
        Choice,
        ShadowChoice,
        choose,
        choose_shadow,
        model_flag,
        shadow_flag,
    )
    from edgeinfer.rollout.exposures import Exposure, Exposures
    from edgeinfer.rollout.guardrails import Breach, Observed, Thresholds, verdict
    from edgeinfer.rollout.shadow import Shadow, ShadowCandidate
    from edgeinfer.rollout.shadow_limits import ShadowLimits
    from edgeinfer.rollout.shadow_report import ShadowReport, shadow_reports
    from edgeinfer.rollout.vetoes import Veto, Vetoes

__getattr__ = lazily(
    __name__,
    {
        "Breach": "guardrails",
        "Choice": "choosing",
        "Exposure": "exposures",
        "Exposures": "exposures",
        "Observed": "guardrails",
        "Shadow": "shadow",
        "ShadowCandidate": "shadow",
        "ShadowChoice": "choosing",
        "ShadowLimits": "shadow_limits",
        "ShadowReport": "shadow_report",
        "Thresholds": "guardrails",
        "Veto": "vetoes",
        "Vetoes": "vetoes",
        "choose": "choosing",
        "choose_shadow": "choosing",
        "model_flag": "choosing",
        "shadow_flag": "choosing",
        "shadow_reports": "shadow_report",
        "verdict": "guardrails",
    },
)

__all__ = [
    "Breach",
    "Choice",
    "Exposure",
    "Exposures",
    "Observed",
    "Shadow",
    "ShadowCandidate",
    "ShadowChoice",
    "ShadowLimits",
    "ShadowReport",
    "Thresholds",
    "Veto",
    "Vetoes",
    "choose",
    "choose_shadow",
    "model_flag",
    "shadow_flag",
    "shadow_reports",
    "verdict",
]

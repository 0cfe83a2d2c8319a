"""Load a bundle, choose what runs here, test it, and predict."""

from typing import TYPE_CHECKING

# First, while few frames are open: CPython 3.11 keeps frames in chunks of 16 KiB, and where a chunk ends in the midst
# of numpy's import, each call beyond it asks the system for another one: up to 10 ms.
import numpy as np  # noqa: F401

from edgeinfer.importing import lazily
from edgeinfer.inference.load import load
from edgeinfer.inference.model import Model
from edgeinfer.inference.prediction import Attempt, Detection, LabelScore, Prediction, Timings
from edgeinfer.inference.process import configure
from edgeinfer.inference.selection import Candidate, Selection, Wishes, candidates
from edgeinfer.inference.shedding import Shedding
from edgeinfer.inference.traffic import Traffic

if TYPE_CHECKING:
    from edgeinfer.inference.ensemble import Ensemble
    from edgeinfer.inference.frames import LatestFrames
    from edgeinfer.inference.golden import can_preprocess, run_golden_sources
    from edgeinfer.inference.health import Alarm, Health
    from edgeinfer.inference.hearing import Heard, listen
    from edgeinfer.inference.measurement import Measurement, measure
    from edgeinfer.inference.self_test import SelfTest, self_test_variants

# What a first answer does without is imported when it is asked for.
__getattr__ = lazily(
    __name__,
    {
        "Alarm": "health",
        "Ensemble": "ensemble",
        "Health": "health",
        "Heard": "hearing",
        "LatestFrames": "frames",
        "Measurement": "measurement",
        "SelfTest": "self_test",
        "can_preprocess": "golden",
        "listen": "hearing",
        "measure": "measurement",
        "run_golden_sources": "golden",
        "self_test_variants": "self_test",
    },
)

__all__ = [
    "Alarm",
    "Attempt",
    "Candidate",
    "Detection",
    "Ensemble",
    "Health",
    "Heard",
    "LabelScore",
    "LatestFrames",
    "Measurement",
    "Model",
    "Prediction",
    "Selection",
    "SelfTest",
    "Shedding",
    "Timings",
    "Traffic",
    "Wishes",
    "can_preprocess",
    "candidates",
    "configure",
    "listen",
    "load",
    "measure",
    "run_golden_sources",
    "self_test_variants",
]

"""Load a bundle, choose what runs here, test it, and predict."""

from edgeinfer.inference.ensemble import Ensemble
from edgeinfer.inference.frames import LatestFrames
from edgeinfer.inference.golden import can_preprocess, run_golden_sources
from edgeinfer.inference.health import Alarm, Health
from edgeinfer.inference.listen import Heard, listen
from edgeinfer.inference.load import load
from edgeinfer.inference.measure import Measurement, measure
from edgeinfer.inference.model import Model
from edgeinfer.inference.prediction import Detection, LabelScore, Prediction, Timings
from edgeinfer.inference.process import configure
from edgeinfer.inference.selection import Candidate, Selection, Wishes, candidates
from edgeinfer.inference.self_test import SelfTest, self_test_variants
from edgeinfer.inference.shedding import Shedding
from edgeinfer.inference.traffic import Traffic

__all__ = [
    "Alarm",
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

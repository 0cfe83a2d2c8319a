"""Load a bundle, choose what runs here, test it, and predict."""

from edgeinfer.inference.golden import pillow_is_here, run_golden_pictures
from edgeinfer.inference.measure import Measurement, measure
from edgeinfer.inference.model import Model, load
from edgeinfer.inference.prediction import Detection, LabelScore, Prediction, Timings
from edgeinfer.inference.selection import Candidate, Selection, Wishes, candidates
from edgeinfer.inference.self_test import SelfTest, self_test_variants

__all__ = [
    "Candidate",
    "Detection",
    "LabelScore",
    "Measurement",
    "Model",
    "Prediction",
    "Selection",
    "SelfTest",
    "Timings",
    "Wishes",
    "candidates",
    "load",
    "measure",
    "pillow_is_here",
    "run_golden_pictures",
    "self_test_variants",
]

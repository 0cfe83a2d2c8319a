"""Load a bundle, choose what runs here, test it, and predict."""

from edgeinfer.inference.measure import Measurement, measure
from edgeinfer.inference.model import Model, load
from edgeinfer.inference.prediction import LabelScore, Prediction, Timings
from edgeinfer.inference.selection import Candidate, Selection, Wishes, candidates

__all__ = [
    "Candidate",
    "LabelScore",
    "Measurement",
    "Model",
    "Prediction",
    "Selection",
    "Timings",
    "Wishes",
    "candidates",
    "load",
    "measure",
]

"""The specification executed: inputs before the model, answers behind it, the same everywhere."""

from edgeinfer.preprocess.boxes import Detector, Found, decode_ssd, overlaps, ssd_priors, suppress
from edgeinfer.preprocess.draw import draw_boxes
from edgeinfer.preprocess.pipeline import Preprocessor
from edgeinfer.preprocess.placement import Placement, place
from edgeinfer.preprocess.probabilities import softmax, top_k
from edgeinfer.preprocess.quantize import dequantize, quantize
from edgeinfer.preprocess.row import is_missing, number, word

__all__ = [
    "Detector",
    "Found",
    "Placement",
    "Preprocessor",
    "decode_ssd",
    "dequantize",
    "draw_boxes",
    "is_missing",
    "number",
    "overlaps",
    "place",
    "quantize",
    "softmax",
    "ssd_priors",
    "suppress",
    "top_k",
    "word",
]

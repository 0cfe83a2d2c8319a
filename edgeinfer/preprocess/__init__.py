"""The input specification, executed: the same code in training, calibration, evaluation and on the device."""

from edgeinfer.preprocess.pipeline import Preprocessor
from edgeinfer.preprocess.probabilities import softmax, top_k
from edgeinfer.preprocess.quantize import dequantize, quantize
from edgeinfer.preprocess.row import is_missing, number, word

__all__ = [
    "Preprocessor",
    "dequantize",
    "is_missing",
    "number",
    "quantize",
    "softmax",
    "top_k",
    "word",
]

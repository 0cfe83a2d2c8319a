"""The specification executed: inputs before the model, answers behind it, the same everywhere."""

from typing import TYPE_CHECKING

from edgeinfer.importing import lazily

if TYPE_CHECKING:
    from edgeinfer.preprocess.affine import dequantize, quantize
    from edgeinfer.preprocess.boxes import Detector, Found, decode_ssd, overlaps, ssd_priors, suppress
    from edgeinfer.preprocess.draw import draw_boxes
    from edgeinfer.preprocess.pipeline import Preprocessor
    from edgeinfer.preprocess.placement import Placement, place
    from edgeinfer.preprocess.probabilities import softmax, top_k
    from edgeinfer.preprocess.reduce import encoded, reduced
    from edgeinfer.preprocess.row import is_missing, number, word

# A model needs what its own steps ask for.
__getattr__ = lazily(
    __name__,
    {
        "Detector": "boxes",
        "Found": "boxes",
        "Placement": "placement",
        "Preprocessor": "pipeline",
        "decode_ssd": "boxes",
        "dequantize": "affine",
        "draw_boxes": "draw",
        "encoded": "reduce",
        "is_missing": "row",
        "number": "row",
        "overlaps": "boxes",
        "place": "placement",
        "quantize": "affine",
        "reduced": "reduce",
        "softmax": "probabilities",
        "ssd_priors": "boxes",
        "suppress": "boxes",
        "top_k": "probabilities",
        "word": "row",
    },
)

__all__ = [
    "Detector",
    "Found",
    "Placement",
    "Preprocessor",
    "decode_ssd",
    "dequantize",
    "draw_boxes",
    "encoded",
    "is_missing",
    "number",
    "overlaps",
    "place",
    "quantize",
    "reduced",
    "softmax",
    "ssd_priors",
    "suppress",
    "top_k",
    "word",
]

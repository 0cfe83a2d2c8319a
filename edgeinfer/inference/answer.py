"""From a model's outputs to what a prediction says: classes, or things and where they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.bundle import Manifest, Softmax, TopK
from edgeinfer.engines.seam import Array
from edgeinfer.errors import EngineRunError
from edgeinfer.inference.prediction import Detection, LabelScore
from edgeinfer.preprocess import Placement, softmax, top_k


class Answer:
    """The declared postprocessing of the first output.

    Attributes:
        name: That output.
        labels: Names of its classes, or None.
        detects: Whether it finds things in a picture.
    """

    def __init__(self, manifest: Manifest) -> None:
        declared = manifest.outputs[0]
        steps = declared.postprocess
        self.name, self.labels = declared.name, declared.labels
        self.detects = any(step.op in ("boxes", "ssd_boxes") for step in steps)
        self._temperature = next((step.temperature for step in steps if isinstance(step, Softmax)), None)
        self._classifies = bool(steps) and not self.detects
        self._k = next((step.k for step in steps if isinstance(step, TopK)), 1)
        if self.detects:
            from edgeinfer.bundle import picture_size
            from edgeinfer.preprocess import Detector

            self._height, self._width = picture_size(manifest.inputs[0])
            rest = [step for step in steps if not isinstance(step, Softmax | TopK)]
            self._detector = Detector(rest, self._height, self._width)

    def top(self, output: Array) -> tuple[LabelScore, ...]:
        """Return the likeliest classes of one item, or nothing where the output is no classification.

        Raises:
            EngineRunError: The output is NaN or infinite.
        """
        if not self._classifies or output.ndim != 1:
            return ()
        if not np.isfinite(output).all():
            raise EngineRunError(
                "the answer has NaN or infinite values",
                next_step="run `edgeinfer verify`, or load another variant",
            )
        probabilities = self._probabilities(output)
        return tuple(
            LabelScore(self._label(at), at, float(probabilities[at])) for at in top_k(probabilities, self._k)
        )

    def probabilities(
        self, outputs: Mapping[str, Array]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return `(classes,)` probabilities of one item, from outputs by name with a batch axis of 1."""
        return self._probabilities(outputs[self.name][0])

    def detections(self, outputs: Mapping[str, Array], placement: Placement | None) -> tuple[Detection, ...]:
        """Return what was found in one picture, surest first.

        Args:
            outputs: By name, with a batch axis of 1.
            placement: Where the input lies in the picture; without it boxes are in pixels of the input.

        Raises:
            EngineRunError: Scores or boxes are NaN or infinite.
        """
        scores, boxes = outputs[self.name][0], outputs[self._detector.output][0]
        found = self._detector(self._probabilities(scores), boxes.astype(np.float32))
        where = placement or Placement(self._width, self._height)
        placed = where.boxes(np.array([each.box for each in found]).reshape(-1, 4))
        return tuple(
            Detection(self._label(each.index), each.index, each.score, (x0, y0, x1, y1))
            for each, (x0, y0, x1, y1) in zip(found, placed.tolist(), strict=True)
            if x1 > x0 and y1 > y0
        )

    def _probabilities(self, output: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        if self._temperature is None:
            return output.astype(np.float64)
        return softmax(output, self._temperature)

    def _label(self, at: int) -> str:
        return self.labels[at] if self.labels else str(at)

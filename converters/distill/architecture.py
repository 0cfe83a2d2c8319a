"""What the student is built as, and what was measured of the alternatives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.json_file import load_json
from converters.recipe import Network

ARCHITECTURE = "architecture.json"


@dataclass(frozen=True)
class Cost:
    """What an int8 network takes, whatever it has learned.

    Attributes:
        parameters: Trainable values, batch norms folded.
        onnx_bytes: Size of the int8 ONNX file as it ships.
        tflite_bytes: Size of the int8 TFLite file as it ships.
        latency_us: Median time of one run of the faster of the two, one thread, here.
    """

    parameters: int
    onnx_bytes: int
    tflite_bytes: int
    latency_us: float

    @property
    def bytes(self) -> int:
        """Size of the larger file: a limit holds for both."""
        return max(self.onnx_bytes, self.tflite_bytes)


@dataclass(frozen=True)
class Candidate:
    """A network that was measured.

    Attributes:
        network: Its architecture.
        cost: Its size and time, untrained.
        validation: Accuracy (0..1) after the trial epochs; None if it was not trained.
    """

    network: Network
    cost: Cost
    validation: float | None = None


@dataclass(frozen=True)
class Architecture:
    """What to train as the student.

    Attributes:
        network: The architecture.
        candidates: What was measured to choose it, trained ones first, the best of them leading; empty
            where the recipe names a network.
    """

    network: Network
    candidates: tuple[Candidate, ...] = ()


def load_architecture(path: Path) -> Architecture:
    """Return what the budget step found."""
    return load_json(Architecture, path)

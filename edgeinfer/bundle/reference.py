"""What held-out data said of a model, as a device needs it later: drift reference, confusion, cascade.

`edgeinfer.drift` computes the features and their symbols; docs/bundle-format.md defines each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edgeinfer.bundle.content import TensorBlob
from edgeinfer.bundle.measured import Proportion, Split
from edgeinfer.frozen import frozen

# A randomized report is one symbol of few: more would cost too many devices.
MOST_SYMBOLS = 10

StatisticName = Literal[
    "mean", "deviation", "minimum", "maximum", "element", "channel_mean", "contrast", "sharpness"
]


@frozen
class InputStatistic:
    """A number computed from one preprocessed item.

    Attributes:
        input: Name of the input.
        statistic: Which number.
        index: The channel of `channel_mean`, or the place of `element` in row-major order.
    """

    input: str
    statistic: StatisticName
    index: int | None = None
    op: Literal["statistic"] = "statistic"


@frozen
class PredictedClass:
    """The index of the class that the answer names."""

    op: Literal["predicted_class"] = "predicted_class"


@frozen
class TopConfidence:
    """The confidence of the class that the answer names."""

    op: Literal["confidence"] = "confidence"


@frozen
class Projection:
    """The dot product of one item's output with a frozen direction.

    Attributes:
        output: Name of an output.
        direction: As many numbers as that output has values an item, in row-major order.
    """

    output: str
    direction: tuple[float, ...]
    op: Literal["projection"] = "projection"


Measure = InputStatistic | PredictedClass | TopConfidence | Projection


@frozen
class Feature:
    """One number of an inference, its frozen bins, and how held-out items fell into them.

    Attributes:
        name: Name of the feature, unique in the reference.
        measure: How the number is computed.
        counts: Held-out items per symbol; 2 to 10 symbols.
        edges: For a real number: ascending, one fewer than symbols; the symbol is how many edges are at
            most the number.
        groups: For a class: the symbol per class index.
    """

    name: str
    measure: Measure
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    groups: tuple[int, ...] = ()


@frozen
class DriftReference:
    """What inputs and answers looked like on data that no weight was fitted to.

    Attributes:
        split: The data; never train.
        n: Its items.
        variant: Id of the variant whose answers were taken.
        features: What is compared later.
    """

    split: Split
    n: int
    variant: str
    features: tuple[Feature, ...]


@frozen
class Confusion:
    """Which classes are taken for which.

    Attributes:
        split: The data; never train.
        n: Its items.
        variant: Id of the variant whose answers were taken.
        counts: int32, row per true class, column per named class.
        per_class: Share of a class's items that are named rightly, by label (by index without labels),
            for each class that the data has.
    """

    split: Split
    n: int
    variant: str
    counts: TensorBlob
    per_class: Mapping[str, Proportion]


@frozen
class CascadePoint:
    """One threshold: answers less confident than it go to the teacher.

    Attributes:
        threshold: Least confidence of an answer that stays.
        escalation: Share of answers that go.
        accuracy: Of the student where it is confident and the teacher elsewhere.
        kept_accuracy: Of the answers that stay; absent where none does.
    """

    threshold: float
    escalation: Proportion
    accuracy: Proportion
    kept_accuracy: Proportion | None = None


@frozen
class Cascade:
    """What handing unsure answers to the teacher would cost and gain.

    Attributes:
        split: The data; never train.
        n: Its items.
        variant: Id of the variant whose answers were taken.
        student_accuracy: Of that variant alone.
        teacher_accuracy: Of the teacher alone.
        points: By ascending threshold.
        recommended: One of the thresholds, if the recipe asked for one.
        rule: Why that one.
    """

    split: Split
    n: int
    variant: str
    student_accuracy: Proportion
    teacher_accuracy: Proportion
    points: tuple[CascadePoint, ...]
    recommended: float | None = None
    rule: str = ""

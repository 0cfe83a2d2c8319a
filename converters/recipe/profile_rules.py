"""Rules of the recipe's sections on what the device will need."""

from __future__ import annotations

from itertools import pairwise

from converters.recipe.profile import Cascade, Drift
from converters.recipe.require import require
from edgeinfer.bundle import MOST_SYMBOLS

_MOST_PROJECTIONS = 20
_MOST_THRESHOLDS = 1000


def check_profile(drift: Drift, cascade: Cascade) -> None:
    """Hold the drift and cascade sections against their rules.

    Raises:
        RecipeError: The first rule that is broken.
    """
    require(2 <= drift.symbols <= MOST_SYMBOLS, "drift.symbols", drift.symbols, f"2 to {MOST_SYMBOLS}")
    good = 0 <= drift.projections <= _MOST_PROJECTIONS
    require(good, "drift.projections", drift.projections, f"0 to {_MOST_PROJECTIONS}")
    thresholds = cascade.thresholds
    good = 0 < len(thresholds) <= _MOST_THRESHOLDS and all(0 <= each <= 1 for each in thresholds)
    good = good and all(low < high for low, high in pairwise(thresholds))
    expected = f"1 to {_MOST_THRESHOLDS} shares of 0 to 1, ascending"
    require(good, "cascade.thresholds", list(thresholds)[:8], expected)
    for name in ("target_accuracy", "max_escalation"):
        value = getattr(cascade, name)
        require(value is None or 0 <= value <= 1, f"cascade.{name}", value, "a share of 0 to 1")

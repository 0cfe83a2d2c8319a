"""Features of an inference and their symbols: the same code where a reference is made and where it is used."""

from edgeinfer.drift.binning import count_symbols, freeze_edges, group_classes, symbols_of
from edgeinfer.drift.features import feature_symbols, feature_values
from edgeinfer.drift.statistics import statistic

__all__ = [
    "count_symbols",
    "feature_symbols",
    "feature_values",
    "freeze_edges",
    "group_classes",
    "statistic",
    "symbols_of",
]

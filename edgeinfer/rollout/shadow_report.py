"""What a shadow found out: counts, never an input or an output. Pure but for the table that keeps it.

Invariants:
* merging reports is associative and commutative but for the rounding of one sum, so that processes and batches may come
  in any order;
* bins never change: counts of many devices can be summed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import StoreError
from edgeinfer.frozen import frozen
from edgeinfer.inference.histogram import BUCKETS, bucket_of, quantile_ns
from edgeinfer.rollout.comparing import Comparison

if TYPE_CHECKING:
    from edgeinfer.store import Home

# Differences from -1 to 1, in steps of a tenth.
BINS = 20


@frozen
class ShadowReport:
    """How a candidate answered beside the model that serves.

    Attributes:
        current: Digest of the bundle that serves.
        candidate: Digest of the other.
        compared: Items that both answered.
        agreed: Those in which the answer was the same (`rollout.comparing` says what that is).
        difference_sum: Sum of the candidate's confidence less the current's.
        differences: The same, counted in 20 bins from -1 to 1.
        current_runs: How long the runs took of the model that serves, counted by bucket of `inference.histogram`.
        candidate_runs: Likewise of the candidate, at the lowest priority: an upper bound of what it would take alone.
        errors: Failures of the candidate by kind of error.
        dropped: Items that were sampled and not compared, by reason: `busy` with another one, `cpu` (it rests),
            `battery`, `memory`, `crowded` (calls stand in line), `other` (answered by another bundle, or not by this
            device), `handover` (it could not be copied or prepared), `stopped`, `closed`, `forked`.
        stopped: Why it stopped for good: `errors` in a row, it did not `load`, it has another `digest` than was said,
            or it takes other `inputs` than what serves; empty while it did not.
    """

    current: str
    candidate: str
    compared: int = 0
    agreed: int = 0
    difference_sum: float = 0.0
    differences: tuple[int, ...] = (0,) * BINS
    current_runs: Mapping[int, int] = field(default_factory=dict)
    candidate_runs: Mapping[int, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    stopped: str = ""

    @property
    def agreement(self) -> float | None:
        """The share of items with the same answer, None before the first."""
        return self.agreed / self.compared if self.compared else None

    @property
    def mean_difference(self) -> float | None:
        """Mean of the candidate's confidence less the current's; None where there is none."""
        counted = sum(self.differences)
        return self.difference_sum / counted if counted else None

    def current_ms(self, share: float) -> float | None:
        """Return a quantile of the runs of the model that serves, within a sixteenth; None before the first."""
        return _quantile_ms(self.current_runs, share)

    def candidate_ms(self, share: float) -> float | None:
        """Return a quantile of the candidate's runs, likewise."""
        return _quantile_ms(self.candidate_runs, share)


def with_comparison(report: ShadowReport, found: Comparison) -> ShadowReport:
    """Return a report with one more item."""
    one = ShadowReport(
        report.current,
        report.candidate,
        compared=1,
        agreed=int(found.agreed),
        current_runs={bucket_of(found.current_ns): 1},
        candidate_runs={bucket_of(found.candidate_ns): 1},
    )
    if found.difference is not None:
        differences = [0] * BINS
        differences[_bin(found.difference)] = 1
        one = replace(one, difference_sum=found.difference, differences=tuple(differences))
    return merged(report, one)


def merged(first: ShadowReport, second: ShadowReport) -> ShadowReport:
    """Return what two reports on the same pair say together."""
    return ShadowReport(
        first.current,
        first.candidate,
        first.compared + second.compared,
        first.agreed + second.agreed,
        first.difference_sum + second.difference_sum,
        tuple(one + other for one, other in zip(first.differences, second.differences, strict=True)),
        Counter(first.current_runs) + Counter(second.current_runs),
        Counter(first.candidate_runs) + Counter(second.candidate_runs),
        Counter(first.errors) + Counter(second.errors),
        Counter(first.dropped) + Counter(second.dropped),
        max(first.stopped, second.stopped),
    )


def keep_report(home: Home, report: ShadowReport) -> None:
    """Add a report to what a home keeps of its pair.

    Raises:
        StoreError: It cannot be written, or what is there cannot be read.
    """
    pair = (report.current, report.candidate)
    with home.transaction() as connection:
        found = connection.execute(
            "SELECT data FROM shadows WHERE current = ? AND candidate = ?", pair
        ).fetchone()
        if found is not None:
            report = merged(_read(*pair, found[0]), report)
        connection.execute("INSERT OR REPLACE INTO shadows VALUES (?, ?, ?)", (*pair, _written(report)))


def shadow_reports(home: Home) -> list[ShadowReport]:
    """Return what a home keeps, a report for each pair.

    Raises:
        StoreError: The home cannot be read.
    """
    return [_read(*row) for row in home.rows("SELECT current, candidate, data FROM shadows ORDER BY 1, 2")]


def _bin(difference: float) -> int:
    return min(BINS - 1, max(0, int((difference + 1) * BINS / 2)))


def _quantile_ms(runs: Mapping[int, int], share: float) -> float | None:
    found = quantile_ns([runs.get(bucket, 0) for bucket in range(BUCKETS)], share)
    return None if found is None else found / 1e6


def _written(report: ShadowReport) -> str:
    values = {name: value for name, value in vars(report).items() if name not in ("current", "candidate")}
    return json.dumps(values)


def _read(current: str, candidate: str, data: str) -> ShadowReport:
    try:
        values: dict[str, Any] = json.loads(data)
        for name in ("current_runs", "candidate_runs"):
            values[name] = {int(bucket): count for bucket, count in values[name].items()}
        values["differences"] = tuple(values["differences"])
        return ShadowReport(current, candidate, **values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"what is kept of a shadow of {current[:12]} cannot be read",
            next_step="another release wrote it: delete the row of table shadows",
        ) from error

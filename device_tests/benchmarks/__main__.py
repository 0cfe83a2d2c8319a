"""Measure everything, print one table, keep it as JSON and as a picture: `make bench`."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from device_tests.benchmarks import (
    choosing,
    crowds,
    engines,
    flags,
    fleets,
    others,
    pictures,
    predictors,
    shadows,
    starts,
    steadiness,
    updates,
)
from device_tests.benchmarks.chart import drawn
from device_tests.benchmarks.compare import Row, Skipped
from edgeinfer.host import output_to, processor

SUITES = {
    "engines": engines,
    "pictures": pictures,
    "starts": starts,
    "choosing": choosing,
    "crowds": crowds,
    "steadiness": steadiness,
    "predictors": predictors,
    "flags": flags,
    "fleets": fleets,
    "shadows": shadows,
    "updates": updates,
    "others": others,
}
RESULTS, PICTURE, LOG = Path("build/bench.json"), Path("build/bench.svg"), Path("build/bench.log")


def main() -> None:
    """Run all suites, or those that are named."""
    names = sys.argv[1:] or list(SUITES)
    if unknown := [name for name in names if name not in SUITES]:
        sys.exit(f"error: no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    RESULTS.parent.mkdir(exist_ok=True)
    print(f"{processor()}; medians of paired figures, taken in turns, and their quartiles", flush=True)
    print(f"{'what':62}{'ours':>11}{'other':>11}  {'figure':24}{'budget':>9}", flush=True)
    found: list[Row | Skipped] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for row in _measured(name, Path(folder)):
                found.append(row)
                print(line(row), flush=True)
    rows = [each for each in found if isinstance(each, Row)]
    kept = {
        "processor": processor(),
        "rows": [asdict(row) | {"holds": row.holds} for row in rows],
        "skipped": [asdict(each) for each in found if isinstance(each, Skipped)],
    }
    RESULTS.write_text(json.dumps(kept, indent=2))
    PICTURE.write_text(drawn(rows, processor()))
    missed = sum(row.holds is False for row in rows)
    held = sum(row.holds is True for row in rows)
    print(f"\n{held} budgets kept, {missed} missed; {RESULTS}, {PICTURE}")


def _measured(name: str, folder: Path) -> list[Row | Skipped]:
    with output_to(LOG):
        return list(SUITES[name].rows(folder))


def line(row: Row | Skipped) -> str:
    """Return one line of the table."""
    if isinstance(row, Skipped):
        return f"{row.what:62}not measured: {row.reason}"
    figure = f"{row.figure:.2f} {row.kind}"
    if row.low != row.high:
        figure += f" ({row.low:.2f}-{row.high:.2f})"
    budget = "" if row.budget is None else f"{'>=' if row.least else '<='} {row.budget:g}"
    verdict = {True: "kept", False: "MISSED", None: ""}[row.holds]
    note = f"\n{'':4}{row.note}" if row.note else ""
    return f"{row.what:62}{row.ours:>11}{row.other:>11}  {figure:32}{budget:>8} {verdict}{note}"


if __name__ == "__main__":
    main()

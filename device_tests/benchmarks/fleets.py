"""A rollout over 100,000 devices, up and down again: are the shares right, does anybody move who must not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.stats import chi2, chi2_contingency

import edgeinfer as ei
from device_tests.benchmarks.compare import Row
from edgeinfer.flags import ramped

_DEVICES, _WITH_HOMES = 100_000, 200
_RAMPS = (1, 5, 25, 100, 25, 1)
# What chance alone exceeds once in 150,000 comparisons, and once in 10,000.
_SIGMAS, _LEAST_P, _CELLS = 4.5, 1e-4, 100
_FLAG = ei.Flag("model-vision", default="")
_BEFORE = {
    "state": "ENABLED",
    "variants": {"new": "n", "old": "o"},
    "defaultVariant": "old",
    "metadata": {"rollout": "r1"},
}
_WHAT = f"{_DEVICES:,} devices, {'-'.join(map(str, _RAMPS))}%"


def rows(folder: Path) -> Iterator[Row]:
    """Evaluate the flag of every device at every step."""
    steps = [_variants(percent) for percent in _RAMPS]
    yield _shares(steps)
    yield _moves(steps)
    yield _balance(steps[2])
    yield _sticky(folder)


def _release(percent: float, version: int = 1) -> bytes:
    document = {"flags": {_FLAG.key: _BEFORE}, "metadata": {"version": str(version)}}
    return json.dumps(ramped(document, _FLAG.key, percent, "new", control=True)).encode()


def _variants(percent: float) -> np.ndarray:
    flags = ei.Flags(bundled=_release(percent))
    names = [flags.details(_FLAG, {"targetingKey": f"device-{each}"}).variant for each in range(_DEVICES)]
    return np.array(names)


def _shares(steps: Sequence[np.ndarray]) -> Row:
    """Hold the largest deviation of a share against sampling error."""
    worst = 0.0
    for percent, found in zip(_RAMPS, steps, strict=True):
        for name, share in (("new", percent / 100), ("control", min(percent, 100 - percent) / 100)):
            off = abs(float((found == name).mean()) - share)
            bound = _SIGMAS * (share * (1 - share) / _DEVICES) ** 0.5
            worst = max(worst, off / bound if bound else float(off > 0))
    told = f"{worst * _SIGMAS:.2f} sd"
    return Row(f"{_WHAT}: worst share, of {_SIGMAS} sd", told, "", worst, worst, worst, "times", 1.0)


def _moves(steps: Sequence[np.ndarray]) -> Row:
    """Count those who left in a ramp up, and in a ramp down those who left before one that came later."""
    wrong = sum(int(((one == "new") & (other != "new")).sum()) for one, other in pairwise(steps[:4]))
    came = np.full(_DEVICES, len(steps))
    for step in (3, 2, 1, 0):
        came[steps[step] == "new"] = step
    for before, after in pairwise(steps[3:]):
        stayed, left = came[after == "new"], came[(before == "new") & (after != "new")]
        wrong += int((left <= stayed.max()).sum())
    share = 100 * wrong / _DEVICES
    return Row(f"{_WHAT}: moved the wrong way", f"{wrong} devices", "", share, share, share, "%", 0.0)


def _balance(found: np.ndarray) -> Row:
    """Compare variant and control over cells that have nothing to do with either."""
    cells = np.random.default_rng(0).integers(0, _CELLS, _DEVICES)
    table = [np.bincount(cells[found == name], minlength=_CELLS) for name in ("new", "control")]
    statistic = float(chi2_contingency(table).statistic)
    figure = statistic / float(chi2.isf(_LEAST_P, _CELLS - 1))
    told = f"chi2 {statistic:.0f}"
    return Row(f"variant and control at 25%, {_CELLS} cells", told, "", figure, figure, figure, "times", 1.0)


def _sticky(folder: Path) -> Row:
    """Start devices with homes of their own anew at each step, under another key each time."""
    moved = 0
    expected = [_variants_of_some(percent) for percent in _RAMPS]
    for step, percent in enumerate(_RAMPS):
        for each in range(_WITH_HOMES):
            key = f"device-{each}" if step == 0 else f"renamed-{step}-{each}"
            with ei.Home(folder / f"device-{each}") as home:
                flags = ei.Flags({"targetingKey": key}, bundled=_release(percent, step + 1), home=home)
                moved += flags.details(_FLAG).variant != expected[step][each]
    share = 100 * moved / (_WITH_HOMES * len(_RAMPS))
    what = f"{_WITH_HOMES} homes, restarted and renamed at each step: moved"
    return Row(what, f"{moved} devices", "", share, share, share, "%", 0.0)


def _variants_of_some(percent: float) -> list[str | None]:
    flags = ei.Flags(bundled=_release(percent))
    return [flags.details(_FLAG, {"targetingKey": f"device-{each}"}).variant for each in range(_WITH_HOMES)]

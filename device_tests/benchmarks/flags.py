"""What a read of a flag costs, beside OpenFeature with flagd's own provider; what it costs to compile a document."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import edgeinfer as ei
from device_tests.benchmarks.compare import Row, Skipped, shown, spread
from device_tests.benchmarks.environments import environment, pairs_of

_HERE = Path(__file__).parent
_FLAGS, _ROUNDS = 1000, 15
CONTEXT = {"targetingKey": "device-1", "app": "2.1.3", "board": "pi-5"}
RULE = {
    "if": [
        {"and": [{"sem_ver": [{"var": "app"}, ">=", "2.0.0"]}, {"starts_with": [{"var": "board"}, "pi"]}]},
        {"fractional": [["on", 10], ["off", 90]]},
        "off",
    ]
}


def rows(folder: Path) -> Iterator[Row | Skipped]:
    """Measure both."""
    path = folder / "flags.json"
    path.write_bytes(document(_FLAGS))
    yield _read(path)
    yield _compiled(path)


def document(count: int) -> bytes:
    """Return a document of flags that each compare a version and a text, and have shares."""
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": RULE,
    }
    return json.dumps({"flags": {f"flag-{each}": flag for each in range(count)}}).encode()


def _read(path: Path) -> Row | Skipped:
    what = "flag read, beside OpenFeature with flagd's provider and a file"
    wanted = ["openfeature-provider-flagd>=0.6,<0.7"]
    python = environment("flagd", Path(sys.executable), wanted)
    if isinstance(python, str):
        return Skipped(what, python)
    pairs = pairs_of(python, "flags_side.py", path, json.dumps(CONTEXT))
    if isinstance(pairs, str):
        return Skipped(what, pairs)
    figure, low, high = spread([ours for ours, _ in pairs])
    theirs = spread([other for _, other in pairs])[0]
    return Row(what, f"{figure:.2f} us", shown(theirs), figure, low, high, "us", 1)


def _compiled(path: Path) -> Row:
    data, times = path.read_bytes(), []
    ei.Flags(CONTEXT, bundled=document(1))  # what is imported once
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        ei.Flags(CONTEXT, bundled=data)
        times.append((time.perf_counter() - start) * 1e3)
    figure, low, high = spread(times)
    return Row("1,000 flags with rules compiled", f"{figure:.1f} ms", "", figure, low, high, "ms", 50)

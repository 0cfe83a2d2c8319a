"""Environments for what ours is compared with, each made once, under `build/benchmarks`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

_FOLDER = Path("build/benchmarks")
_HERE = Path(__file__).parent
Pairs = list[tuple[float, float]]


def environment(name: str, python: Path, wanted: list[str]) -> Path | str:
    """Return the interpreter of an environment with packages, made if need be, or why there is none."""
    folder = _FOLDER / name
    binary, marker = folder / "bin/python", folder / "wanted"
    if marker.exists() and marker.read_text() == "\n".join(wanted):
        return binary
    if not python.exists():
        return f"{python} is not there"
    try:
        subprocess.run(
            [python, "-m", "venv", "--clear", folder], check=True, capture_output=True, timeout=120
        )
        install = [binary, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        subprocess.run(install, check=True, capture_output=True, timeout=500)
    except (subprocess.SubprocessError, OSError) as error:
        return f"it cannot be installed here ({type(error).__name__})"
    marker.write_text("\n".join(wanted))
    return binary


def pairs_of(python: Path, program: str, *values: object) -> Pairs | str:
    """Return the pairs of times that a program beside this file prints last, or why there are none."""
    done = subprocess.run(
        [python, _HERE / program, *map(str, values)],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return [(ours, theirs) for ours, theirs in json.loads(done.stdout.splitlines()[-1])]

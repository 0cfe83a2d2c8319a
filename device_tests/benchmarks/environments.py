"""Environments for what ours is compared with, each made once, under `build/benchmarks`."""

from __future__ import annotations

import subprocess
from pathlib import Path

_FOLDER = Path("build/benchmarks")


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

"""Programs that use a home in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

IMPORTS = "import os, sys\nfrom edgeinfer.store import Home\nfrom edgeinfer.errors import StoreError\n"


def program(text: str) -> list[str]:
    """The command that runs a program's text behind the imports that all of them need."""
    return [sys.executable, "-c", IMPORTS + textwrap.dedent(text)]


def printed(text: str, *values: object) -> list[str]:
    """Run a program in a process of its own; return the lines that it printed."""
    done = subprocess.run(
        [*program(text), *map(str, values)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

"""TUF's conformance suite drives `edgeinfer tuf-client`; it is a program of its own, and no package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = os.environ.get("TUF_CONFORMANCE", "")


@pytest.mark.skipif(
    not FOLDER, reason="TUF_CONFORMANCE names no checkout of theupdateframework/tuf-conformance"
)
@pytest.mark.timeout(600)
def test_the_client_conforms():
    """The checkout's own environment is `env` in it: `python -m venv env && env/bin/pip install -e .`, and faketime."""
    client = Path(sys.executable).with_name("edgeinfer")
    done = subprocess.run(
        ["env/bin/pytest", "tuf_conformance", "-q", "--entrypoint", f"{client} tuf-client"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]

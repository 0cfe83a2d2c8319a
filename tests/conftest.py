"""What several tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from edgeinfer.testing import write_sample_bundle

# What is measured here is kept for this run alone, child processes included.
os.environ["EDGEINFER_CACHE"] = tempfile.mkdtemp(prefix="edgeinfer-cache-")
atexit.register(shutil.rmtree, os.environ["EDGEINFER_CACHE"], ignore_errors=True)

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

# The same examples in every run, and no time limit on one: machines are shared.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The sample bundle, as one file."""
    return write_sample_bundle(tmp_path / "sample.eib")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data beside the project; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, real data that is no part of the project")
    return SHARED

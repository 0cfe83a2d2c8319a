"""What several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.testing import write_sample_bundle

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


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

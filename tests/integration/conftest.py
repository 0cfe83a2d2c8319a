"""The demo, run once as a stranger would, for all tests that look at what it made."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.verify import timing

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Demo:
    """What `make demo` left behind."""

    folder: Path
    printed: str
    seconds: float

    @property
    def bundle(self) -> Path:
        return self.folder / "build/demo/digits.eib"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what looks at the demo together and without company: it runs once, and its time is measured."""
    for item in items:
        if "demo" in getattr(item, "fixturenames", ()):
            item.add_marker("alone")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run the demo in an empty folder."""
    folder = tmp_path_factory.mktemp("demo")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "sample_apps/digits/demo.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, "quiet without a terminal"
    return Demo(folder, done.stdout, time.monotonic() - start)


@pytest.fixture(scope="session")
def edgeinfer_command() -> Path:
    """The installed command."""
    return Path(sys.executable).with_name("edgeinfer")


@pytest.fixture(scope="session", autouse=True)
def timed_briefly() -> Iterator[None]:
    """Time variants for a tenth as long: that they are timed is what tests need, not how well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "_ROUNDS", 2)
        patch.setattr(timing, "_SECONDS", 0.02)
        yield

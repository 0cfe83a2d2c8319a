"""The demo, run once as a stranger would, for all tests that look at what it made."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
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


class Running:
    """The demo in an empty folder, beside the tests that do not need it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="edgeinfer-demo-"))
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "sample_apps/digits/demo.py")],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._heard: Future[Demo] = Future()
        threading.Thread(target=self._listen, daemon=True).start()

    def result(self) -> Demo:
        """Wait for its end, and return what it left behind."""
        return self._heard.result(timeout=280)

    def clear(self) -> None:
        """End it where it still runs, and remove its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        try:
            out, err = self._process.communicate(timeout=280)
            seconds = time.monotonic() - self._start
            assert self._process.returncode == 0, out + err
            assert not err, "quiet without a terminal"
            self._heard.set_result(Demo(self._folder, out, seconds))
        except BaseException as error:
            self._heard.set_exception(error)


_RUNNING = pytest.StashKey[Running]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what looks at the demo last: it takes a minute, in which other tests run."""
    items.sort(key=_needs_the_demo)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the demo where a test needs it."""
    if not session.config.option.collectonly and any(_needs_the_demo(item) for item in session.items):
        session.config.stash[_RUNNING] = Running()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if _RUNNING in config.stash:
        config.stash[_RUNNING].clear()


def _needs_the_demo(item: pytest.Item) -> bool:
    return "demo" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Demo:
    """What the demo left behind."""
    return request.config.stash[_RUNNING].result()


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

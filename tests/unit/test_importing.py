"""What an import through edgeinfer leaves as it was: the collector, the environment, the app's own settings."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Any

import pytest

STATE = """
import gc, os, sys
{}
from edgeinfer.importing import imported
seen = []
class Looks:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy._core":
            seen.append((gc.isenabled(), os.environ.get("OPENBLAS_THREAD_TIMEOUT")))
sys.meta_path.insert(0, Looks())
imported("numpy")
print((seen, gc.isenabled(), gc.get_freeze_count(), os.environ.get("OPENBLAS_THREAD_TIMEOUT"), gc.get_count()[0]))
"""


def state(before: str = "", **environment: str) -> Any:
    """What is so while numpy is imported, and afterwards."""
    own = {name: value for name, value in os.environ.items() if name != "OPENBLAS_THREAD_TIMEOUT"}
    done = subprocess.run(
        [sys.executable, "-c", STATE.format(before)],
        env=own | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ast.literal_eval(done.stdout)


def test_the_collector_pauses_and_blas_is_told_to_sleep_while_numpy_is_imported():
    seen, collecting, frozen, told, young = state()
    assert seen == [(False, "4")]
    assert (collecting, frozen, told) == (True, 0, None)
    assert young < 700, "what was imported counts as old: no collection is due"


@pytest.mark.parametrize("before", ["gc.disable()", "gc.freeze()"])
def test_an_app_s_own_collector_settings_stay(before):
    _, collecting, frozen, _, _ = state(before)
    assert collecting == (before != "gc.disable()")
    assert (frozen > 0) == (before == "gc.freeze()")


def test_an_app_s_own_word_on_blas_goes_first():
    seen, *_, told, _ = state(OPENBLAS_THREAD_TIMEOUT="20")
    assert (seen[0][1], told) == ("20", "20")


def test_nothing_is_told_where_numpy_is_there_already():
    seen, *_, told, _ = state("import numpy")
    assert (seen, told) == ([], None)


def test_an_import_that_fails_leaves_all_as_it_was():
    code = STATE.split("seen = []", maxsplit=1)[0].format("") + (
        "try:\n    imported('edgeinfer.nothing')\nexcept ImportError:\n"
        "    print((gc.isenabled(), os.environ.get('OPENBLAS_THREAD_TIMEOUT')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ast.literal_eval(done.stdout) == (True, None)

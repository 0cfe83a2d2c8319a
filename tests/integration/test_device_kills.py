"""A device is killed at every point where it writes, and at random moments; its disk is full; its files are damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "device_faults.py"
# A file system in memory, where there is one: what is flushed there costs nothing, and kills do not care.
SHARED_MEMORY = Path("/dev/shm")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the cases run in forked children")


def begun(what, first, step, count=0):
    folder = tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    environment = {**os.environ, "EDGEINFER_CACHE": f"{folder}/cache"}
    arguments = [sys.executable, PROGRAM, folder, what, *map(str, (first, step, count))]
    return folder, subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment)


def results(*started):
    """Wait for programs, and return what they found, together."""
    total = {"done": 0, "killed": 0, "failed": {}}
    for folder, process in started:
        try:
            told, _ = process.communicate(timeout=250)
            assert process.returncode == 0
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)
        found = json.loads(told)
        total = {
            "done": total["done"] + found["done"],
            "killed": total["killed"] + found["killed"],
            "failed": total["failed"] | found["failed"],
        }
    return total


def test_killed_wherever_it_writes_a_device_serves_what_was_verified():
    """Install, update, commit, revert and collection: each file, rename, flush, removal and SQL statement."""
    found = results(begun("kill", 1, 2), begun("kill", 2, 2))
    assert found["failed"] == {}
    assert found["killed"] == found["done"] > 250


def test_killed_at_200_random_moments_a_device_serves_what_was_verified():
    found = results(begun("random", 1, 1, 100), begun("random", 101, 1, 200))
    assert found["failed"] == {}
    assert found["done"] == 200
    assert found["killed"] > 100


def test_a_disk_that_is_full_from_any_point_on_costs_updates_and_no_answer():
    found = results(begun("full", 1, 4), begun("full", 3, 4))
    assert found["failed"] == {}
    assert found["done"] > 150


def test_a_file_that_is_damaged_costs_no_answer_and_is_mended():
    found = results(begun("damage", 0, 2), begun("damage", 1, 2))
    assert found["failed"] == {}
    assert found["done"] > 45


def test_processes_that_share_a_home_are_all_served():
    found = results(begun("together", 1, 1, 8), begun("together", 9, 1, 16))
    assert found["failed"] == {}
    assert found["done"] == 16

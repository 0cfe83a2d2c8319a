"""What must not lie in the tree, and what must."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 400


def tracked() -> list[Path]:
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a checkout to know which files are the project's")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_the_top_of_the_tree_is_as_agreed():
    agreed = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "Makefile",
        "docs",
        ".ci",
        ".gitignore",
    }
    agreed |= {"edgeinfer", "converters", "device_tests", "tests", "sample_apps"}
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} == agreed


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a private key", "-----BEGIN [A-Z ]*PRIVATE" + " KEY-----"),
        ("an access token", r"\b(ghp|gho|xox[bp]|AKIA|sk_live)_?[A-Za-z0-9]{16,}"),
        ("a path of somebody's machine", r"(?<![\w.])/(home|Users|root|work)/\w+"),
        ("a package registry's host", r"\b(files\.)?python" + r"hosted\.org|\bpypi" + r"\.org"),
        ("a mock", r"unittest" + r"\.mock"),
        ("something put off", r"\b(TODO|FIX" + "ME|XXX)\\b"),
        ("a bare type: ignore", r"type: ignore$"),
    ],
)
def test_no_file_holds(what, pattern):
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path, text in texts()
        if path != Path(__file__)
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]
    assert not found, what


def test_a_file_of_code_can_be_read_in_one_sitting():
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path, text in texts()
        if path.suffix == ".py" and text.count("\n") > LONGEST_FILE
    }
    assert not long


def test_no_test_sleeps_and_no_room_reads_the_clock_by_itself():
    sleeping = [
        path
        for path, text in texts()
        if path.suffix == ".py" and re.search(r"^\s*(time\.)?sleep\(", text, re.M)
    ]
    # One test measures a process that idles, and has to let time pass in it.
    assert [path.name for path in sleeping] in ([], ["test_engines.py"])
    reading = [
        path
        for path, text in texts()
        if path.is_relative_to(ROOT / "edgeinfer")
        and path != ROOT / "edgeinfer/host/clock.py"
        and re.search(r"\btime\.time\(|datetime\.(now|utcnow)\(", text)
    ]
    assert not reading


def test_changelog_names_the_version():
    import edgeinfer

    assert f"## {edgeinfer.__version__}" in (ROOT / "CHANGELOG.md").read_text()

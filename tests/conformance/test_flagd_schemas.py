"""flagd's own cases for its schemas (open-feature/flagd-schemas), held against what `edgeinfer flags check` refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeinfer.flags import document_faults
from edgeinfer.flags.grammar import faults

FOLDER = Path(__file__).parents[3] / "shared/conformance/flagd-schemas/test"
# The daemon also takes a list of flags; providers, and we, take an object, and a negative case says so.
FOR_THE_DAEMON = dict.fromkeys(
    ("with-array-flags.json", "example.flagdimport.array.json"),
    "flags as a list, which flagd's daemon takes and providers do not",
)


def cases(folder: str) -> list[object]:
    found = []
    for path in sorted((FOLDER / folder).glob("*.json")):
        reason = FOR_THE_DAEMON.get(path.name) if "positive" in folder else None
        found.append(
            pytest.param(path, id=path.stem, marks=[pytest.mark.skip(reason=reason)] if reason else [])
        )
    return found


@pytest.mark.usefixtures("shared")
def test_the_cases_are_there():
    assert len(list(FOLDER.rglob("*.json"))) >= 30


@pytest.mark.parametrize("path", cases("flags/positive") + cases("flagd/positive"))
def test_a_good_document_has_no_faults(path):
    assert document_faults(path.read_bytes()) == []


@pytest.mark.parametrize("path", cases("flags/negative"))
def test_a_bad_document_has_faults(path):
    assert document_faults(path.read_bytes())


@pytest.mark.parametrize("path", cases("targeting/positive"))
def test_a_good_rule_has_no_faults(path):
    rule = json.loads(path.read_text())
    rule.pop("$schema", None)
    assert list(faults(rule)) == []


@pytest.mark.parametrize("path", cases("targeting/negative"))
def test_a_bad_rule_has_faults(path):
    rule = json.loads(path.read_text())
    rule.pop("$schema", None)
    assert list(faults(rule))

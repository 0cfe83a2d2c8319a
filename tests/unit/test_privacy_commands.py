"""`edgeinfer egress` and `edgeinfer consent`, as typed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from predictor_rig import DOWN, UNSURE, Rig

import edgeinfer as ei
from edgeinfer.cli.main import cli


def typed(*line: str) -> str:
    done = CliRunner().invoke(cli, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def home(tmp_path):
    """A home from which three requests with an item left, and two questions about the server."""
    rig = Rig(tmp_path)
    rig.own.predict(UNSURE)
    rig.server.fails = DOWN
    rig.own.predict(UNSURE)
    rig.home.close()
    return tmp_path / "home"


def test_what_left_is_listed_oldest_first(home):
    lines = typed("egress", "show", str(home)).splitlines()
    assert lines[0].split() == [
        "when",
        "(UTC)",
        "where",
        "to",
        "purpose",
        "why",
        "bytes",
        "taken",
        "away",
        "outcome",
        "policy",
    ]
    whys = [line.split()[4] for line in lines[2:]]
    assert whys == ["metadata", "metadata", "low_confidence", "low_confidence", "retry"]
    assert all(line.startswith("2027-01-15 08:00:00  https://cloud.example/v2") for line in lines[2:])
    assert "306  strip_metadata  status 200 " in lines[4]
    assert "UnreachableError" in lines[6]


def test_json_has_all_fields_and_nothing_of_the_item(home):
    entries = [json.loads(line) for line in typed("egress", "show", str(home), "--json").splitlines()]
    assert [each["bytes"] for each in entries] == [0, 0, 306, 306, 306]
    assert {len(each["policy"]) for each in entries} == {64}
    assert set(entries[0]) == {
        "destination", "purpose", "why", "bytes", "policy", "bundle", "reduced", "at", "outcome",
    }  # fmt: skip
    assert len(typed("egress", "show", str(home), "--json", "--last", "2").splitlines()) == 2


def test_a_home_from_which_nothing_left_says_so(tmp_path):
    ei.Home(tmp_path / "home").close()
    assert typed("egress", "show", str(tmp_path / "home")) == "nothing left this device\n"
    assert typed("consent", "show", str(tmp_path / "home")) == "nothing was agreed to\n"


def test_looking_makes_no_home(tmp_path):
    for command in ("egress", "consent"):
        with pytest.raises(ei.StoreError, match="no home of an app"):
            typed(command, "show", str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_consent_is_given_shown_and_taken_back(home):
    assert typed("consent", "give", str(home), "deferred_inference", "--version", "2") == (
        "deferred_inference: given, version 2\n"
    )
    typed("consent", "withdraw", str(home), "cloud_inference")
    words = [line.split()[2:] for line in typed("consent", "show", str(home)).splitlines()[2:]]
    assert words == [
        ["cloud_inference", "given", "1"],
        ["deferred_inference", "given", "2"],
        ["cloud_inference", "taken", "back", "-"],
    ]
    with ei.Home(home) as kept:
        assert not ei.Consents(kept).allows("cloud_inference")
        assert ei.Consents(kept).allows("deferred_inference", "2")


def test_a_purpose_that_is_none_is_a_usage_error(home):
    done = CliRunner().invoke(cli, ["consent", "give", str(home), "everything"])
    assert done.exit_code == 2
    assert "everything" in done.output

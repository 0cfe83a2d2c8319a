"""flagd's own scenarios for evaluators (open-feature/flagd-testbed), asked of `Flags`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flag_steps import FLAG_STEPS, Asked
from scenarios import Scenario, Steps, parameters, scenarios

from edgeinfer.flags import Flag, Flags

FOLDER = Path(__file__).parents[3] / "shared/conformance/flagd-evaluator"
FOUND = list(scenarios(*sorted((FOLDER / "gherkin").glob("*.feature"))))
STEPS = Steps()
# The suite is older than the algorithm that openfeature-flagd-core 2.0 has, which flagd calls fractional-v3: values are
# hashed as CBOR (open-feature/python-sdk-contrib#415). tests/unit/test_percentages.py holds that one.
NOT_OURS = {
    "fractional-v1": "flagd's first algorithm: edge-v1 is its third and newest",
    "fractional-v2": "flagd's second algorithm: edge-v1 is its third and newest",
}


@pytest.fixture(scope="module")
def flags() -> Flags:
    return Flags(bundled=(FOLDER / "flags/testkit-flags.json").read_bytes())


@STEPS.step("an evaluator")
def evaluator(_asked: Asked) -> None:
    pass


@pytest.mark.usefixtures("shared")
def test_the_suite_is_there():
    assert len(FOUND) > 100


@pytest.mark.parametrize("scenario", parameters(FOUND, NOT_OURS))
def test_scenario(flags: Flags, scenario: Scenario) -> None:
    def ask(_kind: str, key: str, default: Any, context: dict[str, Any]) -> dict[str, Any]:
        told = flags.details(Flag(key, default), context)
        return {
            "key": told.key,
            "value": told.value,
            "variant": told.variant,
            "reason": told.reason,
            "error": told.error,
            "metadata": told.metadata,
        }

    (STEPS | FLAG_STEPS).run(scenario, Asked(ask))

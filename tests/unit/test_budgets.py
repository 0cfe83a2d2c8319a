"""What a bundle's maker says that the model may cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgeinfer.bundle import BlobSet, Budgets, check_manifest, manifest_bytes, parse_manifest
from edgeinfer.errors import ManifestError
from edgeinfer.testing import sample_manifest


@pytest.mark.parametrize("wrong", [{"p99_ms": 0.0}, {"load_ms": -1.0}, {"memory_bytes": 0}])
def test_a_budget_of_nothing_is_refused(wrong):
    manifest = sample_manifest(BlobSet())
    with pytest.raises(ManifestError, match=r"budgets\..*above 0"):
        check_manifest(replace(manifest, budgets=Budgets(**wrong)))


def test_budgets_travel_with_the_manifest_and_may_be_left_out():
    manifest = sample_manifest(BlobSet())
    budgets = Budgets(p99_ms=5.0, memory_bytes=1000)
    assert parse_manifest(manifest_bytes(replace(manifest, budgets=budgets))).budgets == budgets
    assert b"budgets" not in manifest_bytes(replace(manifest, budgets=None))

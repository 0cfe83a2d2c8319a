"""The budget step: what it measures is what ships, and a killed search goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from stopping import Stopping
from torch import nn

from converters import load_recipe
from converters.data.dataset import DATA
from converters.distill.answers import ANSWERS
from converters.distill.architecture import ARCHITECTURE, Architecture, Cost, load_architecture
from converters.distill.catalogue import build, parameters
from converters.distill.folding import folded
from converters.distill.teacher import TEACHER
from converters.progress import Quiet
from converters.quantize.integer_types import INTEGER_TYPES, load_types
from converters.recipe import (
    Augment,
    Budget,
    ConvNetwork,
    Data,
    Drift,
    Quantize,
    Recipe,
    Student,
    Teacher,
    Training,
)
from converters.search import budget
from converters.search.budget import BUDGET
from converters.search.cost import measure_cost
from converters.steps import Context, run_steps
from edgeinfer.bundle import open_bundle
from edgeinfer.errors import ConversionError

DIGITS = Path(__file__).parents[2] / "sample_apps/digits/recipe.toml"
STEPS = [DATA, TEACHER, ANSWERS, BUDGET]


def by_parameters(module: nn.Module, context: Context) -> Cost:  # noqa: ARG001
    """A byte a value, so that nothing has to be exported."""
    count = parameters(module)
    return Cost(count, count, count + 100, count / 10)


def recipe(**limits: float) -> Recipe:
    families = (ConvNetwork(8, (1, 1)), ConvNetwork(8, (2, 1)))
    wanted = Budget(families=families, trial_epochs=2, **limits)
    return replace(
        load_recipe(DIGITS),
        data=Data("digits", limit_per_class=30),
        augment=Augment(),
        teacher=Teacher(network=ConvNetwork(8, (1, 1)), training=Training(2), views=1),
        student=Student(Training(50), network=None, budget=wanted),
    )


def searched(work: Path, report: Quiet, **limits: float) -> Architecture:
    return load_architecture(run_steps(STEPS, recipe(**limits), work, report, {})[ARCHITECTURE])


def test_the_best_trial_among_the_widest_that_fit_is_chosen_and_a_killed_search_goes_on(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(budget, "measure_cost", by_parameters)
    whole = searched(tmp_path / "whole", Quiet(), max_bytes=9000)
    tried = [each for each in whole.candidates if each.validation is not None]
    assert len(tried) == 2
    assert whole.network == tried[0].network
    assert all(7000 < each.cost.bytes <= 9000 for each in tried)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "killed", Stopping("trying a student", 3), max_bytes=9000)
    assert searched(tmp_path / "killed", Quiet(), max_bytes=9000) == whole


def test_a_longer_final_training_does_not_search_again():
    shorter = recipe(max_bytes=9000)
    longer = replace(shorter, student=replace(shorter.student, training=Training(99)))
    assert BUDGET.settings(longer) == BUDGET.settings(shorter)


@pytest.mark.parametrize(
    "changes", [{"quantize": Quantize(per_channel=False)}, {"drift": Drift(projections=2)}], ids=list
)
def test_whatever_changes_a_size_is_measured_again(changes):
    asked = recipe(max_bytes=9000)
    assert BUDGET.settings(replace(asked, **changes)) != BUDGET.settings(asked)


def test_a_budget_that_nothing_meets_names_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "measure_cost", by_parameters)
    with pytest.raises(
        ConversionError, match=r"no student of 2 families meets.*expected 0\.001 ms.*add a shallower"
    ):
        searched(tmp_path, Quiet(), max_latency_ms=0.001)


def test_what_is_measured_of_an_untrained_network_is_what_ships(tmp_path, demo):
    network = load_recipe(DIGITS).student.network
    assert network is not None
    needs = {"data.json": demo.folder / "build/demo/work/data/data.json"}
    context = Context(load_recipe(DIGITS), needs, tmp_path, Quiet(), tmp_path)
    cost = measure_cost(folded(build(network, 10, context.recipe)), context)
    with open_bundle(demo.bundle) as bundle:
        sizes = {each.id: each.blob.size for each in bundle.manifest.variants}
    # Which integer types of ONNX ship is timed anew in each run; costs are those of the recipe's first.
    types = load_types(demo.folder / "build/demo/work/quantize" / INTEGER_TYPES)
    first, shipped = types[0], next(each for each in types if each.shipped)
    shown = json.dumps(
        {"measured": [cost.tflite_bytes, cost.onnx_bytes], "shipped": sizes, "first": first.bytes}
    )
    assert cost.tflite_bytes == sizes["tflite-int8"], shown
    assert (first.types, cost.onnx_bytes) == ("U8S8", first.bytes), shown
    assert shipped.bytes == sizes["onnx-int8"], shown
    assert 0 < cost.latency_us < 10_000

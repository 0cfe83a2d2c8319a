"""Which fields of a manifest a run does not promise to repeat, and which step's doing that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from converters import load_recipe
from converters.distill.compute import in_key
from converters.package.package import not_deterministic
from converters.recipe import Budget, ConvNetwork, Quantize

RECIPE = load_recipe(Path(__file__).parents[2] / "sample_apps/digits/recipe.toml")
ALWAYS = {"variants.*.latency", "variants.*.memory_bytes", "documents.*.blob"}
LEARNED = {"variants", "outputs", "calibration", "drift", "confusion", "cascade"}


def test_times_alone_differ_where_nothing_is_chosen_by_them():
    recipe = replace(RECIPE, quantize=Quantize(onnx_types=("U8S8",)))
    assert set(not_deterministic(recipe)) == ALWAYS
    assert all(reason.startswith("step ") for reason in not_deterministic(recipe).values())


def test_integer_types_chosen_by_time_may_change_the_model_files():
    assert set(not_deterministic(RECIPE)) == ALWAYS | {"variants"}
    assert "step quantize" in not_deterministic(RECIPE)["variants"]


def test_a_student_chosen_by_time_may_change_all_that_follows_from_it():
    budget = Budget(families=(ConvNetwork(8, (1,)),), max_latency_ms=1.0)
    recipe = replace(RECIPE, student=replace(RECIPE.student, network=None, budget=budget))
    fields = not_deterministic(recipe)
    assert set(fields) == ALWAYS | LEARNED
    assert "step budget" in fields["drift"]
    sized = replace(recipe.student, budget=replace(budget, max_latency_ms=None, max_bytes=10_000))
    assert set(not_deterministic(replace(recipe, student=sized))) == ALWAYS | {"variants"}


def test_training_on_a_gpu_is_part_of_the_key_and_promised_nothing(monkeypatch):
    before = in_key("fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert in_key("fp32") != before
    fields = not_deterministic(RECIPE)
    assert set(fields) == ALWAYS | LEARNED
    assert "GPU" in fields["calibration"]

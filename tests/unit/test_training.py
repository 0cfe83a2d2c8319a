"""Training: every option learns, and a killed run ends in the weights of an unbroken one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from stopping import Stopping
from torch import nn

from converters.data.dataset import Examples
from converters.distill.convnet import ConvNet
from converters.distill.hints import Hints, with_hints
from converters.distill.losses import label_loss
from converters.distill.training import Course, Epoch, train
from converters.distill.views import Blend, Views
from converters.recipe import Augment, ConvNetwork, Hint, Training, load_recipe
from converters.steps import Context
from edgeinfer.preprocess import Preprocessor

RECIPE = load_recipe(Path(__file__).parents[2] / "sample_apps/digits/recipe.toml")
PLAIN = Training(4, batch_size=32, learning_rate=0.02)
WAYS = {
    "adamw, one-cycle": PLAIN,
    "sgd, cosine": replace(PLAIN, optimizer="sgd", schedule="cosine", learning_rate=0.1),
    "ema": replace(PLAIN, ema=0.9),
    "bf16": replace(PLAIN, precision="bf16"),
    "hints": PLAIN,
}


def course(how: Training) -> Course:
    digits = load_digits()
    pixels = (digits.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    return Course(
        Views(pixels[:600], labels[:600], Augment(), Blend(), 0),
        2,
        Examples(pixels[600:900], labels[600:900]),
        Preprocessor(RECIPE.input.steps()),
        how,
        seed=1,
    )


def trained(
    how: Training, folder: Path, *, hints: bool = False, stop: int = 0
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    network, teacher = ConvNet(1, 10, ConvNetwork(8, (1, 1))), ConvNet(1, 10, ConvNetwork(12, (1, 1)))
    extra, loss = None, label_loss
    if hints:
        wanted = (Hint("features.1", "features.1", "hint", 0.1),)
        extra = Hints(wanted, network, teacher.eval(), torch.zeros(2, 1, 8, 8))
        loss = with_hints(label_loss, extra)
    context = Context(RECIPE, {}, folder, Stopping("training", stop), folder)
    return network, train(network, course(how), loss, context, "training", extra)


def weights(network: nn.Module) -> list[torch.Tensor]:
    return list(network.state_dict().values())


@pytest.mark.parametrize("way", WAYS)
def test_every_way_learns_and_a_killed_run_ends_in_the_same_weights(tmp_path, way):
    how, hints = WAYS[way], way == "hints"
    whole, history = trained(how, tmp_path / "whole", hints=hints)
    assert history[-1].validation > 0.6
    assert history[-1].loss < history[0].loss
    with pytest.raises(KeyboardInterrupt):
        trained(how, tmp_path / "killed", hints=hints, stop=2)
    again, later = trained(how, tmp_path / "killed", hints=hints)
    assert later == history
    assert all(torch.equal(one, other) for one, other in zip(weights(whole), weights(again), strict=True))


def test_the_result_of_averaging_is_the_average(tmp_path):
    last, _ = trained(PLAIN, tmp_path / "last")
    averaged, _ = trained(WAYS["ema"], tmp_path / "averaged")
    state = torch.load(tmp_path / "averaged/checkpoint.pt", weights_only=True)
    kept = {
        name.removeprefix("module."): each for name, each in state["average"].items() if name != "n_averaged"
    }
    assert all(torch.equal(each, kept[name]) for name, each in averaged.state_dict().items())
    assert not torch.equal(last.classifier.weight, averaged.classifier.weight)

"""Losses, views, the catalogue, folding and hints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

from converters.distill.catalogue import parameters
from converters.distill.convnet import ConvNet
from converters.distill.folding import folded
from converters.distill.hints import Hints, attention_loss, with_hints
from converters.distill.losses import distillation_loss, label_loss
from converters.distill.mlp import Mlp
from converters.distill.optimization import average_of, cosine
from converters.distill.resnet import ResNet
from converters.distill.separable import SeparableNet, scaled
from converters.distill.training import Batch
from converters.distill.views import CHUNK, Blend, Views, blended
from converters.recipe import Augment, ConvNetwork, Hint, MlpNetwork, ResNetwork, SeparableNetwork
from edgeinfer.errors import RecipeError


def batch(labels, partners=None, shares=None, inputs=None) -> Batch:
    count = len(labels)
    return Batch(
        torch.zeros(count, 1) if inputs is None else inputs,
        torch.tensor(labels),
        torch.tensor(labels if partners is None else partners),
        torch.ones(count) if shares is None else torch.tensor(shares),
        0,
        torch.arange(count),
    )


def test_the_distillation_loss_is_hinton_s():
    teacher, student = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.5, 0.2, 0.1]])
    temperature, weight = 2.0, 0.7
    p, q = F.softmax(teacher / temperature, 1), F.softmax(student / temperature, 1)
    divergence = (p * (p.log() - q.log())).sum()
    expected = weight * temperature**2 * divergence + (1 - weight) * -F.log_softmax(student, 1)[0, 0]
    loss = distillation_loss(teacher[None], temperature, weight)
    assert loss(batch([0]), student).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_student_that_answers_like_the_teacher_has_no_divergence():
    teacher = torch.tensor([[2.0, 0.0, -1.0]])
    loss = distillation_loss(teacher[None], 4.0, 1.0)
    assert loss(batch([2]), teacher).item() == pytest.approx(0, abs=1e-6)


def test_blended_items_count_for_both_labels_and_unlabelled_ones_for_none():
    given = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    own, other = -F.log_softmax(given, 1)[0, 0], -F.log_softmax(given, 1)[0, 2]
    mixed = label_loss(batch([0, -1], [2, -1], [0.75, 1.0]), given)
    assert mixed.item() == pytest.approx((0.75 * own + 0.25 * other).item() / 2, rel=1e-6)


def views(count: int, **augment: object) -> Views:
    items = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), np.uint8)
    return Views(items, np.arange(count) % 7, Augment(**augment), Blend(), seed=3)


def test_a_view_holds_every_item_once_and_is_the_same_in_any_order_of_its_chunks():
    many = views(CHUNK + 10, flip=True)
    first = list(many.chunks(2))
    again = list(many.chunks(2, np.array([1, 0])))
    assert [chunk.start for chunk in first] == [0, CHUNK]
    for one, two in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(one.items, two.items)
        np.testing.assert_array_equal(one.labels, two.labels)
    assert sorted(many.rows(2)) == list(range(len(many)))
    np.testing.assert_array_equal(np.concatenate([each.labels for each in first]), many.labels[many.rows(2)])
    other = next(many.chunks(3))
    assert (other.items != first[0].items).any()


def test_mixup_keeps_the_larger_share_of_the_item_and_blends_linearly():
    own, other = np.zeros((400, 4, 4, 1), np.uint8), np.full((400, 4, 4, 1), 200, np.uint8)
    result, shares = blended(own, other, Blend(mixup=0.4), np.random.default_rng(0))
    assert (shares >= 0.5).all()
    np.testing.assert_allclose(result[:, 0, 0, 0], np.rint((1 - shares) * 200), atol=1)
    assert shares.std() > 0.05


def test_cutmix_pastes_a_rectangle_of_the_area_that_the_share_says():
    own, other = np.zeros((300, 8, 6, 1), np.uint8), np.ones((300, 8, 6, 1), np.uint8)
    result, shares = blended(own, other, Blend(cutmix=1.0), np.random.default_rng(0))
    np.testing.assert_allclose(1 - result.mean((1, 2, 3)), shares, atol=1e-6)
    for picture in result[..., 0]:
        rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
        assert picture.sum() == len(rows) * len(columns)
    both, _ = blended(own, other * 100, Blend(mixup=1.0, cutmix=1.0), np.random.default_rng(0))
    cut = [set(np.unique(each)) <= {0, 100} for each in both]
    assert 80 < sum(cut) < 250, "about half are cut, the rest is mixed"


def test_cosine_rises_then_falls_to_nothing():
    rates = [cosine(step, 100, 0.1) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_resnet8_has_as_many_values_as_mlperf_tiny_s():
    """Its Keras model counts 78,666: biases beside batch norms, and four values a normed channel."""
    network = ResNet(3, 10, ResNetwork())
    normed = sum(each.num_features for each in network.modules() if isinstance(each, nn.BatchNorm2d))
    assert parameters(folded(network)) + 4 * normed == 78_666
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (ConvNet(3, 5, ConvNetwork(4, (1, 2))), (3, 9, 9)),
        (ResNet(3, 5, ResNetwork(8, (8, 12), (1, 2))), (3, 9, 9)),
        (SeparableNet(1, 5, SeparableNetwork(16, (16, 24), (2, 1), (10, 4), (2, 2), width=0.5)), (1, 49, 10)),
        (Mlp(6, 5, MlpNetwork((8, 4))), (6,)),
    ],
    ids=["conv", "resnet", "ds-cnn", "mlp"],
)
def test_folding_changes_no_answer_and_leaves_no_batch_norm(network, shape):
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 2, generator=generator)
    inputs = torch.randn(3, *shape, generator=generator)
    network.eval()
    without = folded(network)
    torch.testing.assert_close(without(inputs), network(inputs), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) for each in without.modules())
    assert parameters(without) < parameters(network)


def test_a_shared_convolution_is_not_folded():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.one, self.two = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)
            self.one.running_mean += 1

        def forward(self, x):
            return self.one(self.convolution(x)) + self.two(self.convolution(x))

    network, inputs = Shared().eval(), torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(folded(network)(inputs), network(inputs))


def test_what_cannot_be_traced_keeps_its_batch_norm():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.norm(x) if x.sum() > 0 else x

    assert isinstance(folded(Branching()), Branching)


def test_the_width_knob_rounds_to_multiples_of_8():
    assert [scaled(64, factor) for factor in (1, 0.5, 0.3, 0.01, 1.06)] == [64, 32, 16, 8, 64]
    assert scaled(30, 1) == 30


def test_attention_compares_where_not_how_much():
    features = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert attention_loss(features, 5 * features).item() == pytest.approx(0, abs=1e-6)
    assert attention_loss(features, features.flip(2)).item() > 1e-3
    assert attention_loss(features, torch.rand(2, 7, 8, 8)).item() > 0, "the teacher's maps are pooled"


@pytest.mark.parametrize("kind", ["hint", "attention"])
def test_hints_pull_the_student_s_layer_towards_the_teacher_s(kind):
    torch.manual_seed(0)
    teacher, student = ConvNet(3, 4, ConvNetwork(8, (1, 1))), ConvNet(3, 4, ConvNetwork(4, (1, 1)))
    inputs = torch.randn(8, 3, 8, 8)
    hints = Hints((Hint("features.1", "features.1", kind, 2.0),), student, teacher.eval(), inputs)
    loss = with_hints(lambda _, given: 0 * given.sum(), hints)
    student.train()
    optimizer = torch.optim.SGD([*student.parameters(), *hints.parameters()], 0.1)
    values = []
    for _ in range(15):
        value = loss(batch([0] * 8, inputs=inputs), student(inputs))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
    assert all(each.grad is None for each in teacher.parameters())


def test_a_hint_for_a_layer_that_is_not_there_names_those_that_are():
    network = ConvNet(3, 4, ConvNetwork(4, (1,)))
    with pytest.raises(RecipeError, match=r"no layer 'nothing' in the student.*features\.0"):
        Hints((Hint("nothing", "features"),), network, network, torch.zeros(1, 3, 4, 4))


def test_the_average_of_weights_forgets_the_first_ones_and_then_moves_slowly():
    network = nn.Linear(1, 1, bias=False)
    averaged = AveragedModel(network, multi_avg_fn=average_of(0.9))
    for step in range(400):
        network.weight.data.fill_(100.0 if step < 5 else 1.0)
        averaged.update_parameters(network)
        if step == 60:
            assert averaged.module.weight.item() < 1.1, "the first weights are forgotten"
    network.weight.data.fill_(2.0)
    averaged.update_parameters(network)
    assert averaged.module.weight.item() == pytest.approx(1.1, abs=1e-3)

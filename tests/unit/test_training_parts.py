"""Augmentation, the network and golden pictures."""

from __future__ import annotations

import numpy as np
import torch

from converters.data.augment import augment
from converters.package.golden import CASES, golden_pictures
from converters.recipe import Augment, Input
from edgeinfer.preprocess import Preprocessor

PIXELS = np.arange(2 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 6, 5, 3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_augmentation_changes_nothing_and_never_the_original():
    before = PIXELS.copy()
    np.testing.assert_array_equal(augment(PIXELS, Augment(), generator()), PIXELS)
    augment(PIXELS, Augment(flip=True, fade=0.5, rotate=20), generator())
    np.testing.assert_array_equal(PIXELS, before)


def test_augmentation_is_the_same_for_the_same_seed():
    how = Augment(
        rotate=10, zoom_in=0.1, zoom_out=0.2, stretch=0.1, shear=0.1, shift=0.2, flip=True, fade=0.3
    )
    first, again, other = (augment(PIXELS, how, generator(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_flip_mirrors_about_half_of_the_pictures():
    many = np.repeat(PIXELS[:1], 200, axis=0)
    out = augment(many, Augment(flip=True), generator())
    mirrored = sum(np.array_equal(each, PIXELS[0][:, ::-1]) for each in out)
    kept = sum(np.array_equal(each, PIXELS[0]) for each in out)
    assert mirrored + kept == 200
    assert 70 < mirrored < 130


def test_fading_moves_towards_white_and_no_further_than_told():
    out = augment(np.zeros((100, 4, 4, 1), np.uint8), Augment(fade=0.4), generator())
    assert 0 <= out.min() < 20
    assert 80 < out.max() <= 0.4 * 255 + 1


def test_dimming_darkens_all_of_a_picture_and_no_further_than_told():
    out = augment(np.full((100, 4, 4, 1), 200, np.uint8), Augment(dim=0.4), generator())
    assert np.ptp(out, axis=(1, 2)).max() == 0
    assert 120 <= out.min() < 130
    assert 190 < out.max() <= 200


def test_golden_pictures_are_synthetic_distinct_and_the_same_each_time():
    input_ = Input(8, 10, "RGB", (0.5,) * 3, (0.5,) * 3)
    pictures = golden_pictures(input_)
    assert pictures == golden_pictures(input_)
    assert len(set(pictures)) == CASES
    tensors = np.concatenate([Preprocessor(input_.steps())(each) for each in pictures])
    assert tensors.shape == (CASES, 3, 8, 10)
    assert tensors.std(axis=(1, 2, 3)).min() > 0.05, "each has something in it"

"""Augmentation, the network and golden pictures."""

from __future__ import annotations

import timeit

import numpy as np
import pytest
import torch
from torch import nn

from converters.data.augment import augment
from converters.distill.optimization import optimization
from converters.package.golden import CASES, golden_sources
from converters.recipe import AudioInput, Augment, ImageInput, TableInput, Training
from edgeinfer.bundle import Category, Numeric, Row
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
        rotate=10,
        crop=2,
        cutout=2,
        zoom_in=0.1,
        zoom_out=0.2,
        stretch=0.1,
        shear=0.1,
        shift=0.2,
        flip=True,
        fade=0.3,
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


def test_a_crop_is_reflection_padding_and_a_random_window():
    pad, many = 3, np.repeat(PIXELS, 60, axis=0)
    padded = np.pad(PIXELS, ((0, 0), (pad, pad), (pad, pad), (0, 0)), "reflect")
    seen = set()
    for at, each in enumerate(augment(many, Augment(crop=pad), generator())):
        windows = {
            (down, across): padded[at // 60, down : down + 6, across : across + 5]
            for down in range(2 * pad + 1)
            for across in range(2 * pad + 1)
        }
        seen.update(place for place, window in windows.items() if np.array_equal(window, each))
        assert any(np.array_equal(window, each) for window in windows.values())
    assert {down for down, _ in seen} == {across for _, across in seen} == set(range(2 * pad + 1))


def test_cutout_greys_one_square_that_may_stand_over():
    out = augment(np.zeros((300, 6, 5, 3), np.uint8), Augment(cutout=3), generator())
    areas = set()
    for picture in out:
        rows, columns = np.nonzero(picture[:, :, 0])
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert len(rows) == area, "a rectangle"
        assert set(picture[rows, columns].ravel().tolist()) == {128}
        areas.add(int(area))
    assert areas == {4, 6, 9}


def test_crop_and_flip_of_a_cifar_batch_take_at_most_a_millisecond_each():
    """The best of many: the machine is shared."""
    batch = np.random.default_rng(0).integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
    for how in (Augment(crop=4), Augment(flip=True), Augment(cutout=8)):
        assert (
            min(timeit.repeat(lambda how=how: augment(batch, how, generator()), number=1, repeat=80)) < 1e-3
        )


def test_golden_pictures_are_synthetic_distinct_and_the_same_each_time():
    input_ = ImageInput(8, 10, "RGB", (0.5,) * 3, (0.5,) * 3)
    pictures = golden_sources(input_)
    assert pictures == golden_sources(input_)
    assert len(set(pictures)) == CASES
    tensors = np.concatenate([Preprocessor(input_.steps())(each) for each in pictures])
    assert tensors.shape == (CASES, 3, 8, 10)
    assert tensors.std(axis=(1, 2, 3)).min() > 0.05, "each has something in it"


WAVES = (np.sin(np.arange(4000) / 9) * 8000).astype(np.int16)[None].repeat(200, axis=0)


def test_recordings_without_augmentation_stay_and_rows_are_never_varied():
    before = WAVES.copy()
    np.testing.assert_array_equal(augment(WAVES, Augment(), generator()), WAVES)
    augment(WAVES, Augment(shift=0.1, speed=0.1, noise=1.0, gain_db=6.0, gap=0.2), generator())
    np.testing.assert_array_equal(WAVES, before)
    rows = np.array([[1.0, np.nan], [2.0, 3.0]])
    np.testing.assert_array_equal(augment(rows, Augment(), generator()), rows)


def test_recordings_vary_the_same_way_for_the_same_seed():
    how = Augment(shift=0.1, speed=0.1, noise=0.5, gain_db=6.0, gap=0.2)
    first, again, other = (augment(WAVES, how, generator(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first.dtype, first.shape) == (np.int16, WAVES.shape)


def test_a_shift_moves_whole_samples_and_lets_silence_in():
    ramp = np.arange(1, 101, dtype=np.int16)[None].repeat(300, axis=0)
    seen = set()
    for each in augment(ramp, Augment(shift=0.1), generator()):
        moved = 1 - int(each[50] - 50)
        seen.add(moved)
        expected = np.zeros(100, np.int16)
        source = np.arange(100) - moved
        inside = (source >= 0) & (source < 100)
        expected[inside] = ramp[0][source[inside]]
        np.testing.assert_array_equal(each, expected)
    assert seen == set(range(-10, 11))


def test_speed_changes_the_pitch_from_the_beginning_and_no_further_than_told():
    crossings = [
        np.count_nonzero(np.diff(np.signbit(each[:3000])))
        for each in augment(WAVES, Augment(speed=0.2), generator())
    ]
    plain = np.count_nonzero(np.diff(np.signbit(WAVES[0, :3000])))
    assert plain * 0.79 < min(crossings) < plain * 0.85
    assert plain * 1.15 < max(crossings) < plain * 1.21


def test_gain_noise_and_gaps_are_as_strong_as_told():
    level = np.abs(augment(WAVES, Augment(gain_db=6.0), generator())).max(1) / 8000
    assert 0.5 < level.min() < 0.6
    assert 1.8 < level.max() < 2
    out = augment(WAVES, Augment(noise=0.5, snr_db=10.0), generator()).astype(float) - WAVES
    power = np.square(WAVES[0].astype(float)).mean()
    ratios = 10 * np.log10(power / np.maximum(np.square(out).mean(1), 1e-9))
    noisy = ratios[ratios < 60]
    assert 70 < len(noisy) < 130
    assert 9.5 < noisy.min() < 12
    assert 28 < noisy.max() < 30.5
    constant = np.full((300, 1000), 5, np.int16)
    silent = (augment(constant, Augment(gap=0.1), generator()) == 0).sum(1)
    assert silent.min() < 5
    assert 95 < silent.max() <= 101
    edges = np.abs(np.diff((augment(constant, Augment(gap=0.1), generator()) == 0).astype(int), axis=1))
    assert edges.sum(1).max() <= 2, "one gap"


def test_what_is_too_loud_is_clipped():
    loud = np.full((50, 10), 32000, np.int16)
    assert augment(loud, Augment(gain_db=20.0), generator()).max() == 32767


@pytest.mark.parametrize("coefficients", [None, 10])
def test_golden_recordings_are_synthetic_distinct_and_the_same_each_time(coefficients):
    input_ = AudioInput(8000, 0.5, coefficients=coefficients, mean=(0.0,), std=(1.0,))
    sources = golden_sources(input_)
    assert sources == golden_sources(input_)
    assert len(set(sources)) == CASES
    tensors = np.concatenate([Preprocessor(input_.steps())(each) for each in sources])
    assert tensors.shape == (CASES, *input_.shape)
    assert tensors.std(axis=(1, 2, 3)).min() > 0.05, "each has something in it"


def test_golden_rows_are_synthetic_distinct_and_the_same_each_time():
    columns = (Numeric("a", 5.0, 2.0, fill=4.0), Numeric("b", 0.0, 1.0), Category("c", ("x", "y", "z")))
    input_ = TableInput(fitted=Row(columns))
    sources = golden_sources(input_)
    assert sources == golden_sources(input_)
    tensors = np.concatenate([Preprocessor(input_.steps())(each) for each in sources])
    assert tensors.shape == (CASES, 6)
    assert len(np.unique(tensors, axis=0)) == CASES


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 9])
def test_one_cycle_rises_to_the_peak_and_falls_in_trainings_of_any_length(warmup, steps):
    how = Training(epochs=1, learning_rate=0.1, warmup=warmup)
    optimizer, schedule = optimization(nn.Linear(1, 1), how, steps)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    rates.append(schedule.get_last_lr()[0])
    peak = rates.index(max(rates))
    assert peak > 0
    assert rates == sorted(rates[: peak + 1]) + sorted(rates[peak + 1 :], reverse=True)
    assert steps < 3 or max(rates) > 0.05

"""100,000 devices in a rollout with a control: 1, 5, 25, 100, 25 and 1%.

Bounds: a share may be off by 4.5 standard deviations of a binomial count, which chance alone exceeds once in 150,000
comparisons; chi-square tests of balance may fall below p = .0001. Names and classes are the same in every run.
"""

from __future__ import annotations

import json
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

import edgeinfer as ei
from edgeinfer.flags import percentages, ramped, read_document
from edgeinfer.flags.evaluation import resolve
from edgeinfer.flags.percentages import chosen_at, position_of
from edgeinfer.store import Home

COUNT = 100_000
RAMPS = (1, 5, 25, 100, 25, 1)
SIGMAS, LEAST_P = 4.5, 1e-4
MODEL = ei.Flag("model-vision", default="")
FLAG = {"state": "ENABLED", "variants": {"new": "n", "old": "o"}, "defaultVariant": "old",
        "metadata": {"rollout": "r1"}}  # fmt: skip
NAMES = np.array(["new", "old", "control"])


def device(number: int) -> str:
    return f"device-{number:06}"


def release(percent: float) -> dict[str, Any]:
    return ramped({"flags": {MODEL.key: FLAG}}, MODEL.key, percent, "new", control=True)


def weights(percent: float) -> list[int]:
    rule = release(percent)["flags"][MODEL.key]["targeting"]["fractional"]
    assert [name for name, _ in rule] == list(NAMES)
    return [weight for _, weight in rule]


@pytest.fixture(scope="module")
def positions() -> list[int]:
    """As they are drawn at first and kept from then on."""
    return [position_of([MODEL.key, device(each)]) for each in range(COUNT)]


@pytest.fixture(scope="module")
def variants(positions) -> list[Any]:
    """Which variant each device has, by step of the ramp: `(steps, devices)` of an index into NAMES."""
    found = []
    for percent in RAMPS:
        each = weights(percent)
        found.append(np.array([chosen_at(position, each) for position in positions]))
    return found


def test_shares_are_within_sampling_error(variants):
    for percent, found in zip(RAMPS, variants, strict=True):
        for index, weight in enumerate(weights(percent)):
            share = weight / 100_000
            bound = SIGMAS * (COUNT * share * (1 - share)) ** 0.5
            assert abs(int((found == index).sum()) - COUNT * share) <= bound, (percent, NAMES[index])


def test_nobody_leaves_while_it_ramps_up(variants):
    for before, after in pairwise(variants[:4]):
        assert (after[before == 0] == 0).all()
    for before, after in pairwise(variants[:3]):
        assert (after[before == 2] == 2).all(), "nor the control, up to a half"


def test_a_ramp_down_removes_those_that_came_last(variants):
    came = np.full(COUNT, 99)
    for step in (3, 2, 1, 0):
        came[variants[step] == 0] = step
    for before, after in pairwise(variants[3:]):
        stay, left = came[after == 0], came[(before == 0) & (after != 0)]
        assert stay.max() < left.min()
    assert (variants[4] == variants[2]).all()
    assert (variants[5] == variants[0]).all()


def test_variant_and_control_are_alike(variants):
    random = np.random.default_rng(0)
    classes = random.choice(5, COUNT, p=(0.5, 0.3, 0.15, 0.04, 0.01))
    cells = random.integers(0, 100, COUNT)
    # The share of another flag: two rollouts must not go to the same devices.
    other = np.array([chosen_at(position_of(["other", device(each)]), [1] * 20) for each in range(COUNT)])
    for found in variants[:3]:
        for what in (classes, cells, other):
            table = np.array(
                [np.bincount(what[found == index], minlength=what.max() + 1) for index in (0, 2)]
            )
            assert chi2_contingency(table[:, table.sum(0) > 0]).pvalue >= LEAST_P


def test_a_bound_that_chance_alone_does_not_exceed_finds_a_skew(variants):
    """Of 100 cells five in which the variant has half as many: the test above could fail."""
    cells = np.random.default_rng(0).integers(0, 100, COUNT)
    found = variants[2].copy()
    found[(found == 0) & (cells < 5) & (np.arange(COUNT) % 2 == 0)] = 1
    table = np.array([np.bincount(cells[found == index], minlength=100) for index in (0, 2)])
    assert chi2_contingency(table).pvalue < LEAST_P


def test_another_hash_moves_nobody(variants, positions, monkeypatch):
    flag = read_document(json.dumps(release(25)).encode()).flags[MODEL.key]
    monkeypatch.setattr(percentages, "murmur3", lambda data: zlib.crc32(data[::-1]))

    def variant(each: int, position: int | None) -> str | None:
        return resolve(flag, {"targetingKey": device(each)}, 0.0, position).variant

    expected = NAMES[variants[2]].tolist()
    assert [variant(each, positions[each]) for each in range(COUNT)] == expected
    moved = sum(variant(each, None) != expected[each] for each in range(2000))
    assert moved > 500, "without what was kept more than a quarter would"


def test_real_devices_are_where_the_arithmetic_says_and_stay_there(variants, tmp_path, monkeypatch):
    """Each with a home of its own, started anew at each step, with another hash from the second on."""
    some = range(0, COUNT, 1250)
    for step, percent in enumerate(RAMPS):
        document = release(percent) | {"metadata": {"version": str(step + 1)}}
        for each in some:
            with Home(tmp_path / str(each)) as home:
                flags = ei.Flags(
                    {"targetingKey": device(each)}, bundled=json.dumps(document).encode(), home=home
                )
                assert flags.details(MODEL).variant == NAMES[variants[step][each]]
        monkeypatch.setattr(percentages, "murmur3", lambda data: zlib.crc32(data[::-1]))

"""`edgeinfer compare`, from the verdict's rule to the printed line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from converters.compare.command import compare
from converters.compare.latency import Timed, side_by_side
from converters.compare.verdict import judge
from converters.verify.paired import needed_items, pair_counts
from edgeinfer.bundle import BlobSet, TopK, steps_digest
from edgeinfer.errors import BundleError, DataError, EdgeInferError, InputError, NoVariantError
from edgeinfer.testing import DAMAGES, damage, sample_manifest

# A threshold of 0 is right for every level; one of 0.2 takes 128..152 for dark.
RIGHT, OFF, FAR_OFF = 0.0, 0.2, 0.6


def run(*arguments: object, status: int) -> Result:
    done = CliRunner().invoke(compare, [*map(str, arguments)])
    if isinstance(done.exception, EdgeInferError):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


@pytest.fixture
def bundles(tmp_path, threshold_bundle):
    return {
        name: threshold_bundle(tmp_path / f"{name}.eib", value)
        for name, value in (("right", RIGHT), ("off", OFF), ("far", FAR_OFF))
    }


@pytest.fixture
def levels(tmp_path, grey_levels):
    return grey_levels(tmp_path / "data", range(0, 256, 4))


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((30, 5, 1000), "better"),
        ((5, 30, 1000), "worse"),
        ((12, 9, 1000), "cannot tell"),
        ((0, 0, 1000), "cannot tell"),
        ((3, 0, 10), "cannot tell"),
    ],
)
def test_the_verdict_is_where_the_interval_lies(counts, verdict):
    figures = pair_counts(*counts)
    found = judge(figures, 0.01)
    assert found.verdict == verdict
    assert (found.verdict == "better") == (figures.low > 0)
    assert (found.verdict == "worse") == (figures.high < 0)
    assert (found.needed is not None) == (verdict == "cannot tell")


def test_what_cannot_be_told_says_how_many_items_would_tell():
    found = judge(pair_counts(12, 9, 200), 0.01)
    assert found.needed == needed_items(0.01, 21 / 200)
    assert found.needed_for_observed == needed_items(3 / 200, 21 / 200)
    assert f"takes {found.needed:,} items, there are 200" in found.reason
    # Two models that never disagree: as few as the difference itself.
    same = judge(pair_counts(0, 0, 5000), 0.01)
    assert same.needed == needed_items(0.01, 0.01)
    assert same.needed_for_observed is None
    assert "would have shown" in same.reason
    assert judge(None, 0.01).verdict == "cannot tell"


def test_a_worse_and_a_better_bundle_are_told_with_their_exit_status(bundles, levels):
    worse = run(bundles["right"], bundles["far"], levels, "--rounds", 0, status=3)
    assert "verdict     worse: a paired difference of -29.69 points" in worse.output
    better = run(bundles["far"], bundles["right"], levels, "--rounds", 0, status=0)
    assert "verdict     better" in better.output
    assert "accuracy" in better.output


def test_the_figures_are_those_of_counting_by_hand(bundles, levels):
    done = run(bundles["right"], bundles["off"], levels, "--json", "--rounds", 1, status=3)
    found = json.loads(done.output)
    wrong = sum(level / 127.5 - 1 < OFF for level in range(128, 256, 4))
    assert found["n"] == 64
    assert found["old"]["accuracy"]["value"] == 1
    assert found["new"]["accuracy"]["value"] == 1 - wrong / 64
    assert (found["paired"]["first_only"], found["paired"]["second_only"]) == (0, wrong)
    assert found["agreement"]["value"] == 1 - wrong / 64
    assert found["verdict"]["verdict"] == "worse"
    latency = found["latency"]
    assert latency["least_ratio"] <= latency["ratio"] <= latency["largest_ratio"]
    assert latency["old_us"] > 0
    assert found["old"]["variant"] == "onnx-fp32"
    assert found["new"]["digest"] != found["old"]["digest"]


def test_too_few_items_leave_it_open(bundles, tmp_path, grey_levels):
    few = grey_levels(tmp_path / "few", range(118, 140, 4))
    done = run(bundles["right"], bundles["off"], few, "--rounds", 0, "--difference", 0.05, status=4)
    assert "verdict     cannot tell" in done.output
    assert "a difference of 5 points takes" in done.output
    assert "the difference that was seen takes" in done.output


def test_without_labels_there_is_agreement(bundles, tmp_path, levels, grey):
    flat = tmp_path / "flat"
    flat.mkdir()
    for level in range(0, 256, 8):
        grey(flat / f"{level}.png", level)
    for data, more in ((flat, ()), (levels, ("--unlabelled",))):
        found = json.loads(
            run(bundles["right"], bundles["off"], data, "--json", "--rounds", 0, *more, status=4).output
        )
        assert "paired" not in found
        assert "accuracy" not in found["old"]
        assert 0.8 < found["agreement"]["value"] < 1


def test_a_zip_file_and_its_test_split_are_taken(bundles, tmp_path, grey_levels):
    grey_levels(tmp_path / "split/train", range(0, 256, 64))
    grey_levels(tmp_path / "split/test", range(2, 256, 32))
    packed = shutil.make_archive(str(tmp_path / "split"), "zip", tmp_path / "split")
    taken = {None: 8, "test": 8, "train": 4}
    for split, count in taken.items():
        more = () if split is None else ("--split", split)
        found = json.loads(
            run(bundles["right"], bundles["right"], packed, "--json", "--rounds", 0, *more, status=4).output
        )
        assert (found["n"], found["split"]) == (count, split or "test")
    with pytest.raises(DataError, match="has no validation split"):
        run(bundles["right"], bundles["off"], packed, "--split", "validation", status=1)


def test_pictures_that_cannot_be_read_are_told_and_too_many_end_it(bundles, levels):
    (levels / "light/broken.png").write_bytes((levels / "light/128.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"1 of 65 items cannot be read: light/broken.png"):
        run(bundles["right"], bundles["off"], levels, "--rounds", 0, status=1)
    done = run(bundles["right"], bundles["off"], levels, "--rounds", 0, "--max-unreadable", 0.05, status=3)
    assert "unreadable  1: light/broken.png" in done.output
    assert " of 64 items" in done.output


def test_an_item_that_one_model_alone_refuses_counts_against_it(tmp_path, bundles, levels, threshold_bundle):
    steps = sample_manifest(BlobSet()).inputs[0].preprocess
    small = (replace(steps[0], max_pixels=16), *steps[1:])
    declared = replace(
        sample_manifest(BlobSet()).inputs[0], preprocess=small, preprocess_digest=steps_digest(small)
    )
    narrow = threshold_bundle(tmp_path / "narrow.eib", RIGHT, inputs=(declared,))
    Image.new("L", (5, 5), 255).save(levels / "light/large.png")
    found = json.loads(run(bundles["right"], narrow, levels, "--json", "--rounds", 0, status=4).output)
    assert [each.split(":")[0] for each in found["refused"]] == ["light/large.png"]
    assert found["new"]["accuracy"]["value"] == 64 / 65
    assert found["n"] == 65


def test_what_cannot_be_compared_ends_in_one_line(tmp_path, bundles, levels, threshold_bundle, grey):
    other = tmp_path / "other"
    grey(other / "cat/1.png", 5)
    grey(other / "dog/2.png", 5)
    with pytest.raises(
        DataError, match="has no class of sample 1: expected some of dark, light, found cat, dog"
    ):
        run(bundles["right"], bundles["off"], other, status=1)
    with pytest.raises(DataError, match="no pictures or recordings at"):
        run(bundles["right"], bundles["off"], tmp_path / "none", status=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures or recordings"):
        run(bundles["right"], bundles["off"], tmp_path / "empty", status=1)
    with pytest.raises(NoVariantError, match="onnx-int4"):
        run(bundles["right"], bundles["off"], levels, "--new-variant", "onnx-int4", status=1)
    assert "cut in half" in DAMAGES
    damage(bundles["off"], "cut in half", tmp_path / "broken.eib")
    with pytest.raises(BundleError):
        run(bundles["right"], tmp_path / "broken.eib", levels, status=1)
    answer = sample_manifest(BlobSet()).outputs[0]
    assert isinstance(answer.postprocess[1], TopK)
    mute = threshold_bundle(tmp_path / "mute.eib", 0.0, outputs=(replace(answer, postprocess=()),))
    with pytest.raises(InputError, match="names no class for an item"):
        run(mute, mute, levels, status=1)


def test_rounds_alternate_and_the_same_bundle_has_a_ratio_of_its_own(bundles):
    timed, done = Timed(bundles["right"], "onnx-fp32", "onnxruntime"), []
    found = side_by_side(timed, timed, 2, 0.05, lambda: done.append(1))
    assert len(done) == 4
    assert found.rounds == 2
    assert 0 < found.least_ratio <= found.ratio <= found.largest_ratio


@pytest.mark.parametrize("option", ["--difference", "--max-unreadable"])
def test_nan_is_no_number(bundles, levels, option):
    done = CliRunner().invoke(compare, [*map(str, (bundles["right"], bundles["far"], levels, option, "nan"))])
    assert done.exit_code == 2, done.output
    assert "nan is no number" in done.output


def test_a_class_that_a_model_does_not_name_is_told(bundles, levels, grey):
    grey(levels / "dusk\n/1.png", 7)
    done = run(bundles["right"], bundles["off"], levels, "--rounds", 0, status=3)
    assert "not named   1: dusk\\n (old and new)" in done.output
    plain = json.loads(
        run(bundles["right"], bundles["off"], levels, "--json", "--rounds", 0, status=3).output
    )
    assert plain["strange"] == ["dusk\n (old and new)"]

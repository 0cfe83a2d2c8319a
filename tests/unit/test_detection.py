from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import edgeinfer as ei
from edgeinfer.bundle import (
    BlobSet,
    Boxes,
    NonMaximumSuppression,
    PriorLevel,
    ScoreThreshold,
    Softmax,
    SsdBoxes,
    TopK,
    check_manifest,
    encode,
    manifest_bytes,
    parse_manifest,
    write_bundle,
)
from edgeinfer.cli import predict as command
from edgeinfer.errors import EngineRunError, ManifestError
from edgeinfer.preprocess import decode_ssd, ssd_priors
from edgeinfer.testing import FakeDetector, sample_detector, write_sample_detector

# The input is 40 x 20; this picture fills it from left to right, with bars of 5 above and below.
PICTURE = np.zeros((100, 400), np.uint8)
THREE = 1 / 3


def given(*rows):
    """Scores and boxes of eight rows; those not given are nothing."""
    scores, boxes = np.zeros((8, 3), np.float32), np.zeros((8, 4), np.float32)
    scores[:, 0] = 1.0
    for at, (cup, spoon, box) in enumerate(rows):
        scores[at] = (0.0, cup, spoon)
        boxes[at] = box
    return {"scores": scores, "boxes": boxes}


def model_of(path, *rows):
    return ei.load(path, engine=FakeDetector(**given(*rows)))


def test_things_are_given_in_pixels_of_the_picture_surest_first(tmp_path):
    path = write_sample_detector(tmp_path / "d.eib")
    model = model_of(path, (0.6, 0.0, (0.25, 0.25, 0.5, 0.75)), (0.0, 0.9, (0.5, 0.5, 1.0, 1.0)))
    prediction = model.predict(PICTURE)
    spoon, cup = prediction.detections
    assert (spoon.label, spoon.index, spoon.score) == ("spoon", 2, np.float32(0.9))
    # 400 / 40 pixels for one; the lower bar of the letterbox is no part of the picture.
    assert spoon.box == pytest.approx((200, 50, 400, 100))
    assert cup.box == pytest.approx((100, 0, 200, 100))
    assert (prediction.label, prediction.confidence, prediction.top) == (None, None, ())
    assert prediction.outputs["scores"].shape == (1, 8, 3)


def test_a_tensor_has_no_picture_and_boxes_are_the_input_s(tmp_path):
    model = model_of(write_sample_detector(tmp_path / "d.eib"), (0.6, 0.0, (0.25, 0.25, 0.5, 0.75)))
    for tensor in (np.zeros((1, 20, 40), np.float32), {"image": np.zeros((1, 1, 20, 40), np.float32)}):
        assert model.predict(tensor).detections[0].box == pytest.approx((10, 5, 20, 15))


def test_one_of_each_thing_stays_and_other_classes_are_left_alone(tmp_path):
    box, near, far = (0.1, 0.3, 0.4, 0.7), (0.11, 0.3, 0.41, 0.7), (0.6, 0.3, 0.9, 0.7)
    model = model_of(
        write_sample_detector(tmp_path / "d.eib"),
        (0.7, 0.0, box),
        (0.8, 0.0, near),
        (0.0, 0.6, box),
        (0.8, 0.4999, far),
        (1.0, 0.0, (0.5, 0.5, 0.5, 0.9)),
        (1.0, 0.0, (0.2, 0.0, 0.3, 0.2)),
    )
    found = model.predict(PICTURE).detections
    # The fifth has no width, the sixth lies in the upper bar.
    assert [(each.label, round(each.score, 2)) for each in found] == [
        ("cup", 0.8),
        ("cup", 0.8),
        ("spoon", 0.6),
    ]
    assert [each.box[0] for each in found] == pytest.approx([44, 240, 40])


def test_nothing_found_is_not_the_same_as_no_detector(tmp_path, sample):
    from edgeinfer.testing import FakeEngine

    assert model_of(write_sample_detector(tmp_path / "d.eib")).predict(PICTURE).detections == ()
    assert ei.load(sample, engine=FakeEngine()).predict(PICTURE).detections is None


def test_offsets_from_priors_are_decoded(tmp_path):
    path = write_sample_detector(tmp_path / "d.eib", ssd=True)
    # Prior 5 is in row 1, column 1 of 2 x 4: centre (15, 15) of 40 x 20, 10 x 8 pixels.
    rows = [(0, 0, (0, 0, 0, 0))] * 5 + [(0.9, 0, (2.0, -1.0, np.log(2) / 0.2, 0.0))]
    found = model_of(path, *rows).predict(np.zeros((20, 40), np.uint8)).detections
    assert found[0].box == pytest.approx((15 + 2 - 10, 15 - 0.8 - 4, 15 + 2 + 10, 15 - 0.8 + 4), abs=1e-5)


def test_priors_stand_where_the_paper_puts_them():
    levels = (PriorLevel(1, 2, ((4, 2), (40, 80))), PriorLevel(1, 1, ((10, 10),)))
    priors = ssd_priors(levels, 40, 20, clip=True)
    assert priors.tolist() == [
        [0.25, 0.5, 0.2, 0.05],
        [0.25, 0.5, 1.0, 1.0],
        [0.75, 0.5, 0.2, 0.05],
        [0.75, 0.5, 1.0, 1.0],
        [0.5, 0.5, 0.5, 0.25],
    ]
    assert ssd_priors(levels, 40, 20, clip=False)[1].tolist() == [0.25, 0.5, 2.0, 2.0]
    boxes = decode_ssd(SsdBoxes("boxes", levels), np.zeros((5, 4)), priors)
    assert boxes[0].tolist() == pytest.approx([0.15, 0.475, 0.35, 0.525])


@pytest.mark.parametrize(
    ("boxes", "values"),
    [
        (Boxes("boxes", "x0y0x1y1"), (0.25, 0.5, 0.5, 0.75)),
        (Boxes("boxes", "y0x0y1x1"), (0.5, 0.25, 0.75, 0.5)),
        (Boxes("boxes", "cxcywh"), (0.375, 0.625, 0.25, 0.25)),
        (Boxes("boxes", "x0y0x1y1", "pixel"), (10, 10, 20, 15)),
    ],
)
def test_boxes_come_in_several_forms(tmp_path, boxes, values):
    blobs = BlobSet()
    whole = with_steps(sample_detector(blobs), boxes, *STEPS[1:])
    write_bundle(tmp_path / "d.eib", whole, blobs)
    found = model_of(tmp_path / "d.eib", (0.9, 0, values)).predict(np.zeros((20, 40), np.uint8)).detections
    assert found[0].box == pytest.approx((10, 10, 20, 15))


def test_scores_that_are_logits_go_through_a_softmax(tmp_path):
    blobs = BlobSet()
    write_bundle(tmp_path / "d.eib", with_steps(sample_detector(blobs), Softmax(), *STEPS), blobs)
    found = model_of(tmp_path / "d.eib", (1.0, 0.0, (0, 0.3, 1, 0.7))).predict(PICTURE).detections
    assert found[0].score == pytest.approx(np.e / (np.e + 2))


@pytest.mark.parametrize(
    "broken",
    [
        {"scores": np.full((8, 3), np.nan, np.float32)},
        {"boxes": np.full((8, 4), np.inf, np.float32), "scores": np.ones((8, 3), np.float32)},
    ],
)
def test_what_is_no_number_is_no_answer(tmp_path, broken):
    model = ei.load(write_sample_detector(tmp_path / "d.eib"), engine=FakeDetector(**broken))
    with pytest.raises(EngineRunError, match=r"variant fake-int8: a detector's .* are NaN or infinite"):
        model.predict(PICTURE)


def test_offsets_that_overflow_are_no_answer(tmp_path):
    path = write_sample_detector(tmp_path / "d.eib", ssd=True)
    with pytest.raises(EngineRunError, match="boxes are NaN or infinite"):
        model_of(path, (0.9, 0, (0, 0, 3e38, 0))).predict(PICTURE)


def test_outputs_of_another_length_than_stated_are_refused(tmp_path):
    engine = FakeDetector(scores=np.zeros((7, 3), np.float32), boxes=np.zeros((7, 4), np.float32))
    model = ei.load(write_sample_detector(tmp_path / "d.eib"), engine=engine)
    with pytest.raises(EngineRunError, match="gave another output"):
        model.run({"image": np.zeros((1, 1, 20, 40), np.float32)})


def test_probabilities_of_the_model_s_own_are_ordered_as_they_are(tmp_path):
    from edgeinfer.testing import FakeEngine, sample_manifest

    blobs = BlobSet()
    whole = sample_manifest(blobs)
    whole = replace(
        whole,
        outputs=(replace(whole.outputs[0], postprocess=(TopK(2),)),),
        drift=None,
        calibration=None,
        cascade=None,
        golden=None,
        variants=tuple(replace(each, golden_outputs={}) for each in whole.variants),
    )
    write_bundle(tmp_path / "p.eib", whole, blobs)
    engine = FakeEngine(answer=lambda image: np.tile(np.float32([0.25, 0.75]), (len(image), 1)))
    prediction = ei.load(tmp_path / "p.eib", engine=engine).predict(np.zeros((6, 6), np.uint8))
    assert [(each.label, each.confidence) for each in prediction.top] == [("dark", 0.75), ("light", 0.25)]


STEPS = (Boxes("boxes"), ScoreThreshold(0.5, 0), NonMaximumSuppression(0.5))
LEVEL = PriorLevel(2, 4, ((10.0, 8.0),))


def with_steps(manifest, *steps):
    first, *others = manifest.outputs
    return replace(manifest, outputs=(replace(first, postprocess=steps), *others))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (STEPS[:2], "postprocess"),
        ((STEPS[1], STEPS[0], STEPS[2]), "postprocess"),
        ((*STEPS, TopK(1)), "postprocess"),
        ((Boxes("scores"), *STEPS[1:]), "expected another output: ['boxes']"),
        ((STEPS[0], ScoreThreshold(1.5), STEPS[2]), "least"),
        ((STEPS[0], ScoreThreshold(0.5, 3), STEPS[2]), "a class below 3"),
        ((STEPS[0], ScoreThreshold(0.5, -1), STEPS[2]), "a class below 3"),
        ((*STEPS[:2], NonMaximumSuppression(-0.1)), "iou"),
        ((*STEPS[:2], NonMaximumSuppression(0.5, 0)), "k: expected 1"),
        ((*STEPS[:2], NonMaximumSuppression(0.5, 1, 10**9)), "candidates: expected 1"),
        ((SsdBoxes("boxes", ()), *STEPS[1:]), "1 to 64 levels"),
        ((SsdBoxes("boxes", (replace(LEVEL, rows=3),)), *STEPS[1:]), "as many as boxes: 8, found 12 priors"),
        ((SsdBoxes("boxes", (replace(LEVEL, rows=0),)), *STEPS[1:]), "1 to 16384 each"),
        ((SsdBoxes("boxes", (replace(LEVEL, sizes=()),)), *STEPS[1:]), "1 to 64 sizes"),
        ((SsdBoxes("boxes", (replace(LEVEL, sizes=((1.0,),)),)), *STEPS[1:]), "a width and a height"),
        ((SsdBoxes("boxes", (LEVEL,), 0.0), *STEPS[1:]), "variances"),
    ],
)
def test_steps_that_cannot_be_meant_are_refused(steps, message):
    whole = sample_detector(BlobSet())
    check_manifest(whole)
    with pytest.raises(ManifestError) as caught:
        check_manifest(with_steps(whole, *steps))
    assert message in str(caught.value)


def test_a_detector_needs_boxes_of_its_own_count_and_a_picture():
    whole = sample_detector(BlobSet())
    scores, boxes = whole.outputs
    with pytest.raises(ManifestError, match=r"the first output|another output"):
        check_manifest(replace(whole, outputs=(boxes, scores)))
    with pytest.raises(ManifestError, match=r"float32, .batch, 8, 4."):
        check_manifest(replace(whole, outputs=(scores, replace(boxes, shape=("batch", 7, 4)))))
    image = replace(whole.inputs[0], preprocess=(), preprocess_digest=ei.bundle.steps_digest(()))
    with pytest.raises(ManifestError, match="one input, with picture steps"):
        check_manifest(replace(whole, inputs=(image,)))


def test_a_detector_s_manifest_round_trips():
    for ssd in (False, True):
        whole = sample_detector(BlobSet(), ssd=ssd)
        assert parse_manifest(manifest_bytes(whole)) == whole
        assert encode(whole)["outputs"][0]["postprocess"][1] == {
            "op": "score_threshold",
            "least": 0.5,
            "background": 0,
        }


def run(monkeypatch, path, arguments, *rows):
    model = model_of(path, *rows)
    monkeypatch.setattr(command, "load", lambda *_, **__: model)
    return CliRunner().invoke(command.predict, [str(path), *map(str, arguments)])


def test_the_command_shows_what_was_found_where_and_draws_it(tmp_path, monkeypatch):
    path = write_sample_detector(tmp_path / "d.eib")
    Image.fromarray(PICTURE).save(tmp_path / "table.png")
    rows = [(0.6, 0.0, (0.25, 0.25, 0.5, 0.75)), (0.0, 0.9, (0.5, 0.5, 1.0, 1.0))]
    arguments = [tmp_path / "table.png", "--draw", tmp_path / "drawn.png"]
    result = run(monkeypatch, path, arguments, *rows)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "2 found" in lines[0]
    assert lines[3].split() == ["spoon", "90.0%", "200.0", "50.0", "400.0", "100.0"]
    drawn = np.asarray(Image.open(tmp_path / "drawn.png"))
    assert drawn.shape == (100, 400, 3)
    assert drawn[70, 200].tolist() == [255, 214, 0]
    assert drawn[20, 20].tolist() == [0, 0, 0]
    plain = run(monkeypatch, path, [tmp_path / "table.png", "--json"], *rows)
    shown = json.loads(plain.stdout)
    assert shown["detections"][1]["box"] == pytest.approx([100, 0, 200, 100])
    assert "outputs" not in shown


def test_drawing_needs_one_picture_and_a_format(tmp_path, monkeypatch):
    path = write_sample_detector(tmp_path / "d.eib")
    for name in ("a.png", "b.png"):
        Image.fromarray(PICTURE).save(tmp_path / name)
    two = run(monkeypatch, path, [tmp_path / "a.png", tmp_path / "b.png", "--draw", tmp_path / "c.png"])
    assert "--draw takes one picture" in str(two.exception)
    other = run(monkeypatch, path, [tmp_path / "a.png", "--draw", tmp_path / "c.xyz"])
    assert "name a .png or .jpg file" in str(other.exception)

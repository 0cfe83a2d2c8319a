"""How a bundle's model is asked in the cloud: every rule of the mapping, broken alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan

import pytest

from edgeinfer.bundle import (
    BlobSet,
    Cloud,
    CloudInput,
    CloudOutput,
    Crop,
    Downscale,
    Manifest,
    Output,
    SendOutput,
    SendPicture,
    SendTensor,
    StripMetadata,
    check_cloud,
    check_reductions,
    is_picture,
    needed_outputs,
)
from edgeinfer.bundle.document import manifest_bytes, parse_manifest
from edgeinfer.errors import ManifestError
from edgeinfer.testing import sample_manifest
from edgeinfer.testing.detector import sample_detector

LABELS = ("dark", "light")
GOOD = Cloud("m", {"image": CloudInput("x")}, {"logits": CloudOutput("y", LABELS)})
BIG = "a" * 257


def manifest() -> Manifest:
    return replace(sample_manifest(BlobSet()), cloud=None)


def with_embedding() -> Manifest:
    """The sample with a second output, of three axes."""
    sample = manifest()
    return replace(sample, outputs=(*sample.outputs, Output("embedding", "float32", ("batch", 3, 8))))


def with_row() -> Manifest:
    """The sample, whose callers hand in a tensor."""
    sample = manifest()
    return replace(sample, inputs=(replace(sample.inputs[0], preprocess=()),))


def with_two() -> Manifest:
    """The sample with a second input, a tensor."""
    sample = manifest()
    return replace(sample, inputs=(*sample.inputs, replace(sample.inputs[0], name="more", preprocess=())))


def asking(**changes: object) -> Cloud:
    """The good mapping with another input."""
    return replace(GOOD, inputs={"image": replace(GOOD.inputs["image"], **changes)})


def answering(**changes: object) -> Cloud:
    """The good mapping with another output."""
    return replace(GOOD, outputs={"logits": replace(GOOD.outputs["logits"], **changes)})


def picture(**changes: object) -> Cloud:
    return asking(**{"datatype": "BYTES", "send": SendPicture(), **changes})


@pytest.mark.parametrize(
    ("cloud", "of"),
    [
        (GOOD, manifest),
        (replace(GOOD, model="a" * 256), manifest),
        (replace(GOOD, model="Modell für Käufer/2"), manifest),
        (asking(permute=(0, 1, 2, 3), datatype="UINT8"), manifest),
        (asking(permute=(0, 3, 2, 1)), manifest),
        (picture(), manifest),
        (picture(permute=(0,), send=SendPicture("png", 1)), manifest),
        (picture(send=SendPicture("jpeg", 100)), manifest),
        (asking(send=SendOutput("embedding"), permute=(0, 2, 1)), with_embedding),
        (asking(send=SendOutput("logits"), permute=(0, 1)), manifest),
        (asking(send=SendTensor()), with_row),
        (answering(labels=None), manifest),
        (answering(labels=("light", "dark")), manifest),
        (answering(temperature=2e-6), manifest),
        (answering(temperature=999_999.0), manifest),
        (replace(GOOD, outputs={**GOOD.outputs, "embedding": CloudOutput("e")}), with_embedding),
        (GOOD, with_embedding),
        (replace(GOOD, inputs={"image": CloudInput("x"), "more": CloudInput("x2")}), with_two),
        (
            replace(
                GOOD, reduce=(Crop(0.0, 0.0, 1.0, 1.0), Downscale(65_535), StripMetadata(), Downscale(1))
            ),
            manifest,
        ),
        (replace(GOOD, reduce=(StripMetadata(),) * 16), manifest),
        (replace(asking(send=SendOutput("embedding")), reduce=(StripMetadata(),)), with_embedding),
        (replace(asking(send=SendOutput("embedding")), reduce=()), with_embedding),
    ],
)
def test_a_mapping_that_keeps_the_rules_is_taken(cloud, of):
    check_cloud(cloud, of())


@pytest.mark.parametrize(
    ("cloud", "of", "message"),
    [
        (replace(GOOD, model=""), manifest, "cloud.model: expected 1 to 256 printable characters, found ''"),
        (replace(GOOD, model=BIG), manifest, "cloud.model: expected 1 to 256 printable characters"),
        (replace(GOOD, model="m\n"), manifest, "cloud.model: expected 1 to 256 printable characters"),
        (replace(GOOD, model="\x1b[2J"), manifest, "cloud.model: expected 1 to 256 printable characters"),
        (replace(GOOD, inputs={}), manifest, "cloud.inputs: expected ['image'], found []"),
        (
            replace(GOOD, inputs={"images": CloudInput("x")}),
            manifest,
            "cloud.inputs: expected ['image'], found ['images']",
        ),
        (
            replace(GOOD, inputs={**GOOD.inputs, "more": CloudInput("z")}),
            manifest,
            "cloud.inputs: expected ['image'], found ['image', 'more']",
        ),
        (GOOD, with_two, "cloud.inputs: expected ['image', 'more'], found ['image']"),
        (replace(GOOD, outputs={}), manifest, "cloud.outputs: expected with ['logits'], found []"),
        (
            replace(GOOD, outputs={**GOOD.outputs, "other": CloudOutput("z")}),
            manifest,
            "cloud.outputs: expected some of ['logits'], found ['logits', 'other']",
        ),
        (
            replace(GOOD, outputs={"embedding": CloudOutput("e")}),
            with_embedding,
            "cloud.outputs: expected with ['logits'], found ['embedding']",
        ),
        (
            replace(GOOD, inputs={"image": CloudInput("x"), "more": CloudInput("x")}),
            with_two,
            "cloud.inputs: expected each tensor once, found ['x', 'x']",
        ),
        (
            replace(GOOD, outputs={**GOOD.outputs, "embedding": CloudOutput("y")}),
            with_embedding,
            "cloud.outputs: expected each tensor once, found ['y', 'y']",
        ),
        (asking(tensor=""), manifest, "cloud.inputs.image.tensor: expected 1 to 256 printable characters"),
        (asking(tensor=BIG), manifest, "cloud.inputs.image.tensor: expected 1 to 256 printable characters"),
        (asking(tensor="x\0"), manifest, "cloud.inputs.image.tensor: expected 1 to 256 printable characters"),
        (asking(datatype="BYTES"), manifest, "cloud.inputs.image.datatype: expected numbers, found BYTES"),
        (
            asking(datatype="BYTES", send=SendOutput("logits")),
            manifest,
            "cloud.inputs.image.datatype: expected numbers, found BYTES",
        ),
        (
            asking(permute=()),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..3 once, found []",
        ),
        (
            asking(permute=(0, 1, 2)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..3 once",
        ),
        (
            asking(permute=(0, 1, 2, 2)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..3 once",
        ),
        (
            asking(permute=(0, 1, 2, 4)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..3 once",
        ),
        (
            asking(permute=(0, 1, 2, -1)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..3 once",
        ),
        (
            asking(permute=(1, 0, 2, 3)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..3 once",
        ),
        (
            asking(send=SendOutput("logits"), permute=(0, 1, 2, 3)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..1 once",
        ),
        (
            asking(send=SendOutput("embedding")),
            manifest,
            "cloud.inputs.image.send.output: expected one of ['logits'], found 'embedding'",
        ),
        (
            picture(),
            with_row,
            "cloud.inputs.image.send: expected another: the input is no picture, found picture",
        ),
        (
            picture(send=SendPicture("jpeg", 0)),
            manifest,
            "cloud.inputs.image.send.quality: expected 1 to 100, found 0",
        ),
        (
            picture(send=SendPicture("png", 101)),
            manifest,
            "cloud.inputs.image.send.quality: expected 1 to 100, found 101",
        ),
        (
            picture(datatype="FP32"),
            manifest,
            "cloud.inputs.image.datatype: expected BYTES for a file, found FP32",
        ),
        (
            picture(permute=(0, 1, 2, 3)),
            manifest,
            "cloud.inputs.image.permute: expected 0, then each of 1..0 once",
        ),
        (
            answering(tensor=""),
            manifest,
            "cloud.outputs.logits.tensor: expected 1 to 256 printable characters",
        ),
        (answering(tensor="\u202ey"), manifest, "cloud.outputs.logits.tensor: expected 1 to 256 printable"),
        (
            answering(temperature=0.0),
            manifest,
            "cloud.outputs.logits.temperature: expected 1e-6 to 1e6, found 0.0",
        ),
        (answering(temperature=-1.0), manifest, "cloud.outputs.logits.temperature: expected 1e-6 to 1e6"),
        (answering(temperature=1e6), manifest, "cloud.outputs.logits.temperature: expected 1e-6 to 1e6"),
        (answering(temperature=inf), manifest, "cloud.outputs.logits.temperature: expected 1e-6 to 1e6"),
        (answering(temperature=nan), manifest, "cloud.outputs.logits.temperature: expected 1e-6 to 1e6"),
        (
            answering(labels=()),
            manifest,
            "cloud.outputs.logits.labels: expected the same labels in any order",
        ),
        (answering(labels=("dark",)), manifest, "found other than the bundle's: ['light']"),
        (answering(labels=("dark", "Light")), manifest, "found other than the bundle's: ['Light', 'light']"),
        (
            answering(labels=("dark", "light", "dark")),
            manifest,
            "found other than the bundle's: a label twice",
        ),
        (answering(labels=("dark", "light", "grey")), manifest, "found other than the bundle's: ['grey']"),
        (
            replace(GOOD, outputs={**GOOD.outputs, "embedding": CloudOutput("e", LABELS)}),
            with_embedding,
            "cloud.outputs.embedding.labels: expected the same labels in any order",
        ),
        (
            replace(GOOD, reduce=(Downscale(0),)),
            manifest,
            "cloud.reduce.longest: expected 1 to 65535, found 0",
        ),
    ],
)
def test_a_mapping_that_breaks_a_rule_is_refused_and_says_which(cloud, of: Callable[[], Manifest], message):
    with pytest.raises(ManifestError) as error:
        check_cloud(cloud, of())
    assert message in str(error.value)


CROP = Crop(0.25, 0.25, 0.75, 0.75)
BAD_CROP = "reduce.crop: expected shares of 0 to 1, left below right, top below bottom, found ["


@pytest.mark.parametrize(
    ("steps", "of", "message"),
    [
        ((StripMetadata(),) * 17, manifest, "reduce: expected at most 16, found 17"),
        ((Downscale(-1),), manifest, "reduce.longest: expected 1 to 65535, found -1"),
        ((Downscale(65_536),), manifest, "reduce.longest: expected 1 to 65535, found 65536"),
        ((CROP, Downscale(0)), manifest, "reduce.longest: expected 1 to 65535, found 0"),
        ((replace(CROP, left=-0.01),), manifest, BAD_CROP + "-0.01, 0.25, 0.75, 0.75]"),
        ((replace(CROP, top=-0.01),), manifest, BAD_CROP),
        ((replace(CROP, right=1.01),), manifest, BAD_CROP),
        ((replace(CROP, bottom=1.01),), manifest, BAD_CROP),
        ((replace(CROP, left=0.75),), manifest, BAD_CROP),
        ((replace(CROP, top=0.75),), manifest, BAD_CROP),
        ((replace(CROP, left=0.9),), manifest, BAD_CROP),
        ((replace(CROP, bottom=0.1),), manifest, BAD_CROP),
        ((replace(CROP, left=nan),), manifest, BAD_CROP),
        ((replace(CROP, bottom=nan),), manifest, BAD_CROP),
        ((Downscale(8), replace(CROP, right=inf)), manifest, BAD_CROP),
        ((StripMetadata(),), with_row, "reduce: expected one input that is a picture, found other inputs"),
        ((Downscale(8),), with_row, "reduce: expected one input that is a picture, found other inputs"),
        ((CROP,), with_two, "reduce: expected one input that is a picture, found other inputs"),
    ],
)
def test_reductions_that_break_a_rule_are_refused(steps, of: Callable[[], Manifest], message):
    with pytest.raises(ManifestError) as error:
        check_reductions("reduce", steps, of())
    assert message in str(error.value)


@pytest.mark.parametrize("of", [manifest, with_row, with_two])
def test_taking_nothing_fits_every_model(of):
    check_reductions("reduce", (), of())


@pytest.mark.parametrize("steps", [(Downscale(8),), (CROP,), (StripMetadata(), CROP)])
def test_what_the_model_makes_of_a_whole_picture_is_not_sent_where_something_is_to_be_taken_from_it(steps):
    # The model here sees the picture as it is: its embedding holds what was to stay behind.
    embedding = replace(asking(send=SendOutput("embedding")), reduce=steps)
    with pytest.raises(ManifestError, match="reduce"):
        check_cloud(embedding, with_embedding())


def test_an_answer_is_made_of_its_own_output_and_of_the_boxes_that_it_names():
    assert needed_outputs(manifest()) == ["logits"]
    assert needed_outputs(with_embedding()) == ["logits"]
    for ssd in (False, True):
        assert needed_outputs(sample_detector(BlobSet(), ssd=ssd)) == ["scores", "boxes"]


def test_a_detector_s_boxes_must_come_from_the_cloud_too():
    detector = replace(sample_detector(BlobSet()), cloud=None)
    outputs = {"scores": CloudOutput("s"), "boxes": CloudOutput("b")}
    check_cloud(replace(GOOD, outputs=outputs), detector)
    with pytest.raises(ManifestError, match=r"expected with \['scores', 'boxes'\], found \['scores'\]"):
        check_cloud(replace(GOOD, outputs={"scores": outputs["scores"]}), detector)


def test_an_input_is_a_picture_where_its_first_step_decodes_one():
    (image,) = manifest().inputs
    assert is_picture(image)
    assert not is_picture(replace(image, preprocess=()))
    assert not is_picture(replace(image, preprocess=image.preprocess[1:]))


def test_the_rules_hold_for_bundles_as_they_are_read_and_written():
    whole = sample_manifest(BlobSet())
    assert parse_manifest(manifest_bytes(whole)).cloud == whole.cloud
    assert parse_manifest(manifest_bytes(replace(whole, cloud=None))).cloud is None
    for broken in (
        answering(temperature=0.0),
        replace(GOOD, reduce=(Downscale(0),)),
        asking(permute=(1, 0, 2, 3)),
    ):
        with pytest.raises(ManifestError, match="cloud"):
            manifest_bytes(replace(whole, cloud=broken))

"""How a bundle's questions are put to a server: embeddings, axes, datatypes, one name for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predictor_rig import SURE, UNSURE, Rig

import edgeinfer as ei
from edgeinfer.bundle import BlobSet, CloudInput, CloudOutput, Crop, SendOutput
from edgeinfer.bundle import Cloud as Mapping
from edgeinfer.cloud import Tensor
from edgeinfer.errors import CloudAnswerError, EngineRunError
from edgeinfer.fallback.sides import CloudSide
from edgeinfer.net import Response
from edgeinfer.testing import sample_manifest

EMBEDDED = Mapping("m", {"image": CloudInput("e", send=SendOutput("logits"))}, {"logits": CloudOutput("y")})


def sent(mapping: Mapping, value: np.ndarray = SURE) -> list[Tensor]:
    side = CloudSide(sample_manifest(BlobSet()), mapping)
    return side.tensors(value, {"image": value}, {"logits": np.array([[1, 2]], np.float32)})


def test_a_bundle_that_says_nothing_is_asked_under_its_own_names():
    manifest = replace(sample_manifest(BlobSet()), cloud=None)
    side = CloudSide(manifest)
    (tensor,) = side.tensors(SURE, {"image": SURE})
    assert (side.cloud.model, tensor.name, tensor.datatype, side.wanted) == (
        "sample",
        "image",
        "FP32",
        ("logits",),
    )


def test_axes_and_datatypes_are_the_server_s():
    value = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    mapping = Mapping(
        "m",
        {"image": CloudInput("x", "UINT8", (0, 2, 3, 1))},
        {"logits": CloudOutput("y", ("dark", "light"))},
    )
    (tensor,) = sent(mapping, value)
    assert (tensor.value.dtype, tensor.value.shape) == (np.uint8, (1, 4, 4, 1))
    np.testing.assert_array_equal(tensor.value.reshape(-1), value.reshape(-1))
    with pytest.raises(ei.InputError, match="none of UINT8"):
        sent(mapping, value / 2)


def test_an_embedding_goes_in_place_of_the_picture():
    (tensor,) = sent(EMBEDDED)
    np.testing.assert_array_equal(tensor.value, [[1, 2]])


@pytest.mark.parametrize("mode", ["prefer_in_cloud", "only_in_cloud"])
def test_the_device_is_asked_first_where_what_is_sent_is_made_there(tmp_path, mode):
    rig = Rig(tmp_path, mode=mode, mapping=EMBEDDED)
    rig.transport.answer = answering([[0.0, 5.0]])
    given = rig.own.predict(UNSURE)
    assert (given.source, given.label) == ("cloud", "dark")
    assert [each.where for each in given.attempts] == ["device", "cloud"]
    assert UNSURE.tobytes() not in rig.transport.sent
    rig.engine.fails_on_run = EngineRunError("out of memory")
    with pytest.raises(ei.NoAnswerError):
        rig.own.predict(UNSURE)


def test_an_embedding_of_the_whole_picture_is_not_sent_where_a_part_is_to_stay(tmp_path):
    with pytest.raises(ei.PolicyError, match="made by the model here"):
        Rig(tmp_path, mapping=EMBEDDED, reduce=(Crop(0, 0, 0.5, 0.5),))
    rig = Rig(tmp_path, mapping=EMBEDDED)
    with pytest.raises(ei.PolicyError, match="made by the model here"):
        rig.own.tighten(ei.RemotePolicy(reduce=(Crop(0, 0, 0.5, 0.5),), max_escalations_per_hour=7))
    assert rig.own.policy.mode == "only_on_device", "what cannot be kept from leaving does not leave"
    assert rig.own.policy.max_escalations_per_hour == 7


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((1, 3), np.float32),
        np.zeros(2, np.float32),
        np.array([[b"a", b"b"]]),
    ],
)
def test_outputs_of_other_shapes_or_kinds_are_no_answer(value):
    side = CloudSide(sample_manifest(BlobSet()), replace(EMBEDDED, inputs={"image": CloudInput("x")}))
    datatype = "FP32" if value.dtype.kind == "f" else "BYTES"
    with pytest.raises(CloudAnswerError, match="output y of the cloud's answer"):
        side.outputs({"y": Tensor("y", datatype, value)})
    with pytest.raises(CloudAnswerError, match="lacks an output"):
        side.outputs({})


def test_labels_that_a_server_tells_must_be_the_bundle_s(tmp_path):
    rig = Rig(tmp_path)
    right = rig.server._metadata

    def metadata(path):
        said = right(path)
        for each in said.get("outputs", []):
            each["parameters"] = {"labels": ["cat", "dog"]}
        return said

    rig.server._metadata = metadata
    with pytest.raises(ei.PolicyError, match="the classes of the cloud's model sample"):
        rig.own.check_cloud()
    assert rig.own.predict(UNSURE).source == "device"
    assert rig.inferences == 0


def answering(rows):
    """A server that gives these logits, whatever it is asked."""

    def answer(request):
        if request.method == "GET":
            return Response(200, {}, b"{}")
        number = request.body.split(b'"id":"')[1].split(b'"')[0].decode()
        output = f'{{"name":"y","datatype":"FP32","shape":[1,{len(rows[0])}],"data":{rows[0]}}}'
        return Response(200, {}, f'{{"id":"{number}","outputs":[{output}]}}'.encode())

    return answer

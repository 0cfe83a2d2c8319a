"""KServe, MLServer and Triton themselves: the same picture gets the same answer; and a cascade pays as it promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from v2_servers import MODEL, NAMES, running, sample, tiny_model, tiny_picture, ways

import edgeinfer as ei
from edgeinfer.cloud import Endpoint, Tensor, V2Client
from edgeinfer.errors import CloudFailedError, CloudRequestError, InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=NAMES)
def server(request, tmp_path_factory) -> Iterator[tuple[str, str]]:
    """A server's name and address."""
    model = tmp_path_factory.mktemp("model") / "tiny.onnx"
    model.write_bytes(tiny_model())
    try:
        started = running(request.param, model, MODEL)
        url = started.__enter__()
    except Exception as error:
        if type(error).__name__ != "Unavailable":
            raise
        pytest.skip(str(error))
    yield request.param, url
    started.__exit__(None, None, None)


def expected(picture: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(tiny_model(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": picture})[0]


@pytest.mark.timeout(600)
def test_the_same_picture_gets_the_same_answer_as_json_and_as_bytes(server):
    name, url = server
    picture = tiny_picture()
    for endpoint in ways(url):
        with_bytes = endpoint.binary
        client = V2Client(endpoint)
        try:
            got = client.infer([Tensor("image", "FP32", picture)], ("logits",), deadline_s=30)
        except CloudFailedError:
            assert (name, with_bytes) == ("mlserver", True), "the one that does not know bytes"
            continue
        finally:
            client.close()
        np.testing.assert_array_equal(got.tensors["logits"].value, expected(picture))
        assert got.server.startswith(name)


@pytest.mark.parametrize("packed", [False, True])
def test_packed_requests_where_a_server_unpacks_them(server, packed):
    name, url = server
    client = V2Client(Endpoint(url, MODEL, gzip=packed))
    try:
        got = client.infer([Tensor("image", "FP32", tiny_picture())], deadline_s=30)
        np.testing.assert_array_equal(got.tensors["logits"].value, expected(tiny_picture()))
    except CloudRequestError:
        assert (name, packed) == ("kserve", True), "the one that does not unpack"
    finally:
        client.close()


def test_what_is_wrong_is_said_and_does_not_open_the_circuit(server):
    _, url = server
    client = V2Client(Endpoint(url, MODEL))
    try:
        assert client.ready()
        with pytest.raises(InputError, match="shape of input image"):
            client.infer([Tensor("image", "FP32", np.zeros((1, 3, 2, 2), np.float32))])
        with pytest.raises(InputError, match="expected FP32"):
            client.infer([Tensor("image", "FP64", np.zeros((1, 3, 4, 4)))])
        assert client.health.circuit == "closed"
    finally:
        client.close()
    other = V2Client(Endpoint(url, "nothing"))
    try:
        assert not other.ready()
        with pytest.raises(CloudRequestError, match=r"does not have model nothing.*404"):
            other.infer([Tensor("image", "FP32", tiny_picture())])
    finally:
        other.close()


@pytest.mark.timeout(600)
def test_the_cascade_closes_most_of_the_gap_to_the_teacher(shared, tmp_path):
    """The student of 93 kB here, the ResNet9 behind MLServer, every fourth picture; `make bench` takes them all.

    The threshold is the bundle's own, chosen on validation.
    """
    cascade = sample("cascade")
    try:
        sample("serve").environment("mlserver", ROOT / "build/servers")
    except Exception as error:
        if type(error).__name__ != "Unavailable":
            raise
        pytest.skip(str(error))
    with running("mlserver", shared / "models/cifar10-resnet9.onnx", "resnet9") as url:
        predictor, answers = cascade.measured(url, tmp_path / "home", every=4)
    (line,) = cascade.lines(answers, (predictor.policy.threshold,), teacher_right(shared, every=4))
    assert len(answers) == 1250
    assert line.threshold == 0.8
    assert line.sent <= 0.25
    assert line.closed >= 0.80
    health = predictor.health
    assert health.expected_escalation == pytest.approx(0.212, abs=0.001)
    assert health.escalated == round(line.sent * 1250)
    assert health.cloud.retries == 0
    with ei.Home(tmp_path / "home") as home:
        sent = ei.EgressRecord(home).entries(10_000)
    assert [each.why for each in sent].count("low_confidence") == health.escalated
    assert len(sent) == health.escalated + 3, "and two questions about the server, and a probe"


def teacher_right(shared: Path, every: int) -> float:
    """Share of the pictures that the teacher's file names rightly, by ONNX Runtime alone."""
    import zipfile

    import onnxruntime

    from edgeinfer.preprocess import Preprocessor

    with ei.open_bundle(ROOT / "sample_apps/models/cifar10.eib") as bundle:
        preprocess, labels = (
            Preprocessor(bundle.manifest.inputs[0].preprocess),
            bundle.manifest.outputs[0].labels,
        )
    session = onnxruntime.InferenceSession(
        shared / "models/cifar10-resnet9.onnx", providers=["CPUExecutionProvider"]
    )
    with zipfile.ZipFile(shared / "data/cifar10-test.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::every]
        pictures = np.concatenate([preprocess(archive.read(name)) for name in names])
    parts = [session.run(None, {"image": pictures[at : at + 50]})[0] for at in range(0, len(names), 50)]
    named = [labels[at] for at in np.concatenate(parts).argmax(1)]
    return float(np.mean([name.split("/")[1] == label for name, label in zip(names, named, strict=True)]))

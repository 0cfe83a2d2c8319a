"""What three servers that are not ours once said, played back: the client gets the model's numbers from each.

tests/v2_servers.py records it; tests/integration/test_cloud_servers.py asks the servers themselves.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from v2_servers import MODEL, NAMES, Replay, tiny_model, tiny_picture

from edgeinfer.cloud import Endpoint, Tensor, V2Client
from edgeinfer.errors import CloudFailedError, InputError
from edgeinfer.net import Request
from edgeinfer.testing import ScriptedTransport

# What each server can do, and how that is found out.
BINARY = {"kserve": ("probe", True), "mlserver": ("probe", False), "triton": ("metadata", True)}


def expected() -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(tiny_model(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": tiny_picture()})[0]


def client(name: str, binary: bool | None) -> tuple[V2Client, ScriptedTransport]:
    transport = ScriptedTransport(Replay(name))
    return V2Client(Endpoint("https://cloud.example", MODEL, binary=binary), transport=transport), transport


@pytest.mark.parametrize("binary", [None, False, True])
@pytest.mark.parametrize("name", NAMES)
def test_each_server_gives_the_model_s_numbers(name, binary):
    own, _ = client(name, binary)
    picture = Tensor("image", "FP32", tiny_picture())
    if name == "mlserver" and binary:
        with pytest.raises(CloudFailedError, match="status 500"):
            own.infer([picture], ("logits",))
        return
    got = own.infer([picture], ("logits",))
    np.testing.assert_array_equal(got.tensors["logits"].value, expected())
    assert got.server.startswith(name)
    later = asyncio.run(own.ainfer([picture], ("logits",)))
    np.testing.assert_array_equal(later.tensors["logits"].value, expected())


@pytest.mark.parametrize("name", NAMES)
def test_what_a_server_can_do_is_found_out_once_and_with_zeros(name):
    own, transport = client(name, None)
    picture = Tensor("image", "FP32", tiny_picture())
    for _ in range(3):
        own.infer([picture], ("logits",))
    how, binary = BINARY[name]
    probes = [each for each in transport.requests if each.apart]
    assert len(probes) == (how == "probe")
    assert all(tiny_picture().tobytes() not in each.body for each in probes)
    inferences = [each for each in transport.requests if each.method == "POST" and not each.apart]
    assert len(inferences) == 3
    assert all(("inference-header-content-length" in each.headers) == binary for each in inferences)
    assert all("content-type" in each.headers for each in [*inferences, *probes])
    assert sum(each.method == "GET" for each in transport.requests) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_shape_which_some_take_for_their_own_failure_is_not_sent(name):
    own, transport = client(name, False)
    with pytest.raises(InputError, match="shape of input image"):
        own.infer([Tensor("image", "FP32", np.zeros((1, 3, 2, 2), np.float32))])
    assert all(each.method == "GET" for each in transport.requests)


@pytest.mark.parametrize(("name", "status"), [("kserve", 500), ("mlserver", 500), ("triton", 400)])
def test_what_the_servers_say_to_a_wrong_shape(name, status):
    """Why the client looks first: two of three answer as if they had failed."""
    from edgeinfer.cloud.messages import encode

    wrong = Tensor("image", "FP32", np.zeros((1, 3, 2, 2), np.float32))
    message = encode("wrong", [wrong], (), binary=False, packed=False)
    url = f"https://cloud.example/v2/models/{MODEL}/infer"
    assert Replay(name)(Request("POST", url, message.headers, message.body)).status == status

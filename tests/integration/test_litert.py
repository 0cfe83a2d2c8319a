"""LiteRT on real files: a free batch, a fixed one, and threads that share a session."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from converters.distill.convnet import ConvNet
from converters.distill.folding import folded
from converters.quiet import logged
from converters.recipe import ConvNetwork
from edgeinfer.engines import SessionOptions, engine_named
from edgeinfer.errors import EngineRunError

LITERT = engine_named("litert")


@pytest.fixture(scope="module")
def network() -> ConvNet:
    torch.manual_seed(0)
    return folded(ConvNet(1, 10, ConvNetwork(4, (1, 1))))


@pytest.fixture(scope="module")
def free_batch(network, tmp_path_factory) -> bytes:
    """The network as a file whose batch is free; the converters make batch 1."""
    folder = tmp_path_factory.mktemp("litert")
    with logged(folder / "log"):
        import litert_torch

        batch = torch.export.Dim("batch", min=1, max=64)
        made = litert_torch.convert(network, (torch.zeros(2, 1, 8, 8),), dynamic_shapes={"x": {0: batch}})
        made.export(str(folder / "free.tflite"))
    return (folder / "free.tflite").read_bytes()


def test_a_file_with_a_free_batch_runs_any(network, free_batch):
    session = LITERT.load(free_batch, SessionOptions())
    assert (session.inputs[0].shape, session.outputs[0].shape) == ((None, 1, 8, 8), (None, 10))
    for count in (1, 5, 3):
        images = np.random.default_rng(count).normal(size=(count, 1, 8, 8)).astype(np.float32)
        got = session.run({session.inputs[0].name: images})[session.outputs[0].name]
        with torch.no_grad():
            np.testing.assert_allclose(got, network(torch.from_numpy(images)).numpy(), atol=1e-5)


def test_a_file_with_a_fixed_batch_refuses_another_and_goes_on(demo):
    model = (demo.folder / "build/demo/work/slim/models/int8.tflite").read_bytes()
    session = LITERT.load(model, SessionOptions())
    name = session.inputs[0].name
    with pytest.raises(EngineRunError, match="litert failed"):
        session.run({name: np.zeros((4, 8, 8, 1), np.float32)})
    assert session.run({name: np.zeros((1, 8, 8, 1), np.float32)})[session.outputs[0].name].shape == (1, 10)


def test_threads_that_share_a_session_get_their_own_answers(network, free_batch):
    session = LITERT.load(free_batch, SessionOptions())
    wrong = []

    def work(seed: int) -> None:
        images = np.random.default_rng(seed).normal(size=(seed, 1, 8, 8)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(images)).numpy()
        for _ in range(100):
            got = session.run({session.inputs[0].name: images})[session.outputs[0].name]
            if got.shape != expected.shape or np.abs(got - expected).max() > 1e-5:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert not wrong

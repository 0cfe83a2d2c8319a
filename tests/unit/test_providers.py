"""ONNX Runtime's providers: what computes is told, and the CPU never stands in silently."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgeinfer.engines import SessionOptions, engine_named, onnx_runtime
from edgeinfer.errors import EngineUnavailable

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@dataclass
class Part:
    """What one provider took of a graph."""

    ep_name: str
    nodes: int

    def get_nodes(self):
        return [object()] * self.nodes


class Session:
    """A session of a build with accelerators, as far as its placement goes."""

    def __init__(self, providers, parts=None):
        self._providers = providers
        if parts is not None:
            self.get_provider_graph_assignment_info = lambda: [Part(*part) for part in parts]

    def get_providers(self):
        return self._providers


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([(CUDA, 5)], CUDA),
        ([(CUDA, 3), (CPU, 1), (CUDA, 4)], f"{CUDA} 7 of 8 nodes, {CPU} 1 of 8 nodes"),
        (None, f"{CUDA}, this version does not tell for how much of the model"),
    ],
)
def test_what_computes_is_told(parts, told):
    assert onnx_runtime._placement(Session([CUDA, CPU], parts), CUDA) == told
    assert onnx_runtime._placement(Session([CPU]), CPU) == CPU


def test_a_provider_that_did_not_start_or_takes_nothing_is_an_error():
    with pytest.raises(EngineUnavailable, match="could not be started"):
        onnx_runtime._placement(Session([CPU]), CUDA)
    with pytest.raises(EngineUnavailable, match="runs no layer of this model"):
        onnx_runtime._placement(Session([CUDA, CPU], [(CPU, 9)]), CUDA)


def test_one_that_is_not_in_this_build_is_refused_and_one_that_sends_inputs_away_is_not_offered(monkeypatch):
    engine = engine_named("onnxruntime")
    with pytest.raises(EngineUnavailable, match=f"has no such provider here.*found {CUDA}"):
        engine.load(b"", SessionOptions(provider=CUDA))
    runtime = onnx_runtime._import()
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["AzureExecutionProvider", CUDA, CPU])
    assert engine.info().accelerators == (CPU, CUDA)

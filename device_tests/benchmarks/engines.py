"""A call of the model beside a bare call of its engine, as a careful user sets it up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter

import edgeinfer as ei
from device_tests.benchmarks.compare import Call, Row, in_turns, more, ratio
from device_tests.benchmarks.models import MODELS

_LOADS, _BLOCKS, _CALLS = 7, 31, 200


def bare_onnx(model: bytes, inputs: dict[str, np.ndarray]) -> Call:
    """Return a call of ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def bare_litert(model: bytes, tensor: np.ndarray) -> Call:
    """Return a call of LiteRT on a tensor that is already in its layout."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def call() -> object:
        interpreter.set_tensor(given, tensor)
        interpreter.invoke()
        return interpreter.get_tensor(taken)

    return call


def rows(_folder: Path) -> Iterator[Row]:
    """Measure small models, one with a deadline, and one of over a millisecond."""
    bundle = MODELS / "digits.eib"
    tensor = np.random.default_rng(0).normal(size=(1, 1, 8, 8)).astype(np.float32)
    inputs, last = {"input": tensor}, np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
    for name, data in files(bundle).items():
        at_once, timed = [], []
        # Where a model's memory happens to lie is worth a microsecond a run: several of both, loaded in turns.
        for _ in range(_LOADS):
            model = ei.load(bundle, variant=name)
            bare = bare_onnx(data, inputs) if name.startswith("onnx") else bare_litert(data, last)
            at_once += in_turns(lambda m=model: m.run(inputs), bare, _BLOCKS, _CALLS)
            if name == "tflite-int8":
                timed += in_turns(lambda m=model: m.run(inputs, deadline_ms=1000), bare, _BLOCKS, _CALLS)
        yield more(f"run, digits {name}", at_once, 3)
        if timed:
            yield more("run with a deadline, digits tflite-int8", timed, 40)
            with elsewhere(bare) as handed:
                pairs = in_turns(handed, bare, 3 * _BLOCKS, _CALLS)
            yield more("the same bare call handed to a waiting thread", pairs, None)
    bundle = MODELS / "cifar10.eib"
    data = files(bundle)["onnx-fp32"]
    large = {"input": np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)}
    model = ei.load(bundle, variant="onnx-fp32")
    pairs = in_turns(lambda: model.run(large), bare_onnx(data, large), 101, 10)
    yield ratio("run of over 1 ms, 4 pictures, cifar10 onnx-fp32", pairs, 1.01)


@contextmanager
def elsewhere(call: Call) -> Iterator[Call]:
    """Yield what has another thread make a call, and waits for it: two locks, and nothing else."""
    begin, end, ending = threading.Lock(), threading.Lock(), False
    begin.acquire(), end.acquire()

    def work() -> None:
        while begin.acquire() and not ending:
            call()
            end.release()

    def handed() -> None:
        begin.release()
        end.acquire()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield handed
    finally:
        ending = True
        begin.release()
        thread.join()


def files(bundle: Path) -> dict[str, bytes]:
    """Return the model files of a bundle by variant."""
    with ei.open_bundle(bundle) as opened:
        return {each.id: opened.read(each.blob) for each in opened.manifest.variants}

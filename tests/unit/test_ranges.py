"""Ranges of activations: methods against their definitions, and memory that does not grow with the items."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.data.stored_items import read_rows
from converters.quantize.clipping import clipped_range
from converters.quantize.histogram import BINS, histogram, merge
from converters.quantize.ranges import Held, collect_histograms, collect_ranges
from converters.quantize.sensitivity import onnx_logits
from edgeinfer.errors import ConversionError

ROOT = Path(__file__).parents[2]


def write_net(path: Path, side: int, weight: np.ndarray, batch: int | str = "batch") -> Path:
    """A convolution with stride 2 and a ReLU, `(batch, 3, side, side)`."""
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["conv"], "conv", strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["logits"], "relu"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, side, side])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, None, None, None])
    graph = helper.make_graph(
        nodes, "net", [image], [logits], [numpy_helper.from_array(weight.astype(np.float32), "weight")]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_ranges_are_those_of_all_values_whatever_the_batches(tmp_path):
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(4, 3, 3, 3))
    path = write_net(tmp_path / "net.onnx", 9, weight)
    tensors = generator.normal(size=(150, 3, 9, 9)).astype(np.float32)
    tensors[77] *= 5
    ranges = collect_ranges(path, Held(tensors))
    assert set(ranges) == {"image", "conv", "logits"}
    assert ranges["image"] == (float(tensors.min()), float(tensors.max()))
    low, high = ranges["conv"]
    assert low < 0 < high
    assert ranges["logits"] == (0.0, high)
    counted = collect_histograms(path, Held(tensors))
    assert counted["image"].total == tensors.size
    whole = histogram(tensors)
    assert (counted["image"].counts == whole.counts).all(), "three batches, as one"


def test_a_file_of_batch_1_has_the_same_ranges(tmp_path):
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    tensors = np.random.default_rng(1).normal(size=(5, 3, 9, 9)).astype(np.float32)
    free, fixed = (write_net(tmp_path / f"{batch}.onnx", 9, weight, batch) for batch in ("batch", 1))
    assert collect_ranges(fixed, Held(tensors)) == collect_ranges(free, Held(tensors))
    assert onnx_logits(fixed, Held(tensors)).shape == (5, 4, 4, 4)


def test_percentile_leaves_out_as_many_as_it_says():
    values = np.random.default_rng(1).normal(size=200_000).astype(np.float32)
    low, high = clipped_range(histogram(values), "percentile", 99.0)
    width = 2.0 ** histogram(values).exponent
    assert low == pytest.approx(np.quantile(values, 0.005), abs=2 * width)
    assert high == pytest.approx(np.quantile(values, 0.995), abs=2 * width)
    assert clipped_range(histogram(values), "percentile", 100.0) == (float(values.min()), float(values.max()))
    # Behind a ReLU half of the values are zero: they count, and the range starts there.
    low, high = clipped_range(histogram(np.maximum(values, 0)), "percentile", 99.0)
    assert low == 0
    assert high == pytest.approx(np.quantile(np.maximum(values, 0), 0.995), abs=2 * width)


def divergence(values: np.ndarray, limit: float) -> float:
    """Mean squared error of eight bits over -limit..limit: an outlier must be worth its cost."""
    scale = 2 * limit / 255
    stored = np.clip(np.rint(values / scale), -127, 127) * scale
    return float(((stored - values) ** 2).mean())


def test_entropy_cuts_a_lone_outlier_and_keeps_what_is_even():
    values = np.random.default_rng(2).normal(size=100_000).astype(np.float32)
    values[0] = 40.0
    low, high = clipped_range(histogram(values), "entropy", 99.99)
    assert 3 < high < 10, "the outlier alone would take 9 of 10 steps"
    assert -10 < low <= values.min() * 0.6
    bulk = values[np.abs(values) < 3]
    assert divergence(bulk, high) < divergence(bulk, 40.0) / 10
    even = np.random.default_rng(3).uniform(-1, 1, 100_000).astype(np.float32)
    low, high = clipped_range(histogram(even), "entropy", 99.99)
    assert high == pytest.approx(1, abs=0.02)
    assert low == pytest.approx(-1, abs=0.02)


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy"])
@pytest.mark.parametrize(
    "values",
    [np.zeros(9), np.full(5, 3.5), np.full(5, -1e-30), np.array([1e30, 1e30 * (1 + 1e-7)]), np.array([-2.0])],
    ids=["zeros", "constant", "tiny", "far from zero", "negative"],
)
def test_a_range_holds_zero_and_is_never_empty(method, values):
    low, high = clipped_range(histogram(values.astype(np.float32)), method, 99.99)
    assert low <= 0 <= high
    assert low < high
    assert low <= values.min() * (1 - 1e-2) or values.min() >= 0


def test_nan_and_no_items_are_refused(tmp_path):
    path = write_net(tmp_path / "net.onnx", 5, np.full((1, 3, 3, 3), np.nan))
    with pytest.raises(ConversionError, match="NaN or infinite values in tensor conv"):
        collect_ranges(path, Held(np.ones((1, 3, 5, 5), np.float32)))
    with pytest.raises(ConversionError, match="no items to calibrate with"):
        collect_ranges(path, Held(np.ones((0, 3, 5, 5), np.float32)))


def test_merging_keeps_the_number_of_bins_bounded():
    counted = histogram(np.array([1e-3], np.float32))
    for power in range(-2, 30, 4):
        counted = merge(counted, histogram(np.array([-(10.0**power), 10.0**power], np.float32)))
        assert len(counted.counts) <= BINS
    assert counted.total == 17


@pytest.mark.parametrize("shape", [(7, 4, 3, 2), (7, 5), (7,)])
def test_rows_are_read_as_numpy_reads_them(tmp_path, shape):
    values = np.random.default_rng(0).integers(-999, 999, shape).astype(np.int16)
    np.save(tmp_path / "items.npy", values)
    rows = np.array([6, 0, 3, 3])
    found = read_rows(tmp_path / "items.npy", rows)
    assert found.dtype == np.int16
    assert (found == values[rows]).all()


_CHILD = """
import sys
from pathlib import Path
import numpy as np
from converters.data.stored_items import StoredItems
from converters.quantize.ranges import collect_ranges
from edgeinfer.bundle import Decode, Layout, Normalize, Resize, Scale
from edgeinfer.preprocess import Preprocessor

folder, count = Path(sys.argv[1]), int(sys.argv[2])
shape, scale = Resize(32, 32, "squash", "box"), Scale(1 / 255)
steps = (Decode("RGB"), shape, scale, Normalize((0.5,) * 3, (0.25,) * 3), Layout("CHW"))
rows = np.random.default_rng(0).permutation(count)
ranges = collect_ranges(folder / "net.onnx", StoredItems(folder / "items.npy", rows, Preprocessor(steps)), "entropy")
# Not ru_maxrss, which begins at the size of the process that started this one.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) / 1000, *ranges["image"])
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs /proc to read a process's peak memory"
)
def test_calibrating_on_50000_pictures_takes_no_more_memory_than_on_500(tmp_path):
    """The bar is 200 MB; the pictures alone are 154 MB, as tensors 614 MB, and what they become is more."""
    write_net(tmp_path / "net.onnx", 32, np.random.default_rng(0).normal(size=(2, 3, 3, 3)))
    items = np.lib.format.open_memmap(tmp_path / "items.npy", "w+", np.uint8, (50_000, 32, 32, 3))
    block = np.random.default_rng(1).integers(0, 256, (1000, 32, 32, 3), np.uint8)
    for start in range(0, len(items), len(block)):
        items[start : start + len(block)] = block
    items.flush()
    peaks = {}
    for count in (500, 50_000):
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(tmp_path), str(count)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
            check=True,
        )
        peaks[count], low, high = (float(part) for part in done.stdout.split())
        assert -2.1 < low < high < 2.1
    assert 30 < peaks[500] < peaks[50_000] + 5
    assert peaks[50_000] - peaks[500] < 30, f"MB: {peaks}"

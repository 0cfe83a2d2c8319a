"""Running recordings cut into windows, smoothed answers, and the newest frame."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgeinfer as ei
from edgeinfer.inference import LatestFrames
from edgeinfer.inference.windows import Smoother, windows
from edgeinfer.testing import FakeEngine

MODELS = Path(__file__).parents[2] / "sample_apps/models"
pytestmark = pytest.mark.timeout(60)
PATIENCE_S = 20.0


@given(
    st.lists(st.integers(min_value=0, max_value=50), max_size=12),
    st.integers(min_value=1, max_value=40),
    st.data(),
)
def test_windows_are_those_of_the_whole_recording_however_it_is_cut(lengths, window, data):
    hop = data.draw(st.integers(min_value=1, max_value=window))
    whole = np.arange(sum(lengths), dtype=np.int16)
    chunks = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    found = list(windows(iter(chunks), rate=100, window=window, hop=hop))
    starts = range(0, len(whole) - window + 1, hop)
    assert [each.start_s for each in found] == [start / 100 for start in starts]
    for each, start in zip(found, starts, strict=True):
        assert np.array_equal(each.samples, whole[start : start + window])
        assert each.samples.base is None, "a kept window must not keep the recording"


@pytest.mark.parametrize(("rate", "window", "hop"), [(0, 4, 2), (8, 4, 0), (8, 4, 5), (8, 0, 0)])
def test_lengths_that_make_no_sense_are_refused_at_once(rate, window, hop):
    with pytest.raises(ei.InputError, match="windows"):
        windows([], rate=rate, window=window, hop=hop)


@pytest.mark.parametrize("chunk", [[1, 2], np.zeros(4, np.float32), np.zeros((2, 2), np.int16)])
def test_chunks_of_another_kind_are_refused(chunk):
    with pytest.raises(ei.InputError, match="a chunk of a recording"):
        list(windows([chunk], rate=8, window=2, hop=1))


def test_smoothing_is_the_mean_of_the_last_answers():
    smooth = Smoother(2)
    given_ = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0])]
    assert [smooth(each).tolist() for each in given_] == [[1, 0], [0.5, 0.5], [0, 1]]
    with pytest.raises(ei.InputError, match="windows to smooth over"):
        Smoother(0)


def test_frames_that_came_while_one_was_worked_on_are_dropped_but_for_the_newest():
    more, taken = threading.Semaphore(0), threading.Semaphore(0)

    def camera():
        for number in range(10):
            assert more.acquire(timeout=PATIENCE_S)
            yield number
            taken.release()  # runs when the next frame is asked for: this one was taken in

    frames = LatestFrames(camera())
    more.release()
    assert next(frames) == 0
    for _ in range(5):
        more.release()
        assert taken.acquire(timeout=PATIENCE_S)
    assert taken.acquire(timeout=PATIENCE_S)
    assert next(frames) == 5
    more.release(4)
    assert list(frames)[-1] == 9
    assert frames.taken == 10
    assert frames.dropped >= 4


def test_what_the_camera_raises_is_raised_behind_its_last_frame():
    def camera():
        yield 1
        raise OSError("unplugged")

    frames = LatestFrames(camera())
    taken = []
    with pytest.raises(OSError, match="unplugged"):
        taken.extend(frames)
    assert taken == [1]
    assert list(frames) == []


def test_closing_ends_the_iteration_of_another_thread():
    blocked = threading.Event()

    def camera():
        assert blocked.wait(PATIENCE_S)
        yield 1

    with LatestFrames(camera()) as frames:
        reader = threading.Thread(target=lambda: list(frames))
        reader.start()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    blocked.set()


def test_what_cannot_be_iterated_over_is_refused():
    with pytest.raises(ei.InputError, match="frames"):
        LatestFrames(7)


@pytest.fixture(scope="module")
def spoken():
    with ei.load(MODELS / "spoken-digits.eib") as model:
        yield model


def test_listening_answers_for_each_window_and_smooths(spoken):
    rate = 8000
    sound = (np.random.default_rng(0).normal(size=rate * 3) * 3000).astype(np.int16)
    heard = list(ei.listen(spoken, np.array_split(sound, 7), rate=rate, hop_s=0.5, smooth=2))
    steps = spoken.manifest.inputs[0].preprocess
    length_s = steps[1].samples / steps[0].rate
    assert [each.start_s for each in heard] == [0.5 * at for at in range(len(heard))]
    assert len(heard) == 1 + int((3 - length_s) / 0.5)
    for before, now in itertools.pairwise(heard):
        assert now.end_s - now.start_s == pytest.approx(length_s)
        alone = spoken.predict((sound[round(now.start_s * rate) : round(now.end_s * rate)], rate))
        assert now.prediction.label == alone.label
        both = [{score.label: score.confidence for score in each.prediction.top} for each in (before, now)]
        if all(now.label in each for each in both):
            assert now.confidence == pytest.approx(sum(each[now.label] for each in both) / 2)


def test_what_cannot_listen_says_so(sample, spoken):
    model = ei.load(sample, engine=FakeEngine())
    with pytest.raises(ei.InputError, match="a model that classifies recordings"):
        ei.listen(model, [], rate=8000)
    with pytest.raises(ei.InputError, match="1 <= hop <= window"):
        ei.listen(spoken, [], rate=8000, hop_s=5.0)
    with pytest.raises(ei.InputError, match="windows to smooth over"):
        ei.listen(spoken, [], rate=8000, smooth=0)

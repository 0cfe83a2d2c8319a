"""Calls of a loaded model: deadlines, asyncio, forks, the end of the program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.testing import FakeEngine
from edgeinfer.testing.engine import mean_logits

pytestmark = pytest.mark.timeout(120)
LIGHT = np.full((4, 4), 255, np.uint8)
TENSOR = {"image": np.ones((1, 1, 4, 4), np.float32)}
PATIENCE_S = 20.0


class Gate:
    """An answer that waits until it is let go."""

    def __init__(self):
        self.go, self.started = threading.Event(), threading.Event()

    def __call__(self, image):
        self.started.set()
        assert self.go.wait(PATIENCE_S)
        return mean_logits(image)


@pytest.fixture
def gated(sample):
    """A model whose gate is open while it is loaded."""
    gate = Gate()
    gate.go.set()
    with ei.load(sample, engine=FakeEngine(gate)) as model:
        gate.started.clear()
        yield model, gate
        gate.go.set()


def test_with_time_enough_the_answers_are_the_same(sample):
    model = ei.load(sample, engine=FakeEngine())
    plain, timed = model.run(TENSOR), model.run(TENSOR, deadline_ms=20_000)
    assert np.array_equal(plain["logits"], timed["logits"])
    assert model.predict(LIGHT, deadline_ms=20_000).label == model.predict(LIGHT).label == "light"


@pytest.mark.parametrize("call", ["run", "predict"])
def test_a_deadline_that_passes_during_the_run_is_an_error_and_the_model_goes_on(gated, call):
    model, gate = gated
    gate.go.clear()
    with pytest.raises(
        ei.DeadlineError, match=r"did not answer in time: expected \d+\.\d ms, found \d+\.\d ms"
    ):
        getattr(model, call)(TENSOR, deadline_ms=5)
    assert gate.started.is_set()
    gate.go.set()
    assert model.predict(LIGHT, deadline_ms=20_000).label == "light"


@pytest.mark.parametrize("milliseconds", [0, -1])
def test_a_deadline_that_has_passed_before_the_call_runs_nothing(gated, milliseconds):
    model, gate = gated
    with pytest.raises(ei.DeadlineError, match="the time was up before the call"):
        model.run(TENSOR, deadline_ms=milliseconds)
    assert not gate.started.is_set()


@pytest.mark.parametrize("milliseconds", ["5", float("nan"), True, [1]])
def test_a_deadline_that_is_no_number_is_refused(sample, milliseconds):
    with pytest.raises(ei.InputError, match="deadline_ms"):
        ei.load(sample, engine=FakeEngine()).run(TENSOR, deadline_ms=milliseconds)


def test_an_engine_that_raises_behind_a_deadline_says_so(sample):
    engine = FakeEngine()
    model = ei.load(sample, engine=engine)
    engine.fails_on_run = ei.EngineRunError("out of memory")
    with pytest.raises(ei.EngineRunError, match="out of memory"):
        model.run(TENSOR, deadline_ms=20_000)


def test_many_tasks_of_an_event_loop_are_answered_and_the_loop_is_never_blocked(gated):
    model, gate = gated
    gate.go.clear()

    async def main():
        tasks = [asyncio.create_task(model.apredict(LIGHT)) for _ in range(50)]
        while not gate.started.is_set():
            await asyncio.sleep(0)
        gate.go.set()
        return await asyncio.gather(*tasks)

    assert {each.label for each in asyncio.run(main())} == {"light"}


def test_a_task_that_is_cancelled_leaves_and_the_others_are_answered(gated):
    model, gate = gated
    gate.go.clear()

    async def main():
        tasks = [asyncio.create_task(model.apredict(LIGHT)) for _ in range(6)]
        while not gate.started.is_set():
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        gate.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])
    assert {each.label for each in found[1::2]} == {"light"}


def test_a_task_has_a_deadline_too_and_errors_reach_it(gated):
    model, gate = gated

    async def late():
        gate.go.clear()
        await model.apredict(LIGHT, deadline_ms=5)

    with pytest.raises(ei.DeadlineError):
        asyncio.run(late())
    gate.go.set()
    with pytest.raises(ei.InputError):
        asyncio.run(model.apredict(object()))
    assert asyncio.run(model.apredict(LIGHT, deadline_ms=20_000)).label == "light"


def run_program(text: str, sample) -> subprocess.CompletedProcess:
    """Run a program that finds the sample bundle in `PATH`; a hang fails."""
    head = f"PATH = {str(sample)!r}\nimport edgeinfer as ei, numpy as np, os, sys, threading, time\n"
    head += "from edgeinfer.testing import FakeEngine\nLIGHT = np.full((4, 4), 255, np.uint8)\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this platform does not fork")
def test_a_child_forked_after_the_load_gets_a_clear_error_and_may_load_anew(sample):
    done = run_program(
        """
        model = ei.load(PATH, engine=FakeEngine())
        model.predict(LIGHT, deadline_ms=5000)  # threads are there, and are not in the child
        child = os.fork()
        if child == 0:
            for call in (model.predict, lambda it: model.predict(it, deadline_ms=5000)):
                try:
                    call(LIGHT)
                except ei.EngineRunError as error:
                    print(error, flush=True)
            anew = ei.load(PATH, engine=FakeEngine())
            print(anew.predict(LIGHT, deadline_ms=5000).label, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("parent", model.predict(LIGHT).label)
        """,
        sample,
    )
    assert (done.returncode, done.stderr) == (0, "")
    clear = (
        "this process was forked after the model was loaded; load the model after the fork, in each process"
    )
    assert done.stdout.splitlines() == [clear, clear, "light", "parent light"]


def test_a_program_may_end_while_a_run_is_in_flight(sample):
    done = run_program(
        """
        def slow(image):
            threading.Event().wait(1)
            return np.zeros((len(image), 2), np.float32)

        model = ei.load(PATH, engine=FakeEngine(slow), self_test=False)
        try:
            model.predict(LIGHT, deadline_ms=10)
        except ei.DeadlineError:
            print("late", flush=True)
        """,
        sample,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")


def test_a_call_after_the_end_has_begun_is_a_clear_error(sample):
    done = run_program(
        """
        model = ei.load(PATH, engine=FakeEngine())
        from edgeinfer.inference.workers import workers
        assert workers().close(1.0)
        try:
            model.predict(LIGHT, deadline_ms=5000)
        except ei.EngineRunError as error:
            print(error)
        print(model.predict(LIGHT).label)
        """,
        sample,
    )
    assert done.stdout.splitlines() == ["the program is ending; ask before it ends", "light"]


def test_idle_threads_leave_no_work_and_are_used_again(sample):
    model = ei.load(sample, engine=FakeEngine())
    for _ in range(20):
        model.run(TENSOR, deadline_ms=20_000)
    names = [each.name for each in threading.enumerate()]
    assert 1 <= names.count("edgeinfer-worker") <= 4
    before = time.process_time()
    assert not threading.Event().wait(0.2)
    assert time.process_time() - before < 0.05

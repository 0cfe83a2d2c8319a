"""What a shadow must never do to its callers, and how it ends: closed, let go, forked, with its program."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from home_programs import printed
from shadow_rig import ALL, LIGHT, ask, candidate, loader, settled

import edgeinfer as ei
from edgeinfer.host import Surroundings
from edgeinfer.rollout import Shadow, ShadowLimits, shadow_reports, shadow_work
from edgeinfer.store import Home
from edgeinfer.testing import FakeClock
from edgeinfer.testing.engine import mean_logits

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def load(sample):
    return loader(sample)


@pytest.fixture
def serves(load):
    return load()


def test_a_caller_waits_for_nothing(serves, load):
    hangs, runs = threading.Event(), threading.Event()

    def slow(image: Any) -> Any:
        runs.set()
        hangs.wait(30)
        return mean_logits(image)

    shadow = Shadow(serves, candidate(serves, lambda: load(slow)), 1.0, limits=ALL)
    prepared = serves.prepare(LIGHT)
    answer = serves.answer(prepared)
    shadow.offer(prepared, answer)
    assert runs.wait(30)
    for _ in range(50):
        shadow.offer(prepared, answer)
    assert not shadow.close(timeout_s=0.01), "it is still in its run"
    shadow.offer(prepared, answer)
    hangs.set()
    assert shadow.close()
    report = shadow.report()
    assert (report.compared, report.dropped) == (1, {"busy": 50, "closed": 1})


def test_every_item_is_compared_or_counted_as_dropped(serves, load, tmp_path, monkeypatch):
    """From many threads at once, with no lock between them, while the report is written after every item."""
    monkeypatch.setattr(shadow_work, "_BATCH", 1)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    home = Home(tmp_path / "home")
    shadow = Shadow(serves, candidate(serves, load), 1.0, limits=ShadowLimits(cpu_share=0.5), home=home)
    prepared = serves.prepare(LIGHT)
    answer = serves.answer(prepared)
    try:
        threads = [
            threading.Thread(target=lambda: [shadow.offer(prepared, answer) for _ in range(3000)])
            for _ in range(6)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join(50)
    finally:
        sys.setswitchinterval(switch)
    assert shadow.close()
    report = shadow.report()
    assert report.compared + sum(report.dropped.values()) == 18_000
    assert report.compared > 0
    assert shadow_reports(home) == [report]
    home.close()


def test_an_item_that_is_dropped_while_the_report_is_written_is_counted(serves, load, tmp_path):
    class Counts(dict[str, int]):
        def items(self) -> Any:
            found = list(super().items())
            self["busy"] += 1
            return found

    with Home(tmp_path / "home") as home:
        shadow = Shadow(serves, candidate(serves, load), 1.0, home=home)
        shadow._work.dropped = Counts(shadow._work.dropped, busy=3)
        assert shadow.close()
        assert [each.dropped for each in shadow_reports(home)] == [{"busy": 3}]
        assert shadow.report().dropped["busy"] == 4


def test_what_is_closed_in_the_midst_of_an_item_stays_closed(serves, load, tmp_path):
    def closes() -> Surroundings:
        shadow.close(timeout_s=0.0)
        return Surroundings("unknown", 0.0, charging=False)

    with Home(tmp_path / "home", clock=FakeClock()) as home:
        with Shadow(serves, candidate(serves, load), 1.0, home=home, surroundings=closes) as shadow:
            ask(serves, shadow, LIGHT)
            home.clock.advance(3600)
            ask(serves, shadow, LIGHT)
        assert shadow.report().dropped == {"battery": 1, "closed": 1}


@pytest.mark.parametrize(
    ("prepared", "answer"), [(None, None), (({}, None), None), (({"image": object()}, None), "text"), (7, 7)]
)
def test_whatever_is_handed_over_raises_nothing(serves, load, prepared, answer):
    with Shadow(serves, candidate(serves, load), 1.0, limits=ALL) as shadow:
        shadow.offer(prepared, answer)
        ask(serves, shadow, LIGHT)
        assert (shadow.report().compared, shadow.report().dropped) == (1, {"handover": 1})


def test_arrays_that_their_caller_fills_anew_are_copied_first(serves, load):
    filled, image = threading.Event(), np.ones((1, 1, 4, 4), np.float32)

    def later() -> ei.Model:
        filled.wait(30)
        return load()

    with Shadow(serves, candidate(serves, later), 1.0, limits=ALL) as shadow:
        prepared = serves.prepare(image)
        shadow.offer(prepared, serves.answer(prepared))
        image[:] = -1
        filled.set()
        settled(shadow)
        assert shadow.report().agreed == 1


def test_a_source_is_copied_and_prepared_on_the_shadow_s_thread(serves, load):
    filled, picture = threading.Event(), LIGHT.copy()

    def later() -> ei.Model:
        filled.wait(30)
        return load()

    with Shadow(serves, candidate(serves, later), 1.0, limits=ALL) as shadow:
        shadow.offer_source(picture, serves.predict(picture))
        picture[:] = 0
        filled.set()
        settled(shadow)
        assert (shadow.report().compared, shadow.report().agreed) == (1, 1)


def test_a_source_that_is_gone_is_no_failure_of_the_candidate(serves, load, tmp_path):
    with Shadow(serves, candidate(serves, load), 1.0, limits=ALL) as shadow:
        for source in (tmp_path / "gone.png", np.zeros((2, 2, 2, 2, 2), np.uint8), iter([]), lambda: 0):
            for _ in range(3):
                shadow.offer_source(source, serves.predict(LIGHT))
                settled(shadow)
        ask(serves, shadow, LIGHT)
        report = shadow.report()
    assert (report.compared, report.errors, report.dropped) == (1, {}, {"handover": 12})


def test_no_input_is_held_when_it_was_compared(serves, load):
    seen: list[weakref.ref[Any]] = []

    def look(image: Any) -> Any:
        seen.append(weakref.ref(image))
        return mean_logits(image)

    with Shadow(serves, candidate(serves, lambda: load(look)), 1.0, limits=ALL) as shadow:
        ask(serves, shadow, LIGHT)
        gc.collect()
        assert [each() for each in seen] == [None]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for a thread")
def test_it_has_the_lowest_priority_and_nobody_else_has(serves, load):
    seen = []

    def look(image: Any) -> Any:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return mean_logits(image)

    with Shadow(serves, candidate(serves, lambda: load(look)), 1.0, limits=ALL) as shadow:
        before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        ask(serves, shadow, LIGHT)
        assert seen == [19]
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_it_ends_with_whoever_held_it_and_frees_the_candidate(serves, load):
    held: list[weakref.ref[ei.Model]] = []

    def kept() -> ei.Model:
        model = load()
        held.append(weakref.ref(model))
        return model

    shadow = Shadow(serves, candidate(serves, kept), 1.0, limits=ALL)
    ask(serves, shadow, LIGHT)
    thread = shadow._work.thread
    del shadow
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()
    assert held[0]() is None


def test_it_keeps_no_model_alive(load):
    model = load()
    shadow = Shadow(model, candidate(model, load), 1.0, limits=ALL)
    ask(model, shadow, LIGHT)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert shadow.close()


def test_closing_twice_is_nothing(serves, load):
    shadow = Shadow(serves, candidate(serves, load), 1.0)
    assert shadow.close()
    assert shadow.close()


PROGRAM = """
    import numpy as np
    import edgeinfer as ei
    from edgeinfer.rollout import Shadow, ShadowCandidate, ShadowLimits, shadow_reports
    from edgeinfer.testing import FakeEngine
    from edgeinfer.testing.engine import mean_logits
    def load(answer=mean_logits):
        return ei.load(sys.argv[2], engine=FakeEngine(answer=answer), self_test=False)
    model, home = load(), Home(sys.argv[1])
    prepared = model.prepare(np.zeros((4, 4), np.uint8))
    answer = model.answer(prepared)
    def shadow_of(answers=mean_logits):
        what = ShadowCandidate(model.digest, lambda: load(answers))
        return Shadow(model, what, 1.0, limits=ShadowLimits(cpu_share=1.0), home=home)
    def offer(shadow):
        shadow.offer(prepared, answer)
        shadow._work.place.acquire(timeout=20) and shadow._work.place.release()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
def test_a_child_that_is_forked_has_no_shadow_and_its_parent_goes_on(tmp_path, sample):
    text = f"""{PROGRAM}
    import signal
    shadow = shadow_of()
    offer(shadow)
    child = os.fork()
    if not child:
        signal.alarm(10)
        shadow.offer(prepared, answer)
        print(shadow.close(), shadow.report().compared, dict(shadow.report().dropped), flush=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
    offer(shadow)
    shadow.close()
    print([each.compared for each in shadow_reports(home)])
    """
    assert printed(text, tmp_path / "home", sample) == ["True 1 {'forked': 1}", "0", "[2]"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
def test_a_child_may_be_forked_in_the_midst_of_a_run(tmp_path, sample):
    text = f"""{PROGRAM}
    import signal, threading
    runs, go_on = threading.Event(), threading.Event()
    def slow(image):
        runs.set()
        go_on.wait(20)
        return mean_logits(image)
    shadow = shadow_of(slow)
    shadow.offer(prepared, answer)
    runs.wait(20)
    child = os.fork()
    if not child:
        signal.alarm(10)
        shadow.offer(prepared, answer)
        print(shadow.close(), dict(shadow.report().dropped), flush=True)
        sys.exit(0)  # and all that a program does at its end
    print(os.waitpid(child, 0)[1])
    go_on.set()
    print(shadow.close(), shadow.report().compared)
    """
    assert printed(text, tmp_path / "home", sample) == ["True {'forked': 1}", "0", "True 1"]


def test_a_program_that_ends_without_closing_has_its_report(tmp_path, sample):
    text = f"""{PROGRAM}
    shadow = shadow_of()
    for _ in range(3):
        offer(shadow)
    """
    assert printed(text, tmp_path / "home", sample) == []
    with Home(tmp_path / "home") as home:
        assert [each.compared for each in shadow_reports(home)] == [3]

"""Which variant runs: measured once, kept, and measured again when anything changed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import edgeinfer as ei
from edgeinfer.bundle import BlobSet, write_bundle
from edgeinfer.engines import SessionOptions
from edgeinfer.inference import Wishes, remembered
from edgeinfer.inference.choose import Terms, choose
from edgeinfer.inference.golden import one_item
from edgeinfer.inference.trial import fastest_of
from edgeinfer.testing import FakeEngine, sample_manifest
from edgeinfer.testing.engine import mean_logits

pytestmark = pytest.mark.timeout(120)


class Clock:
    """Seconds that pass when something says so."""

    now = 0.0

    def __call__(self):
        return self.now


class Paced(FakeEngine):
    """Takes a given time for each model file, by its bytes; `None` fails when it runs."""

    def __init__(self, paces, alike=False, **fields):
        super().__init__(**fields)
        self.paces, self.alike = paces, alike
        self.clock = Clock()

    def load(self, model, options):
        super().load(model, options)
        pace = self.paces[model]

        def answer(image):
            if pace is None:
                raise ei.EngineRunError("out of memory")
            self.clock.now += pace if self.alike else pace * len(image)
            return mean_logits(image)

        return FakeEngine(answer).load(model, options)


@pytest.fixture
def three(tmp_path):
    """A bundle of three variants, the files `a`, `b` and `c`."""
    blobs = BlobSet()
    base = sample_manifest(blobs)
    variants = tuple(
        replace(
            base.variants[0], id=name, blob=blobs.add(name.encode()), precision=precision, memory_bytes=memory
        )
        for name, precision, memory in (("a", "fp32", 4000), ("b", "int8", 1000), ("c", "int8", 2000))
    )
    plain = {"drift": None, "confusion": None, "cascade": None, "calibration": None}
    write_bundle(tmp_path / "three.eib", replace(base, variants=variants, **plain), blobs)
    return tmp_path / "three.eib"


def paces(a=4e-4, b=4e-4, c=4e-4):
    return {b"a": a, b"b": b, b"c": c}


def chosen(bundle, engine, cache=None, wishes=None, **terms):
    with ei.open_bundle(bundle) as opened:
        return choose(
            opened,
            [engine],
            wishes or Wishes(),
            Terms(SessionOptions(), cache=cache, clock=engine.clock, **terms),
        )[1]


def test_the_fastest_answers_and_the_selection_tells_of_all(three):
    found = chosen(three, Paced(paces(a=4e-4, b=2e-4, c=1e-4)))
    assert found.chosen.variant == "c"
    assert found.reason.startswith("the fastest of 3 that were measured here, ")
    a, b, c = found.candidates
    assert a.p50_us > b.p50_us > c.p50_us == pytest.approx(100)
    assert a.rejected.endswith("times the chosen one's")
    assert (c.rejected, c.provider) == (None, "memory")


def test_of_equals_the_manifests_first_answers(three):
    engine = Paced(paces())
    assert chosen(three, engine).chosen.variant == "a"
    assert chosen(three, Paced(paces(a=4.05e-4))).chosen.variant == "a"
    assert chosen(three, Paced(paces(a=4.1e-4))).chosen.variant == "b"


def test_without_measuring_the_first_answers_and_the_others_are_not_loaded(three):
    engine = Paced(paces(a=8e-4))
    found = chosen(three, engine, measure=False)
    assert found.chosen.variant == "a"
    assert engine.loaded == [b"a"]
    assert [each.rejected for each in found.candidates[1:]] == ["not tried: one before it runs"] * 2


def test_one_that_fails_while_it_runs_is_rejected_and_says_why(three):
    found = chosen(three, Paced(paces(a=None)), self_test=False)
    assert "out of memory" in found.candidates[0].rejected
    assert found.chosen.variant == "b"
    with pytest.raises(ei.NoVariantError, match="c on fake: out of memory"):
        chosen(three, Paced(paces(None, None, None)), self_test=False)


@pytest.mark.parametrize(
    ("wishes", "reasons"),
    [
        (Wishes(variant="b"), ["variant b was asked for", None, "variant b was asked for"]),
        (Wishes(avoid=("int8",)), [None, "int8 is to be avoided", "int8 is to be avoided"]),
        (Wishes(avoid=("a", "b")), ["a is to be avoided", "b is to be avoided", None]),
        (
            Wishes(max_memory_bytes=1500),
            [
                "takes about 4,000 bytes of memory, allowed are 1,500",
                None,
                "takes about 2,000 bytes of memory, allowed are 1,500",
            ],
        ),
    ],
)
def test_wishes_and_vetoes_narrow_the_choice(three, wishes, reasons):
    found = chosen(three, Paced(paces()), wishes=wishes, measure=False)
    told = [each.rejected for each in found.candidates]
    assert [reason for reason in told if reason != "not tried: one before it runs"] == reasons


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        (Wishes(provider="cuda"), "fake-engine 1.0 here computes on memory, not on cuda"),
        (Wishes(avoid=("fake",)), "fake is to be avoided"),
        (Wishes(avoid=("mem",)), "mem is to be avoided"),
    ],
)
def test_a_provider_that_is_not_there_is_never_replaced_by_another(three, wishes, why):
    with pytest.raises(ei.NoVariantError, match=why):
        chosen(three, Paced(paces()), wishes=wishes)


def test_what_was_measured_is_used_again_and_only_the_chosen_is_loaded(three, tmp_path):
    engine = Paced(paces(b=1e-4))
    first = chosen(three, engine, tmp_path)
    engine.loaded.clear()
    again = chosen(three, engine, tmp_path)
    assert engine.loaded == [b"b"]
    assert (first.cached, again.cached) == (False, True)
    assert again == replace(first, cached=True)


def test_anything_that_it_depends_on_makes_it_measure_again(three, tmp_path, monkeypatch):
    engine = Paced(paces())
    chosen(three, engine, tmp_path)
    assert chosen(three, engine, tmp_path).cached
    assert not chosen(three, engine, tmp_path, Wishes(precision="int8")).cached
    assert not chosen(three, Paced(paces(), name="another"), tmp_path).cached
    for name, value in (("versions_of", {"numpy": "9"}), ("processor", "another")):
        with monkeypatch.context() as patch:
            patch.setattr(remembered, name, lambda *_, value=value: value)
            assert not chosen(three, engine, tmp_path).cached
    assert chosen(three, engine, tmp_path).cached


def kept(folder):
    (file,) = (folder / "selections").iterdir()
    return file


def test_a_kept_file_that_is_damaged_or_of_another_device_is_measured_again(three, tmp_path):
    engine = Paced(paces())
    first = chosen(three, engine, tmp_path)
    whole = kept(tmp_path).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "processor", lambda: "another")
        chosen(three, engine, tmp_path / "elsewhere")
    damages = [
        b"",
        whole[: len(whole) // 2],
        whole[:-2],
        b"\xff" + whole,
        whole.replace(b"b", b"c"),
        kept(tmp_path / "elsewhere").read_bytes(),
    ]
    for damage in damages:
        kept(tmp_path).write_bytes(damage)
        found = chosen(three, engine, tmp_path)
        assert (found.cached, found.chosen.variant) == (False, first.chosen.variant)
        assert chosen(three, engine, tmp_path).cached, "it is kept anew"


def test_a_chosen_one_that_cannot_be_loaded_any_more_is_chosen_anew(three, tmp_path):
    chosen(three, Paced(paces(a=1e-4)), tmp_path)

    class Broken(Paced):
        def load(self, model, options):
            if model == b"a":
                raise ei.ModelLoadError("cannot load the model")
            return super().load(model, options)

    found = chosen(three, Broken(paces(c=1e-4)), tmp_path)
    assert (found.cached, found.chosen.variant) == (False, "c")


def test_a_folder_that_cannot_be_written_costs_no_answer(three, tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = chosen(three, Paced(paces()), tmp_path / "file")
    assert "; not remembered: " in found.reason
    assert not chosen(three, Paced(paces()), tmp_path / "file").cached


def test_a_choice_without_the_self_test_is_not_kept(three, tmp_path):
    chosen(three, Paced(paces()), tmp_path, self_test=False)
    assert not (tmp_path / "selections").exists()


def test_the_gain_of_batches_is_measured(three):
    assert chosen(three, Paced(paces())).batch_gain == pytest.approx(1)
    assert chosen(three, Paced(paces(), alike=True)).batch_gain == pytest.approx(1 / 16)
    assert chosen(three, Paced(paces(1, 1, 1))).batch_gain is None, "four of it take too long"


def test_figures_are_the_best_of_blocks_in_turns_and_the_time_is_bounded():
    clock = Clock()

    def taking(*seconds):
        times = itertools.cycle(seconds)

        def run():
            clock.now += next(times)

        return run

    # The second is slow at first only: something else was running.
    first, second, third = fastest_of(
        [taking(0.002), taking(*[0.004] * 5, *[0.001] * 500), taking(0.05)], 2.0, clock
    )
    assert first == pytest.approx(2000)
    assert second == pytest.approx(1000)
    assert third == pytest.approx(50_000)
    assert clock.now < 2.0 + 0.1
    clock.now = 0.0
    assert fastest_of([taking(1.0), taking(1.0)], 0.5, clock) == [pytest.approx(1e6), None]


def test_load_measures_where_the_engines_are_ours_alone(three):
    engine = Paced(paces(a=8e-4))
    assert ei.load(three, engine=engine).selection.candidates[0].p50_us is None
    assert ei.load(three, engine=engine, measure=True).selection.candidates[0].p50_us > 0
    assert np.isfinite(ei.load(three, engine=engine).predict(np.zeros((4, 4), np.uint8)).confidence)


def test_a_choice_that_was_not_measured_is_not_taken_for_one_that_was(three, tmp_path):
    slow_first = paces(a=8e-4)
    assert chosen(three, Paced(slow_first), tmp_path, measure=False).chosen.variant == "a"
    measured = chosen(three, Paced(slow_first), tmp_path)
    assert (measured.cached, measured.chosen.variant) == (False, "b")
    assert chosen(three, Paced(slow_first), tmp_path, measure=False).chosen.variant == "a"
    assert chosen(three, Paced(slow_first), tmp_path).cached


def test_a_kept_form_that_answers_otherwise_is_not_run_now_nor_at_the_next_start(three, tmp_path):
    class Keeps(Paced):
        def load(self, model, options):
            session = super().load(model, options)
            if options.cache is not None:
                session.run = lambda inputs: {"logits": np.full((len(inputs["image"]), 2), 9, np.float32)}
            return session

    engine = Keeps(paces())
    with ei.open_bundle(three) as opened:
        terms = Terms(SessionOptions(), cache=tmp_path, clock=engine.clock)
        for cached in (False, True):
            bound, found = choose(opened, [engine], Wishes(), terms)
            assert found.cached is cached
            assert bound.run(one_item(opened), 1)["logits"].max() < 9

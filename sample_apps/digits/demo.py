"""The whole idea in a minute: a teacher, a student, four model files, one bundle, and answers on this machine."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

import edgeinfer as ei
from converters import convert, load_examples, load_recipe
from converters.progress import reporter
from edgeinfer.host import output_to

HERE = Path(__file__).parent
BUILD = Path("build/demo")
BUNDLE, PICTURE, WORK = BUILD / "digits.eib", BUILD / "seven.png", BUILD / "work"


def main() -> None:
    """Make the bundle, measure it on the held-out digits, answer for a drawn one."""
    console = Console(highlight=False)
    console.width = max(console.width, 88)
    console.print("[bold]1. From a cloud model to a bundle[/] (a minute or two; the next run finds it done)")
    with reporter(terminal=sys.stderr.isatty()) as report:
        outcome = convert(load_recipe(HERE / "recipe.toml"), BUNDLE, WORK, report)
    figures = outcome.figures
    console.print(
        f"   teacher {figures.teacher_parameters:,} parameters, {figures.teacher_accuracy.value:.1%} right; "
        f"student {figures.student_parameters:,}, {figures.student_accuracy.value:.1%} right"
    )
    console.print(f"\n[bold]2. The held-out digits, by both engines[/], from {BUNDLE}")
    console.print(_table())
    console.print("\n[bold]3. Unsure answers handed on to the cloud model[/], on the validation digits")
    console.print(_cascade())
    console.print(f"\n[bold]4. One answer[/], for {PICTURE}")
    _draw_seven(PICTURE)
    _show(console, PICTURE)
    _what_next(console)


def _table() -> Table:
    """Return accuracy and speed of every variant, measured now, through the public API, on the test split."""
    test = load_examples(WORK, "test")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("variant", "engine"):
        table.add_column(title, no_wrap=True)
    for title in ("bytes", "accuracy (95% CI)", "p50", "agreement"):
        table.add_column(title, justify="right", no_wrap=True)
    with ei.open_bundle(BUNDLE) as bundle:
        variants = bundle.manifest.variants
    for variant in variants:
        with output_to(BUILD / "engines.log"):
            model = ei.load(BUNDLE, variant=variant.id)
        answers = list(model.predict_many(test.items))
        right = sum(
            int(answer.label or -1) == label for answer, label in zip(answers, test.labels, strict=True)
        )
        stated = variant.accuracy
        assert stated is not None, "the converter measures every variant"
        assert right == round(stated.value * stated.n), f"{variant.id}: the bundle states another accuracy"
        assert variant.agreement is not None, "the converter measures every variant"
        table.add_row(
            variant.id,
            answers[0].engine,
            f"{variant.blob.size:,}",
            f"{right / len(answers):.1%} ({stated.low * 100:.1f}-{stated.high * 100:.1f})",
            f"{statistics.median(answer.timings.run_ms for answer in answers) * 1e3:.0f} us",
            f"{variant.agreement.value:.1%}",
        )
    return table


def _cascade() -> Table:
    """Return what handing unsure answers on would cost and gain, as the bundle states it."""
    with ei.open_bundle(BUNDLE) as bundle:
        cascade = bundle.manifest.cascade
    assert cascade is not None, "the converter measures it"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("less confident than", "handed on", "right (95% CI)"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = [("nothing", 0.0, cascade.student_accuracy)]
    for point in cascade.points:
        if point.threshold in (0.5, 0.8, 0.95):
            rows.append((f"{point.threshold:.0%}", point.escalation.value, point.accuracy))
    rows.append(("everything", 1.0, cascade.teacher_accuracy))
    for name, sent, right in rows:
        table.add_row(
            name, f"{sent:.1%}", f"{right.value:.1%} ({right.low * 100:.1f}-{right.high * 100:.1f})"
        )
    return table


def _draw_seven(path: Path) -> None:
    """Draw a seven as a person might: dark ink, light paper."""
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line([(55, 40), (148, 38), (95, 175)], fill=20, width=20, joint="curve")
    image.save(path)


def _show(console: Console, path: Path) -> None:
    with output_to(BUILD / "engines.log"):
        model = ei.load(BUNDLE)
    prediction = model.predict(path)
    pixels = np.asarray(Image.open(path).convert("L").resize((20, 10), Image.Resampling.BOX)).astype(int)
    lines = ["".join(" .:*#@"[(255 - value) * 6 // 256] for value in row) for row in pixels]
    for at, line in enumerate(lines):
        text = f"   {line}  "
        if 0 < at <= len(prediction.top):
            answer = prediction.top[at - 1]
            text += f"{answer.label}  {answer.confidence:6.1%}  {'█' * round(answer.confidence * 30)}"
        console.print(text.rstrip(), markup=False)
    console.print(
        f"   It is a {prediction.label}: {prediction.confidence:.1%} sure, in {prediction.latency_ms:.1f} ms, on this "
        f"{prediction.source},\n   by {prediction.variant} ({prediction.engine})."
    )


def _what_next(console: Console) -> None:
    console.print("\n[bold]What to type next[/]")
    for why, command in (
        ("a digit you drew, dark on light", f".venv/bin/edgeinfer predict {BUNDLE} YOUR.png"),
        ("what the bundle says of itself (--report: everything)", f".venv/bin/edgeinfer inspect {BUNDLE}"),
        ("speed and memory of every variant here", f".venv/bin/edgeinfer bench {BUNDLE}"),
        ("the same with your own pictures: see README.md", ".venv/bin/edgeinfer convert RECIPE.toml"),
    ):
        console.print(f"   [dim]# {why}[/]\n   {command}")


if __name__ == "__main__":
    try:
        main()
    except ei.EdgeInferError as error:
        sys.exit(f"error: {error}")

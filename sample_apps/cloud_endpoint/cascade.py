"""What handing unsure answers to the cloud costs and gains: a student of 93 kB here, its teacher behind a server.

    python sample_apps/cloud_endpoint/cascade.py mlserver

Starts the server on this machine, answers for the CIFAR-10 test pictures beside the project (`../shared`), and prints
a table: of how many pictures the teacher was asked, and how many of the answers are right.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

import edgeinfer as ei
from edgeinfer.cloud import V2Client
from edgeinfer.host import output_to

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARED = ROOT.parent / "shared"
BUNDLE = ROOT / "sample_apps/models/cifar10.eib"
TEACHER, PICTURES = SHARED / "models/cifar10-resnet9.onnx", SHARED / "data/cifar10-test.zip"
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
# Of all 5,000 test pictures, by the teacher's file itself.
TEACHER_RIGHT = 0.9014
_PORT, _START_S = 8461, 120.0


@dataclass(frozen=True)
class Answered:
    """One picture.

    Attributes:
        confidence: Of the student's answer.
        alone: Whether that is right.
        teacher: Whether the teacher's is, where it was asked.
    """

    confidence: float
    alone: bool
    teacher: bool | None


@dataclass(frozen=True)
class Line:
    """One threshold.

    Attributes:
        threshold: Answers less confident than it go to the teacher.
        sent: Share of pictures that go.
        right: Share of right answers.
        closed: Share of the gap between student and teacher that is closed.
    """

    threshold: float
    sent: float
    right: float
    closed: float


@contextmanager
def serving(server: str, port: int = _PORT) -> Iterator[str]:
    """Run the teacher behind a server of serve.py; yield its address."""
    url, log = f"http://127.0.0.1:{port}", ROOT / f"build/servers/{server}-teacher.log"
    line = [sys.executable, HERE / "serve.py", server, TEACHER, "--name", "resnet9", "--port", str(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file, subprocess.Popen(line, stdout=file, stderr=file, cwd=ROOT) as process:
        client, begun = V2Client(ei.Endpoint(url, "resnet9")), time.monotonic()
        try:
            while not client.ready(deadline_s=2):
                if process.poll() is not None or time.monotonic() - begun > _START_S:
                    sys.exit(f"error: the server did not start; see {log}")
                threading.Event().wait(0.2)
            yield url
        finally:
            client.close()
            process.terminate()


def answers(predictor: ei.Predictor, every: int = 1) -> Iterator[Answered]:
    """Answer for each of the test pictures, or every so many of them."""
    with zipfile.ZipFile(PICTURES) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::every]
        for name in track(names, "pictures", disable=not sys.stderr.isatty()):
            label, picture = name.split("/")[1], archive.read(name)
            answer = predictor.predict(picture)
            if answer.source == "cloud":
                alone = predictor.model.predict(picture)
                yield Answered(alone.confidence or 0.0, alone.label == label, answer.label == label)
            else:
                yield Answered(answer.confidence or 0.0, answer.label == label, None)


def lines(given: list[Answered], thresholds: tuple[float, ...], teacher_right: float) -> list[Line]:
    """Return what each threshold costs and gains, up to the one that the pictures were answered with."""
    alone = sum(each.alone for each in given) / len(given)
    found = []
    for threshold in thresholds:
        sent = [each for each in given if each.confidence < threshold]
        assert all(each.teacher is not None for each in sent), "asked with a lower threshold"
        gained = sum(bool(each.teacher) - each.alone for each in sent) / len(given)
        closed = gained / (teacher_right - alone)
        found.append(Line(threshold, len(sent) / len(given), alone + gained, closed))
    return found


def measured(
    url: str, home: Path, threshold: float | None = None, every: int = 1
) -> tuple[ei.Predictor, list[Answered]]:
    """Answer for the pictures with a threshold, or the bundle's own."""
    kept = ei.Home(home)
    ei.Consents(kept).give("cloud_inference")
    with output_to(ROOT / "build/servers/engines.log"):
        model = ei.load(BUNDLE, variant="tflite-int8")
    policy = ei.Policy(mode="prefer_on_device", threshold=threshold, max_escalations_per_hour=5000)
    with ei.Predictor(model, ei.Endpoint(url), policy=policy, home=kept) as predictor:
        return predictor, list(answers(predictor, every))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", choices=("kserve", "mlserver", "triton"))
    parser.add_argument("--every", type=int, default=1, help="take every so many pictures (default: 1)")
    given = parser.parse_args()
    if not PICTURES.is_file():
        sys.exit(f"error: {PICTURES} is not there; the pictures are no part of this project")
    with serving(given.server) as url, tempfile.TemporaryDirectory() as home:
        predictor, found = measured(url, Path(home), max(THRESHOLDS), given.every)
    points = predictor.model.manifest.cascade
    assert points is not None, "the bundle has a cascade"
    promised = {point.threshold: point.escalation.value for point in points.points}
    alone = sum(each.alone for each in found) / len(found)
    print(
        f"{len(found):,} test pictures; the student alone {alone:.1%}, its teacher alone {TEACHER_RIGHT:.1%}\n"
    )
    print("threshold  handed on  (promised)  right  gap closed")
    for line in lines(found, THRESHOLDS, TEACHER_RIGHT):
        mark = " *" if line.threshold == points.recommended else "  "
        print(
            f"{line.threshold:7.2f}{mark}  {line.sent:9.1%}  {promised[line.threshold]:10.1%}  {line.right:5.1%}"
            f"  {line.closed:10.0%}"
        )
    print(f"\n* the bundle's own: {points.rule}")


if __name__ == "__main__":
    main()

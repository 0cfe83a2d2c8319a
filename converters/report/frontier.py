"""The picture of a search for a student: what size and time buy.

python -m converters.report.frontier build/NAME/budget/architecture.json frontier.svg
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from converters.distill.architecture import Candidate, load_architecture
from converters.recipe import ConvNetwork, FactoryNetwork, MlpNetwork, Network
from converters.report.document import percent
from converters.report.plane_chart import Plane, Point, plane_chart

# Colours of the page, for a picture that stands alone.
_STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def trained(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates that were tried, the best first."""
    return tuple(each for each in candidates if each.validation is not None)


def described(network: Network) -> str:
    """Return a network in a few words, for example `resnet 16-24-32 x 3-3-2`."""
    match network:
        case ConvNetwork():
            return f"conv {network.width} x {_joined(network.blocks)}"
        case MlpNetwork():
            return f"mlp {_joined(network.hidden)}"
        case FactoryNetwork():
            return network.factory
    return f"{network.kind} {_joined(network.widths)} x {_joined(network.blocks)}"


def size_frontier(candidates: Sequence[Candidate]) -> Markup:
    """Draw accuracy over the size of the larger int8 file."""
    return _frontier(candidates, "larger int8 file, kB", lambda each: each.cost.bytes / 1000)


def time_frontier(candidates: Sequence[Candidate]) -> Markup:
    """Draw accuracy over the time of one run."""
    return _frontier(candidates, "one run of the faster int8 file, us", lambda each: each.cost.latency_us)


def _frontier(candidates: Sequence[Candidate], across: str, value: Callable[[Candidate], float]) -> Markup:
    """Draw every candidate as a mark: those that no other beats on both axes filled and named, the rest as rings."""
    known = trained(candidates)
    heights = [each.validation or 0.0 for each in known]
    margin = max(0.005, (max(heights) - min(heights)) * 0.1)
    low, high = min(map(value, known)), max(map(value, known))
    low = 0 if low < high / 2 else low * 0.95
    series: list[list[Point]] = [[], []]
    for each, height in zip(known, heights, strict=True):
        beaten = any(
            value(other) <= value(each) and (other.validation or 0) > height
            for other in known
            if other is not each
        )
        name = described(each.network)
        tip = f"{name}: {percent(height)}, {each.cost.bytes:,} bytes, {each.cost.latency_us:.0f} us"
        label = "" if beaten else name
        series[int(beaten)].append(Point(value(each), height, tip=tip, label=label))
    plane = Plane(
        across,
        "right on validation after the trial",
        (low, high * 1.03),
        (max(0, min(heights) - margin), min(1, max(heights) + margin)),
        lambda number: f"{number:g}",
        percent,
    )
    told = "; ".join(point.tip for points in series for point in points)
    return plane_chart(plane, series, f"Candidates: accuracy over {across}", told, marks=True)


def _joined(numbers: Sequence[int]) -> str:
    return "-".join(map(str, numbers))


def standing_alone(chart: Markup) -> bytes:
    """Return a chart as an SVG file with its own colours."""
    head, _, rest = str(chart).partition(">")
    if "xmlns" not in head:
        head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}><style>{_STYLE}</style>{rest}\n".encode()


if __name__ == "__main__":
    found, path = load_architecture(Path(sys.argv[1])), Path(sys.argv[2])
    path.write_bytes(standing_alone(size_frontier(found.candidates)))
    path.with_stem(f"{path.stem}-time").write_bytes(standing_alone(time_frontier(found.candidates)))

"""The report's section on quantization: which integer types were tried, and what each layer costs."""

from __future__ import annotations

from collections.abc import Sequence

from converters.quantize.integer_types import TypeFigures
from converters.quantize.sensitivity import Kept, Sensitivity


def quantization_section(types: Sequence[TypeFigures], sensitivity: Sensitivity) -> str:
    """Return the section in Markdown; nothing where no static int8 was made."""
    if not types:
        return ""
    return "\n".join(["## Quantization", "", *_types(types), "", *_layers(sensitivity)])


def _types(types: Sequence[TypeFigures]) -> list[str]:
    rows = [
        "| ONNX integer types | bytes | one run | in float here | shipped |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    for each in types:
        time = "not timed" if each.p50_us is None else f"{each.p50_us:.0f} us"
        floats = ", ".join(each.float_layers) or "none"
        rows.append(
            f"| {each.types} | {each.bytes:,} | {time} | {floats} | {'yes' if each.shipped else 'no'} |"
        )
    return rows


def _layers(sensitivity: Sensitivity) -> list[str]:
    whole = sensitivity.whole
    chosen = ", ".join(sensitivity.chosen)
    sentence = sensitivity.advice()
    rows = [
        f"{sentence[0].upper()}{sentence[1:]}. Kept in float in what ships: {chosen or 'none'}.",
        "",
        f"| in float | regained, points of {sensitivity.items} validation items | divergence, nats | bytes more |",
        "| --- | ---: | ---: | ---: |",
        f"| none | | {whole.divergence:.2g} | |",
    ]
    kept = [*sensitivity.alone, *(each for each in sensitivity.together if len(each.layers) > 1)]
    return rows + [_row(each, sensitivity) for each in kept]


def _row(kept: Kept, sensitivity: Sensitivity) -> str:
    regained = (sensitivity.drop(sensitivity.whole) - sensitivity.drop(kept)) * 100
    more = kept.bytes - sensitivity.whole.bytes
    return f"| {', '.join(kept.layers)} | {regained:+.1f} | {kept.divergence:.2g} | {more:+,} |"

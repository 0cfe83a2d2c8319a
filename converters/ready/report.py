"""The report of a ready model: what was done to it, and what it costs and keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from converters.ready.agreement import Agreement
from converters.ready.recipe import ReadyRecipe
from edgeinfer.bundle import Latency, encode


@dataclass(frozen=True)
class ReadyFigures:
    """What was done to one file, and measured.

    Attributes:
        id: Variant id.
        bytes: Of the file.
        latency: Of one run.
        spread: Largest difference of an output between this engine's fast kernels and its plain ones.
        notes: What was done to the file.
        origin_sha256: Digest of the file that it came from.
        agreement: With its float form, for an int8 file made here.
    """

    id: str
    bytes: int
    latency: Latency
    spread: float
    notes: tuple[str, ...]
    origin_sha256: str
    agreement: Agreement | None = None


@dataclass(frozen=True)
class ReadyReport:
    """Everything that the report shows."""

    recipe: ReadyRecipe
    figures: tuple[ReadyFigures, ...]
    tools: Mapping[str, str]

    def json(self) -> bytes:
        """Return it for programs."""
        value = encode(replace(self, recipe=self.recipe.published()))
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

    def markdown(self) -> bytes:
        """Return it for people."""
        recipe = self.recipe
        rows = [
            f"# {recipe.name} {recipe.version}",
            "",
            f"{recipe.intended_use} Licence: {recipe.licence}.",
            "",
            "Made from a model that was there already; nothing was trained, and no accuracy was measured.",
            "",
            "## Variants",
            "",
            "| variant | bytes | one run | agrees with float |",
            "| --- | ---: | ---: | --- |",
            *(
                f"| {each.id} | {each.bytes:,} | {each.latency.p50_us:.0f} us | {shown(each.agreement)} |"
                for each in self.figures
            ),
            "",
            f"One run is the median of many with batch 1 and one thread on {self.figures[0].latency.machine}.",
            "",
            "## What was done",
            "",
        ]
        for each in self.figures:
            rows.append(
                f"- {each.id}, from `{each.origin_sha256[:16]}`: {'; '.join(each.notes) or 'nothing'}."
            )
        tools = ", ".join(f"{name} {version}" for name, version in sorted(self.tools.items()))
        rows += ["", f"Recipe: digest `{recipe.digest()[:16]}`. Tools: {tools}."]
        return ("\n".join(rows) + "\n").encode()


def shown(agreement: Agreement | None) -> str:
    """Return an agreement as a cell of a table."""
    return f"{agreement.share:.1%} of {agreement.n} {agreement.what}" if agreement else "-"

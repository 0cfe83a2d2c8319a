"""Plain tables for a terminal, readable in a file too."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return aligned columns with two spaces between, a rule below the header.

    Args:
        header: Column titles.
        rows: Cells.
        right: Columns that are aligned to the right.
    """
    lines = [header, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]

    def spell(cells: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    return "\n".join([spell(header), "  ".join("-" * width for width in widths), *map(spell, rows)])

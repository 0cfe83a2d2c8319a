"""`edgeinfer compare`: is the new bundle better than the old one, on my items?"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converters.bar import bar
from converters.missing import require_packages
from edgeinfer.errors import printable

if TYPE_CHECKING:
    from converters.compare.compare import Comparison

EXIT = {"better": 0, "worse": 3, "cannot tell": 4}
_SHOWN = 5


def _number(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    # NaN lies in every range of click's.
    if math.isnan(value):
        raise click.BadParameter("nan is no number", param=parameter)
    return value


@click.command(context_settings={"show_default": True})
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Take this split of DATA.")
@click.option("--unlabelled", is_flag=True, help="Folders are no classes: agreement only.")
@click.option("--old-variant", help="Insist on a variant of OLD, by id.")
@click.option("--new-variant", help="Insist on a variant of NEW, by id.")
@click.option(
    "--difference",
    type=click.FloatRange(0.0001, 0.5),
    callback=_number,
    default=0.01,
    help="Smallest difference of accuracies worth telling.",
)
@click.option(
    "--max-unreadable",
    type=click.FloatRange(0, 1),
    callback=_number,
    default=0.01,
    help="Share of items that may be unreadable.",
)
@click.option("--rounds", type=click.IntRange(0, 100), default=5, help="Rounds of timing; 0 times nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def compare(context: click.Context, /, old: Path, new: Path, data: Path, **_: object) -> None:
    """Say whether bundle NEW is better than bundle OLD on DATA: a folder or zip file, one folder a class.

    Both name every item of DATA (of its test split, where it has one); the verdict is on the paired
    difference of their accuracies. Without class folders there is agreement only. The exit status is
    0 for better, 3 for worse, 4 where it cannot be told, and 1 for an error.
    """
    require_packages("comparing", "scipy")
    from converters.compare.compare import Wishes
    from converters.compare.compare import compare as run
    from converters.data.collection import collect

    asked = context.params
    collection = collect(data, split=asked["split"], labelled=False if asked["unlabelled"] else None)
    wishes = Wishes(
        old_variant=asked["old_variant"],
        new_variant=asked["new_variant"],
        smallest=asked["difference"],
        max_unreadable=asked["max_unreadable"],
        rounds=asked["rounds"],
    )
    with bar("comparing", len(collection.items) + 2 * wishes.rounds) as advance:
        found = run(old, new, collection, wishes, Path(os.devnull), advance)
    if asked["as_json"]:
        from edgeinfer.bundle import encode

        click.echo(json.dumps(encode(found), indent=2))
    else:
        click.echo(summary(found))
    context.exit(EXIT[found.verdict.verdict])


def summary(found: Comparison) -> str:
    """Return a comparison in lines for a terminal."""
    old, new, latency = found.old, found.new, found.latency
    rows = [
        ("", "old", "new", ""),
        ("model", f"{old.name} {old.version}", f"{new.name} {new.version}", ""),
        ("variant", old.variant, new.variant, ""),
        ("engine", old.engine, new.engine, ""),
        ("digest", old.digest[:16], new.digest[:16], "the same" if old.digest == new.digest else ""),
        _bytes("model file", old.model_bytes, new.model_bytes),
        _bytes("bundle", old.bundle_bytes, new.bundle_bytes),
    ]
    if latency is not None:
        spread = f"{latency.least_ratio:.2f}-{latency.largest_ratio:.2f} in {latency.rounds} rounds"
        rows.append(
            (
                "one run",
                f"{latency.old_us:.1f} us",
                f"{latency.new_us:.1f} us",
                f"{latency.ratio:.2f}x ({spread})",
            )
        )
    if old.accuracy is not None and new.accuracy is not None:
        from converters.verify.proportion import shown

        rows.append(("accuracy", shown(old.accuracy), shown(new.accuracy), "95% intervals"))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *_judged(found)])


def _bytes(title: str, old: int, new: int) -> tuple[str, str, str, str]:
    return title, f"{old:,} bytes", f"{new:,} bytes", f"{new / old:.2f}x" if old else ""


def _judged(found: Comparison) -> list[str]:
    share, paired = found.agreement, found.paired
    split = f" of the {found.split} split" if found.split else ""
    lines = [
        f"agreement   {share.value:.2%} ({share.low * 100:.2f}-{share.high * 100:.2f}) of {found.n:,} items{split}"
    ]
    if paired is not None:
        lines.append(
            f"difference  {paired.difference * 100:+.2f} points ({paired.low * 100:+.2f} to {paired.high * 100:+.2f}); "
            f"right in new alone {paired.first_only}, in old alone {paired.second_only}; p {paired.p_value:.3g}"
        )
    listed = (("unreadable", found.unreadable), ("refused", found.refused), ("not named", found.strange))
    for title, items in listed:
        if items:
            more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
            lines.append(f"{title:<10}  {len(items)}: {'; '.join(map(printable, items[:_SHOWN]))}{more}")
    lines.append(f"verdict     {found.verdict.verdict}: {found.verdict.reason}")
    own = found.verdict.needed_for_observed
    if own is not None:
        lines.append(f"            the difference that was seen takes {own:,} items to tell")
    return lines

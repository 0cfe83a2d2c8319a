"""`edgeinfer gold`: a set of items that people labelled, and what a model makes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converters.bar import bar
from converters.missing import require_packages
from edgeinfer.errors import DataError

if TYPE_CHECKING:
    from converters.data.sources import Item, Source
    from converters.gold.evaluate import Evaluation
    from converters.gold.store import GoldSet, Offered

_FOLDER = click.option(
    "--gold",
    "folder",
    type=click.Path(path_type=Path),
    default="gold",
    show_default=True,
    help="Folder of the gold set.",
)
_VERSION = click.option("--version", type=int, help="A version of the set; the newest by default.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
_SHOWN = 20


@click.group()
def gold() -> None:
    """Keep a gold set: items labelled by people, in versions that only grow, and hold models against it."""


@gold.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE...")
@_FOLDER
@click.option("--by", required=True, help="Who labelled.")
@click.option("--label", help="Class of all that is added; else folders tell it.")
@click.option("--at", help="When, ISO 8601 with an offset from UTC; now by default.")
@click.option("--relabel", is_flag=True, help="Items that are there may get another label.")
def add(
    sources: Sequence[Path], folder: Path, by: str, label: str | None, at: str | None, relabel: bool
) -> None:
    """Add each SOURCE as one new version: a file with --label, or a folder or zip file, one folder a class.

    Content that is there already is not stored again. Another label for it is refused, unless
    --relabel says that it is meant; who said what before stays in the journal.
    """
    from converters.gold.journal import spell_time
    from converters.gold.store import add as add_to

    moment = spell_time(at, datetime.now(UTC))
    with ExitStack() as stack:
        offered = [each for source in sources for each in _offered(source, label, stack)]
        with bar("adding", 2 * len(offered)) as advance:
            done = add_to(folder, offered, by=by, at=moment, relabel=relabel, advance=advance)
    if done.new or done.relabelled:
        click.echo(
            f"version {done.version}: {done.new} new, {done.relabelled} relabelled, {done.known} already there; "
            f"{done.total} items, digest {done.digest[:16]}"
        )
    else:
        click.echo(
            f"nothing new: {done.known} already there; still version {done.version}, {done.total} items"
        )


@gold.command(name="list")
@_FOLDER
@_VERSION
@_JSON
def list_(folder: Path, version: int | None, as_json: bool) -> None:
    """Show the versions of a gold set, or with --version the items of one."""
    from converters.gold.store import open_set, read_versions

    if version is not None:
        chosen = open_set(folder, version)
        click.echo(_items_json(chosen) if as_json else _items(chosen))
        return
    rows = []
    for number, each in enumerate(read_versions(folder), 1):
        state = open_set(folder, number)
        rows.append(
            {
                "version": number,
                "at": each.at,
                "by": each.by,
                "labelled": len(each.items),
                "items": len(state.entries),
                "digest": state.digest,
            }
        )
    if as_json:
        click.echo(json.dumps({"versions": rows}, indent=2))
    else:
        lines = [
            [str(row[key]) for key in ("version", "at", "by", "labelled", "items")]
            + [str(row["digest"])[:16]]
            for row in rows
        ]
        click.echo(_columns(["version", "labelled at", "by", "labels", "items", "digest"], lines))


@gold.command(name="eval")
@click.argument("model", type=click.Path(path_type=Path))
@_FOLDER
@_VERSION
@click.option("--variant", help="Insist on a variant, by id.")
@_JSON
def eval_(model: Path, folder: Path, version: int | None, variant: str | None, as_json: bool) -> None:
    """Run bundle MODEL on a gold set: accuracy, class by class, with 95% intervals, and what is wrong."""
    require_packages("evaluating", "scipy")
    import edgeinfer as ei
    from converters.gold.evaluate import evaluate
    from converters.gold.store import open_set
    from converters.quiet import logged

    chosen, silent = open_set(folder, version), Path(os.devnull)
    with (
        bar("evaluating", len(chosen.entries)) as advance,
        logged(silent),
        ei.load(model, variant=variant) as loaded,
    ):
        found = evaluate(chosen, loaded, advance)
    if as_json:
        from edgeinfer.bundle import encode

        click.echo(json.dumps(encode(found), indent=2))
    else:
        click.echo(_evaluation(found))


def _offered(source: Path, label: str | None, stack: ExitStack) -> list[Offered]:
    from converters.data.collection import collect
    from converters.gold.store import Offered

    if source.is_file() and source.suffix.lower() != ".zip":
        if label is None:
            raise DataError(
                f"{source} has no label", next_step="give --label, or put it into a folder of its class"
            )
        return [Offered(source.name, label, partial(_read, source))]
    found = collect(source, labelled=None if label is None else False)
    if not found.labelled and label is None:
        raise DataError(
            f"the items in {source} have no labels",
            next_step="give --label, or put the items of each class into a folder of its name",
        )
    opened = stack.enter_context(found.source.reading())
    return [
        Offered(item.name, label or item.label, partial(_read_item, opened, item)) for item in found.items
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error})") from error


def _read_item(source: Source, item: Item) -> bytes:
    content = source.read(item)
    assert isinstance(content, bytes), "files hold bytes"
    return content


def _items(chosen: GoldSet) -> str:
    rows = [
        [entry.item.sha256[:16], entry.item.label, entry.by, entry.at, str(entry.version), entry.item.name]
        for entry in chosen.entries.values()
    ]
    head = f"{chosen.folder} version {chosen.version}: {len(rows)} items, digest {chosen.digest}"
    return head + "\n\n" + _columns(["item", "label", "by", "at", "since", "added from"], rows)


def _items_json(chosen: GoldSet) -> str:
    from edgeinfer.bundle import encode

    items = [encode(entry) for entry in chosen.entries.values()]
    return json.dumps({"version": chosen.version, "digest": chosen.digest, "items": items}, indent=2)


def _evaluation(found: Evaluation) -> str:
    from converters.verify.proportion import shown

    lines = [
        f"gold set  version {found.gold_version}, {found.accuracy.n} items, digest {found.gold_digest}",
        f"model     digest {found.bundle}, {found.variant} on {found.engine}",
        f"accuracy  {shown(found.accuracy)}",
        "",
        _columns(
            ["class", "items", "named rightly"],
            [[label, str(share.n), shown(share)] for label, share in found.per_class.items()],
        ),
    ]
    if found.wrong:
        rows = [
            [
                each.file[:16],
                each.label,
                each.by,
                each.named or "-",
                f"{each.confidence:.1%}",
                each.refused or each.name,
            ]
            for each in found.wrong[:_SHOWN]
        ]
        lines += ["", _columns(["wrong", "label", "by", "named", "sure", "added from"], rows)]
    if len(found.wrong) > _SHOWN:
        lines.append(f"and {len(found.wrong) - _SHOWN} more: --json lists all")
    return "\n".join(lines)


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[at]) for line in (header, *rows)) for at in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, rule, *rows)
    )

"""`edgeinfer egress`: what left this device."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from edgeinfer.cli.table import table
from edgeinfer.errors import StoreError, printable
from edgeinfer.privacy import Departure, EgressRecord
from edgeinfer.store import Home


@click.group()
def egress() -> None:
    """What left this device: when, where to, why and how much. Inputs and answers are not recorded."""


@egress.command()
@click.argument("home", type=click.Path(path_type=Path))
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, 100_000), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all fields.")
def show(home: Path, last: int, as_json: bool) -> None:
    """Show the latest requests that the app with its HOME folder sent, oldest first."""
    with opened(home) as kept:
        record = EgressRecord(kept)
        entries, dropped = record.entries(last), record.dropped
    if as_json:
        for each in entries:
            click.echo(json.dumps(asdict(each)))
        return
    if not entries:
        click.echo("nothing left this device")
        return
    click.echo(table(["when (UTC)", "where to", "purpose", "why", "bytes", "taken away", "outcome", "policy"],
                     [_row(each) for each in entries], right=(4,)))  # fmt: skip
    if dropped:
        click.echo(f"{dropped:,} older entries were dropped, since there were too many")


def opened(home: Path) -> Home:
    """Open a home that is there: looking must not make one.

    Raises:
        StoreError: There is none.
    """
    if not (home / "home.db").is_file():
        raise StoreError(f"{home} is no home of an app", expected="a folder with home.db")
    return Home(home)


def moment(at: float) -> str:
    """Return a time for people."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a clock may say anything
        return f"{at:.0f}"


def _row(each: Departure) -> list[str]:
    return [
        moment(each.at),
        printable(each.destination),
        each.purpose,
        each.why,
        f"{each.bytes:,}",
        printable(each.reduced) or "-",
        each.outcome,
        each.policy[:12],
    ]

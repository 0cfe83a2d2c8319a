"""`edgeinfer consent`: what the user agreed to."""

from __future__ import annotations

from pathlib import Path

import click

from edgeinfer.cli.egress import moment, opened
from edgeinfer.cli.table import table
from edgeinfer.errors import printable
from edgeinfer.privacy import PURPOSES, Consents, Purpose
from edgeinfer.store import Home

_PURPOSE = click.argument("purpose", type=click.Choice(PURPOSES))
_HOME = click.argument("home", type=click.Path(path_type=Path))


@click.group()
def consent() -> None:
    """What the user agreed to and took back."""


@consent.command()
@_HOME
def show(home: Path) -> None:
    """Show all that was said in a HOME folder, the last word last."""
    with opened(home) as kept:
        said = Consents(kept).history()
    if not said:
        click.echo("nothing was agreed to")
        return
    rows = [
        [
            moment(each.at),
            each.purpose,
            "given" if each.granted else "taken back",
            printable(each.version) or "-",
        ]
        for each in said
    ]
    click.echo(table(["when (UTC)", "purpose", "word", "version of the text"], rows))


@consent.command()
@_HOME
@_PURPOSE
@click.option("--version", default="1", show_default=True, help="Of the text that was agreed to.")
def give(home: Path, purpose: Purpose, version: str) -> None:
    """Record in a HOME folder, made if need be, that the user agrees to PURPOSE."""
    with Home(home) as kept:
        Consents(kept).give(purpose, version)
    click.echo(f"{purpose}: given, version {version}")


@consent.command()
@_HOME
@_PURPOSE
def withdraw(home: Path, purpose: Purpose) -> None:
    """Record that the user takes PURPOSE back, and erase what is kept under it."""
    with opened(home) as kept:
        Consents(kept).withdraw(purpose)
    click.echo(f"{purpose}: taken back; what was kept under it is erased")

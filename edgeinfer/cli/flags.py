"""`edgeinfer flags`: documents of feature flags, checked, explained and changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgeinfer.cli.editing import InFile, Place, Published, edit
from edgeinfer.errors import FlagError
from edgeinfer.flags import (
    FileSource,
    differences,
    document_faults,
    explained,
    killed,
    ramped,
    read_document,
    revived,
)
from edgeinfer.host import SystemClock

_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path("flags.json"),
    show_default=True,
    help="The document.",
)
_PATH = click.Path(path_type=Path)
_REPO = click.option(
    "--repo", type=_PATH, help="Change what is published in this signed repository, in place of a file."
)
_KEYS = click.option(
    "--keys", type=_PATH, default=Path("keys"), show_default=True, help="With --repo: the key of the flags."
)


@click.group()
def flags() -> None:
    """Feature flags: check, explain, ramp, kill, compare."""


@flags.command()
@click.argument("path", type=_PATH)
def check(path: Path) -> None:
    """Look for what is wrong with the document PATH."""
    data = FileSource(path).fetch()
    found = document_faults(data)
    if found:
        for line in found[:-1]:
            click.echo(line)
        raise FlagError(found[-1], next_step=f"{len(found)} to be mended in {path}")
    document = read_document(data)
    click.echo(f"{path}: {len(document.flags)} flags, release {document.version}, nothing is wrong")


@flags.command()
@click.argument("flag")
@click.option(
    "--context", "pairs", multiple=True, metavar="NAME=VALUE", help="What rules see; values as JSON, or text."
)
@_FILE
def explain(flag: str, pairs: tuple[str, ...], path: Path) -> None:
    """Tell how FLAG comes to its answer for a device."""
    document = read_document(FileSource(path).fetch())
    if flag not in document.flags:
        raise FlagError(
            f"there is no flag {flag} in {path}", expected=f"one of {', '.join(list(document.flags)[:10])}"
        )
    for line in explained(document.flags[flag], _context(pairs), SystemClock().utc()):
        click.echo(line)


@flags.command()
@click.argument("flag")
@click.argument("share")
@click.option("--variant", help="The variant that is ramped, where the flag has no shares yet.")
@click.option("--control", is_flag=True, help="Compare it with a share of the same size that runs the rest.")
@_FILE
@_REPO
@_KEYS
def ramp(flag: str, share: str, variant: str | None, control: bool, **where: Any) -> None:
    """Give FLAG's first variant a SHARE of all devices, such as 5%."""
    try:
        percent = float(share.removesuffix("%"))
    except ValueError:
        raise FlagError("the share", found=share, expected="a number of percent, such as 5%") from None
    edit(_place(**where), lambda old: ramped(old, flag, percent, variant, control=control))


@flags.command()
@click.argument("flag")
@click.option("--undo", is_flag=True, help="Let it be evaluated again.")
@_FILE
@_REPO
@_KEYS
def kill(flag: str, undo: bool, **where: Any) -> None:
    """Turn FLAG off everywhere: each program gets its own default."""
    edit(_place(**where), lambda old: (revived if undo else killed)(old, flag))


@flags.command()
@click.argument("old", type=_PATH)
@click.argument("new", type=_PATH)
def diff(old: Path, new: Path) -> None:
    """Show what is other in the document NEW than in OLD."""
    for line in differences(_parsed(old), _parsed(new)) or ["nothing is other"]:
        click.echo(line)


def _parsed(path: Path) -> dict[str, Any]:
    """Read a document that is to be compared: one with faults is mended first."""
    data = FileSource(path).fetch()
    faults = document_faults(data)
    if faults:
        raise FlagError(faults[0], next_step=f"edgeinfer flags check {path}")
    parsed: dict[str, Any] = json.loads(data)
    return parsed


def _place(path: Path, repo: Path | None, keys: Path) -> Place:
    return InFile(path) if repo is None else Published(repo, keys)


def _context(pairs: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise FlagError("an attribute of the context", found=pair, expected="NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found

"""`edgeinfer tuf-client`: the client of signed updates alone, in the form that TUF's conformance suite drives.

Source: theupdateframework/tuf-conformance, CLIENT-CLI.md.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from edgeinfer.errors import UpdateError
from edgeinfer.host import SystemClock, atomic_file
from edgeinfer.net import HttpTransport
from edgeinfer.updates import TufClient

_PATH = click.Path(path_type=Path)


@click.group("tuf-client")
@click.option("--metadata-dir", required=True, type=_PATH, help="Where trusted metadata are kept.")
@click.option("--metadata-url", default="", help="Where the repository's metadata lie.")
@click.option("--target-name", "names", multiple=True, help="A target to fetch; may be given several times.")
@click.option("--target-base-url", "targets_url", default="", help="Where the targets lie.")
@click.option("--target-dir", type=_PATH, help="Where to write targets.")
@click.pass_context
def tuf_client(context: click.Context, /, **options: object) -> None:
    """Fetch and verify any TUF repository, as its conformance suite asks.

    What is over is judged by the system's clock alone.
    """
    context.obj = options


@tuf_client.command()
@click.argument("root", type=_PATH)
@click.pass_obj
def init(options: dict[str, Path], root: Path) -> None:
    """Trust the root metadata ROOT."""
    _write(options["metadata_dir"] / "root.json", _read(root))


@tuf_client.command()
@click.pass_obj
def refresh(options: dict[str, str]) -> None:
    """Fetch and verify what is new."""
    _refreshed(options)


@tuf_client.command()
@click.pass_obj
def download(options: dict[str, str]) -> None:
    """Fetch targets, those that are there and right excepted."""
    client, folder = _refreshed(options), Path(options["target_dir"])
    for name in options["names"]:
        target = client.target(name)
        if target is None:
            raise UpdateError(f"the repository has no target {name}", next_step="check its name")
        path = folder / quote(name, safe="")
        if not (path.is_file() and client.is_right(target, path.read_bytes())):
            _write(path, client.fetch(options["targets_url"], target))


def _refreshed(options: dict[str, str]) -> TufClient:
    client = TufClient(
        Path(options["metadata_dir"]),
        options["metadata_url"],
        None,
        HttpTransport(),
        lambda _: SystemClock().utc(),
    )
    client.refresh()
    return client


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UpdateError(f"{path} cannot be read ({error.strerror or error})") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(data)
    except OSError as error:
        raise UpdateError(f"{path} cannot be written ({error.strerror or error})") from error

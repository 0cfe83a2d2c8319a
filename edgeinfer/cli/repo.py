"""`edgeinfer repo`: a signed repository of bundles and flags, as static files that any web server serves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from edgeinfer.cli.editing import PASSPHRASE
from edgeinfer.cli.egress import moment
from edgeinfer.cli.table import table
from edgeinfer.errors import RepositoryError, printable
from edgeinfer.flags import FileSource
from edgeinfer.host import SystemClock
from edgeinfer.repository import KeyChange, Keys, Outcome, Plan, Quorum, SignedRepository, Status, alarms

_PATH = click.Path(path_type=Path)
_DAY_S = 86_400
_FOLDER = click.option(
    "--folder", type=_PATH, default=Path("repository"), show_default=True, help="What is served."
)
_KEYS = click.option(
    "--keys", type=_PATH, default=Path("keys"), show_default=True, help="Keys; never served."
)
_STAGING = click.option(
    "--staging", type=_PATH, help="Where drafts wait for signatures [default: FOLDER.staging]."
)
_SINGLE = click.option(
    "--single-key", is_flag=True, help="Let one offline key be enough: whoever has it has the fleet."
)
_LOST = click.option(
    "--old-keys-lost",
    "lost",
    is_flag=True,
    help="Publish a new root without signatures of keys that are gone.",
)


def _on_repository(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where things lie, and hand it the repository."""

    @wraps(command)
    def run(folder: Path, keys: Path, staging: Path | None, **rest: Any) -> None:
        command(SignedRepository(folder, _kept(keys), SystemClock(), staging=staging), **rest)

    return _FOLDER(_KEYS(_STAGING(run)))


@click.group()
def repo() -> None:
    """A signed repository: bundles and flags as static files. Keys may be encrypted: EDGEINFER_KEY_PASSPHRASE."""


@repo.command()
@_on_repository
@click.option(
    "--root", default="2/3", show_default=True, metavar="T/N", help="Of N root keys T have to sign."
)
@click.option(
    "--targets", default="2/3", show_default=True, metavar="T/N", help="Likewise, for granting families."
)
@click.option(
    "--family", "families", multiple=True, metavar="NAME[=T/N]", help="A family of models, with its keys."
)
@click.option(
    "--days", "days", multiple=True, metavar="ROLE=DAYS", help="For how long a role's metadata hold."
)
@_SINGLE
def init(
    repository: SignedRepository,
    root: str,
    targets: str,
    families: tuple[str, ...],
    days: tuple[str, ...],
    single_key: bool,
) -> None:
    """Make a repository, and the keys that are missing."""
    named = dict(_pair(each) for each in families)
    plan = Plan(
        root=_quorum(root, single_key),
        targets=_quorum(targets, single_key),
        families={name: _quorum(value or "2/3", single_key) for name, value in named.items()},
        days={role: _whole(value, f"the days of {role}") for role, value in map(_pair, days)},
    )
    _tell(repository.create(plan))
    click.echo(f"to ship with the app: {repository.storage.metadata_path('root', 1)}")
    click.echo(f"to serve: {repository.storage.folder}; never to serve: {repository.keys.folder}")


@repo.command()
@_KEYS
@click.argument("name")
@click.option(
    "--public", type=_PATH, help="The public half, as PEM or another's NAME.json; without it a pair is made."
)
@click.option("--uri", default="", help="Where it signs: file:NAME.pem, exec:COMMAND, hsm:2, awskms:...")
def key(name: str, public: Path | None, uri: str, keys: Path) -> None:
    """Make the key NAME, such as root-2, or note the public half of one that lies elsewhere."""
    if public is None and uri:
        raise RepositoryError(f"key {name} lies elsewhere", found="no public half", expected="--public FILE")
    kept = _kept(keys)
    made = kept.make(name) if public is None else kept.describe(name, public.read_bytes(), uri)
    click.echo(
        f"key {name} ({made.scheme} {made.keyid[:12]}); for others, without its secret: {keys / name}.json"
    )


@repo.command()
@_on_repository
@click.argument("bundle", type=_PATH, required=False)
@click.option(
    "--family", help="The family of models that BUNDLE is of; granted keys of its own the first time."
)
@click.option("--quorum", default="2/3", show_default=True, metavar="T/N", help="These keys.")
@click.option(
    "--flags", "document", type=_PATH, help="A document of flags instead of a bundle; it holds at once."
)
@_SINGLE
def add(
    repository: SignedRepository,
    bundle: Path | None,
    family: str | None,
    quorum: str,
    document: Path | None,
    single_key: bool,
) -> None:
    """Offer BUNDLE to devices, or publish a document of flags."""
    if document is not None and bundle is None:
        _tell(repository.add_flags(FileSource(document).fetch()))
    elif bundle is not None and family and document is None:
        _tell(repository.add_bundle(bundle, family, _quorum(quorum, single_key)))
    else:
        raise RepositoryError("what to add", expected="BUNDLE --family NAME, or --flags FILE")


@repo.command()
@_on_repository
@click.argument("family")
@click.argument("digest")
def remove(repository: SignedRepository, family: str, digest: str) -> None:
    """Offer the bundle DIGEST of FAMILY no more."""
    _tell(repository.remove(family, digest))


@repo.command()
@_on_repository
@click.argument("role")
@click.option("--copy", "copies", type=_PATH, multiple=True, help="The same draft, signed elsewhere.")
@click.option("--yes", is_flag=True, help="Do not ask: what changes was read before.")
@_LOST
def sign(repository: SignedRepository, role: str, copies: tuple[Path, ...], yes: bool, lost: bool) -> None:
    """Show what the draft of ROLE changes, sign it with the keys that are here, and publish it if that is enough."""

    def approve(changes: Sequence[str]) -> bool:
        _echo(changes)
        return yes or click.confirm(f"sign {role}?")

    _tell(repository.sign(role, approve, copies=copies, lost=lost))


@repo.command()
@_on_repository
@click.argument("role")
@click.option("--add", multiple=True, metavar="NAME", help="A key to add; made if there is none.")
@click.option("--remove", multiple=True, metavar="NAME", help="A key to remove, by name or id.")
@click.option("--threshold", type=click.IntRange(1), help="How many keys have to sign from now on.")
@click.option("--days", type=click.IntRange(1), help="For how long its metadata hold from now on.")
@_SINGLE
@_LOST
def rotate(repository: SignedRepository, role: str, single_key: bool, lost: bool, **wish: Any) -> None:
    """Replace all keys of ROLE, or add and remove some, or change its threshold or its days."""
    if wish["threshold"] == 1 and role not in ("flags", "snapshot", "timestamp") and not single_key:
        _refuse_single(f"the threshold of {role}")
    _tell(repository.rotate(role, KeyChange(**wish), lost=lost))


@repo.command()
@_on_repository
@click.argument("roles", nargs=-1)
@click.option(
    "--if-within", "days", type=click.FloatRange(0), help="Days left [default: half of a role's time]."
)
def refresh(repository: SignedRepository, roles: tuple[str, ...], days: float | None) -> None:
    """Sign timestamp, snapshot and flags anew where they are over soon, and ROLES in any case; for a timer."""
    outcome = repository.refresh(roles, days)
    _tell(outcome)
    if not outcome.published and not outcome.waiting:
        click.echo("nothing is over soon")


@repo.command()
@_on_repository
@click.option(
    "--alarm-days", type=click.FloatRange(0), help="End with exit status 1 where a role is over by then."
)
def status(repository: SignedRepository, alarm_days: float | None) -> None:
    """Verify every signature and file, and show roles, models, flags and what is over soon."""
    now, found = SystemClock().utc(), repository.status()
    _show(found, now)
    over = alarms(found.roles, now, 30 if alarm_days is None else alarm_days)
    _echo(over)
    _echo(found.faults)
    if found.faults:
        raise RepositoryError(
            found.faults[0], found=f"{len(found.faults)} faults", next_step="mend it before devices need it"
        )
    if over and (alarm_days is not None or any(role.expires <= now for role in found.roles)):
        raise RepositoryError(over[0])
    click.echo("every signature and file holds" if found.roles else "nothing is published yet")


def _show(found: Status, now: float) -> None:
    header = ["role", "version", "signed (UTC)", "expires in", "threshold", "signatures", "keys"]
    rows = [
        [
            role.name,
            str(role.version),
            moment(role.issued),
            f"{(role.expires - now) / _DAY_S:.1f} days",
            str(role.threshold),
            str(role.signed),
            printable(", ".join(role.keys)),
        ]
        for role in found.roles
    ]
    click.echo(table(header, rows, right=(1, 3, 4, 5)))
    for model in found.models:
        click.echo(printable(f"model {model.family}  {model.digest}  {model.name} {model.version}"))
    if found.flags_release is not None:
        click.echo(f"flags release {found.flags_release}")
    _echo(f"waits: {role}: {why}" for role, why in found.waiting.items())


def _tell(outcome: Outcome) -> None:
    _echo(outcome.changes)
    _echo(outcome.notes)
    for role, why in outcome.waiting.items():
        click.echo(printable(f"waits: {role}: {why}; the next key holder: edgeinfer repo sign {role}"))
    if outcome.published:
        told = ", ".join(f"{role} {version}" for role, version in outcome.published.items())
        click.echo(f"published: {told}")


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line))


def _kept(keys: Path) -> Keys:
    return Keys(keys, os.environ.get(PASSPHRASE, ""))


def _quorum(text: str, single_key: bool) -> Quorum:
    if single_key:
        return Quorum(1, 1)
    threshold, separator, keys = text.partition("/")
    if not separator or not threshold.isdecimal() or not keys.isdecimal():
        raise RepositoryError("how many keys have to sign", found=text, expected="T/N, such as 2/3")
    if int(threshold) == 1:
        _refuse_single("how many keys have to sign")
    return Quorum(int(threshold), int(keys))


def _refuse_single(what: str) -> None:
    raise RepositoryError(
        what,
        found="1",
        expected="2 or more: one stolen key would be enough",
        next_step="--single-key allows it",
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _whole(text: str, what: str) -> int:
    if not text.isdecimal():
        raise RepositoryError(what, found=repr(text), expected="ROLE=DAYS, such as timestamp=7")
    return int(text)

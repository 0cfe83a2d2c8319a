"""`edgeinfer doctor`: what is installed, what it can run on, what is missing and how to get it."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from typing import Any

import click

import edgeinfer
from edgeinfer.cli.quiet import quiet_engines
from edgeinfer.cli.table import table
from edgeinfer.engines import ENGINE_NAMES, EngineInfo, engine_named
from edgeinfer.errors import EngineUnavailable
from edgeinfer.host import packages_of, processor, usable_cpus

# The engines' own table says what is missing of them.
_EXTRAS = {"image": "pictures as input", "convert": "making bundles"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(as_json: bool) -> None:
    """Show what this machine can run; the exit status is 1 when it can run no model at all."""
    engines = _engines()
    extras = [_extra(name, purpose) for name, purpose in _EXTRAS.items()]
    machine = {
        "edgeinfer": edgeinfer.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": processor(),
        "cpus": usable_cpus(),
    }
    if as_json:
        click.echo(json.dumps({"machine": machine, "engines": engines, "extras": extras}, indent=2))
    else:
        _show(machine, engines, extras)
    if not any(engine["usable"] for engine in engines):
        raise EngineUnavailable("no engine is usable here", next_step="pip install 'edgeinfer[device]'")


def _engines() -> list[dict[str, Any]]:
    found = []
    for name in ENGINE_NAMES:
        with quiet_engines():
            state = _info(name)
        if isinstance(state, EngineInfo):
            found.append({"usable": True, **asdict(state)})
        else:
            found.append({"usable": False, "name": name, "reason": str(state)})
    return found


def _info(name: str) -> EngineInfo | EngineUnavailable:
    try:
        return engine_named(name).info()
    except EngineUnavailable as error:
        return error


def _extra(name: str, purpose: str) -> dict[str, Any]:
    packages = packages_of(name)
    missing = [package for package, version in packages.items() if version is None]
    return {"extra": name, "purpose": purpose, "packages": packages, "missing": missing}


def _show(machine: dict[str, Any], engines: list[dict[str, Any]], extras: list[dict[str, Any]]) -> None:
    for key, value in machine.items():
        click.echo(f"{key:<10} {value}")
    click.echo()
    rows = []
    for engine in engines:
        if engine["usable"]:
            rows.append(
                [
                    engine["name"],
                    f"{engine['package']} {engine['version']}",
                    ", ".join(engine["accelerators"]),
                ]
            )
        else:
            rows.append([engine["name"], "not usable", engine["reason"]])
    click.echo(table(["engine", "installed", "runs on"], rows))
    click.echo()
    rows = []
    for extra in extras:
        lacks = ", ".join(extra["missing"])
        state = f"lacks {lacks}: pip install 'edgeinfer[{extra['extra']}]'" if lacks else "complete"
        rows.append([extra["extra"], extra["purpose"], state])
    click.echo(table(["extra", "for", "state"], rows))

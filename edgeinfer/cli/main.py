"""The command's frame: finds subcommands by entry point, and turns errors into one line."""

from __future__ import annotations

import io
import os
import sys
from importlib import metadata
from typing import NoReturn

import click

import edgeinfer
from edgeinfer.errors import EdgeInferError

GROUP = "edgeinfer.commands"


class Commands(click.Group):
    """Subcommands from the installed packages, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return sorted({*super().list_commands(ctx), *metadata.entry_points(group=GROUP).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand."""
        found = metadata.entry_points(group=GROUP, name=cmd_name)
        for point in found:
            command = point.load()
            assert isinstance(command, click.Command), f"{point.value} is no command"
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgeinfer.__version__, prog_name="edgeinfer")
def cli() -> None:
    """Make small models from cloud models, and run them here."""


def main() -> None:
    """Run the command; any failure ends in one line and exit status 1.

    What is not one of edgeinfer's errors is a fault of ours: `EDGEINFER_TRACEBACK=1` shows where.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be valid text; it is shown escaped rather than not at all.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli()
    except EdgeInferError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot read or write ({error}); check the disk and where the output goes")
    except Exception as error:
        if os.environ.get("EDGEINFER_TRACEBACK"):
            raise
        _fail(
            f"unexpected {type(error).__name__} ({error}); please report it, with EDGEINFER_TRACEBACK=1 set"
        )


def _fail(message: str) -> NoReturn:
    if sys.stderr is not None:
        click.echo("error: " + " ".join(message.split()), err=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # The output's disk is full: the interpreter must not try again, and complain, on its way out.
        os._exit(1)
    sys.exit(1)

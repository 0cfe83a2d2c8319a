"""The command's frame: finds subcommands by entry point, and turns errors into one line."""

from __future__ import annotations

import sys
from importlib import metadata

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
    """Run the command; exit with 1 and one line on any of edgeinfer's errors."""
    try:
        cli()
    except EdgeInferError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader (head, less) has had enough; nothing is wrong.
        sys.stderr.close()
        sys.exit(0)

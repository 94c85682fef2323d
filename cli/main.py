"""The `cronkeeper` command. Each word's module is imported only when that word is used."""

import errno
import importlib
import sys
from importlib.metadata import version
from typing import Any

import click

from cronkeeper.cli.show import forget_output

WORDS = {
    "up": ("cronkeeper.cli.up", "up"),
    "down": ("cronkeeper.cli.up", "down"),
    "api": ("cronkeeper.cli.daemons", "api"),
    "manager": ("cronkeeper.cli.daemons", "manager"),
    "worker": ("cronkeeper.cli.daemons", "worker"),
    "db": ("cronkeeper.cli.daemons", "db"),
    "job": ("cronkeeper.cli.jobs", "job"),
    "run": ("cronkeeper.cli.runs", "run"),
    "node": ("cronkeeper.cli.nodes", "node"),
    "token": ("cronkeeper.cli.tokens", "token"),
    "doctor": ("cronkeeper.cli.doctor", "doctor"),
    "completion": ("cronkeeper.cli.completion", "completion"),
}
HELP = {
    "up": "Run the whole of it on this machine, in the foreground.",
    "down": "Stop what `up` started here.",
    "api": "The REST API's server.",
    "manager": "A manager: one of them leads.",
    "worker": "This node's daemon.",
    "db": "The database's tables.",
    "job": "Create, look at, change, run and remove jobs.",
    "run": "Look at runs and what they wrote, and wait for their ends.",
    "node": "Add nodes, and look at them.",
    "token": "Make people's tokens, look at them, revoke them.",
    "doctor": "Look at all that this machine's part needs, and say what to do.",
    "completion": "Print a script that completes these words in bash, zsh or fish.",
}


class Lazy(click.Group):
    """A group that knows its words' names and one line about each without importing them."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """As usual; where the disk that the output goes to is full, it says so."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            click.echo(f"Error: not all could be written: {error.strerror}", err=True)
            forget_output()
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(WORDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in WORDS:
            return None
        module, name = WORDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(HELP.items()))


@click.group(cls=Lazy)
@click.version_option(version("cronkeeper"), prog_name="cronkeeper")
def main() -> None:
    """The cron jobs of a whole fleet: every tick of every job starts exactly once."""
    for word in sys.argv[1:]:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise click.UsageError(f"{word!r} is no text in UTF-8") from error


if __name__ == "__main__":
    sys.exit(main())

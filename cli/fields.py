"""The options that say what a job is, and the fields that the API is sent for them."""

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import click

from .cells import SIZES, UNITS
from .client import Refused, path_to
from .upload import is_large

# Written out: the model's enums take longer to import than --help may take.
TYPES = ("command", "script", "binary")
CONCURRENCY = ("forbid", "allow", "replace")
CATCH_UP = ("latest", "all")
ON_NODE_LOSS = ("fail", "rerun")
WHEN_ISOLATED = ("finish", "stop", "run")
COPIES = ("1", "all")
RETRY = ("delay", "backoff", "jitter")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]+)?)([smhd]?)")
_SIZE = re.compile(r"([0-9]{1,12})([kmgKMG]?)")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AS_GIVEN = ("schedule", "at", "timezone", "name", "node", "run_as", "shell", "timeout", "grace")
_POLICIES = (
    "concurrency",
    "catch_up",
    "max_lateness",
    "max_output",
    "on_node_loss",
    "when_isolated",
    "enabled",
)
MAX_TEXT_BYTES = 64 * 1024
"""What the API takes of the standard input, and of the whole environment."""
MAX_FILE_BYTES = 16 * 1024 * 1024
"""What the API takes of a file in a job's own request; a larger one has to be put before it."""
CLEARED: Mapping[str, Any] = {
    "arg": ("args", []),
    "at": ("at", None),
    "env": ("env", {}),
    "node": ("node", None),
    "requires": ("requires", {}),
    "retry": ("retry", None),
    "run-as": ("run_as", None),
    "schedule": ("schedule", None),
    "shell": ("shell", None),
    "stdin": ("stdin", None),
    "timeout": ("timeout", None),
}
"""What can be taken away from a job: the field that it is, and its value without."""


class Size(click.ParamType[int]):
    """A number of bytes such as 4096, 64K, 10M or 1G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size: such as 4096, 64K, 10M or 1G is expected", param, ctx)
        number, unit = found.groups()
        return int(number) * SIZES.get(unit.upper(), 1)


class Duration(click.ParamType[float]):
    """A time such as 90, 90s, 15m, 2h or 1d, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = _DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration: such as 90, 90s, 15m, 2h or 1d is expected", param, ctx)
        number, unit = found.groups()
        return float(number) * UNITS.get(unit, 1)


DURATION = Duration()
SIZE = Size()
FILE = click.File("rb")
STDIN = "<stdin>"

_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option("--command", help="What to run: one line for the shell."),
    click.option("--script", type=FILE, help="What to run: a script, which is copied to the node."),
    click.option("--binary", type=FILE, help="What to run: a program, which is copied to the node."),
    click.option("--arg", "args", multiple=True, help="An argument of the script or binary; repeatable."),
    click.option(
        "--shell", help="The program that reads the command or script; else /bin/sh, or its #! line."
    ),
    click.option(
        "--env", multiple=True, metavar="NAME=VALUE", help="A variable of its environment; repeatable."
    ),
    click.option("--env-file", type=FILE, help="A file of such variables, one a line; # begins a comment."),
    click.option("--stdin-file", type=FILE, help="A file whose text it reads as its standard input."),
    click.option(
        "--schedule",
        help="Five cron fields, six with seconds first, @daily, @every 10s, @once; else only by hand.",
    ),
    click.option("--at", help="When, once: such as 2030-01-31T12:00:00+01:00."),
    click.option("--timezone", help="The zone of its schedule, such as Europe/Berlin; else the fleet's."),
    click.option("--name", help="For people; else what is run."),
    click.option("--node", help="The only node that may run it; else any."),
    click.option(
        "--requires", multiple=True, metavar="KEY=VALUE", help="A label that its node must have; repeatable."
    ),
    click.option("--run-as", help="The user to run as, for admins only."),
    click.option("--timeout", type=DURATION, help="End a run after this time, such as 90s, 15m or 2h."),
    click.option("--grace", type=DURATION, help="The time from the request to end (SIGTERM) to SIGKILL."),
    click.option("--concurrency", type=click.Choice(CONCURRENCY), help="May a run begin while one goes on?"),
    click.option("--catch-up", type=click.Choice(CATCH_UP), help="Which missed ticks run later."),
    click.option("--max-lateness", type=DURATION, help="A tick that is later than this runs no more."),
    click.option(
        "--max-output", type=SIZE, help="How much of its output is kept of each run, such as 64K or 1G."
    ),
    click.option("--retry", type=click.IntRange(0), help="How often a run that failed is tried again."),
    click.option("--retry-delay", type=DURATION, help="How long after it; else 10s."),
    click.option("--retry-backoff", type=float, help="By what each delay is longer than the last; else 2."),
    click.option("--retry-jitter", type=DURATION, help="Up to so much more, by chance; else 0."),
    click.option(
        "--on-node-loss", type=click.Choice(ON_NODE_LOSS), help="Does a run that was lost run again?"
    ),
    click.option(
        "--when-isolated", type=click.Choice(WHEN_ISOLATED), help="Its runs on a node that is cut off."
    ),
    click.option("--copies", type=click.Choice(COPIES), help="On one node, or on all that will do."),
    click.option("--enabled/--disabled", default=None, help="Whether its schedule counts; else it does."),
)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what a job is."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The API's fields for the options that were given, and no others; a large file is still to be put.

    Raises:
        click.UsageError
        Refused: a file is larger than what the API takes.
    """
    files = (given[name] for name in ("script", "binary", "env_file", "stdin_file"))
    if sum(file is not None and _name(file) == STDIN for file in files) > 1:
        raise click.UsageError("only one option can read standard input")
    made = {name: given[name] for name in (*_AS_GIVEN, *_POLICIES) if given[name] is not None}
    made |= _what_runs(given)
    if given["args"]:
        made["args"] = list(given["args"])
    env = (_env_file(given["env_file"]) if given["env_file"] is not None else {}) | _env(
        given["env"], "--env"
    )
    if env:
        made["env"] = env
    if given["requires"]:
        made["requires"] = _labels(given["requires"])
    if given["copies"] is not None:
        made["copies"] = 1 if given["copies"] == "1" else given["copies"]
    made |= _retry(given)
    if given["stdin_file"] is not None:
        made["stdin"] = _text(given["stdin_file"], "stdin: the text is")
    return made


def job_path(job_id: str) -> str:
    """Where the API has the job."""
    return path_to("jobs", job_id)


def _what_runs(given: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in TYPES if given[kind] is not None]
    if not kinds:
        return {}
    if len(kinds) > 1:
        raise click.UsageError("give only one of --command, --script and --binary")
    kind = kinds[0]
    if kind == "command":
        return {"type": kind, "command": given["command"]}
    file = given[kind]
    if _name(file) == STDIN:
        return {"type": kind, "executable": _program(file)}
    content = file if is_large(file) else _program(file)
    return {"type": kind, "executable": content, "filename": PurePath(_name(file)).name}


def _env_file(file: io.BufferedReader) -> dict[str, str]:
    lines = _text(file, f"env: {_name(file)} is").splitlines()
    return _env([line for line in lines if line.strip() and not line.lstrip().startswith("#")], _name(file))


def _env(lines: Sequence[str], source: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines]
    for name, equals, _ in pairs:
        if not equals or not _ENV_NAME.fullmatch(name):
            raise click.UsageError(
                f"{source}: {name!r} is not followed by = or is no name; NAME=VALUE is expected"
            )
    return {name: value for name, _, value in pairs}


def _retry(given: Mapping[str, Any]) -> dict[str, Any]:
    more = {name: given[f"retry_{name}"] for name in RETRY if given[f"retry_{name}"] is not None}
    if given["retry"] is not None:
        return {"retry": {"attempts": given["retry"], **more}}
    if more:
        raise click.UsageError(f"--retry-{next(iter(more))}: give --retry with it, the number of attempts")
    return {}


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not equals:
            raise click.UsageError(
                f"--requires: {key!r} is no label: KEY=VALUE is expected, such as disk=ssd"
            )
    return {key: value for key, _, value in pairs}


def _name(file: io.BufferedReader) -> str:
    """As people gave it; a `-` is standard input."""
    return str(getattr(file, "name", STDIN))


def _program(file: io.BufferedReader) -> str:
    """What is no large file on the disk goes into the job's own request, in base64."""
    content = _read(
        file, MAX_FILE_BYTES, "executable: the file is", "; more is taken from a file on the disk"
    )
    return base64.b64encode(content).decode()


def _text(file: io.BufferedReader, what: str) -> str:
    try:
        return _read(file, MAX_TEXT_BYTES, what).decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{_name(file)} is no text in UTF-8") from error


def _read(file: io.BufferedReader, limit: int, what: str, otherwise: str = "") -> bytes:
    """All of it; never more than the limit is held, for a device has no end. Raises: Refused, UsageError."""
    try:
        content = file.read(limit + 1)
    except OSError as error:
        raise click.UsageError(f"{_name(file)} can't be read: {error.strerror}") from error
    if len(content) > limit:
        raise Refused(f"{what} too large; accepted: up to {limit} bytes{otherwise}")
    return content

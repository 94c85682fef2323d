"""Our block in a crontab, pure: mostly a line for each job, spliced in so that every byte outside it stays."""

import re
import shlex
from collections.abc import Iterable
from datetime import datetime, tzinfo
from pathlib import Path

from crontab import CronTab

from cronkeeper.common.cron_lines import cron_lines
from cronkeeper.common.errors import CronkeeperError, Invalid
from cronkeeper.common.every import EVERY
from cronkeeper.common.model import Spec
from cronkeeper.common.schedule import ONCE, of_cron

MAX_LINE_BYTES = 998
"""Debian's cron refuses a longer command, and with it the whole file."""
MAX_LINES = 10_000
"""Debian's cron refuses a longer file, comments included."""


class Damaged(CronkeeperError):
    """Our block has a beginning and no end, so where foreign lines begin again can't be told."""


def lines(spec: Spec, *, spool: Path, user: str | None, zone: tzinfo, now: datetime) -> tuple[bytes, ...]:
    """The lines that have cron file the job's ticks; none for a job that has no time.

    Any shell reads them, they do nothing once `spool` is gone, and end in a comment for people. What cron can't
    keep is a comment as a whole. `user` is the extra field of a system crontab.
    """
    own = f" ({spec.timezone})" if follows_another_zone(spec, zone) else ""
    told = f" # cronkeeper {spec.job_id} {_one_line(spec.name)}{own}: {_one_line(_what(spec))}"
    if spec.schedule is not None and spec.enabled and not of_cron(spec.schedule):
        return (_shorten(f"# by the worker's clock: {spec.schedule}".encode(), told.encode()),)
    folder = shlex.quote(str(spool)).replace("%", r"\%")
    file_it = f"[ -d {folder} ] && : > {folder}/{spec.job_id}"
    who = f"{user} " if user is not None else ""
    return tuple(
        _shorten(f"{fields} {who}{file_it}".encode(), told.encode()) for fields in cron_lines(spec, zone, now)
    )


def follows_another_zone(spec: Spec, zone: tzinfo) -> bool:
    """Whether the job's lines may have to be others some day, since clocks are not changed alike everywhere."""
    at_a_time = spec.schedule not in (None, ONCE) and not str(spec.schedule).startswith(EVERY)
    return at_a_time and spec.timezone != str(zone)


def check(entry: bytes, *, system: bool) -> None:
    """Raise `Invalid` for a line that cron would refuse, since it drops the whole file then."""
    if entry.startswith(b"# by ") and b"\n" not in entry:
        return
    text = entry.decode()
    items = list(CronTab(tab=text + "\n", user=False if system else None))
    if len(items) != 1 or not items[0].is_valid() or not items[0].is_enabled():
        raise Invalid(f"cron would not take this line: {text}")


def block(install: str, entries: Iterable[bytes]) -> bytes:
    """The block with its markers; nothing where there are no lines."""
    body = b"".join(entry + b"\n" for entry in entries)
    if not body:
        return b""
    begin, end = _markers(install)
    return begin + b"\n" + body + end + b"\n"


def splice(table: bytes, install: str, entries: Iterable[bytes]) -> bytes:
    """The table with our block replaced, added at its end, or taken out; all other bytes as they were.

    Raises:
        Damaged: our block's end is missing.
    """
    begin, end = _markers(install)
    new = block(install, entries)
    found = re.search(rb"^" + re.escape(begin) + rb"\n", table, re.MULTILINE)
    if found is None:
        gap = b"\n" if new and table and not table.endswith(b"\n") else b""
        return table + gap + new
    last = re.compile(rb"^" + re.escape(end) + rb"(\n|\Z)", re.MULTILINE).search(table, found.end())
    if last is None:
        raise Damaged(
            f"the crontab has our line {begin.decode()!r} but not {end.decode()!r}: "
            "put that line back below our jobs, or delete our jobs and the first line"
        )
    return table[: found.start()] + new + table[last.end() :]


def _markers(install: str) -> tuple[bytes, bytes]:
    return (
        f"# cronkeeper {install} begin: written by cronkeeper, edits are undone".encode(),
        f"# cronkeeper {install} end".encode(),
    )


def _what(spec: Spec) -> str:
    if spec.command is not None:
        return spec.command
    return spec.artifact.filename if spec.artifact is not None else spec.type


def _one_line(text: str) -> str:
    """Safe behind a `#` in a crontab: no line ends, and no bare % (cron ends the command there)."""
    flat = "".join(char if char.isprintable() else " " for char in text)
    return flat.replace("%", r"\%")


def _shorten(must: bytes, told: bytes) -> bytes:
    room = MAX_LINE_BYTES - len(must)
    if len(told) <= room:
        return must + told
    cut = told[: room - len("…".encode())].decode(errors="ignore").rstrip("\\")
    return must + cut.encode() + "…".encode()

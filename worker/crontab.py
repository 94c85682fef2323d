"""Our block in a crontab, pure: mostly a line for each job, spliced in so that every byte outside it stays."""

import hashlib
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path

from crontab import CronTab

from cronkeeper.common.cron_lines import cron_lines
from cronkeeper.common.errors import Invalid
from cronkeeper.common.every import EVERY
from cronkeeper.common.model import Spec
from cronkeeper.common.schedule import ONCE, of_cron

MAX_LINE_BYTES = 998
"""Debian's cron refuses a longer command, and with it the whole file."""
MAX_LINES = 10_000
"""Debian's cron refuses a longer file, comments included."""


BY_CLOCK = "# by the worker's clock: "
CANARY = "canary."
"""How the canary's files in the spool are named, before the name of its table."""
_SETTING = re.compile(rb"""[ \t]*("[^"]*"|'[^']*'|[A-Za-z_]\w*)[ \t]*=""")


def lines(spec: Spec, *, spool: Path, user: str | None, zone: tzinfo, now: datetime) -> tuple[bytes, ...]:
    """The lines that have cron file the job's ticks; none for a job that has no time.

    Any shell reads them, they do nothing once `spool` is gone, and end in a comment for people. What cron can't
    keep is a comment as a whole. `user` is the extra field of a system crontab.
    """
    own = f" ({spec.timezone})" if follows_another_zone(spec, zone) else ""
    told = f" # cronkeeper {spec.job_id} {_one_line(spec.name)}{own}: {_one_line(_what(spec))}"
    if spec.schedule is not None and spec.enabled and not of_cron(spec.schedule):
        return (_shorten(f"{BY_CLOCK}{spec.schedule}".encode(), told.encode()),)
    file_it = filing(spool) + str(spec.job_id).encode()
    return tuple(
        _shorten(_head(fields, user) + file_it, told.encode()) for fields in cron_lines(spec, zone, now)
    )


def follows_another_zone(spec: Spec, zone: tzinfo) -> bool:
    """Whether the job's lines may have to be others some day, since clocks are not changed alike everywhere."""
    at_a_time = spec.schedule not in (None, ONCE) and not str(spec.schedule).startswith(EVERY)
    return at_a_time and spec.timezone != str(zone)


def filing(spool: Path) -> bytes:
    """How all our lines begin to file into this spool, behind their fields: whatever has that is ours."""
    folder = shlex.quote(str(spool)).replace("%", r"\%")
    return f"[ -d {folder} ] && : > {folder}/".encode()


def name_of(entries: Iterable[bytes], times: int) -> str:
    """The name of a table with these lines, which its canary files; `times` tells two writes of the same apart."""
    return hashlib.sha256(b"\n".join([str(times).encode(), *entries])).hexdigest()[:8]


def canary(name: str, *, spool: Path, user: str | None) -> bytes:
    """The line that has cron file each minute that it lives, and has read the table of that name.

    It stands last: Debian's cron and cronie file from the end, and so it does not wait for the jobs.
    """
    told = b" # cronkeeper: says that cron runs and has read these lines"
    return _head("* * * * *", user) + filing(spool) + (CANARY + name).encode() + told


def check(entry: bytes, *, system: bool) -> None:
    """Raise `Invalid` for a line that cron would refuse, since it drops the whole file then."""
    if entry.startswith(b"# by ") and b"\n" not in entry:
        return
    text = entry.decode()
    items = list(CronTab(tab=text + "\n", user=False if system else None))
    if len(items) != 1 or not items[0].is_valid() or not items[0].is_enabled():
        raise Invalid(f"cron would not take this line: {text}")


def refused_line(table: bytes, *, system: bool) -> str | None:
    """The first line that cron would probably refuse, and with it the whole table: number and text, for people."""
    for number, entry in enumerate(table.split(b"\n"), 1):
        text = entry.strip(b" \t")
        if not text or text.startswith(b"#") or _SETTING.match(text):
            continue
        try:
            check(text.decode("latin-1").encode(), system=system)
        except (Invalid, ValueError):
            return f"line {number}: {_one_line(text.decode(errors='replace'))[:80]}"
    return None if not table or table.endswith(b"\n") else "the last line has no end"


def block(install: str, entries: Iterable[bytes]) -> bytes:
    """The block with its markers; nothing where there are no lines."""
    body = b"".join(entry + b"\n" for entry in entries)
    if not body:
        return b""
    begin, end = _markers(install)
    return begin + b"\n" + body + end + b"\n"


def splice(table: bytes, install: str, entries: Sequence[bytes], filed: bytes) -> bytes:
    """The table with our block replaced, added at its end, or taken out; all other bytes as they were.

    Of a block that has lost an end, and of lines that were moved out of it, all goes that is ours by its form: a
    marker, or a line that files into our spool, which `filed` tells (`filing`).
    """
    new = block(install, entries)
    head, tail = _around(table, install, entries, filed)
    if new and head and not head.endswith(b"\n"):
        head += b"\n"
    if new and tail and not tail.endswith(b"\n"):
        tail += b"\n"
    return head + new + tail


def _around(table: bytes, install: str, entries: Sequence[bytes], filed: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind our block."""
    begin, end = _markers(install)
    first, last = re.escape(begin), re.escape(end)
    whole = re.compile(rb"^%s\n(?:(?!%s\n).*\n)*?%s(?:\n|\Z)" % (first, first, last), re.MULTILINE)
    found = whole.search(table)
    if found is None:
        return _foreign(table, {begin, end}, (begin, end, *entries), filed)
    around = table[: found.start()], table[found.end() :]
    if not any(mark in part for mark in (filed, begin, end) for part in around):
        return around
    head, tail = (b"".join(_foreign(part, {begin, end}, (), filed)) for part in around)
    return head, tail


def _foreign(
    table: bytes, markers: Collection[bytes], known: Sequence[bytes], filed: bytes
) -> tuple[bytes, bytes]:
    """The lines that are not ours by their form, before and behind the first one that is.

    A last line that was cut off is ours where it follows one of ours and is how one that is `known` begins.
    """
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    met = after_ours = False
    for entry in re.findall(rb"[^\n]*\n|[^\n]+", table):
        text = entry.removesuffix(b"\n")
        files = filed in text and not text.lstrip().startswith(b"#")
        cut_off = text == entry and after_ours and any(each.startswith(text) for each in known)
        told = text in known and text.startswith(BY_CLOCK.encode())
        after_ours = text in markers or files or cut_off or told
        met = met or after_ours
        if not after_ours:
            parts[met].append(entry)
    return b"".join(parts[0]), b"".join(parts[1])


def _head(fields: str, user: str | None) -> bytes:
    return (f"{fields} {user} " if user is not None else f"{fields} ").encode()


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

"""What a request says of a job, made into the whole job. Nothing is stored here."""

from collections.abc import Mapping
from dataclasses import fields as names_of
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from cronkeeper.common import isolation
from cronkeeper.common.artifacts.store import sha256_of
from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import (
    Artifact,
    CatchUp,
    Concurrency,
    Copies,
    Definition,
    Job,
    JobType,
    NewJob,
    Retry,
    encode,
)
from cronkeeper.common.schedule import ONCE, parse

from .fields import MAX_NAME, PutFile
from .job_schemas import ONLY_ONCE, unfit

MAX_BYTES = 384 * 1024
"""Of a whole job as JSON, its file left out: more could not be sent to a node."""
COPY = " (copy)"
_OWN = frozenset(field.name for field in names_of(Definition))
_LEFT_OUT = {
    "command": None,
    "artifact": None,
    "at": None,
    "run_as": None,
    "concurrency": Concurrency.FORBID,
}
_FIXED = {
    "type": "can't be changed: create a new job",
    "copies": "can't be changed: duplicate the job with the other value, and remove this one",
}

Fields = Mapping[str, Any]


def whole(fields: Fields, timezone: str, now: datetime, before: Job | None = None) -> NewJob:
    """The job that the fields alone describe, in place of the one `before`, if there is one.

    `timezone` is the fleet's.

    Raises:
        Invalid: something can't be so; every field that is wrong is named.
    """
    left_out = _LEFT_OUT | {"timezone": timezone, "name": _default_name(fields)}
    return _checked(left_out | _own(fields, None), before, now)


def patched(job: Job, fields: Fields, now: datetime) -> NewJob:
    """The job with these fields changed. Raises: Invalid, as `whole`."""
    wrong = unfit(job.type, fields, whole=False)
    if wrong:
        raise _refusal(wrong)
    return _checked(_values(job) | _own(fields, job), job, now)


def copied(job: Job, fields: Fields, now: datetime) -> NewJob:
    """A new job like this one but for these fields. Raises: Invalid, as `whole`."""
    name = job.name[: MAX_NAME - len(COPY)] + COPY
    return _checked(_values(job) | {"name": name} | _own(fields, job), None, now)


def _values(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _OWN}


def _own(fields: Fields, before: Job | None) -> dict[str, Any]:
    """The fields as a definition has them: what is said of a file is its artifact."""
    own = {name: value for name, value in fields.items() if name in _OWN}
    if "retry" in own and own["retry"] is None:
        own["retry"] = Retry()
    old = before.artifact if before is not None else None
    if "executable" in fields:
        own["artifact"] = _artifact(fields["executable"], _filename(fields, old))
    elif "filename" in fields and old is not None:
        own["artifact"] = Artifact(old.sha256, fields["filename"], old.size)
    return own


def _artifact(given: bytes | PutFile, filename: str) -> Artifact:
    if isinstance(given, PutFile):
        return Artifact(given.sha256, filename, given.size)
    return Artifact(sha256_of(given), filename, len(given))


def _checked(values: dict[str, Any], before: Job | None, now: datetime) -> NewJob:
    wrong: dict[str, list[str]] = {}
    try:
        values["schedule"] = _schedule(values, now)
    except Invalid as error:
        wrong["schedule"] = [str(error)]
    complaint = _complaint_about_at(values, before, now)
    if complaint is not None:
        wrong["at"] = [complaint]
    new = NewJob(**values)
    if new.catch_up is CatchUp.ALL and new.concurrency is Concurrency.REPLACE:
        wrong["catch_up"] = [
            "all and concurrency replace exclude each other: a missed tick would end the one before"
        ]
    if (complaint := isolation.complaint(new)) is not None:
        wrong["when_isolated"] = [complaint]
    if new.copies is Copies.ALL:
        wrong |= _complaints_about_copies(new)
    if before is not None:
        wrong |= {name: [why] for name, why in _FIXED.items() if getattr(new, name) != getattr(before, name)}
    if len(encode(new)) > MAX_BYTES:
        wrong["body"] = [f"the job is too large; accepted: up to {MAX_BYTES} bytes as JSON, without its file"]
    if wrong:
        raise _refusal(wrong)
    return new


def _complaints_about_copies(new: NewJob) -> dict[str, list[str]]:
    wrong = {}
    if new.node is not None:
        wrong["node"] = ["not with copies all, which is on every node: leave one of the two out"]
    if new.schedule == ONCE:
        wrong["schedule"] = [f"{ONCE} is only for jobs with copies 1: such a job ends with its one tick"]
    return wrong


def _refusal(wrong: dict[str, list[str]]) -> Invalid:
    return Invalid(f"not accepted as it is: {', '.join(sorted(wrong))}", wrong)


def _schedule(values: Fields, now: datetime) -> str | None:
    text = values["schedule"]
    return None if text is None else parse(text, ZoneInfo(values["timezone"]), now)


def _complaint_about_at(values: Fields, before: Job | None, now: datetime) -> str | None:
    at = values["at"]
    if at is None:
        return None
    if values["schedule"] != ONCE:
        return f"{ONLY_ONCE}; else null"
    if at < now and (before is None or before.at != at):
        return f"{at:%F %T} UTC is past: it is {now.astimezone(UTC):%F %T} UTC; leave it out for now"
    return None


def _filename(fields: Fields, old: Artifact | None) -> str:
    """What the file that is given here is called."""
    if "filename" in fields:
        return str(fields["filename"])
    file = fields["executable"]
    if isinstance(file, PutFile) and file.filename is not None:
        return file.filename
    return old.filename if old is not None else str(fields["type"])


def _default_name(fields: Fields) -> str:
    if fields["type"] is not JobType.COMMAND:
        return _filename(fields, None)
    word: str = fields["command"].split()[0]
    base = PurePosixPath(word).name
    readable = "".join(filter(str.isprintable, base if base else word))
    return readable[:MAX_NAME] if readable else JobType.COMMAND.value

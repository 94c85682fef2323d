"""What comes in and goes out about jobs. Each schema is made once, at the end of this file."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from cronkeeper.common.model import (
    CatchUp,
    Concurrency,
    JobStatus,
    JobType,
    OnNodeLoss,
    WhenIsolated,
)
from cronkeeper.common.schedule import ACCEPTED, ONCE

from .copies_field import HowMany
from .fields import (
    Arguments,
    ArtifactUrl,
    Bytes,
    Environment,
    File,
    Flag,
    Instant,
    Labels,
    Seconds,
    between,
    command_line,
    file_name,
    matching,
    printable,
    program,
    short,
    zone,
)
from .retry_field import Again
from .schemas import NODE_NAME, LastRunSchema, Strict, about

MAX_SCHEDULE = 1000
DAY = 24 * 3600
GIB = 1024**3
_USER = r"[a-z_][a-z0-9_-]{0,31}\$?"
_TYPES_OF_FIELD = {
    "command": (JobType.COMMAND,),
    "executable": (JobType.SCRIPT, JobType.BINARY),
    "filename": (JobType.SCRIPT, JobType.BINARY),
    "shell": (JobType.COMMAND, JobType.SCRIPT),
    "args": (JobType.SCRIPT, JobType.BINARY),
}
_REQUIRED_BY_TYPE = {
    JobType.COMMAND: "command",
    JobType.SCRIPT: "executable",
    JobType.BINARY: "executable",
}
ONLY_ONCE = f"only with schedule {ONCE}"


class NewJobSchema(Strict):
    """A whole job. A field that is left out has its default."""

    type = fields.Enum(JobType, by_value=fields.String, required=True)
    command = fields.String(
        validate=command_line,
        metadata=about("One line for the shell; of type command only, and required there."),
    )
    executable = File(
        metadata=about(
            "The file, base64, up to 16 MiB, or the URL of an artifact that was put before; of types script and "
            "binary only, and required there."
        )
    )
    filename = fields.String(
        validate=file_name, metadata=about("The file's name; by default the type's, such as script.")
    )
    args = Arguments(
        fields.String(),
        metadata=about("What the script or binary is given, up to 64 KiB; by default nothing."),
    )
    shell = fields.String(
        allow_none=True,
        validate=program,
        metadata=about(
            "The program that reads the command (by default /bin/sh) or the script (by default what its first "
            "line says)."
        ),
    )
    name = fields.String(
        validate=printable, metadata=about("For people; by default what is run, without its folder.")
    )
    enabled = Flag(metadata=about("Where false it is due never, and runs by hand only; by default true."))
    schedule = fields.String(
        required=True,
        allow_none=True,
        error_messages={"required": "required; null: by hand only"},
        validate=validate.Length(max=MAX_SCHEDULE, error="accepted: up to {max} characters"),
        metadata=about(f"When to run it: {ACCEPTED}; null: only by hand.", example="*/5 * * * *"),
    )
    at = Instant(allow_none=True, metadata=about(f"With {ONCE}: when, with an offset; by default at once."))
    timezone = fields.String(
        validate=zone,
        metadata=about(
            "The zone of the schedule; by default the fleet's, for ever.", example="Europe/Berlin"
        ),
    )
    node = fields.String(
        allow_none=True,
        validate=matching(NODE_NAME, "the name of a node"),
        metadata=about("The only node that may run it; by default any may."),
    )
    requires = Labels(
        keys=fields.String(),
        values=fields.String(),
        metadata=about(
            "Labels that its node must have, up to 20; by default none. Keys and values have 1 to 63 of A-Z, a-z, "
            "0-9, dot, underscore, slash and hyphen.",
            example={"disk": "ssd"},
        ),
    )
    run_as = fields.String(
        allow_none=True,
        validate=matching(_USER, "the name of a POSIX user"),
        metadata=about("The user to run as, for admins only.", pattern=f"^{_USER}$"),
    )
    env = Environment(
        keys=fields.String(),
        values=fields.String(),
        metadata=about("More variables of its environment, up to 64 KiB; by default none."),
    )
    stdin = fields.String(
        allow_none=True, validate=short, metadata=about("What it reads, up to 64 KiB; by default nothing.")
    )
    timeout = Seconds(
        allow_none=True,
        validate=between(0, 30 * DAY, "seconds", above=True),
        metadata=about(
            "Seconds after which a run is ended, up to 30 days; by default never.", exclusiveMinimum=0
        ),
    )
    grace = Seconds(
        validate=between(0, 30, "seconds"),
        metadata=about("Seconds between SIGTERM and SIGKILL where a run is ended; by default 10."),
    )
    concurrency = fields.Enum(
        Concurrency,
        by_value=fields.String,
        metadata=about(
            "What becomes of a tick that falls due while a run goes on: by default forbid, it is skipped; allow, "
            "it runs beside it; replace, the run is ended, as by a timeout, and the tick runs then."
        ),
    )
    catch_up = fields.Enum(
        CatchUp,
        by_value=fields.String,
        metadata=about(
            "Which of the ticks that were missed run later; by default latest. With all, none is skipped because a "
            "run goes on: it waits for its turn. Not together with concurrency replace."
        ),
    )
    max_lateness = Seconds(
        validate=between(0, 31 * DAY, "seconds"),
        metadata=about("Seconds after which a missed tick runs no more, up to 31 days; by default 3600."),
    )
    max_output = Bytes(
        validate=between(0, GIB, "bytes"),
        metadata=about(
            "Bytes of each of stdout and stderr that are kept of a run, up to 1 GiB; by default 16 MiB."
        ),
    )

    retry = Again(
        allow_none=True,
        metadata=about(
            "How often a run that failed or timed out is tried again, and when; by default never. While an attempt "
            "waits, the run counts as one that goes on."
        ),
    )
    on_node_loss = fields.Enum(
        OnNodeLoss,
        by_value=fields.String,
        metadata=about(
            "What becomes of a run whose node is lost: by default fail, it stays lost; rerun, its tick runs once "
            "more on another node, and a node that is cut off stops it before."
        ),
    )
    when_isolated = fields.Enum(
        WhenIsolated,
        by_value=fields.String,
        metadata=about(
            "What a node does with a run when it is cut off for so long that others give the run up: by default "
            "finish, it goes on; stop, it is ended; run, the job's ticks go on beginning there too: only with node "
            "or copies all, and not with on_node_loss rerun."
        ),
    )

    copies = HowMany(
        metadata=about(
            'On how many nodes it is: by default 1; "all": on every node that has the labels which it requires, '
            "each with its own ticks and runs. It can't be changed.",
            enum=[1, "all"],
        )
    )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _fields_fit_each_other(self, data: Mapping[str, Any], original: Any, **_: Any) -> None:
        if not isinstance(original, Mapping) or self.partial:
            return
        wrong = unfit(data["type"], original, whole=True) if "type" in data else {}
        if original.get("at") is not None and not _is_once(original.get("schedule")):
            wrong["at"] = [ONLY_ONCE]
        if wrong:
            raise ValidationError({name: list(complaints) for name, complaints in wrong.items()})


def unfit(kind: JobType, given: Mapping[str, Any], *, whole: bool) -> dict[str, list[str]]:
    """Complaints about fields that jobs of this type do not have or, of a `whole` job, must have."""
    wrong = {
        name: [f"only for type {' or '.join(kinds)}"]
        for name, kinds in _TYPES_OF_FIELD.items()
        if kind not in kinds and given.get(name) is not None
    }
    required = _REQUIRED_BY_TYPE[kind]
    if whole and required not in given:
        wrong[required] = [f"required for type {kind}"]
    return wrong


def _is_once(schedule: Any) -> bool:
    return isinstance(schedule, str) and schedule.strip() == ONCE


class JobPatchSchema(NewJobSchema):
    """The fields to change. What is left out stays; the type can't be changed."""


class JobSchema(Schema):
    """A job."""

    id = fields.String(metadata=about("Digits.", example="42"))
    type = fields.Enum(JobType, by_value=fields.String)
    name = fields.String()
    enabled = fields.Boolean()
    status = fields.Enum(JobStatus, by_value=fields.String)
    command = fields.String(allow_none=True)
    executable = ArtifactUrl(
        attribute="artifact", allow_none=True, metadata=about("Where the file lies: file://… or s3://…")
    )
    filename = fields.String(attribute="artifact.filename", dump_default=None, allow_none=True)
    args = fields.List(fields.String())
    shell = fields.String(allow_none=True)
    schedule = fields.String(allow_none=True)
    description = fields.String(allow_none=True, metadata=about("The schedule in words, or its fields."))
    at = Instant(allow_none=True)
    timezone = fields.String()
    next_ticks = fields.List(Instant(), metadata=about("The next three instants at which it is due."))
    node = fields.String(allow_none=True)
    requires = fields.Dict(keys=fields.String(), values=fields.String())
    run_as = fields.String(allow_none=True)
    env = fields.Dict(keys=fields.String(), values=fields.String(allow_none=True))
    stdin = fields.String(allow_none=True)
    hidden = fields.List(
        fields.String(),
        metadata=about(
            "Which of env and stdin only admins may see, of a job with run_as: null here, as each value in env is."
        ),
    )
    timeout = fields.Float(allow_none=True)
    grace = fields.Float()
    concurrency = fields.Enum(Concurrency, by_value=fields.String)
    catch_up = fields.Enum(CatchUp, by_value=fields.String)
    max_lateness = fields.Float()
    max_output = fields.Integer()
    retry = Again(allow_none=True)
    on_node_loss = fields.Enum(OnNodeLoss, by_value=fields.String)
    when_isolated = fields.Enum(WhenIsolated, by_value=fields.String)
    copies = HowMany(metadata=about("On how many nodes it is.", enum=[1, "all"]))
    rev = fields.Integer(metadata=about("Grows with every change."))
    assigned_node = fields.String(
        allow_none=True, metadata=about("Null also of a job with copies all: see its copies.")
    )
    placement = fields.String(allow_none=True, metadata=about("Why it is on that node, or on none."))
    last_run = fields.Nested(LastRunSchema, allow_none=True)
    created_by = fields.String()
    created_at = Instant()
    updated_at = Instant()
    ended_at = Instant(allow_none=True)


NEW_JOB = NewJobSchema()
JOB_PATCH = JobPatchSchema(partial=True)
JOB = JobSchema()
JOBS = JobSchema(many=True)

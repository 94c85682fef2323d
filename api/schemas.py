"""What comes in and goes out. Each schema is made once, at the end of this file."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from cronkeeper.common.model import Concurrency, JobStatus, JobType, RunState, StartedBy
from cronkeeper.common.schedule import ACCEPTED, ONCE
from cronkeeper.manager.nodes import NodeView

from .fields import (
    ArtifactUrl,
    File,
    Instant,
    PublicKey,
    command_line,
    file_name,
    matching,
    printable,
)

MAX_SCHEDULE = 1000
MAX_ID = 10**18 - 1
_USER = r"[a-z_][a-z0-9_-]{0,31}\$?"
_NODE = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
_FIELDS_OF_TYPE = {JobType.COMMAND: ("command",), JobType.SCRIPT: ("executable", "filename")}
_REQUIRED_BY_TYPE = {JobType.COMMAND: "command", JobType.SCRIPT: "executable"}


def _about(text: str, **more: Any) -> dict[str, Any]:
    return {"description": text, **more}


class Strict(Schema):
    """Refuses a field that it does not have, and says which ones it has."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_messages = {
            **self.error_messages,
            "unknown": f"not a field here; accepted: {', '.join(self.load_fields)}",
            "type": "a JSON object is expected",
        }


class NewJobSchema(Strict):
    """A job to create."""

    type = fields.Enum(JobType, by_value=fields.String, required=True)
    command = fields.String(
        validate=command_line,
        metadata=_about("One line for /bin/sh; of type command only, and required there."),
    )
    executable = File(
        metadata=_about(
            "A script or binary, base64, up to 16 MiB; of type script only, and required there.",
            format="byte",
        )
    )
    filename = fields.String(
        validate=file_name, metadata=_about("The file's name, of type script only; without it: script.")
    )
    name = fields.String(
        validate=printable, metadata=_about("For people; without it: what is run, without its folder.")
    )
    schedule = fields.String(
        required=True,
        allow_none=True,
        validate=validate.Length(max=MAX_SCHEDULE),
        metadata=_about(f"When to run it: {ACCEPTED}; null: only by hand.", example="*/5 * * * *"),
    )
    at = Instant(
        load_default=None,
        allow_none=True,
        metadata=_about(f"With {ONCE}: when, with an offset; without it: now."),
    )
    run_as = fields.String(
        load_default=None,
        allow_none=True,
        validate=matching(_USER, "the name of a POSIX user"),
        metadata=_about("The user to run as, for admins only.", pattern=f"^{_USER}$"),
    )
    concurrency = fields.Enum(Concurrency, by_value=fields.String, load_default=Concurrency.FORBID)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _fields_fit_each_other(self, data: Mapping[str, Any], original: Any, **_: Any) -> None:
        if not isinstance(original, Mapping):
            return
        wrong = _unfit_for_type(data["type"], original) if "type" in data else {}
        if original.get("at") is not None and not _is_once(original.get("schedule")):
            wrong["at"] = [f"only with schedule {ONCE}"]
        if wrong:
            raise ValidationError(wrong)


def _unfit_for_type(kind: JobType, given: Mapping[str, Any]) -> dict[str, list[str | dict[str, Any]]]:
    wrong: dict[str, list[str | dict[str, Any]]] = {
        name: [f"only for type {other}"]
        for other, names in _FIELDS_OF_TYPE.items()
        for name in names
        if other is not kind and name in given
    }
    required = _REQUIRED_BY_TYPE[kind]
    if required not in given:
        wrong[required] = [f"required for type {kind}"]
    return wrong


def _is_once(schedule: Any) -> bool:
    return isinstance(schedule, str) and schedule.strip() == ONCE


class JobSchema(Schema):
    """A job."""

    id = fields.String(metadata=_about("Digits.", example="42"))
    type = fields.Enum(JobType, by_value=fields.String)
    name = fields.String()
    status = fields.Enum(JobStatus, by_value=fields.String)
    command = fields.String(allow_none=True)
    executable = ArtifactUrl(
        attribute="artifact", allow_none=True, metadata=_about("Where the file lies: file://… or s3://…")
    )
    filename = fields.String(attribute="artifact.filename", dump_default=None, allow_none=True)
    schedule = fields.String(allow_none=True)
    at = Instant(allow_none=True)
    timezone = fields.String()
    run_as = fields.String(allow_none=True)
    concurrency = fields.Enum(Concurrency, by_value=fields.String)
    rev = fields.Integer(metadata=_about("Grows with every change."))
    assigned_node = fields.String(allow_none=True)
    placement = fields.String(allow_none=True, metadata=_about("Why it is on that node, or on none."))
    created_by = fields.String()
    created_at = Instant()
    updated_at = Instant()
    ended_at = Instant(allow_none=True)


class JobsQuerySchema(Strict):
    """Which jobs to list."""

    after = fields.Integer(
        load_default=0,
        validate=validate.Range(0, MAX_ID),
        metadata=_about("Only jobs with larger ids."),
    )
    limit = fields.Integer(load_default=500, validate=validate.Range(1, 1000))


class RunSchema(Schema):
    """One run of a job."""

    id = fields.String()
    job_id = fields.String()
    tick = Instant(allow_none=True, metadata=_about("When it was due; null: by hand."))
    attempt = fields.Integer()
    state = fields.Enum(RunState, by_value=fields.String)
    started_by = fields.Enum(StartedBy, by_value=fields.String)
    node = fields.String(allow_none=True)
    requested_by = fields.String(allow_none=True)
    created_at = Instant()
    claimed_at = Instant(allow_none=True)
    started_at = Instant(allow_none=True)
    ended_at = Instant(allow_none=True)
    exit_code = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)


class RunsQuerySchema(Strict):
    """How many runs to list."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1000))


class WaitQuerySchema(Strict):
    """Whether to wait for the run's end."""

    wait = fields.Float(
        load_default=0.0, validate=validate.Range(0, 60), metadata=_about("Seconds, up to 60.")
    )


class NewNodeSchema(Strict):
    """A node to let in."""

    name = fields.String(
        required=True,
        validate=matching(
            _NODE, "a name of up to 63 of a-z, 0-9, dot and hyphen, with a letter or digit at both ends,"
        ),
        metadata=_about("The name that its worker goes by.", pattern=f"^{_NODE}$"),
    )
    public_key = PublicKey(required=True, metadata=_about("Ed25519, base64 of 32 bytes."))


class NodeSchema(Schema):
    """A node. `live` and `jobs` are null while the coordination service does not answer."""

    name = fields.String(attribute="node.name")
    live = fields.Boolean(attribute="is_live", allow_none=True)
    jobs = fields.Integer(allow_none=True)
    crond = fields.Boolean(
        attribute="live.crond",
        dump_default=None,
        allow_none=True,
        metadata=_about("Whether a crond runs there; null while it is not live."),
    )
    version = fields.String(attribute="live.version", dump_default=None, allow_none=True)
    boot_id = fields.Method(
        "_boot_id",
        metadata=_about("Of the boot it came up with; null while it is not alive.", type=["string", "null"]),
    )
    added_at = Instant(attribute="node.added_at")

    def _boot_id(self, view: NodeView) -> str | None:
        return view.live.boot_id if view.live is not None else None


class HealthSchema(Schema):
    """How this API and what it needs are; each part is `ok`, or says what is wrong."""

    status = fields.String(validate=validate.OneOf(["ok", "failing"]))
    version = fields.String()
    sql = fields.String()
    coordination = fields.String()
    artifacts = fields.String()


class AcknowledgedSchema(Schema):
    """Which runs' reports need not be repeated."""

    acknowledged = fields.List(fields.String())


class ProblemSchema(Schema):
    """An error (RFC 9457)."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata=_about("What is wrong with each field, where fields are."),
    )


NEW_JOB = NewJobSchema()
JOB = JobSchema()
JOBS = JobSchema(many=True)
JOBS_QUERY = JobsQuerySchema()
RUN = RunSchema()
RUNS = RunSchema(many=True)
RUNS_QUERY = RunsQuerySchema()
WAIT_QUERY = WaitQuerySchema()
NEW_NODE = NewNodeSchema()
NODE = NodeSchema()
NODES = NodeSchema(many=True)
HEALTH = HealthSchema()
ACKNOWLEDGED = AcknowledgedSchema()

"""What comes in and goes out, but for jobs (`job_schemas`). Each schema is made once, at the end of this file."""

from typing import Any

from marshmallow import Schema, fields, validate

from cronkeeper.common.model import RunState, StartedBy
from cronkeeper.manager.nodes import NodeView

from .facts_schema import ConditionSchema, FactsSchema
from .fields import Instant, PublicKey, between, matching

NODE_NAME = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
CHOICES = "accepted: {choices}"
# What marshmallow says of a value, and what we say instead.
_WORDS = {
    fields.Field.default_error_messages["required"]: "required",
    fields.Field.default_error_messages["null"]: "null is not accepted here",
    fields.String.default_error_messages["invalid"]: "a string is expected",
    fields.Integer.default_error_messages["invalid"]: "a whole number is expected",
    fields.Float.default_error_messages["special"]: "a number is expected",
    fields.Number.default_error_messages["invalid"]: "a number is expected",
    fields.Number.default_error_messages["too_large"]: "the number is too large",
    fields.Boolean.default_error_messages["invalid"]: "true or false is expected",
    fields.Enum.default_error_messages["unknown"]: CHOICES,
}


def about(text: str, **more: Any) -> dict[str, Any]:
    """What the OpenAPI document says of a field."""
    return {"description": text, **more}


class Strict(Schema):
    """Refuses a field that it does not have, and says which ones it has; all it says is in our own words."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error_messages = {
            **self.error_messages,
            "unknown": f"not a field here; accepted: {', '.join(map(_named, self.load_fields.items()))}",
            "type": "a JSON object is expected",
        }

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        _say_it_in_our_words(field_obj)
        if isinstance(field_obj, fields.Enum):
            _say_it_in_our_words(field_obj.field)


def _named(item: tuple[str, fields.Field[Any]]) -> str:
    return item[0] if item[1].data_key is None else item[1].data_key


def _say_it_in_our_words(field: fields.Field[Any]) -> None:
    field.error_messages = {key: _WORDS.get(said, said) for key, said in field.error_messages.items()}


class RunSchema(Schema):
    """One run of a job."""

    id = fields.String()
    job_id = fields.String()
    copy = fields.Integer(metadata=about("1, or of a job with copies all the number of its node."))
    tick = Instant(allow_none=True, metadata=about("When it was due; null: by hand."))
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


class LastRunSchema(Schema):
    """The newest run of a job."""

    id = fields.String()
    state = fields.Enum(RunState, by_value=fields.String)
    tick = Instant(allow_none=True)
    started_at = Instant(allow_none=True)
    ended_at = Instant(allow_none=True)
    exit_code = fields.Integer(allow_none=True)
    node = fields.String(allow_none=True)


class RunsQuerySchema(Strict):
    """Which runs to list."""

    limit = fields.Integer(load_default=100, validate=between(1, 1000))
    state = fields.Enum(RunState, by_value=fields.String)
    node = fields.String(metadata=about("Only those on this node."))
    cursor = fields.String(metadata=about("From the header Link of the page before."))


class WaitQuerySchema(Strict):
    """Where to run it, and whether to wait for the run's end."""

    node = fields.String(metadata=about("Of a job with copies all, and required there: which of them."))
    wait = fields.Float(
        load_default=0.0, validate=between(0, 60, "seconds"), metadata=about("Seconds, up to 60.")
    )


class NewNodeSchema(Strict):
    """A node to let in."""

    name = fields.String(
        required=True,
        validate=matching(
            NODE_NAME, "a name of up to 63 of a-z, 0-9, dot and hyphen, with a letter or digit at both ends,"
        ),
        metadata=about("The name that its worker goes by.", pattern=f"^{NODE_NAME}$"),
    )
    public_key = PublicKey(required=True, metadata=about("Ed25519, base64 of 32 bytes."))


class NodeSchema(Schema):
    """A node. `live` and `jobs` are null while the coordination service does not answer."""

    name = fields.String(attribute="node.name")
    live = fields.Boolean(attribute="is_live", allow_none=True)
    jobs = fields.Integer(allow_none=True)
    crond = fields.Boolean(
        attribute="live.crond",
        dump_default=None,
        allow_none=True,
        metadata=about("Whether a crond runs there; null while it is not live."),
    )
    capacity = fields.Integer(
        attribute="live.capacity",
        dump_default=None,
        allow_none=True,
        metadata=about("The most jobs that it takes, 0: no limit; null while it is not live."),
    )
    labels = fields.Dict(
        attribute="live.labels",
        dump_default=None,
        allow_none=True,
        keys=fields.String(),
        values=fields.String(),
        metadata=about("What it is or has; null while it is not live."),
    )
    version = fields.String(attribute="live.version", dump_default=None, allow_none=True)
    boot_id = fields.Method(
        "_boot_id",
        metadata=about(
            "Of the boot it came up with, and of its worker.home: after a reboot it is another one, and on a "
            "copy. Null while it is not live.",
            type=["string", "null"],
        ),
    )
    conditions = fields.List(
        fields.Nested(ConditionSchema),
        allow_none=True,
        metadata=about("What is wrong with it; null while it is not live."),
    )
    added_at = Instant(attribute="node.added_at")
    drained_at = Instant(
        attribute="node.drained_at",
        allow_none=True,
        metadata=about("Since when it is to have no jobs; null: it may have some."),
    )
    paused_at = Instant(
        attribute="node.paused_at",
        allow_none=True,
        metadata=about("Since when nothing begins there; null: it is not paused by itself."),
    )
    fleet_paused_at = Instant(
        allow_none=True,
        metadata=about("Since when the whole fleet is paused, and this node with it; null: it is not."),
    )

    def _boot_id(self, view: NodeView) -> str | None:
        return view.live.boot_id if view.live is not None else None


class OneNodeSchema(NodeSchema):
    """A node, and what is known of its machine."""

    runs = fields.Integer(metadata=about("Those that go on there, as far as it has reported."))
    waiting = fields.Integer(
        allow_none=True,
        metadata=about(
            "Of a drained node: how many of its jobs wait for a run there to end. Null where it is not drained, "
            "and while the coordination service does not answer."
        ),
    )
    facts = fields.Nested(
        FactsSchema, allow_none=True, metadata=about("Null while it has told nothing, or none can be read.")
    )


class FleetSchema(Schema):
    """All nodes together, those to come too."""

    paused_at = Instant(
        allow_none=True,
        metadata=about("Since when nothing begins on any node; null: the fleet is not paused."),
    )


class ReloadSchema(Schema):
    """A request that waits for a node to see to it."""

    request = fields.String(metadata=about("As the node's `facts.configuration` names it once it is done."))


class HealthSchema(Schema):
    """How this API and what it needs are; each part is `ok`, or says what is wrong.

    One that is about to end is `leaving`, and names no parts.
    """

    status = fields.String(validate=validate.OneOf(["ok", "failing", "leaving"]))
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
        metadata=about("What is wrong with each field, where fields are."),
    )


RUN = RunSchema()
RUNS = RunSchema(many=True)
RUNS_QUERY = RunsQuerySchema()
WAIT_QUERY = WaitQuerySchema()
NEW_NODE = NewNodeSchema()
NODE = OneNodeSchema()
RELOAD = ReloadSchema()
NODES = NodeSchema(many=True)
FLEET = FleetSchema()
HEALTH = HealthSchema()
ACKNOWLEDGED = AcknowledgedSchema()

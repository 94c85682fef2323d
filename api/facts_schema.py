"""What a node has said of its machine, as it goes out."""

from typing import Any

from marshmallow import Schema, fields

from cronkeeper.common.facts import ConditionName, Crond

from .fields import Instant


def _about(text: str, **more: Any) -> dict[str, Any]:
    return {"description": text, **more}


class ConfigurationSchema(Schema):
    """What became of a node's configuration when its worker read it last."""

    loaded_at = Instant()
    error = fields.String(allow_none=True, metadata=_about("Why that changed nothing; null: it was right."))
    needs_restart = fields.List(
        fields.String(), metadata=_about("What is another now, and counts once the worker is started again.")
    )
    request = fields.String(
        allow_none=True, metadata=_about("What asked for it; null: a start, or a signal.")
    )


class ConditionSchema(Schema):
    """Something that is wrong with a node, while it goes on working. It ends by itself."""

    name = fields.Enum(ConditionName, by_value=fields.String)
    reason = fields.String(metadata=_about("For people."))
    since = Instant(metadata=_about("By the node's own clock."))


class FactsSchema(Schema):
    """What a node said last of its machine, once a minute while it is live."""

    hostname = fields.String()
    os = fields.String()
    kernel = fields.String()
    architecture = fields.String()
    cores = fields.Integer()
    memory = fields.Integer(metadata=_about("Bytes."))
    disk_total = fields.Integer(metadata=_about("Bytes of the filesystem that worker.home lies on."))
    disk_free = fields.Integer(metadata=_about("Bytes of it that others than root may take."))
    version = fields.String(metadata=_about("Of cronkeeper."))
    python = fields.String()
    crond = fields.Enum(Crond, by_value=fields.String, metadata=_about("Which cron runs there."))
    crontab = fields.String(
        allow_none=True, metadata=_about("What the worker keeps its lines in; null: its clock leads.")
    )
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    timezone = fields.String(metadata=_about("The node's own, by which its cron goes."))
    max_running = fields.Integer(metadata=_about("How many runs go on there at once."))
    boot_id = fields.String()
    booted_at = Instant()
    started_at = Instant(metadata=_about("When its worker was started."))
    told_at = Instant(metadata=_about("When it said all this, by its own clock."))
    clock_offset = fields.Float(
        allow_none=True,
        metadata=_about(
            "Seconds that its clock is ahead of the coordination service's; null: not measured yet."
        ),
    )
    clock_error = fields.Float(
        allow_none=True, metadata=_about("Seconds that this may be off: half a round trip.")
    )
    configuration = fields.Nested(ConfigurationSchema)

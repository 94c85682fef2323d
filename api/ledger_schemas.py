"""What goes out of the ledger, and what may be asked of it."""

from typing import Any

from marshmallow import Schema, ValidationError, fields

from cronkeeper.common.ledger import Result, Summary
from cronkeeper.common.model import RunState

from .fields import Instant
from .schemas import Strict, about

_RESULT = (
    "ran; late: its first attempt began later than fleet.clock_grace and 2 s after it was due; skipped: it did not "
    "run, the reason says why; "
    "lost: its node was lost; open: it may still come, or its run goes on; unaccounted: nothing tells what became "
    "of it; unknown: its run may have been removed as old, or, as the reason says then, SQL was put "
    "back to a backup."
)


class Results(fields.String):
    """Some results, separated by commas."""

    def _deserialize(  # type: ignore[override]
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> frozenset[Result]:
        words: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            return frozenset(map(Result, words.split(",")))
        except ValueError as error:
            raise ValidationError(f"accepted: some of {', '.join(Result)}, with commas between") from error


class LedgerQuerySchema(Strict):
    """Which ticks."""

    begin = Instant(
        data_key="from", attribute="from", metadata=about("The first instant; else a day before `to`.")
    )
    end = Instant(data_key="to", attribute="to", metadata=about("Up to before this one; else now."))
    node = fields.String(metadata=about("Only the ticks of this node."))
    result = Results(metadata=about("Only ticks with one of these results, separated by commas."))


class EntrySchema(Schema):
    """What became of one tick. From `run_id` on it is told of its newest run, where there is one."""

    tick = Instant()
    copy = fields.Integer(metadata=about("1, or of a job with copies all the number of its node."))
    result = fields.Enum(Result, by_value=fields.String, metadata=about(_RESULT))
    expected = fields.Boolean(
        metadata=about("False: it ran, though by what is known of the job's schedules it was not due.")
    )
    lateness = fields.Float(
        allow_none=True, metadata=about("Seconds from the tick to the start of the first of its attempts.")
    )
    reason = fields.String(allow_none=True)
    run_id = fields.String(
        allow_none=True, metadata=about("Of ticks that were skipped together, all name the same one.")
    )
    state = fields.Enum(RunState, by_value=fields.String, allow_none=True)
    started_at = Instant(allow_none=True)
    node = fields.String(allow_none=True)


class LatenessSchema(Schema):
    """How late the ticks began that ran, in seconds."""

    p50 = fields.Float()
    p99 = fields.Float()
    max = fields.Float()


class SummarySchema(Schema):
    """How many ticks were expected, and how many of them had which result."""

    _RESULTS = frozenset(map(str, Result))

    expected = fields.Integer()
    ran = fields.Integer()
    late = fields.Integer()
    skipped = fields.Integer()
    lost = fields.Integer()
    open = fields.Integer()
    unaccounted = fields.Integer()
    forgotten = fields.Integer(data_key="unknown", attribute="unknown")
    unexpected = fields.Integer(metadata=about("Runs of ticks that were not expected."))
    lateness = fields.Nested(LatenessSchema, allow_none=True, metadata=about("Null where none ran."))

    def get_attribute(self, obj: Summary, attr: str, default: Any) -> Any:
        """The results are counted in one place."""
        if attr in self._RESULTS:
            return obj.results[Result(attr)]
        return super().get_attribute(obj, attr, default)


class SpanSchema(Schema):
    """A time of which the ledger has only a part."""

    since = Instant(data_key="from")
    until = Instant(data_key="to")


class LedgerSchema(Schema):
    """The ticks of a job from `from` to before `to`, oldest first."""

    begin = Instant(data_key="from", attribute="window.begin")
    end = Instant(data_key="to", attribute="window.end")
    known_from = Instant(
        allow_none=True,
        metadata=about(
            "Since when it is known when the job was due: no ticks of before are told. Null: it never was."
        ),
    )
    unvouched = fields.List(
        fields.Nested(SpanSchema),
        metadata=about(
            "Times in the window of which SQL has forgotten what nodes did not tell again: it was put back to "
            "a backup."
        ),
    )
    summary = fields.Nested(SummarySchema)
    ticks = fields.List(fields.Nested(EntrySchema))


LEDGER_QUERY = LedgerQuerySchema()
LEDGER = LedgerSchema()

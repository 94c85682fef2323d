"""Where a job is that is on every node that will do."""

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema, fields

from cronkeeper.common.store.copies import LOST, Copy
from cronkeeper.manager import jobs

from .blueprint import Blueprint
from .fields import Instant
from .ids import numbered
from .schemas import about
from .services import services

blueprint = Blueprint("copies", __name__, description="Where jobs are that are on every node.")


class CopySchema(Schema):
    """One node's copy of a job."""

    copy = fields.Integer(metadata=about("Its number: that of its node, which no other node ever has."))
    node = fields.String()
    since = Instant(metadata=about("It counts for ticks later than this."))
    until = Instant(
        allow_none=True,
        metadata=about("Since when it counts no more: its node was forgotten. Null: it does."),
    )
    on_node = fields.Boolean(
        metadata=about("False: it waits until its node may have it again, or has ended.")
    )


COPIES = CopySchema(many=True)


@blueprint.route("/jobs/<job_id>/copies", methods=["GET"])
@blueprint.response(200, COPIES)
def listing(job_id: str) -> Sequence[dict[str, Any]]:
    """List the copies of a job that is on every node

    By their numbers, also those whose nodes were forgotten. Of a job with one copy there are none.
    """
    return [_shown(copy) for copy in jobs.copies_of(services().desk, numbered(job_id))]


def _shown(copy: Copy) -> dict[str, Any]:
    shown = {name: getattr(copy, name) for name in ("copy", "node", "since", "until")}
    return shown | {"on_node": copy.gen not in (None, LOST)}

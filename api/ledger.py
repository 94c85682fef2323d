"""The ledger: what became of every tick of a job."""

from datetime import timedelta
from typing import Any

from cronkeeper.common.errors import Invalid
from cronkeeper.common.ledger import Window
from cronkeeper.common.model import replace
from cronkeeper.manager import ledger
from cronkeeper.manager.ledger import Ledger

from . import ledger_schemas
from .blueprint import Blueprint
from .ids import numbered
from .services import services

blueprint = Blueprint("ledger", __name__, description="What became of every tick.")

DAY = timedelta(days=1)


@blueprint.route("/jobs/<job_id>/ledger", methods=["GET"])
@blueprint.arguments(ledger_schemas.LEDGER_QUERY, location="query")
@blueprint.response(200, ledger_schemas.LEDGER)
def show(query: dict[str, Any], job_id: str) -> Ledger:
    """Tell what became of every tick of a job

    Of the ticks that fell due from `from` to before `to`: of the last day, if nothing is said. The summary is of
    all of them, also where only some results are asked for.
    """
    now = services().clock()
    end = min(query.get("to", now), now)
    begin = query.get("from", end - DAY)
    if begin > end:
        raise Invalid(
            "not accepted as it is: from", {"from": ["accepted: an instant before `to`, and not to come"]}
        )
    window = Window(begin=begin, end=end, now=now)
    given = services()
    found = ledger.of_job(given.desk, numbered(job_id), window, given.ledger, query.get("node"))
    if "result" not in query:
        return found
    return replace(found, ticks=[entry for entry in found.ticks if entry.result in query["result"]])

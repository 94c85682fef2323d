"""When a job is to be looked at again: for its next tick, or for an attempt that waits."""

from datetime import UTC, datetime, timedelta

from cronkeeper.common.schedule import for_cron, next_tick
from cronkeeper.worker.agenda import Agenda
from cronkeeper.worker.assignment import Assignment, Held
from cronkeeper.worker.attempts import first_due
from cronkeeper.worker.pausing import Pausing
from cronkeeper.worker.places import Places

CRONS_SHARE = 100
"""How many ticks of one minute wait for cron. It files a few hundred in a second, and each after the one before:
those beyond the share would start seconds late, so the clock starts them as soon as they are due."""
BEGINNING = datetime.min.replace(tzinfo=UTC)


def schedule(agenda: Agenda, held: Held, grace: timedelta, pausing: Pausing) -> None:
    """Put the job's next instant on the agenda; ticks of whole minutes leave cron its `grace`."""
    if pausing.goes_on:
        agenda.set(held.key, pausing.next_look(held))
        return
    seen = max(each for each in (BEGINNING, held.claim.watermark, held.looked) if each is not None)
    tick = next_tick(held.spec, seen)
    if tick is not None and for_cron(held.spec, tick):
        after_cron = tick + grace
        if agenda.planned(after_cron, other_than=held.key) < CRONS_SHARE:
            tick = after_cron
    again = first_due(held.spec, held.claim, held.looked if held.looked is not None else BEGINNING)
    agenda.set(held.key, min((each for each in (tick, again) if each is not None), default=None))


def begin_anew(
    agenda: Agenda, places: Places, assignment: Assignment, grace: timedelta, pausing: Pausing
) -> None:
    """The node was paused or resumed: no job waits for a place, and each is planned as if it came now."""
    for each in assignment.held.values():
        places.drop(each.key)
        each.looked = None
        schedule(agenda, each, grace, pausing)

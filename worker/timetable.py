"""When a job is to be looked at again: for its next tick, or for an attempt that waits."""

from datetime import UTC, datetime, timedelta

from cronkeeper.common.schedule import for_cron, next_tick
from cronkeeper.worker.agenda import Agenda
from cronkeeper.worker.assignment import Held
from cronkeeper.worker.attempts import first_due

CRONS_SHARE = 100
"""How many ticks of one minute wait for cron. It files a few hundred in a second, and each after the one before:
those beyond the share would start seconds late, so the clock starts them as soon as they are due."""
BEGINNING = datetime.min.replace(tzinfo=UTC)


def schedule(agenda: Agenda, held: Held, grace: timedelta) -> None:
    """Put the job's next instant on the agenda; ticks of whole minutes leave cron its `grace`."""
    seen = max(each for each in (BEGINNING, held.claim.watermark, held.looked) if each is not None)
    tick = next_tick(held.spec, seen)
    if tick is not None and for_cron(held.spec, tick):
        after_cron = tick + grace
        if agenda.planned(after_cron, other_than=held.key) < CRONS_SHARE:
            tick = after_cron
    again = first_due(held.spec, held.claim, held.looked if held.looked is not None else BEGINNING)
    agenda.set(held.key, min((each for each in (tick, again) if each is not None), default=None))

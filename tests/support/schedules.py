"""Schedules, zones and the days on which clocks are changed, for tests of what is due when."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

from cronkeeper.common.model import CatchUp

BORN = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
NOT_OF_A_PLACE = {"localtime", "Factory"}
ALL_ZONES = sorted(available_timezones() - NOT_OF_A_PLACE)
FIELDS = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["*", "*/7", "0", "30", "59", "15,45", "0-59/10", "45", "*/30", "5-20"]),
        st.sampled_from(["*", "*/2", "0", "1", "2", "3", "23", "0-3", "1,2,22-23", "4-20/8"]),
        st.sampled_from(["*", "*", "*", "*/2", "1-15", "25-31"]),
        st.sampled_from(["*", "*", "*", "3,9-11", "apr"]),
        st.sampled_from(["*", "*", "0", "1-5", "SAT,sun"]),
    ),
)


@dataclass(frozen=True)
class Job:
    """What a schedule needs to know of a job."""

    schedule: str | None = "* * * * *"
    at: datetime | None = None
    timezone: str = "UTC"
    effective_from: datetime = BORN
    enabled: bool = True
    catch_up: CatchUp = CatchUp.LATEST
    max_lateness: float = 3600.0


@lru_cache
def changes(zone: str) -> list[datetime]:
    """The days on which the zone's offset changes, from 2024 on: looked at day by day, and found so."""
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(6 * 365)]
    return [
        one
        for one, two in pairwise(days)
        if one.astimezone(ZoneInfo(zone)).utcoffset() != two.astimezone(ZoneInfo(zone)).utcoffset()
    ]

"""A job in another zone than the node: its crontab lines name every minute in which it may be due."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import cron_manual
from support.schedules import ALL_ZONES, FIELDS, Job, changes

from cronkeeper.common import schedule
from cronkeeper.common.cron_lines import cron_lines

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def lines(fields: str, own: str, node: str, now: datetime = NOW) -> tuple[str, ...]:
    return cron_lines(Job(schedule=fields, timezone=own, effective_from=now), ZoneInfo(node), now)


@pytest.mark.parametrize(
    ("fields", "own", "node", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "Europe/Berlin", ["30 2 * * *"]),
        ("30 2 * * 1-5", "Europe/Berlin", "Europe/Paris", ["30 2 * * 1-5"]),
        ("@daily", "UTC", "Etc/UTC", ["0 0 * * *"]),
        ("30 9 * * 1-5", "Europe/Berlin", "UTC", ["30 7-8 * * 1-5"]),
        ("30 1 * * 1-5", "Europe/Berlin", "UTC", ["30 0 * * 1-5", "30 23 * * *"]),
        ("30 2 * * 1-5", "Europe/Berlin", "UTC", ["30 0-1 * * 1-5"]),
        ("30 2 * * *", "Europe/Berlin", "UTC", ["30 0-1 * * *", "0 1 28 3 *"]),
        ("30 1 1 jan *", "Europe/Berlin", "UTC", ["30 0 1 jan *", "30 23 * * *"]),
        ("* * * * *", "Asia/Kolkata", "Europe/Berlin", ["* * * * *"]),
        ("*/15 * * * *", "Asia/Kolkata", "Europe/Berlin", ["*/15 * * * *"]),
        ("*/20 * * * *", "Asia/Kolkata", "UTC", ["10,30,50 * * * *"]),
        ("0 9 * * *", "Australia/Lord_Howe", "UTC", ["0,30 22 * * *"]),
        ("@hourly", "Asia/Kathmandu", "UTC", ["15 * * * *"]),
        ("0 9-17 * * 1-5", "America/New_York", "Europe/Berlin", ["0 14-23 * * 1-5"]),
        ("0 12 13 * 5", "Pacific/Kiritimati", "Pacific/Pago_Pago", ["0 11 * * *"]),
    ],
)
def test_the_lines_of_a_job_in_another_zone(fields: str, own: str, node: str, expected: list[str]) -> None:
    assert list(lines(fields, own, node)) == expected


@settings(deadline=None)
@given(FIELDS, st.sampled_from(ALL_ZONES), st.sampled_from(ALL_ZONES), st.data())
def test_whatever_the_zones_every_tick_is_named_by_a_line_in_the_nodes_time(
    fields: str, own: str, node: str, data: st.DataObject
) -> None:
    days = [*changes(own), *changes(node), datetime(2027, 2, 27, tzinfo=UTC)]
    moment = data.draw(st.sampled_from(days)) + data.draw(
        st.timedeltas(timedelta(days=-1), timedelta(days=2))
    )
    before = data.draw(st.timedeltas(timedelta(0), timedelta(days=400)))
    job = Job(schedule=fields, timezone=own, effective_from=moment - before)
    named = cron_lines(job, ZoneInfo(node), moment - before)
    assert 1 <= len(named) <= 3
    for tick in schedule.next_ticks(job, moment, 30):
        if tick > moment + timedelta(days=20):
            break
        if not cron_manual.matches(fields, tick.astimezone(ZoneInfo(own)).replace(tzinfo=None)):
            # due after a gap, for a time that there was not: the lines know of the next gap only
            named = cron_lines(job, ZoneInfo(node), tick - timedelta(days=1))
        assert any(_files(line, node, tick) for line in named), (tick, named)


def _files(line: str, node: str, tick: datetime) -> bool:
    """Whether the line names that minute, or cron makes up for one that there was not."""
    wall = tick.astimezone(ZoneInfo(node)).replace(tzinfo=None)
    return cron_manual.matches(line, wall) or bool(cron_manual.due(line, node, tick, 1))


def test_a_change_of_clocks_that_was_seen_to_come_changes_no_line() -> None:
    for own in ("Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe"):
        before = lines("30 9 * * *", own, "UTC")
        for change in changes(own):
            if change > NOW:
                assert lines("30 9 * * *", own, "UTC", change + timedelta(days=1)) == before

"""Ticks where clocks are changed: by hand, and against what the manual of cron says."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import cron_manual
from support.schedules import ALL_ZONES, FIELDS, changes

from cronkeeper.common import instants, zones

DAYS = 3


def between(fields: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """From `begin` to before `end`."""
    after = begin - timedelta(microseconds=1)
    return list(takewhile(lambda tick: tick < end, instants.ticks(fields, ZoneInfo(zone), after)))


def on(day: str, fields: str, zone: str) -> list[str]:
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return [f"{tick:%H:%M}" for tick in between(fields, zone, begin, end)]


@pytest.mark.parametrize(
    ("zone", "day", "fields", "expected"),
    [
        ("Europe/Berlin", "2026-03-29", "30 2 * * *", ["01:00"]),
        ("Europe/Berlin", "2026-03-29", "0,30 2 * * *", ["01:00"]),
        ("Europe/Berlin", "2026-03-29", "*/30 2 * * *", []),
        ("Europe/Berlin", "2026-03-29", "30 1-3 * * *", ["00:30", "01:00", "01:30"]),
        ("Europe/Berlin", "2026-10-25", "30 2 * * *", ["00:30"]),
        ("Europe/Berlin", "2026-10-25", "*/30 2 * * *", ["00:00", "00:30", "01:00", "01:30"]),
        ("America/New_York", "2026-03-08", "15 2 * * *", ["07:00"]),
        ("America/New_York", "2026-11-01", "15 1 * * *", ["05:15"]),
        (
            "America/New_York",
            "2026-11-01",
            "15 * * * 0",
            [f"{4 + n:02}:15" for n in range(20)] + ["00:15", "01:15", "02:15", "03:15", "04:15"],
        ),
        ("Australia/Lord_Howe", "2026-10-04", "10 2 * * *", ["15:30"]),
        ("Australia/Lord_Howe", "2026-10-04", "*/10 2 * * *", ["15:30", "15:40", "15:50"]),
        ("Australia/Lord_Howe", "2026-10-04", "*/20 3 * * *", ["16:00", "16:20", "16:40"]),
        ("Australia/Lord_Howe", "2026-04-05", "45 1 * * *", ["14:45"]),
        (
            "Australia/Lord_Howe",
            "2026-04-05",
            "*/15 1 * * *",
            ["14:00", "14:15", "14:30", "14:45", "15:00", "15:15"],
        ),
        ("Australia/Lord_Howe", "2026-04-05", "*/20 2 * * *", ["15:30", "15:50", "16:10"]),
        ("Africa/Casablanca", "2026-02-15", "30 2 * * *", ["01:30"]),
        ("Africa/Casablanca", "2026-02-15", "*/30 2 * * *", ["01:00", "01:30", "02:00", "02:30"]),
        ("Africa/Casablanca", "2026-03-22", "30 2 * * *", ["02:00"]),
        ("Africa/Cairo", "2026-04-24", "30 0 * * *", ["22:00"]),
        ("Africa/Cairo", "2026-04-24", "*/30 0 * * *", []),
        ("UTC", "2026-03-29", "30 2 * * *", ["02:30"]),
    ],
)
def test_where_clocks_are_changed_a_job_is_due_by_the_manual_of_cron(
    zone: str, day: str, fields: str, expected: list[str]
) -> None:
    assert on(day, fields, zone) == expected


@settings(deadline=None, max_examples=60)
@given(FIELDS, st.sampled_from(ALL_ZONES), st.data())
@example("*/10 3 * * *", "Australia/Lord_Howe", None)
def test_ticks_are_the_minutes_in_which_cron_would_start_the_job(
    fields: str, zone: str, data: st.DataObject | None
) -> None:
    days = [*changes(zone), datetime(2026, 2, 27, tzinfo=UTC)]
    day = days[0] if data is None else data.draw(st.sampled_from(days))
    begin, minutes = day - timedelta(days=1), DAYS * 1440
    end = begin + timedelta(minutes=minutes)
    expected = cron_manual.due(fields, zone, begin, minutes)
    assert between(fields, zone, begin, end) == expected
    for number, tick in enumerate(expected[:30]):
        assert next(instants.ticks(fields, ZoneInfo(zone), tick - timedelta(seconds=1))) == tick
        if number:
            assert instants.last_tick(fields, ZoneInfo(zone), tick) == expected[number - 1]


@settings(deadline=None)
@given(FIELDS, st.sampled_from(ALL_ZONES), st.data())
def test_looked_for_from_either_side_and_from_any_instant_the_ticks_are_the_same(
    fields: str, zone: str, data: st.DataObject
) -> None:
    around = data.draw(st.sampled_from([*changes(zone), datetime(2027, 1, 1, tzinfo=UTC)]))
    moment = around + data.draw(st.timedeltas(timedelta(days=-1), timedelta(days=2)))
    own = ZoneInfo(zone)
    before = instants.last_tick(fields, own, moment)
    following = next(instants.ticks(fields, own, before))
    assert before < moment <= following
    assert instants.last_tick(fields, own, following) == before
    assert next(instants.ticks(fields, own, before - timedelta(microseconds=1))) == before


def test_a_change_of_more_than_three_hours_is_a_correction_of_the_clock() -> None:
    apia = "Pacific/Apia"  # had no 30th of December 2011
    begin = datetime(2011, 12, 29, tzinfo=UTC)
    for fields in ("0 12 * * *", "0 * * * *", "30 0 31 * *"):
        expected = cron_manual.due(fields, apia, begin, DAYS * 1440)
        assert between(fields, apia, begin, begin + timedelta(days=DAYS)) == expected
    assert len(between("0 12 30 * *", apia, begin, begin + timedelta(days=DAYS))) == 0


def test_fields_with_seconds_go_by_the_same_rule() -> None:
    begin = datetime(2026, 3, 29, tzinfo=UTC)
    found = between("10,50 30 2 * * *", "Europe/Berlin", begin, begin + timedelta(days=1))
    assert [f"{tick:%T}" for tick in found] == ["01:00:00"]
    begin = datetime(2026, 10, 25, tzinfo=UTC)
    found = between("10,50 30 2 * * *", "Europe/Berlin", begin, begin + timedelta(days=1))
    assert [f"{tick:%T}" for tick in found] == ["00:30:10", "00:30:50"]
    found = between("*/30 * * * * *", "Europe/Berlin", begin, begin + timedelta(minutes=2))
    assert [f"{tick:%T}" for tick in found] == ["00:00:00", "00:00:30", "00:01:00", "00:01:30"]


def test_every_change_of_every_zone_is_known_to_the_second() -> None:
    for zone in ("Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "America/Nuuk"):
        own = ZoneInfo(zone)
        for day in changes(zone):
            found = zones.changes(own, day.replace(tzinfo=None))[0]
            assert day.replace(tzinfo=None) <= found <= day.replace(tzinfo=None) + timedelta(days=1)
            assert zones.offset_at(own, found) != zones.offset_at(own, found - timedelta(seconds=1))


def test_a_day_that_comes_once_in_many_years_is_found_at_once() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    tick = next(instants.ticks("0 0 29 2 */7", ZoneInfo("Europe/Berlin"), begin))
    assert tick.astimezone(ZoneInfo("Europe/Berlin")) == datetime(
        2032, 2, 29, tzinfo=ZoneInfo("Europe/Berlin")
    )

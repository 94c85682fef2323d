"""The checker's own reading of schedules: by known days, and against another one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.expected import every, named

# Not where clocks are changed by half an hour, or at midnight: the other reader is wrong there.
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Africa/Casablanca", "America/St_Johns"),
    *("Asia/Kolkata", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Adelaide"),
]


def local(schedule: str, zone: str, day: str, hours: int = 24) -> list[str]:
    """The ticks of a day in a zone, as its clocks show them."""
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    ticks = named(schedule, zone, begin, begin + timedelta(hours=hours))
    return [f"{tick.astimezone(ZoneInfo(zone)):%H:%M%z}" for tick in ticks]


@pytest.mark.parametrize(
    ("schedule", "zone", "day", "ticks"),
    [
        ("30 2 * * *", "Europe/Berlin", "2030-03-31", ["03:00+0200"]),
        ("0,30 2 * * *", "Europe/Berlin", "2030-03-31", ["03:00+0200"]),
        ("30 2,3 * * *", "Europe/Berlin", "2030-03-31", ["03:00+0200", "03:30+0200"]),
        ("30 2 * * *", "Europe/Berlin", "2030-10-27", ["02:30+0200"]),
        ("30 */2 * * *", "Europe/Berlin", "2030-03-31", ["00:30+0100", "04:30+0200", "06:30+0200"]),
        ("*/30 2 * * *", "Europe/Berlin", "2030-03-31", []),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            "2030-10-27",
            ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"],
        ),
        ("30 1 * * *", "America/New_York", "2030-11-03", ["01:30-0400"]),
        ("30 2 * * *", "America/New_York", "2030-03-10", ["03:00-0400"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2030-10-06", ["02:30+1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2030-04-07", ["01:45+1100"]),
        ("10 30 2 * * *", "Europe/Berlin", "2030-03-31", ["03:00+0200"]),
        ("0 0 * * *", "Africa/Cairo", "2023-04-28", ["01:00+0300"]),
    ],
)
def test_changes_of_time_are_read_as_cron_does(schedule: str, zone: str, day: str, ticks: list[str]) -> None:
    assert local(schedule, zone, day, 7) == ticks


def test_a_day_that_a_country_left_out_has_no_ticks() -> None:
    begin = datetime(2011, 12, 28, 12, tzinfo=UTC)
    ticks = named("30 3 * * *", "Pacific/Apia", begin, begin + timedelta(days=3))
    assert [tick.astimezone(ZoneInfo("Pacific/Apia")).day for tick in ticks] == [28, 29, 31]


def test_a_star_in_either_field_of_days_asks_for_both() -> None:
    begin = datetime(2030, 1, 1, tzinfo=UTC)

    def days(schedule: str) -> list[int]:
        return [tick.day for tick in named(schedule, "UTC", begin, begin + timedelta(days=15))]

    assert days("0 0 13 * fri") == [4, 11, 13]
    assert days("0 0 */6 * 7") == [13]
    assert days("0 0 * * 0") == [6, 13]
    assert days("0 0 1-9/4 * *") == [1, 5, 9]


def test_seconds_and_every() -> None:
    begin = datetime(2030, 1, 1, 12, 0, 5, tzinfo=UTC)
    end = begin + timedelta(minutes=1, seconds=1)
    assert [each.second for each in named("*/20 * * * * *", "UTC", begin, end)] == [20, 40, 0]
    half = begin + timedelta(seconds=0.5)
    assert [each.second for each in named("@every 20s", "UTC", half, end)] == [25, 45, 5]
    assert [each.second for each in named("@every 20s", "UTC", begin, end - timedelta(seconds=1))] == [25, 45]
    assert every("@every 1h30m5s") == 5405
    assert every("@every 1d") == 86400


def test_the_beginning_counts_and_the_end_does_not() -> None:
    begin = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert named("@hourly", "UTC", begin, begin + timedelta(hours=1)) == (begin,)
    assert named("@hourly", "UTC", begin + timedelta(microseconds=1), begin + timedelta(hours=1)) == ()


def field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    spans = (
        st.tuples(numbers, numbers).filter(lambda two: two[0] < two[1]).map(lambda two: f"{two[0]}-{two[1]}")
    )
    steps = st.integers(1, high)
    parts = numbers.map(str) | spans | st.builds("{}/{}".format, spans, steps)
    starred = st.just("*") | steps.map("*/{}".format)
    return starred | st.lists(parts, min_size=1, max_size=3).map(",".join)


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(field(0, 59), field(0, 23), field(1, 28), st.just("*"), field(0, 7)).map(" ".join),
    st.sampled_from(ZONES),
    st.integers(0, 365 * 2),
)
def test_another_reader_of_schedules_reads_them_alike(schedule: str, zone: str, day: int) -> None:
    begin = datetime(2029, 1, 1, tzinfo=UTC) + timedelta(days=day)
    end = begin + timedelta(days=3)
    theirs = set()
    for tick in CronSim(schedule, (begin - timedelta(days=1)).astimezone(ZoneInfo(zone))):
        if tick.astimezone(UTC) >= end:
            break
        theirs.add(tick.astimezone(UTC))
    assert set(named(schedule, zone, begin, end)) == {tick for tick in theirs if tick >= begin}

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.schedules import BORN, Job

from cronkeeper.common import instants, schedule
from cronkeeper.common.cron_lines import cron_lines
from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import CatchUp, SkipReason
from cronkeeper.common.schedule import NAMES, due_ticks

ON_TIME = timedelta(seconds=30)


def minute(number: int) -> datetime:
    return datetime(2026, 3, 1, 12, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * * *", "4 fields"),
        ("61 * * * *", "'61' is not understood as minute, which takes 0-59"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("30 2 30 2 *", "never due, since no month in it has day 30"),
        ("0 0 45 2 *", "'45' is not understood as day-of-month"),
        ("@reboot", "a machine's start is no time"),
        ("0 0 L * *", "L, W and #"),
        ("0 0 * * 1#2", "L, W and #"),
        ("0 0 15W * *", "L, W and #"),
        ("0 0 * * 5L", "L, W and #"),
        ("1/5 * * * *", "a step needs a range"),
        ("0 0 * jan/2 *", "a step needs a range"),
        ("8-8/2 * * * *", "a step needs a range"),
        ("0 0 * * MON-mon/2", "a step needs a range"),
        ("0 0 * * 1-5/2,TUE-02/1", "a step needs a range"),
        ("*/99999999 * * * *", "three digits"),
        ("", "0 fields"),
        ("* * * * * * *", "7 fields, and not five, or six with seconds"),
        ("60 * * * * *", "'60' is not understood as second, which takes 0-59"),
        ("0 61 * * * *", "'61' is not understood as minute, which takes 0-59"),
        ("0 0 0 30 2 *", "never due, since no month in it has day 30"),
        ("5/10 * * * * *", "a step needs a range"),
        ("0 0 0 L * *", "L, W and #"),
        ("@every", "takes whole days, hours, minutes and seconds, such as 10s"),
        ("@every 10", "takes whole days"),
        ("@every 1.5h", "takes whole days"),
        ("@every 5m1h", "takes whole days"),
        ("@every 100ms", "takes whole days"),
        ("@every -5s", "takes whole days"),
        ("@every 0s", "takes a time from 1s to 366d"),
        ("@every 367d", "takes a time from 1s to 366d"),
        ("@every 5m 5s", "takes whole days"),
        ("@everything 5m", "@everything is not a name"),
    ],
)
def test_a_schedule_that_cron_does_not_read_as_we_do_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        schedule.parse(text, UTC, BORN)


@pytest.mark.parametrize(
    "text",
    [
        "*/5 * * * *",
        "0 0 1 JAN-mar *",
        "0 0 * * 5-7",
        "@hourly",
        "@once",
        "0 9 * JUL WED",
        "*/10 * * * * *",
        "0,30 5 3 * * MON-FRI",
        "@every 1s",
        "@every 90m",
        "@every 1d2h3m4s",
        "@every 366d",
    ],
)
def test_a_schedule_that_both_read_alike_is_kept_as_it_is(text: str) -> None:
    assert schedule.parse(f"  {text} ", UTC, BORN) == text


def test_nothing_is_due_before_the_job_was_made() -> None:
    assert due_ticks(Job(), None, minute(0) + timedelta(seconds=59), ON_TIME).ticks == ()
    assert due_ticks(Job(), None, minute(1), ON_TIME).ticks == (minute(1),)


def test_a_tick_that_was_dealt_with_is_never_due_again() -> None:
    assert due_ticks(Job(), minute(1), minute(1) + timedelta(seconds=59), ON_TIME).ticks == ()


def test_a_job_without_a_schedule_is_never_due() -> None:
    assert due_ticks(Job(schedule=None), None, minute(9), ON_TIME).ticks == ()


def test_after_a_gap_the_latest_tick_runs_and_the_others_are_named() -> None:
    due = due_ticks(Job(), minute(1), minute(9) + timedelta(seconds=45), ON_TIME)
    assert due.ticks == (minute(9),)
    assert [(s.first, s.last, s.reason) for s in due.skips] == [(minute(2), minute(8), SkipReason.COALESCED)]


def test_what_is_older_than_max_lateness_never_runs() -> None:
    now = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    due = due_ticks(Job(schedule="0 0 * * *"), None, now, ON_TIME)
    assert due.ticks == ()
    assert [(s.first.day, s.last.day, s.reason) for s in due.skips] == [(2, 4, SkipReason.TOO_LATE)]


def test_how_late_a_tick_may_be_is_the_jobs_own_and_never_less_than_on_time() -> None:
    now = minute(9) + timedelta(seconds=20)
    assert due_ticks(Job(schedule="5 * * * *", max_lateness=600.0), None, now, ON_TIME).ticks == (minute(5),)
    assert due_ticks(Job(schedule="5 * * * *", max_lateness=60.0), None, now, ON_TIME).ticks == ()
    assert due_ticks(Job(schedule="9 * * * *", max_lateness=0.0), None, now, ON_TIME).ticks == (minute(9),)


def test_nothing_is_due_of_a_job_that_is_not_enabled_and_cron_does_not_know_it() -> None:
    for text in ("* * * * *", "@once"):
        job = Job(schedule=text, at=minute(5) if text == "@once" else None, enabled=False)
        assert schedule.next_tick(job, BORN) is None
        assert due_ticks(job, None, minute(9), ON_TIME) == schedule.Due()
        assert cron_lines(job, UTC, BORN) == ()


def test_a_one_shot_is_due_once_and_never_too_late() -> None:
    job = Job(schedule="@once", at=minute(5))
    assert due_ticks(job, None, minute(4), ON_TIME).ticks == ()
    assert due_ticks(job, None, minute(5) + timedelta(days=400), ON_TIME).ticks == (minute(5),)
    assert due_ticks(job, minute(5), minute(50), ON_TIME).ticks == ()


def test_a_one_shot_that_was_put_off_past_its_instant_is_not_due_when_it_is_enabled_again() -> None:
    job = Job(schedule="@once", at=minute(5), effective_from=minute(6))
    assert due_ticks(job, None, minute(7), ON_TIME).ticks == ()
    assert due_ticks(Job(schedule="@once", effective_from=minute(6)), None, minute(7), ON_TIME).ticks == (
        minute(6),
    )


def test_a_one_shot_without_an_instant_is_due_when_it_was_made() -> None:
    assert due_ticks(Job(schedule="@once"), None, BORN, ON_TIME).ticks == (BORN,)


def test_ticks_are_those_of_the_jobs_own_zone() -> None:
    job = Job(schedule="0 9 * * *", timezone="Europe/Berlin", effective_from=BORN - timedelta(days=1))
    due = due_ticks(job, None, datetime(2026, 3, 1, 8, 0, 1, tzinfo=UTC), ON_TIME)
    assert due.ticks == (datetime(2026, 3, 1, 8, 0, tzinfo=UTC),)


def test_cron_gets_the_minute_of_a_one_shot_in_the_nodes_zone_rounded_up() -> None:
    job = Job(schedule="@once", at=minute(5) + timedelta(seconds=1))
    assert cron_lines(job, ZoneInfo("Europe/Berlin"), BORN) == ("6 13 1 3 *",)
    assert cron_lines(job, UTC, minute(6)) == ()


SCHEDULES = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "@hourly",
        "5,35 3-5 * * *",
        "0 0 * * 1-5",
        "30 2 * * *",
        "20 */7 * * * *",
        "7 30 1-3 * * *",
        "@every 4m10s",
        "@every 1h30m",
    ]
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])


@given(
    SCHEDULES,
    ZONES,
    st.lists(st.integers(1, 5_000), min_size=1, max_size=12),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 30)),  # noqa: DTZ001 (hypothesis wants naive bounds)
)
def test_asked_again_and_again_every_tick_is_dealt_with_exactly_once(
    text: str, zone: str, pauses: list[int], begin: datetime
) -> None:
    born = begin.replace(tzinfo=UTC)
    job = Job(schedule=text, timezone=zone, effective_from=born)
    now, watermark = born, None
    ran: list[datetime] = []
    ranges = []
    for pause in pauses:
        now += timedelta(seconds=pause)
        due = due_ticks(job, watermark, now, ON_TIME)
        assert all(now - timedelta(hours=1) <= tick <= now for tick in due.ticks)
        ran += due.ticks
        ranges += due.skips
        dealt_with = [*due.ticks, *(skip.last for skip in due.skips)]
        watermark = max([*dealt_with, *([watermark] if watermark else [])], default=None)
    expected = []
    tick = schedule.next_tick(job, born - timedelta(microseconds=1))
    while tick is not None and tick <= now:
        expected.append(tick)
        tick = schedule.next_tick(job, tick)
    skipped = [t for t in expected if any(s.first <= t <= s.last for s in ranges)]
    assert sorted(ran + skipped) == expected


@given(
    st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 1 1 *", "@hourly", "15,45 1-3 * * 0"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]),
    st.integers(-1_000_000, 500_000),
    st.timedeltas(timedelta(0), timedelta(seconds=59.999999)),
)
def test_within_a_minute_the_next_ticks_are_the_same_and_each_follows_the_one_before(
    text: str, zone: str, minutes: int, later: timedelta
) -> None:
    minute = BORN.replace(second=0) + timedelta(minutes=minutes)
    timed = Job(schedule=text, timezone=zone, effective_from=minute - timedelta(days=1))
    first = schedule.next_ticks(timed, minute, 1)
    fields = NAMES.get(text, text)
    expected = list(islice(instants.ticks(fields, ZoneInfo(zone), minute + later), 3))
    found = schedule.next_ticks(timed, minute + later, 3)
    assert list(found) == expected
    assert first == found[:1]
    assert schedule.next_tick(timed, minute + later) == found[0]
    assert schedule.next_tick(timed, found[0]) == found[1]


def test_of_a_job_that_catches_up_with_all_the_oldest_are_due_and_none_is_passed_over() -> None:
    job = Job(catch_up=CatchUp.ALL, max_lateness=300.0)
    due = due_ticks(job, minute(1), minute(9), ON_TIME, 2)
    assert due.ticks == (minute(4), minute(5))
    assert [(s.first, s.last, s.reason) for s in due.skips] == [(minute(2), minute(3), SkipReason.TOO_LATE)]
    assert due_ticks(job, minute(9), minute(9), ON_TIME, 2) == schedule.Due()


@given(
    st.sampled_from(["* * * * *", "*/9 * * * *", "0 3 * * *", "5,6 * * * 1", "* 4 1 * *"]),
    st.integers(0, 45 * 1440),
)
def test_after_however_long_a_gap_the_latest_runs_and_one_range_tells_of_the_others(
    text: str, minutes: int
) -> None:
    job = Job(schedule=text, max_lateness=31 * 86400.0)
    now = BORN + timedelta(minutes=minutes)
    due = due_ticks(job, None, now, ON_TIME)
    told = [*((s.first, s.last) for s in due.skips), *((tick, tick) for tick in due.ticks)]
    for (_, last), (first, _) in pairwise(told):
        assert schedule.next_tick(job, last) == first
    tick = schedule.next_tick(job, BORN)
    assert [first for first, _ in told[:1]] == ([tick] if tick is not None and tick <= now else [])
    following = schedule.next_tick(job, told[-1][1]) if told else tick
    assert following is not None
    assert following > now

"""Schedules that count seconds: `@every 10s`, and cron's fields with seconds before them."""

import time
from datetime import UTC, datetime, timedelta
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st
from support.schedules import BORN, Job

from cronkeeper.common import schedule
from cronkeeper.common.cron_lines import cron_lines
from cronkeeper.common.model import CatchUp, SkipReason
from cronkeeper.common.schedule import due_ticks

ON_TIME = timedelta(seconds=30)
LATER = timedelta(microseconds=123_456)


def minute(number: int) -> datetime:
    return datetime(2026, 3, 1, 12, number, tzinfo=UTC)


def seconds(*numbers: int) -> tuple[datetime, ...]:
    return tuple(BORN + timedelta(seconds=number) for number in numbers)


def test_every_ten_seconds_counts_from_the_whole_second_in_which_it_took_effect() -> None:
    job = Job(schedule="@every 10s", effective_from=BORN + LATER)
    assert schedule.next_ticks(job, BORN, 3) == seconds(10, 20, 30)
    assert schedule.next_tick(job, BORN + timedelta(seconds=20)) == seconds(30)[0]
    assert due_ticks(job, None, BORN + timedelta(seconds=9.9), ON_TIME) == schedule.Due()
    assert due_ticks(job, None, BORN + timedelta(seconds=25), ON_TIME).ticks == seconds(10, 20)


def test_an_edit_counts_anew() -> None:
    job = Job(schedule="@every 1h30m", effective_from=minute(7) + timedelta(seconds=5))
    assert schedule.next_tick(job, minute(7)) == datetime(2026, 3, 1, 13, 37, 5, tzinfo=UTC)


def test_the_first_of_six_fields_is_that_of_the_seconds() -> None:
    assert schedule.next_ticks(Job(schedule="*/20 * * * * *"), BORN, 3) == (
        *seconds(10),
        *seconds(30),
        *seconds(50),
    )
    assert schedule.next_tick(Job(schedule="7 5 13 * * *"), BORN) == datetime(
        2026, 3, 1, 13, 5, 7, tzinfo=UTC
    )


def test_cron_is_not_told_of_them_nor_waited_for_where_they_are_due_on_a_whole_minute() -> None:
    for text in ("@every 60s", "0 * * * * *"):
        assert cron_lines(Job(schedule=text), UTC, BORN) == ()
        assert not schedule.for_cron(Job(schedule=text), minute(1))
    assert schedule.for_cron(Job(), minute(1))
    assert schedule.for_cron(Job(schedule="@once", at=minute(1)), minute(1))
    assert not schedule.for_cron(Job(schedule="@once", at=BORN), BORN)


def test_after_a_day_away_the_latest_of_86400_ticks_is_found_without_listing_them() -> None:
    for text, first in (("@every 1s", 1), ("* * * * * *", 0)):
        job = Job(schedule=text, max_lateness=3600.0)
        now = BORN + timedelta(days=1)
        began = time.process_time()
        due = due_ticks(job, None, now, timedelta(0))
        assert time.process_time() - began < 0.1
        assert due.ticks == seconds(86_400)
        late, passed_over = due.skips
        assert (late.first, late.last) == seconds(first, 86_400 - 3601)
        assert (passed_over.first, passed_over.last) == seconds(86_400 - 3600, 86_399)
        assert (late.reason, passed_over.reason) == (SkipReason.TOO_LATE, SkipReason.COALESCED)
        began = time.process_time()
        assert schedule.undone(job, None, now) == seconds(first, 86_399)
        assert time.process_time() - began < 0.1


def test_all_of_the_missed_seconds_are_due_where_that_is_wanted_the_oldest_first() -> None:
    job = Job(schedule="@every 2s", catch_up=CatchUp.ALL, max_lateness=60.0)
    due = due_ticks(job, None, BORN + timedelta(seconds=100), ON_TIME, 3)
    assert due.ticks == seconds(40, 42, 44)
    assert [(each.first, each.last) for each in due.skips] == [seconds(2, 38)]


@settings(deadline=None)
@given(
    st.sampled_from(
        ["@every 7s", "@every 1m1s", "@every 5h", "*/7 * * * * *", "59 */3 * * * *", "1,3 0 4 * * *"]
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**6 - 1),
    st.timedeltas(timedelta(0), timedelta(hours=2)),
)
def test_what_is_due_is_the_same_however_it_is_looked_for(
    text: str, born: int, micros: int, on_time: timedelta
) -> None:
    begin = BORN + timedelta(seconds=born, microseconds=micros)
    job = Job(schedule=text, timezone="Europe/Berlin", effective_from=begin, max_lateness=7200.0)
    # What falls on the very instant counts.
    ticks = tuple(islice(_one_by_one(job, begin - timedelta(microseconds=1)), 40))
    now = ticks[-1] + timedelta(milliseconds=1)
    due = due_ticks(job, None, now, on_time)
    young = tuple(tick for tick in ticks if tick > now - on_time)
    assert due.ticks == (young if young else ticks[-1:])
    told = [tick for tick in ticks if any(skip.first <= tick <= skip.last for skip in due.skips)]
    assert sorted((*told, *due.ticks)) == list(ticks)
    assert all(skip.first in ticks and skip.last in ticks for skip in due.skips)


def _one_by_one(job: Job, tick: datetime):  # type: ignore[no-untyped-def]
    while True:
        following = schedule.next_tick(job, tick)
        assert following is not None
        tick = following
        yield tick

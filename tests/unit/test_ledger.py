"""What became of every tick that was expected, worked out from schedules, runs and the time."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.samples import NOW, hand_run

from cronkeeper.common.expected import Dated, Period, expected, periods
from cronkeeper.common.ledger import Entry, Result, Rules, Window, ledger, summary
from cronkeeper.common.model import Run, RunState, SkipReason, StartedBy, replace, tick_run_id
from cronkeeper.common.settings import Fleet

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = BEGIN + 2 * HOUR
RULES = Rules(punctual=7 * SECOND, patience=11 * MINUTE)


def dated(**changes: Any) -> Dated:
    """A job for every minute since a day."""
    fields: dict[str, Any] = {
        "job_id": 1,
        "schedule": "* * * * *",
        "at": None,
        "timezone": "UTC",
        "enabled": True,
        "effective_from": BEGIN - 24 * HOUR,
        "ended_at": None,
        "max_lateness": 3600.0,
        "forgotten_tick": None,
    }
    return Dated(**fields | changes)


def ran(tick: datetime, lateness: float = 0.5, **changes: Any) -> Run:
    started = tick + timedelta(seconds=lateness)
    fields: dict[str, Any] = {
        "job_id": 1,
        "copy": 1,
        "tick": tick,
        "attempt": 1,
        "state": RunState.SUCCEEDED,
        "started_by": StartedBy.CRON,
        "node": "alpha",
        "created_at": started,
        "started_at": started,
    }
    fields |= changes
    return Run(id=tick_run_id(1, 1, tick, fields["attempt"]), **fields)


def skipped(first: datetime, last: datetime | None = None, **changes: Any) -> Run:
    end = first if last is None else last
    range_ = {"first_tick": first} if last is not None else {}
    more = {"state": RunState.SKIPPED, "started_at": None, "reason": "coalesced", **range_}
    return ran(end, **more | changes)


def at(minute: float) -> datetime:
    return BEGIN + minute * MINUTE


def became(
    runs: Iterable[Run],
    *,
    job: Dated | None = None,
    past: Iterable[Period] = (),
    minutes: int = 5,
    now: datetime = LATER,
    forgotten: datetime | None = None,
) -> list[Entry]:
    """What became of the ticks of the first minutes."""
    window = Window(begin=BEGIN, end=at(minutes), now=now)
    due = list(expected(periods(dated() if job is None else job, past), window.begin, window.end))
    return ledger(due, list(runs), window, RULES, forgotten)


def results(entries: Iterable[Entry]) -> str:
    """A letter for each: R ran, L late, S skipped, X lost, . open, ! unaccounted, ? unknown."""
    letters = dict(zip(Result, "RLSX.!?", strict=True))
    return "".join(letters[entry.result] for entry in entries)


def test_each_tick_has_the_end_that_its_run_had() -> None:
    runs = [
        ran(at(0), 7.0),
        ran(at(1), 7.5, state=RunState.FAILED, reason="exit code 1"),
        skipped(at(2), reason="still_running"),
        ran(at(3), state=RunState.LOST, reason="node alpha is gone"),
        ran(at(4), state=RunState.RUNNING),
    ]
    entries = became(runs)
    assert results(entries) == "RLSX."
    assert [entry.lateness for entry in entries] == [7.0, 7.5, None, 0.5, 0.5]
    assert [entry.reason for entry in entries] == [
        None,
        "exit code 1",
        "still_running",
        "node alpha is gone",
        None,
    ]
    assert [entry.run_id for entry in entries] == [run.id for run in runs]


def test_a_tick_is_late_by_its_first_attempt_and_not_by_those_after_it() -> None:
    failed = ran(at(0), 2.0, state=RunState.FAILED)
    again = ran(at(0), 45.0, attempt=2)
    (entry,) = became([failed, again], minutes=1)
    assert (entry.result, entry.lateness, entry.run_id) == (Result.RAN, 2.0, again.id)
    never = replace(failed, started_at=None)
    (entry,) = became([never, again], minutes=1)
    assert (entry.result, entry.lateness) == (Result.LATE, 45.0)


def test_how_late_is_late_follows_from_how_long_cron_is_waited_for() -> None:
    assert Rules.of(Fleet()).punctual == Rules().punctual == 7 * SECOND
    assert Rules.of(Fleet(clock_grace=20.0)).punctual == 22 * SECOND


def test_a_run_that_never_began_did_not_run() -> None:
    never = {"started_at": None, "reason": "no such user"}
    (failed, canceled, unsaid) = became(
        [
            ran(at(0), state=RunState.FAILED, **never),
            ran(at(1), state=RunState.CANCELED, **never),
            ran(at(2), started_at=None),
        ],
        minutes=3,
    )
    assert results([failed, canceled, unsaid]) == "SSR"
    assert (failed.reason, failed.state) == ("no such user", RunState.FAILED)


def test_of_several_attempts_the_last_one_counts() -> None:
    runs = [ran(at(0), state=RunState.LOST), ran(at(0), 90.0, attempt=2), ran(at(1))]
    assert results(became(runs, minutes=2)) == "RR"


def test_a_row_tells_of_its_whole_range_also_beyond_the_window_and_in_the_old_form() -> None:
    entries = became([ran(at(0)), skipped(at(1), at(90))])
    assert results(entries) == "RSSSS"
    assert {entry.run_id for entry in entries[1:]} == {tick_run_id(1, 1, at(90), 1)}
    old = f"too_late: the ticks from {at(1):%FT%TZ} to {at(3):%FT%TZ}"
    entries = became(
        [ran(at(0)), ran(at(3), state=RunState.SKIPPED, started_at=None, reason=old), ran(at(4))]
    )
    assert results(entries) == "RSSSR"
    assert entries[1].reason == "too_late"


def test_a_tick_of_which_nothing_tells_is_a_hole_once_later_ones_are_known_for_long() -> None:
    runs = [ran(at(0)), ran(at(3)), ran(at(4))]
    assert results(became(runs)) == "R!!RR"
    assert results(became(runs, now=at(3) + RULES.patience)) == "R..RR"
    assert results(became(runs, now=at(3) + RULES.patience + SECOND)) == "R!!RR"
    # What was away for long tells all at once: that it comes in another order makes no hole.
    assert results(became([replace(run, created_at=LATER) for run in runs])) == "R..RR"


def test_while_nothing_later_is_known_a_tick_may_still_come() -> None:
    assert results(became([ran(at(0)), ran(at(1))], now=BEGIN + 24 * HOUR)) == "RR..."
    assert results(became([], now=BEGIN + 24 * HOUR)) == "....."


def test_ticks_up_to_one_whose_run_was_removed_are_unknown_unless_something_is_left_of_them() -> None:
    assert results(became([ran(at(1)), ran(at(4))], forgotten=at(2))) == "?R?!R"


def test_what_waited_when_a_period_ended_was_skipped_for_that() -> None:
    def over(reason: SkipReason) -> Period:
        return Period(
            schedule="* * * * *",
            at=None,
            timezone="UTC",
            effective_from=at(-60),
            until=at(3),
            reason=reason,
        )

    hourly = dated(schedule="0 * * * *", effective_from=at(3))
    runs = [ran(at(0)), ran(at(60))]
    for reason in (SkipReason.EDITED, SkipReason.PAUSED):
        entries = became(runs, job=hourly, past=[over(reason)])
        assert results(entries) == "RSS"
        assert [entry.reason for entry in entries[1:]] == [reason, reason]
    entries = became(runs, job=hourly, past=[over(SkipReason.EDITED)], now=at(3) + RULES.patience - SECOND)
    assert results(entries) == "R.."
    # But what lies before something that was dealt with is a hole.
    assert results(became([ran(at(0)), ran(at(2))], job=hourly, past=[over(SkipReason.EDITED)])) == "R!R"


def test_a_removed_job_is_due_no_more_and_its_last_ticks_were_skipped_for_that() -> None:
    entries = became([ran(at(0))], job=dated(ended_at=at(2.5)))
    assert results(entries) == "RSS"
    assert entries[1].reason == SkipReason.REMOVED


def test_a_one_shot_that_is_done_in_the_instant_in_which_it_is_due_was_expected() -> None:
    due = expected(
        periods(dated(schedule="@once", at=at(1), effective_from=at(0), ended_at=at(1)), []), BEGIN, LATER
    )
    assert [tick for tick, _ in due] == [at(1)]


def test_the_tick_of_a_one_shot_waits_for_ever_and_is_a_hole_once_the_job_is_done_without_it() -> None:
    one_shot = dated(schedule="@once", at=at(1), effective_from=at(0))
    assert results(became([], job=one_shot, now=BEGIN + 99 * 24 * HOUR)) == "."
    assert results(became([], job=replace(one_shot, ended_at=at(2)))) == "!"
    assert results(became([ran(at(1))], job=replace(one_shot, ended_at=at(2)))) == "R"
    at_once = dated(schedule="@once", effective_from=NOW)
    window = Window(begin=BEGIN, end=LATER, now=LATER)
    due = list(expected(periods(at_once, []), BEGIN, LATER))
    (entry,) = ledger(due, [ran(NOW)], window, RULES)
    assert (entry.tick, entry.result) == (NOW, Result.RAN)


def test_a_paused_job_is_not_due_and_one_tick_is_never_in_two_periods() -> None:
    assert became([], job=dated(enabled=False)) == []
    assert became([], job=dated(schedule=None)) == []
    times = periods(
        dated(schedule="@once", effective_from=BEGIN),
        [
            Period(
                schedule="@once",
                at=None,
                timezone="UTC",
                effective_from=BEGIN,
                until=at(1),
                reason=SkipReason.PAUSED,
            )
        ],
    )
    assert [tick for tick, _ in expected(times, at(-9), at(9))] == [BEGIN]


def test_a_run_that_was_not_expected_is_told_too_and_not_counted_with_the_others() -> None:
    stray = ran(at(1), state=RunState.FAILED)
    hourly = dated(schedule="0 * * * *")
    entries = became([ran(at(0)), stray, skipped(at(2)), hand_run()], job=hourly)
    assert [(entry.tick, entry.expected) for entry in entries] == [(at(0), True), (at(1), False)]
    counted = summary(entries)
    assert (counted.expected, counted.unexpected, counted.results[Result.RAN]) == (1, 1, 1)


def test_the_summary_tells_how_late_the_ticks_were() -> None:
    runs = [ran(at(minute), float(minute)) for minute in range(100)]
    late = summary(became(runs, minutes=100, now=LATER)).lateness
    assert late is not None
    assert (late.p50, late.p99, late.max) == (49.0, 98.0, 99.0)
    assert summary(became([])).lateness is None


states = st.sampled_from([state for state in RunState if state is not RunState.SKIPPED])


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Run], list[Period], datetime | None]:
    """Any rows at all of an hour's ticks, and any edits."""
    minutes = draw(st.sets(st.integers(-5, 70), max_size=40))
    runs = [
        ran(at(minute), draw(st.floats(0, 500)), state=draw(states), created_at=at(draw(st.integers(0, 130))))
        for minute in minutes
    ]
    for first in draw(st.sets(st.integers(-5, 70), max_size=3)):
        runs.append(skipped(at(first), at(first + draw(st.integers(0, 30)))))
    edits = sorted(draw(st.sets(st.floats(1, 59), max_size=3)))
    past = [
        Period(
            schedule=draw(st.sampled_from(["* * * * *", "*/7 * * * *"])),
            at=None,
            timezone="Europe/Berlin",
            effective_from=at(begin),
            until=at(end),
            reason=draw(st.sampled_from([SkipReason.EDITED, SkipReason.PAUSED])),
        )
        for begin, end in zip([0, *edits], edits, strict=False)
    ]
    return runs, past, draw(st.none() | st.integers(0, 60).map(at))


@settings(deadline=None)
@given(histories(), st.integers(60, 300))
def test_every_expected_tick_appears_once_in_order_and_the_sums_add_up(
    history: tuple[list[Run], list[Period], datetime | None], now: int
) -> None:
    runs, past, forgotten = history
    job = dated(effective_from=at(0) if not past else past[-1].until)
    entries = became(runs, job=job, past=past, minutes=60, now=at(now), forgotten=forgotten)
    due = [tick for tick, _ in expected(periods(job, past), BEGIN, at(60))]
    assert [entry.tick for entry in entries if entry.expected] == due == sorted(set(due))
    assert [entry.tick for entry in entries] == sorted(entry.tick for entry in entries)
    counted = summary(entries)
    assert counted.expected == sum(counted.results.values()) == len(due)
    assert counted.unexpected == len(entries) - len(due)
    known = {run.tick for run in runs}
    for entry in entries:
        assert (entry.run_id is None) <= (entry.tick not in known)
        if entry.result in (Result.RAN, Result.LATE) and entry.lateness is not None:
            assert (entry.result is Result.LATE) == (entry.lateness > 7)


@settings(deadline=None)
@given(st.data())
def test_what_one_window_says_of_a_tick_the_parts_of_it_say_too(data: st.DataObject) -> None:
    runs, past, forgotten = data.draw(histories())
    runs = [replace(run, created_at=BEGIN) for run in runs]  # else a part may not see that a later one is old
    cut = data.draw(st.integers(0, 60))
    job = dated(effective_from=at(0) if not past else past[-1].until)
    times = periods(job, past)

    def part(begin: int, end: int) -> list[Entry]:
        window = Window(begin=at(begin), end=at(end), now=LATER)
        names = sorted((run for run in runs if run.tick is not None), key=lambda run: run.id)
        inside = [run for run in names if run.tick and at(begin) <= run.tick < at(end)]
        following = [run for run in names if run.tick and run.tick >= at(end)][:1]
        due = list(expected(times, window.begin, window.end))
        return ledger(due, inside + following, window, RULES, forgotten)

    if any(run.first_tick is not None for run in runs):
        return  # a range that others lie in is no row that a worker writes
    assert part(0, cut) + part(cut, 60) == part(0, 60)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
def test_ticks_are_those_of_the_jobs_own_zone(zone: str) -> None:
    job = dated(schedule="30 2 * * *", timezone=zone, effective_from=BEGIN)
    ticks = [tick for tick, _ in expected(periods(job, []), BEGIN, BEGIN + 10 * 24 * HOUR)]
    assert len(ticks) == 10
    assert all(tick.tzinfo is UTC for tick in ticks)

"""An edit or a pause between a tick and its claim: the tick does not run, and the ledger says why."""

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import BEGIN
from support.fleet import Fleet
from support.promise import complaints
from support.samples import NOW, new_job, spec, unfinished

from cronkeeper.common.model import (
    CatchUp,
    Claim,
    Definition,
    Job,
    JobStatus,
    RunState,
    Skip,
    SkipReason,
    encode,
)
from cronkeeper.manager.edits import carried, with_skips

MakeFleet = Callable[..., Fleet]

BORN = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
TICK = BEGIN + timedelta(seconds=30)
RUN = "1.1.20260301T120100Z.1"


def minute(number: int) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(minutes=number)


def job(**changes: Any) -> Job:
    """The job as SQL holds it after an edit half a second after the fifth minute."""
    edited = minute(5) + timedelta(seconds=0.5)
    definition = new_job(timezone="UTC")
    known: dict[str, Any] = {field.name: getattr(definition, field.name) for field in fields(Definition)}
    known |= {
        "id": 1,
        "effective_from": BORN,
        "rev": 2,
        "published_rev": 1,
        "status": JobStatus.SCHEDULED,
        "assigned_node": "alpha",
        "placement": None,
        "created_by": "ann",
        "created_at": NOW,
        "updated_at": edited,
        "ended_at": None,
    }
    return Job(**known | changes)


OLD = spec(effective_from=BORN)
EDITED = job(schedule="30 * * * *", effective_from=minute(5) + timedelta(seconds=0.5))


def test_what_was_due_by_the_old_schedule_and_not_claimed_is_told_of_as_edited() -> None:
    claim = with_skips(Claim(watermark=minute(3)), OLD, EDITED)
    skip = Skip(first=minute(4), last=minute(5), reason=SkipReason.EDITED)
    assert claim == Claim(watermark=minute(5), skips=(skip,))


def test_what_was_due_before_the_pause_and_not_claimed_is_told_of_as_paused() -> None:
    claim = with_skips(Claim(watermark=minute(4)), OLD, job(enabled=False))
    assert claim.skips == (Skip(first=minute(5), last=minute(5), reason=SkipReason.PAUSED),)


def test_where_nothing_was_due_or_nothing_of_when_has_changed_the_claim_stays_as_it_is() -> None:
    claim = Claim(watermark=minute(5))
    assert with_skips(claim, OLD, EDITED) is claim
    waiting = Claim(watermark=minute(3))
    assert with_skips(waiting, OLD, job(command="another")) is waiting
    paused = spec(effective_from=BORN, enabled=False)
    assert with_skips(waiting, paused, job(effective_from=minute(5))) is waiting


def test_a_tick_at_the_very_moment_of_the_edit_is_the_new_schedules() -> None:
    claim = with_skips(Claim(watermark=minute(4)), OLD, job(effective_from=minute(5)))
    assert claim == Claim(watermark=minute(4))


@pytest.mark.parametrize("resting", [True, False])
def test_an_attempt_waits_on_where_its_job_only_rested_to_leave_its_node(resting: bool) -> None:
    waiting = unfinished(RUN, attempt=2, not_before=minute(9))
    claim = Claim(watermark=minute(5), unfinished=(waiting,))
    new = with_skips(claim, spec(effective_from=BORN, enabled=False, resting=resting), EDITED)
    assert [run.waits for run in new.unfinished] == [resting]


def test_a_one_shot_that_was_put_off_after_it_fell_due_is_told_of() -> None:
    old = spec(schedule="@once", at=minute(5), effective_from=BORN)
    new = job(schedule="@once", at=minute(9), effective_from=minute(5) + timedelta(seconds=0.5))
    assert with_skips(Claim(), old, new).watermark == minute(5)


def test_what_cannot_be_read_goes_along_as_it_is() -> None:
    claim = encode(Claim(watermark=minute(3)))
    assert carried(claim, b"{}", EDITED) == claim
    assert carried(b"junk", encode(OLD), EDITED) == b"junk"
    assert carried(claim, encode(OLD), EDITED) != claim


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 * * 1-5"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 30)),  # noqa: DTZ001 (hypothesis wants naive bounds)
    st.integers(0, 8_000),
)
def test_a_range_that_is_told_of_reaches_from_the_first_to_the_last_tick_before_the_edit(
    schedule: str, zone: str, begin: datetime, seconds: int
) -> None:
    from cronkeeper.common.schedule import next_tick

    born = begin.replace(tzinfo=UTC)
    old = spec(schedule=schedule, timezone=zone, effective_from=born)
    new = job(effective_from=born + timedelta(seconds=seconds))
    expected = []
    tick = next_tick(old, born - timedelta(microseconds=1))
    while tick is not None and tick < new.effective_from:
        expected.append(tick)
        tick = next_tick(old, tick)
    told = with_skips(Claim(), old, new)
    assert told.watermark == (expected[-1] if expected else None)
    span = [(expected[0], expected[-1])] if expected else []
    assert [(skip.first, skip.last) for skip in told.skips] == span


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schedule": "30 * * * *"}, "edited"),
        ({"timezone": "Asia/Kathmandu"}, "edited"),
        ({"enabled": False}, "paused"),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_tick_that_cron_is_waited_for_is_in_the_ledger_whatever_befalls_the_worker(
    fleet: Fleet, change: dict[str, Any], reason: str, restarted: bool
) -> None:
    made = fleet.submit(schedule="1 * * * *")
    fleet.daemons["alpha"].table.trusted = True
    fleet.until(TICK + timedelta(seconds=0.5))
    assert fleet.starts() == []
    if restarted:
        fleet.stop("alpha")
    fleet.change(made, **change)
    fleet.go(2)
    if restarted:
        fleet.work("alpha")
    fleet.go(10)
    assert fleet.starts() == []
    assert (fleet.runs()[RUN].state, fleet.runs()[RUN].reason) == (RunState.SKIPPED, reason)
    assert complaints(fleet) == []


def test_an_edit_of_what_is_run_takes_no_tick_away(fleet: Fleet) -> None:
    made = fleet.submit(schedule="1 * * * *")
    fleet.daemons["alpha"].table.trusted = True
    fleet.until(TICK + timedelta(seconds=0.5))
    fleet.change(made, command="true")
    fleet.go(10)
    assert fleet.starts() == [RUN]
    assert complaints(fleet) == []


def test_what_is_still_to_be_caught_up_with_when_the_job_is_paused_is_told_of_in_one_row(
    fleet: Fleet,
) -> None:
    fleet.machines["alpha"].run_seconds = 200
    made = fleet.submit(schedule="* * * * *", catch_up=CatchUp.ALL)
    fleet.until(TICK + timedelta(seconds=150))
    fleet.change(made, enabled=False)
    fleet.go(100)
    assert fleet.starts() == [RUN]
    told = fleet.runs()["1.1.20260301T120300Z.1"].reason
    assert told == "paused: the ticks from 2026-03-01T12:02:00Z to 2026-03-01T12:03:00Z"
    assert complaints(fleet) == []

"""What the tree says of a claim and what its node wrote down alone, brought together."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any

import pytest
from support import samples

from cronkeeper.common.model import (
    Claim,
    Outcome,
    RunState,
    Skip,
    SkipReason,
    Spec,
    StartedBy,
    Unfinished,
    replace,
    tick_run_id,
)
from cronkeeper.common.passed_over import MOST, passed_over, timing
from cronkeeper.common.schedule import next_tick
from cronkeeper.worker.alone import Local
from cronkeeper.worker.merging import merged

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def spec(**changes: Any) -> Spec:
    """Of each minute of a UTC day, from noon on."""
    return samples.spec(**{"schedule": "* * * * *", "timezone": "UTC", "effective_from": NOON} | changes)


def run(minute: int, state: RunState | None = None) -> Unfinished:
    ended = Outcome(state=RunState.LOST, exit_code=None, reason=None, started_at=None, ended_at=NOON)
    return Unfinished(
        run_id=tick_run_id(1, 1, at(minute), 1),
        tick=at(minute),
        attempt=1,
        node="alpha",
        boot_id="b",
        started_by=StartedBy.CLOCK,
        outcome=None if state is None else replace(ended, state=state),
    )


def local(claim: Claim, began_with: Claim, count: int = 1, **changes: Any) -> Local:
    return Local(
        boot_id="b",
        name="1.1.1-1",
        spec=spec(**changes),
        newest=3,
        count=count,
        known=tuple(each.run_id for each in began_with.unfinished),
        watermark=began_with.watermark,
        claim=claim,
    )


def skip(first: int, last: int, reason: SkipReason = SkipReason.EDITED) -> Skip:
    return Skip(first=at(first), last=at(last), reason=reason)


def test_a_record_by_which_nothing_was_claimed_changes_nothing() -> None:
    told = Claim(watermark=at(3), unfinished=(run(3),))
    assert merged(told, spec(), local(Claim(watermark=at(2)), Claim(), count=0)) == told


def test_the_later_watermark_counts_whichever_it_is() -> None:
    before = Claim(watermark=at(1))
    assert merged(before, spec(), local(Claim(watermark=at(4)), before)).watermark == at(4)
    assert merged(Claim(watermark=at(5)), spec(), local(Claim(watermark=at(4)), before)).watermark == at(5)
    assert merged(Claim(), spec(), local(Claim(watermark=at(4)), Claim())).watermark == at(4)


def test_what_was_claimed_alone_comes_in_and_what_was_dealt_with_goes() -> None:
    before = Claim(watermark=at(2), unfinished=(run(1), run(2)))
    mine = Claim(watermark=at(4), unfinished=(run(2), run(4)))
    by_hand = replace(run(9), run_id="1.1.hand.1", tick=None)
    told = replace(before, unfinished=(*before.unfinished, by_hand))
    assert merged(told, spec(), local(mine, before)).unfinished == (run(2), by_hand, run(4))


def test_of_its_own_runs_the_node_knows_best() -> None:
    before = Claim(watermark=at(2), unfinished=(run(1), run(2)))
    mine = replace(before, unfinished=(run(1, RunState.SUCCEEDED), run(2)))
    given_up = replace(before, unfinished=(run(1), run(2, RunState.LOST)))
    assert merged(given_up, spec(), local(mine, before)).unfinished == mine.unfinished
    called_off = replace(before, unfinished=(run(1), run(2, RunState.CANCELED)))
    assert merged(called_off, spec(), local(mine, before)).unfinished[1] == run(2, RunState.CANCELED)


def test_nothing_is_skipped_for_an_edit_that_was_dealt_with_alone() -> None:
    before = Claim(watermark=at(2), skips=(skip(1, 1, SkipReason.TOO_LATE),))
    mine = replace(before, watermark=at(5), skips=(*before.skips, skip(4, 4, SkipReason.STILL_RUNNING)))
    record = local(mine, before)

    def left(*skips: Skip) -> tuple[Skip, ...]:
        return merged(replace(before, watermark=at(8), skips=(*before.skips, *skips)), spec(), record).skips

    assert left(skip(3, 5)) == (*before.skips, skip(4, 4, SkipReason.STILL_RUNNING))
    assert left(skip(3, 8)) == (*before.skips, skip(6, 8), skip(4, 4, SkipReason.STILL_RUNNING))
    assert left(skip(6, 8)) == (*before.skips, skip(6, 8), skip(4, 4, SkipReason.STILL_RUNNING))


def test_it_can_be_brought_together_again_and_comes_to_the_same() -> None:
    before = Claim(watermark=at(2), unfinished=(run(1), run(2)))
    mine = Claim(watermark=at(4), unfinished=(run(4),), skips=(skip(3, 3, SkipReason.STILL_RUNNING),))
    new = spec(schedule="*/3 * * * *", effective_from=at(2))
    record = local(mine, before, schedule="*/2 * * * *")
    once = merged(before, new, record)
    assert once.skips == (*mine.skips, skip(3, 3))
    assert merged(once, new, record) == once


def test_ticks_of_both_schedules_are_not_passed_over() -> None:
    old, new = spec(schedule="*/2 * * * *"), spec(schedule="*/3 * * * *", effective_from=at(2))
    assert passed_over(new, old, at(1), at(9)) == [skip(3, 3), skip(9, 9)]
    assert passed_over(old, old, at(1), at(9)) == []
    every = spec(effective_from=at(1))
    assert passed_over(every, spec(schedule="0 0 1 1 *"), None, at(4)) == [skip(1, 4)]
    assert passed_over(replace(new, enabled=False), old, at(1), at(9)) == []


@pytest.mark.parametrize("catches_up", [at(-3), None])
@pytest.mark.parametrize(
    "old", ["*/2 * * * *", "* * * * *", "30 */2 * * * *", "0 12 * * *", "@every 90s", "@once"]
)
@pytest.mark.parametrize("new", ["*/3 * * * *", "*/20 * * * * *", "7,8,21 * * * *", "@every 1m", "@once"])
def test_they_are_those_that_a_walk_through_all_ticks_finds(
    new: str, old: str, catches_up: datetime | None
) -> None:
    job = spec(schedule=new, effective_from=at(1), at=at(9) if new == "@once" else None)
    before = spec(schedule=old, effective_from=at(-60), at=at(9) if old == "@once" else None)
    through = at(25)
    known = set(ticks(before, catches_up, through))
    walked: list[list[datetime]] = [[]]
    for tick in ticks(job, catches_up, through):
        if tick in known:
            walked.append([])
        else:
            walked[-1].append(tick)
    expected = [
        Skip(first=each[0], last=each[-1], reason=SkipReason.EDITED)
        for each in walked
        if each and timing(job) != timing(before)
    ]
    assert passed_over(job, before, catches_up, through) == expected


def ticks(job: Spec, after: datetime | None, through: datetime) -> Iterator[datetime]:
    tick = next_tick(job, datetime.min.replace(tzinfo=UTC) if after is None else after)
    while tick is not None and tick <= through:
        yield tick
        tick = next_tick(job, tick)


def test_a_week_of_each_second_takes_nobodys_lease() -> None:
    each_second, hourly = spec(schedule="* * * * * *", effective_from=at(0)), spec(schedule="0 * * * *")
    began = thread_time()
    found = passed_over(each_second, hourly, at(0), at(7 * 24 * 60))
    assert thread_time() - began < 1  # commonly 0.02 s; all 600,000 ticks would be 17 s
    assert len(found) == 7 * 24
    assert found[0].first == at(0) + timedelta(seconds=1)
    assert found[-1].last == at(7 * 24 * 60) - timedelta(seconds=1)


def test_of_too_many_to_tell_of_one_by_one_the_newest_are_told() -> None:
    new, old = spec(schedule="*/3 * * * * *", effective_from=at(0)), spec(schedule="*/2 * * * * *")
    found = passed_over(new, old, at(0), at(60))
    assert (len(found), found[-1].last) == (MOST // 2, at(60) - timedelta(seconds=3))

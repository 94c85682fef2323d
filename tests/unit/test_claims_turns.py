"""Ticks that wait, for a place or for their turn: none is doubled, none is lost, and what waits stays due."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.samples import NOW, ended, spec, unfinished

from cronkeeper.common.model import CatchUp, Claim, Concurrency, Skip, SkipReason, Spec, StartedBy
from cronkeeper.worker import claims
from cronkeeper.worker.claims import Decision, Look, Me

ME = Me("alpha", "boot-1")
ON_TIME = timedelta(seconds=30)
BORN = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
OVER = ended(unfinished("x")).outcome


def minute(number: int) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(minutes=number)


def run_id(number: int) -> str:
    return f"1.1.{minute(number):%Y%m%dT%H%M%SZ}.1"


def job(**policies: object) -> Spec:
    return spec(**{"effective_from": BORN, **policies})


def look(of: Spec, claim: Claim, now: datetime, places: int = 100) -> Decision:
    return claims.claim_ticks(of, claim, Look(now, StartedBy.CLOCK, places), ME, ON_TIME)


def started(decision: Decision) -> list[str]:
    return [run.run_id for run in decision.start]


BUSY = Claim(watermark=minute(1), unfinished=(unfinished(run_id(1), tick=minute(1)),))
ABROAD = Claim(watermark=minute(1), unfinished=(unfinished(run_id(1), tick=minute(1), node="beta"),))


def test_without_a_place_a_tick_stays_due_and_nothing_is_written() -> None:
    assert look(job(), Claim(), minute(1), 0) == Decision(Claim(), waits=minute(1))
    assert look(job(), Claim(), minute(1), -3) == Decision(Claim(), waits=minute(1))
    assert look(job(), Claim(), BORN, 0) == Decision(Claim())


def test_a_tick_of_a_busy_job_needs_no_place_to_be_skipped() -> None:
    decision = look(job(), BUSY, minute(2), 0)
    assert [skip.reason for skip in decision.claim.skips] == [SkipReason.STILL_RUNNING]
    assert decision.waits is None


def test_what_is_coalesced_while_it_waits_is_told_of_at_once() -> None:
    decision = look(job(), Claim(watermark=minute(1)), minute(4), 0)
    assert decision.claim.skips == (Skip(first=minute(2), last=minute(3), reason=SkipReason.COALESCED),)
    assert (decision.claim.watermark, decision.waits) == (minute(3), minute(4))


def test_side_by_side_as_many_start_as_there_are_places() -> None:
    of = job(concurrency=Concurrency.ALLOW, catch_up=CatchUp.ALL)
    decision = look(of, Claim(), minute(9), 3)
    assert started(decision) == [run_id(1), run_id(2), run_id(3)]
    assert (decision.claim.watermark, decision.waits) == (minute(3), minute(4))


def test_caught_up_side_by_side_no_more_start_than_the_limit_of_a_job() -> None:
    of = job(concurrency=Concurrency.ALLOW, catch_up=CatchUp.ALL, max_lateness=1e6)
    decision = look(of, Claim(), minute(500), 1000)
    assert len(decision.start) == claims.MAX_BESIDE
    assert decision.waits is None
    assert look(of, decision.claim, minute(500), 1000) == Decision(decision.claim)


def test_caught_up_one_after_the_other_each_waits_for_its_turn_and_none_is_skipped() -> None:
    of = job(catch_up=CatchUp.ALL)
    claim, ran = Claim(), []
    for _ in range(12):
        decision = look(of, claim, minute(9))
        assert look(of, decision.claim, minute(9)) == Decision(decision.claim)
        ran += started(decision)
        claim = claims.note_outcomes(decision.claim, {run.run_id: OVER for run in decision.start if OVER})
    assert ran == [run_id(number) for number in range(1, 10)]
    assert claim.skips == ()


def test_what_waited_for_its_turn_until_it_was_too_late_is_skipped_as_that() -> None:
    of = job(catch_up=CatchUp.ALL, max_lateness=300)
    decision = look(of, BUSY, minute(10))
    assert decision.claim.skips == (Skip(first=minute(2), last=minute(4), reason=SkipReason.TOO_LATE),)
    assert (decision.claim.watermark, decision.start, decision.waits) == (minute(4), (), None)


def test_a_tick_that_replaces_a_run_waits_until_that_has_gone() -> None:
    of = job(concurrency=Concurrency.REPLACE)
    decision = look(of, BUSY, minute(2))
    assert decision == Decision(BUSY, in_the_way=(run_id(1),), replaced_by=minute(2))
    over = claims.note_outcomes(BUSY, {run_id(1): OVER} if OVER else {})
    assert started(look(of, over, minute(2))) == [run_id(2)]


def test_of_several_that_would_replace_each_other_the_newest_runs() -> None:
    of = job(concurrency=Concurrency.REPLACE)
    both = claims.claim_ticks(of, BUSY, Look(minute(3), StartedBy.CLOCK, 9), ME, timedelta(minutes=5))
    assert both.claim.skips == (Skip(first=minute(2), last=minute(2), reason=SkipReason.COALESCED),)
    assert (both.claim.watermark, both.replaced_by, both.start) == (minute(2), minute(3), ())


def test_a_run_of_another_node_is_not_told_to_end_and_is_waited_for() -> None:
    assert look(job(concurrency=Concurrency.REPLACE), ABROAD, minute(2)) == Decision(
        ABROAD, replaced_by=minute(2)
    )
    assert claims.abroad(ABROAD, ME)
    assert not claims.abroad(BUSY, ME)


def test_what_is_due_of_a_year_is_not_counted_out() -> None:
    of = job(catch_up=CatchUp.ALL, max_lateness=366 * 86400.0, effective_from=NOW - timedelta(days=400))
    decision = look(of, Claim(), NOW, 1)
    (too_late,) = decision.claim.skips
    assert too_late.reason is SkipReason.TOO_LATE
    assert len(decision.start) == 1


POLICIES = st.fixed_dictionaries(
    {
        "concurrency": st.sampled_from(Concurrency),
        "catch_up": st.sampled_from(CatchUp),
        "max_lateness": st.sampled_from([0.0, 90.0, 600.0, 3600.0]),
        "schedule": st.sampled_from(["* * * * *", "*/3 * * * *", "5,6,40 * * * *"]),
    }
)
LOOKS = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 4), st.booleans()), min_size=1, max_size=20)


@given(POLICIES, LOOKS)
def test_whatever_waits_every_tick_is_started_or_skipped_once_or_stays_due(
    policies: dict[str, object], looks: list[tuple[int, int, bool]]
) -> None:
    of, claim, now = job(**policies), Claim(), BORN
    ran: list[str] = []
    for seconds, places, ends in looks:
        now += timedelta(seconds=seconds)
        decision = look(of, claim, now, places)
        assert len(decision.start) <= places
        assert (
            decision.claim.watermark is None
            or decision.waits is None
            or decision.waits > decision.claim.watermark
        )
        ran += started(decision)
        claim = decision.claim
        going_on = sum(run.outcome is None for run in claim.unfinished)
        assert going_on <= (claims.MAX_BESIDE if of.concurrency is Concurrency.ALLOW else 1)
        if ends and OVER:
            claim = claims.note_outcomes(claim, {run.run_id: OVER for run in claim.unfinished})
    wanted = [minute(number) for number in range(1, 6000) if due(of, minute(number))]
    dealt_with = [tick for tick in wanted if claim.watermark is not None and tick <= claim.watermark]
    skipped = [tick for skip in claim.skips for tick in dealt_with if skip.first <= tick <= skip.last]
    told = [*ran, *(f"1.1.{tick:%Y%m%dT%H%M%SZ}.1" for tick in skipped)]
    assert sorted(told) == [f"1.1.{tick:%Y%m%dT%H%M%SZ}.1" for tick in dealt_with]
    assert ran == sorted(ran)
    assert not (claims.takes_turns(of) and SkipReason.STILL_RUNNING in {skip.reason for skip in claim.skips})


def due(of: Spec, tick: datetime) -> bool:
    return {"* * * * *": True, "*/3 * * * *": tick.minute % 3 == 0}.get(
        str(of.schedule), tick.minute in (5, 6, 40)
    )

"""What becomes of a claim: every tick is claimed or skipped, once, and nothing leaves before it is known."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import ended, spec, unfinished

from cronkeeper.common.coordination.tree import MAX_BATCH_BYTES
from cronkeeper.common.model import (
    Claim,
    Concurrency,
    Outcome,
    RunState,
    Skip,
    SkipReason,
    StartedBy,
    decode,
    encode,
    replace,
    tick_run_id,
)
from cronkeeper.worker import claims
from cronkeeper.worker.claims import Me

ME = Me("alpha", "boot-1")
ON_TIME = timedelta(seconds=30)
BORN = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


def minute(number: int) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(minutes=number)


def run_id(number: int) -> str:
    return tick_run_id(1, 1, minute(number), 1)


def look(now: datetime, started_by: StartedBy = StartedBy.CLOCK) -> claims.Look:
    """On a node with places for all."""
    return claims.Look(now, started_by, 1000)


def ticks(claim: Claim, now: datetime, started_by: StartedBy = StartedBy.CLOCK) -> claims.Decision:
    return claims.claim_ticks(spec(effective_from=BORN), claim, look(now, started_by), ME, ON_TIME)


def test_a_tick_is_claimed_and_started_by_the_node_that_finds_it_due() -> None:
    decision = ticks(Claim(), minute(1), StartedBy.CRON)
    (run,) = decision.start
    assert (run.run_id, run.tick, run.attempt) == (run_id(1), minute(1), 1)
    assert (run.node, run.boot_id, run.started_by, run.outcome) == ("alpha", "boot-1", StartedBy.CRON, None)
    assert decision.claim == Claim(watermark=minute(1), unfinished=(run,))


def test_a_tick_that_was_claimed_is_not_claimed_again() -> None:
    once = ticks(Claim(), minute(1)).claim
    assert ticks(once, minute(1)) == claims.Decision(once)


def test_before_the_first_tick_nothing_changes() -> None:
    assert ticks(Claim(), BORN) == claims.Decision(Claim())


@pytest.mark.parametrize("node", ["alpha", "beta"])
def test_a_tick_that_finds_the_job_busy_anywhere_is_skipped_and_says_so(node: str) -> None:
    busy = Claim(watermark=minute(1), unfinished=(unfinished(run_id(1), node=node),))
    decision = ticks(busy, minute(2))
    assert decision.start == ()
    skip = Skip(first=minute(2), last=minute(2), reason=SkipReason.STILL_RUNNING)
    assert decision.claim == replace(busy, watermark=minute(2), skips=(skip,))


def test_a_run_that_has_ended_and_is_not_yet_known_to_the_api_holds_up_no_tick() -> None:
    over = Claim(watermark=minute(1), unfinished=(ended(unfinished(run_id(1))),))
    decision = ticks(over, minute(2))
    assert [run.run_id for run in decision.start] == [run_id(2)]
    assert len(decision.claim.unfinished) == 2


def test_of_two_ticks_on_time_the_second_finds_the_first_running() -> None:
    both = timedelta(minutes=5)
    decision = claims.claim_ticks(spec(effective_from=BORN), Claim(), look(minute(2)), ME, both)
    assert [run.tick for run in decision.start] == [minute(1)]
    assert [skip.last for skip in decision.claim.skips] == [minute(2)]
    assert decision.claim.watermark == minute(2)


def test_where_the_job_allows_it_ticks_run_beside_what_is_unfinished() -> None:
    both = timedelta(minutes=5)
    job = spec(effective_from=BORN, concurrency=Concurrency.ALLOW)
    busy = Claim(watermark=minute(1), unfinished=(unfinished(run_id(1)),))
    decision = claims.claim_ticks(job, busy, look(minute(3)), ME, both)
    assert [run.tick for run in decision.start] == [minute(2), minute(3)]
    assert decision.claim == replace(
        busy, watermark=minute(3), unfinished=(*busy.unfinished, *decision.start)
    )


def test_ticks_that_are_skipped_in_one_look_are_one_range() -> None:
    busy = Claim(watermark=minute(1), unfinished=(unfinished(run_id(1)),))
    decision = claims.claim_ticks(spec(effective_from=BORN), busy, look(minute(5)), ME, timedelta(minutes=10))
    assert decision.start == ()
    told = Skip(first=minute(2), last=minute(5), reason=SkipReason.STILL_RUNNING)
    assert (decision.claim.skips, decision.claim.watermark) == ((told,), minute(5))


def test_a_job_that_hangs_at_every_tick_stops_being_started_at_a_limit() -> None:
    job, claim = spec(effective_from=BORN, concurrency=Concurrency.ALLOW), Claim()
    for number in range(1, claims.MAX_BESIDE + 4):
        claim = claims.claim_ticks(job, claim, look(minute(number)), ME, ON_TIME).claim
    assert len(claim.unfinished) == claims.MAX_BESIDE
    assert [skip.reason for skip in claim.skips] == [SkipReason.STILL_RUNNING] * 3
    over = claims.note_outcomes(claim, {run_id(1): _outcome()})
    after = minute(claims.MAX_BESIDE + 4)
    assert [run.tick for run in claims.claim_ticks(job, over, look(after), ME, ON_TIME).start] == [after]


def test_after_a_gap_the_latest_tick_runs_and_the_others_are_told_of() -> None:
    decision = ticks(Claim(watermark=minute(1)), minute(5) + timedelta(seconds=40), StartedBy.ADOPTION)
    assert [run.tick for run in decision.start] == [minute(5)]
    assert decision.claim.skips == (Skip(first=minute(2), last=minute(4), reason=SkipReason.COALESCED),)


@given(
    st.lists(st.integers(0, 3 * 3600), min_size=1, max_size=20).map(sorted),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_every_tick_up_to_the_watermark_is_started_or_skipped_exactly_once(
    looks: list[int], ends: list[bool]
) -> None:
    claim, started = Claim(), []
    for seconds, end in zip(looks, ends, strict=False):
        decision = ticks(claim, BORN + timedelta(seconds=seconds))
        started += [run.tick for run in decision.start]
        claim = decision.claim
        if end:
            claim = claims.note_outcomes(claim, {run.run_id: _outcome() for run in claim.unfinished})
    due = [minute(n) for n in range(1, 181) if claim.watermark is not None and minute(n) <= claim.watermark]
    skipped = [tick for skip in claim.skips for tick in due if skip.first <= tick <= skip.last]
    assert sorted([*started, *skipped]) == due
    assert sum(run.outcome is None for run in claim.unfinished) <= 1


def test_a_run_by_hand_is_claimed_and_leaves_the_watermark_alone() -> None:
    decision = claims.claim_by_hand(Claim(watermark=minute(1)), "1.1.hand-x.1", ME, minute(2))
    (run,) = decision.start
    assert (run.run_id, run.tick, run.started_by) == ("1.1.hand-x.1", None, StartedBy.HAND)
    assert decision.claim == Claim(watermark=minute(1), unfinished=(run,))


def test_a_run_by_hand_that_is_claimed_already_is_not_started_again() -> None:
    claim = claims.claim_by_hand(Claim(), "1.1.hand-x.1", ME, minute(2)).claim
    assert claims.claim_by_hand(claim, "1.1.hand-x.1", ME, minute(3)) == claims.Decision(claim)


def test_a_run_by_hand_of_a_busy_job_is_skipped_and_says_for_what() -> None:
    busy = Claim(unfinished=(unfinished(run_id(1), node="beta"),))
    decision = claims.claim_by_hand(busy, "1.1.hand-x.1", ME, minute(2))
    assert decision.start == ()
    outcome = decision.claim.unfinished[1].outcome
    assert outcome is not None
    assert (outcome.state, outcome.exit_code, outcome.ended_at) == (RunState.SKIPPED, None, minute(2))
    assert outcome.reason == f"still_running: {run_id(1)} on beta"


def test_an_end_is_noted_once_and_never_replaced() -> None:
    claim = Claim(unfinished=(unfinished(run_id(1)), unfinished(run_id(2))))
    noted = claims.note_outcomes(claim, {run_id(1): _outcome()})
    assert [run.outcome for run in noted.unfinished] == [_outcome(), None]
    other = replace(_outcome(), state=RunState.FAILED)
    assert claims.note_outcomes(noted, {run_id(1): other}) is noted
    assert claims.note_outcomes(claim, {"1.1.other.1": other}) is claim


def test_what_the_api_knows_leaves_the_claim() -> None:
    skips = tuple(Skip(first=minute(n), last=minute(n), reason=SkipReason.COALESCED) for n in (2, 3))
    claim = Claim(
        watermark=minute(3),
        unfinished=(ended(unfinished(run_id(1))), unfinished("1.1.hand-x.1")),
        skips=skips,
    )
    left = claims.prune(spec(), claim, {run_id(1), run_id(3)}, ME)
    assert left == replace(claim, unfinished=claim.unfinished[1:], skips=skips[:1])
    assert claims.prune(spec(), claim, {run_id(7)}, ME) is claim


def test_a_run_that_may_go_on_elsewhere_stays_whatever_this_node_reported_of_it() -> None:
    abroad = unfinished(run_id(1), node="beta")
    claim = Claim(unfinished=(abroad,))
    assert claims.prune(spec(), claim, {run_id(1)}, ME) is claim
    over = Claim(unfinished=(ended(abroad),))
    assert claims.prune(spec(), over, {run_id(1)}, ME) == Claim()


def test_a_claim_stays_small_however_long_the_api_is_away() -> None:
    claim = Claim()
    for number in range(1, 24 * 60 + 1):
        decision = ticks(claim, minute(number))
        claim = claims.note_outcomes(decision.claim, {run.run_id: _outcome() for run in decision.start})
        claim = claims.bounded(spec(), claim)
    assert len(claim.unfinished) == claims.MAX_ENDED
    assert claim.unfinished[-1].run_id == run_id(24 * 60)
    assert len(encode(claim)) < 256 * 1024


def test_the_largest_claim_that_there_can_be_is_taken_by_the_tree() -> None:
    """All ends fail with long reasons while the API is away: of ticks, of requests, and beside them skips."""
    failed = replace(_outcome(), state=RunState.FAILED, reason="\u00fc" * 1000)
    hands = [f"1.1.hand-{number}.1" for number in range(claims.MAX_ENDED + 5)]
    claim = Claim(skips=(Skip(first=minute(1), last=minute(1), reason=SkipReason.STILL_RUNNING),) * 500)
    for number in range(1, claims.MAX_ENDED + 5):
        started = ticks(claim, minute(number)).claim
        claim = claims.note_outcomes(started, {run.run_id: failed for run in started.unfinished})
        claim = claims.bounded(spec(), claim)
    for hand in hands:
        if claims.room_for_requests(claim):
            claim = claims.note_outcomes(
                claims.claim_by_hand(claim, hand, ME, minute(0)).claim, {hand: failed}
            )
    assert len(claim.unfinished) == 2 * claims.MAX_ENDED
    assert claims.room_for_requests(claims.bounded(spec(), claim)) == 0
    side_by_side = tuple(unfinished(run_id(n)) for n in range(2000, 2000 + claims.MAX_BESIDE))
    whole = replace(claim, unfinished=(*claim.unfinished, *side_by_side))
    assert len(encode(whole)) < MAX_BATCH_BYTES
    assert all(len(str(run.outcome.reason)) == 100 for run in claim.unfinished if run.outcome is not None)


def test_what_goes_on_and_what_was_asked_for_stays_in_a_claim_that_is_too_long() -> None:
    skip = Skip(first=minute(1), last=minute(1), reason=SkipReason.STILL_RUNNING)
    old = (unfinished(run_id(0)), ended(unfinished("1.1.hand-x.1", tick=None)))
    many = tuple(ended(unfinished(run_id(n))) for n in range(1, claims.MAX_ENDED + 2))
    claim = Claim(unfinished=(*old, *many), skips=(skip,) * (claims.MAX_ENDED + 5))
    left = claims.bounded(spec(), claim)
    assert left.unfinished == (*old, *many[1:])
    assert len(left.skips) == claims.MAX_ENDED
    assert claims.bounded(spec(), left) is left


def test_of_too_many_skips_the_oldest_become_one_as_far_as_nothing_ran_between_them() -> None:
    """They are in no folder: should the daemon be restarted, nobody else could tell of them."""

    def skips(*numbers: int) -> tuple[Skip, ...]:
        return tuple(
            Skip(first=minute(each), last=minute(each), reason=SkipReason.STILL_RUNNING) for each in numbers
        )

    many = range(1, claims.MAX_ENDED + 4)
    left = claims.bounded(spec(), Claim(skips=skips(*many))).skips
    assert left == (Skip(first=minute(1), last=minute(4), reason=SkipReason.STILL_RUNNING), *skips(*many[4:]))
    with_a_run = skips(0, *many[1:])
    assert claims.bounded(spec(), Claim(skips=with_a_run)).skips[0].first == minute(2)


@given(st.integers(0, 500))
def test_a_claim_comes_back_from_the_tree_as_it_was(number: int) -> None:
    claim = ticks(Claim(), minute(number)).claim
    assert decode(encode(claim), Claim) == claim


def _outcome() -> Outcome:
    outcome = ended(unfinished(run_id(1))).outcome
    assert outcome is not None
    return outcome

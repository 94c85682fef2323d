"""What the checker complains of in what is told, and what it lets pass: by histories made by hand."""

from dataclasses import replace

import pytest
from simulation.tale import TICKS, Tale, at

EDITED = {"effective_from": at(605), "schedule": "*/2 * * * *"}
ODD = range(660, 1200, 120)


# missed


def test_a_tick_of_which_nothing_is_known_is_missed() -> None:
    assert Tale().silent(600).complaints() == ["missed"]


def test_it_is_not_while_there_is_time_for_it() -> None:
    assert Tale().silent(1080).complaints() == ["missed"]
    assert Tale().silent(1140).complaints() == []


def test_trouble_gives_it_time() -> None:
    assert Tale().away("b", 300, 1090).silent(600).complaints() == []
    assert Tale().away("b", 300, 800).silent(600).complaints() == ["missed"]


def test_nobody_has_to_tell_of_what_was_not_claimed_when_its_job_was_removed() -> None:
    late = range(660, 1200, 60)
    assert Tale().edit(602, removed=True).silent(600, *late).complaints() == []
    assert Tale().edit(612, removed=True).silent(600, *late).complaints() == ["missed"]


@pytest.mark.parametrize(("said", "reason"), [(EDITED, "edited"), ({"enabled": False}, "paused")])
def test_what_was_not_claimed_before_an_edit_is_told(said: dict[str, object], reason: str) -> None:
    def tale() -> Tale:
        silent = range(660, 1200, 60) if reason == "paused" else ODD
        return Tale().edit(603, **said).silent(*silent)

    assert tale().silent(600).complaints() == ["missed"]
    assert tale().skipped(600, reason).complaints() == []
    assert tale().away("m1", 590, 610).silent(600).complaints() == []


def test_a_job_that_no_node_will_do_for_misses_nothing() -> None:
    assert Tale(requires={"disk": "tape"}).silent(*TICKS).complaints() == []
    assert Tale(requires={"disk": "ssd"}).silent(*TICKS).complaints() == ["missed"]


def test_a_tick_in_a_range_of_skipped_ones_is_not_missed() -> None:
    tale = Tale().away("a", 100, 700).skipped(600, "coalesced: the ticks from 1 to 2", first=120)
    assert tale.ran(660, 50, 1).complaints() == []
    tale = Tale().away("a", 100, 700).skipped(540, "coalesced", first=120).silent(600)
    assert tale.ran(660, 50, 1).complaints() == ["missed"]


def test_a_node_without_its_copy_is_missed() -> None:
    assert Tale(copies="all").complaints() == ["missed"]
    assert Tale(copies="all", requires={"disk": "ssd"}).complaints() == []


def test_a_copy_whose_node_was_forgotten_misses_nothing_that_was_due_after_that() -> None:
    def tale(**more: object) -> Tale:
        found = Tale(copies="all").away("b", 30, 40, "forgotten")
        # All that is told of the copy on b is a run by hand that was called back, under no node's name.
        found.told(None, "canceled", run_id="1.2.hand-x.1", copy=2, node=None)
        found.more |= more
        return found

    assert tale(copies={(1, 2): "b"}).complaints() == []
    assert tale().complaints() == ["missed"]


def test_nothing_is_missed_where_no_node_would_do_until_the_tick_was_due() -> None:
    def tale(since: float) -> Tale:
        tape = Tale(copies="all", requires={"disk": "tape"}, schedule="10 * * * *").silent(*TICKS)
        return tape.edit(since, requires={})

    assert tale(600).complaints() == []
    assert tale(580).complaints() == ["missed"]


def test_a_copy_that_was_made_when_its_node_came_to_be_one_that_will_do_misses_nothing_from_before() -> None:
    def tale(since: float, **more: object) -> Tale:
        found = Tale(schedule="*/10 * * * *", copies="all", requires={"disk": "tape"})
        found.edit(since, requires={"disk": "ssd"})
        found.silent(*TICKS).more |= more
        return found

    assert tale(700, copies={(1, 2): "a"}).complaints() == []
    assert tale(500, copies={(1, 2): "a"}).complaints() == ["missed"]


def test_an_attempt_that_should_have_followed_is_missed() -> None:
    assert Tale(retry_attempts=1).ran(600, told="failed").complaints() == ["missed"]
    assert Tale(retry_attempts=0).ran(600, told="failed").complaints() == []
    assert Tale(retry_attempts=1, retry_within=600.0).ran(600, told="failed").complaints() == []
    assert Tale(retry_attempts=1).ran(600).complaints() == []


def test_so_is_the_one_after_a_lost_run() -> None:
    def tale(policy: str) -> Tale:
        lost = Tale(on_node_loss=policy).away("a", 603, 650, "power")
        return lost.ran(600, 1, 2, told="lost", complete=False)

    assert tale("rerun").complaints() == ["missed"]
    assert tale("fail").complaints() == []


# untold


def test_a_run_that_nothing_tells_of_is_untold() -> None:
    assert Tale().ran(600, told=None).complaints() == ["untold"]
    assert Tale().ran(1140, told=None).complaints() == []
    assert Tale().ran(None, 630, told=None).complaints() == ["untold"]


def test_it_is_not_where_its_node_never_came_back() -> None:
    assert Tale().away("a", 1150, None).ran(600, told=None).complaints() == []


def test_it_is_not_where_its_node_was_forgotten() -> None:
    assert Tale().away("a", 590, 700, "cut").ran(600, told=None).complaints() == ["untold"]
    assert Tale().away("a", 590, 700, "forgotten").ran(600, told=None).complaints() == []


def test_only_what_a_forgotten_node_may_have_begun_alone_is_unvouched_though_it_began() -> None:
    def told(policy: str, what: str, reason: str = "unvouched") -> list[str]:
        tale = Tale(node="a", when_isolated=policy).away("a", 590, 700, what)
        return tale.ran(600, told=None).skipped(600, reason).complaints()

    assert told("run", "forgotten") == []
    assert told("run", "cut") == ["mistold"]
    assert told("run", "forgotten", "coalesced") == ["mistold"]
    assert told("finish", "forgotten") == ["mistold"]


def test_what_fell_due_after_the_job_was_taken_off_a_forgotten_node_is_not_unvouched() -> None:
    tale = Tale(node="a", when_isolated="run").away("a", 590, 700, "forgotten")
    assert tale.skipped(900, "unvouched").complaints() == ["mistold"]


# mistold: what became of runs


@pytest.mark.parametrize("state", ["failed", "skipped", "lost"])
def test_a_run_that_succeeded_and_is_told_otherwise_is_mistold(state: str) -> None:
    assert Tale().ran(600, told=state, succeeded=True).complaints() == ["mistold"]


def test_a_run_that_failed_did_not_succeed() -> None:
    assert Tale().ran(600, succeeded=False).complaints() == ["mistold"]
    assert Tale().ran(600, succeeded=False, told="failed").complaints() == []
    assert Tale().ran(600, complete=False).complaints() == ["mistold"]


def test_a_run_that_was_told_to_end_is_canceled_or_timed_out_however_it_ended() -> None:
    assert Tale().ran(600, told="timed_out").complaints() == []
    assert Tale(concurrency="replace").ran(600, told="canceled").complaints() == []


def test_a_run_that_still_goes_on_has_not_ended() -> None:
    assert Tale(concurrency="allow").ran(600, 1, None, told="failed").complaints() == ["mistold"]
    assert Tale(concurrency="allow").ran(600, 1, None, told="running").complaints() == []


def test_a_run_stays_lost_only_while_its_node_is_not_back() -> None:
    assert Tale().away("a", 605, None).ran(600, 1, 30, told="lost", succeeded=True).complaints() == []
    assert Tale().away("a", 605, 700).ran(600, 1, 30, told="lost", succeeded=True).complaints() == ["mistold"]


def test_when_a_run_ended_is_not_known_where_its_machine_lost_power_before_anyone_had_heard() -> None:
    for cut, wrong in ((606, []), (650, ["mistold"])):
        tale = Tale().away("a", cut, 700, "power").ran(600, told=None)
        told = tale.told(600, "succeeded", of=tale.begun[-1], ended_at=at(701))
        assert told.complaints() == wrong


def test_a_machine_tells_by_its_clock_as_it_stands_when_it_notes_the_end() -> None:
    for off, wrong in ((100.0, []), (50.0, ["mistold"])):
        tale = Tale().away("a", 602, 640, "clock").ran(600, told=None)
        tale.trouble = [replace(tale.trouble[0], off=off)]
        run = tale.begun[-1]
        shown = tale.told(600, "succeeded", of=run, started_at=at(701), ended_at=at(703))
        assert shown.complaints() == wrong


def test_a_power_cut_right_after_an_end_may_lose_it() -> None:
    assert Tale().away("a", 605, 700, "power").ran(600, told="lost", succeeded=True).complaints() == []
    assert Tale().away("a", 609, 700, "power").ran(600, told="lost", succeeded=True).complaints() == [
        "mistold"
    ]


def test_what_was_lost_with_its_machine_is_lost() -> None:
    assert Tale().away("a", 603, 700, "power").ran(600, told="lost", complete=False).complaints() == []
    assert Tale().ran(600, told="lost", complete=False).complaints() == ["mistold"]


def test_a_run_that_is_told_and_never_began_is_mistold() -> None:
    assert Tale().told(600, "succeeded").complaints() == ["mistold"]
    assert Tale().told(600, "failed", reason="no such user").complaints() == []


def test_nothing_is_lost_without_trouble() -> None:
    assert Tale().told(600, "lost").complaints() == ["mistold"]
    assert Tale().away("a", 590, 650).told(600, "lost").complaints() == []


def test_node_and_times_are_those_of_the_run() -> None:
    assert Tale().ran(600, told=None).told(600, "succeeded", node="b").complaints() == ["mistold"]
    assert Tale().ran(600, told=None).told(600, "succeeded", started_at=at(604)).complaints() == ["mistold"]
    assert Tale().ran(600, told=None).told(600, "succeeded", ended_at=at(604.5)).complaints() == []
    off = Tale().away("a", 590, 610, "clock").ran(600, told=None)
    assert off.told(600, "succeeded", started_at=at(604)).complaints() == []


def test_one_tick_is_told_of_once() -> None:
    tale = Tale().away("a", 100, 700).skipped(600, "coalesced", first=120)
    assert tale.skipped(360, "coalesced").ran(660, 50, 1).complaints() == ["mistold"]


def test_a_tick_that_began_was_not_skipped() -> None:
    tale = Tale().away("a", 100, 700).skipped(600, "coalesced", first=120).ran(660, 50, 1)
    assert tale.ran(600, 20, told=None).complaints() == ["mistold"]


def test_the_first_of_a_range_that_was_skipped_did_not_begin_either() -> None:
    tale = Tale().away("a", 100, 700).skipped(600, "coalesced", first=120).ran(660, 50, 1)
    assert "mistold" in tale.ran(120, 400, 1, told=None).complaints()


def test_a_tick_that_nobody_expected_is_a_stray_in_the_ledger_too() -> None:
    assert Tale().skipped(630, "still_running").complaints() == ["stray"]


# mistold: reasons to skip


def test_a_tick_is_skipped_for_a_run_only_while_there_is_one() -> None:
    assert Tale().ran(540, 1, 70).skipped(600, "still_running").complaints() == []
    assert Tale().ran(540, 1, 40).skipped(600, "still_running").complaints() == ["mistold"]


def test_a_run_of_which_nobody_knows_whether_it_began_is_one() -> None:
    assert Tale().away("a", 541, 560).told(540, "lost").skipped(600, "still_running").complaints() == []


def test_a_run_that_waits_for_its_next_attempt_is_one() -> None:
    tale = Tale(retry_attempts=1).ran(540, 1, 2, told="failed").ran(540, 80, 1, attempt=2)
    assert tale.skipped(600, "still_running").complaints() == []


@pytest.mark.parametrize("said", [{"catch_up": "all"}, {"concurrency": "allow"}, {"concurrency": "replace"}])
def test_a_tick_that_waits_or_runs_beside_others_is_not_skipped_for_them(said: dict[str, object]) -> None:
    assert Tale(**said).ran(540, 1, 61).skipped(600, "still_running").complaints() == ["mistold"]


def test_a_hundred_may_run_beside_each_other_and_no_more() -> None:
    def tale(runs: int) -> Tale:
        crowd = Tale(concurrency="allow", schedule="@every 6s").away("zookeeper", 2, 1150)
        for tick in range(7, 7 + 6 * runs, 6):
            crowd.ran(tick, lasted=None, told="running")
        crowd.spoken_of |= set(TICKS)
        return crowd.skipped(7 + 6 * runs, "still_running")

    assert tale(100).complaints() == []
    assert tale(99).complaints() == ["mistold"]
    assert tale(100).ran(613, lasted=None, told="running").complaints() == ["overlap"]


def test_a_tick_is_passed_over_only_after_an_outage() -> None:
    assert Tale().skipped(600, "coalesced").complaints() == ["mistold"]
    assert Tale().away("zookeeper", 590, 640).skipped(600, "coalesced").complaints() == []
    assert Tale(catch_up="all").away("zookeeper", 590, 640).skipped(600, "coalesced").complaints() == [
        "mistold"
    ]


def test_the_last_tick_is_not_passed_over() -> None:
    tale = Tale(schedule="*/10 * * * *").away("zookeeper", 590, 640).silent(*TICKS)
    assert tale.skipped(600, "coalesced").complaints() == ["mistold"]


def test_a_tick_that_was_to_replace_a_run_may_be_passed_over_for_a_younger_one() -> None:
    tale = Tale(concurrency="replace").ran(540, 1, 118, told="canceled").skipped(600, "coalesced")
    assert tale.complaints() == []
    assert Tale(concurrency="replace").skipped(600, "coalesced").complaints() == ["mistold"]


def test_a_tick_is_too_late_only_after_that_long() -> None:
    assert Tale(max_lateness=300.0).skipped(600, "too_late").complaints() == ["mistold"]
    late = Tale(max_lateness=300.0).away("zookeeper", 590, 880).skipped(600, "too_late")
    assert late.complaints() == []
    soon = Tale(max_lateness=300.0).away("zookeeper", 590, 800).skipped(600, "too_late")
    assert soon.complaints() == ["mistold"]


def test_a_tick_that_waits_for_others_may_become_too_late() -> None:
    tale = Tale(max_lateness=60.0, catch_up="all").ran(540, 1, 150).skipped(600, "too_late")
    assert tale.ran(660, 34, 1).complaints() == []


def test_a_one_shot_is_never_skipped_as_too_late() -> None:
    tale = Tale(schedule=None, at=at(600), max_lateness=60.0).silent(*TICKS).away("zookeeper", 590, 900)
    assert tale.skipped(600, "too_late").complaints() == ["mistold"]


@pytest.mark.parametrize("reason", ["edited", "paused", "bored", None, "still"])
def test_a_tick_is_skipped_for_no_reason_that_was_none(reason: str) -> None:
    assert Tale().skipped(600, reason).complaints() == ["mistold"]


def test_an_edit_long_after_is_no_reason() -> None:
    tale = Tale().edit(625, **{**EDITED, "effective_from": at(625)}).silent(*ODD)
    assert tale.skipped(600, "edited").complaints() == ["mistold"]


def test_a_run_by_hand_that_waited_for_its_file_and_never_began_was_in_the_way_until_it_was_called_off() -> (
    None
):
    def tale(ended: float) -> Tale:
        told = Tale().skipped(600, "still_running")
        told = told.told(None, "canceled", run_id="1.1.hand-1.1", node="a", ended_at=at(ended))
        told.more["files"] = {(1, "a"): at(700)}
        return told.silent(660)

    assert "mistold" not in tale(620).complaints()
    assert "mistold" in tale(580).complaints()


def test_what_an_edit_brought_before_it_was_published_is_passed_over_where_the_old_schedule_went_on() -> None:
    def tale(heard: float) -> Tale:
        """Every fifth minute from 590 s on, every fourth before: the latter's 720 s began, and 600 s did not."""
        edit = {"schedule": "*/5 * * * *", "effective_from": at(590)}
        silent = [tick for tick in TICKS if tick % (240 if tick < 590 else 300)]
        edited = Tale(schedule="*/4 * * * *").edit(590, **edit).silent(*silent)
        return edited.away("m1", 585, heard).skipped(600, "edited")

    assert tale(710).ran(720).complaints() == []
    assert tale(710).complaints() == ["mistold"]
    assert "mistold" in tale(620).ran(720).complaints()


# unsettled


@pytest.mark.parametrize("state", ["queued", "claimed", "running"])
def test_a_run_that_is_over_and_not_told_so_is_unsettled(state: str) -> None:
    assert Tale().ran(600, told=state).complaints() == ["unsettled"]
    assert Tale().told(600, state).complaints() == ["unsettled"]
    assert Tale().ran(1140, told=state).complaints() == []


def test_a_run_by_hand_may_wait_for_its_turn_but_not_be_claimed_for_ever() -> None:
    assert Tale().told(None, "queued", run_id="1.1.hand-1.1").complaints() == []
    assert Tale().told(None, "claimed", run_id="1.1.hand-1.1").complaints() == ["unsettled"]


def test_an_attempt_that_waits_is_unsettled_when_it_has_waited_too_long() -> None:
    def tale(within: float) -> Tale:
        waits = Tale(retry_attempts=1, retry_within=within, concurrency="allow").ran(600, told="failed")
        return waits.told(600, "claimed", attempt=2, run_id="1.1.20300131T121000Z.2")

    assert tale(600.0).complaints() == []
    assert tale(60.0).complaints() == ["unsettled"]

"""What the checker complains of in what began, and what it lets pass: by histories made by hand."""

import pytest
from simulation.tale import Tale, at

EDITED = {"effective_from": at(605), "schedule": "*/2 * * * *"}
EVEN = range(720, 1200, 120)
ODD = range(660, 1200, 120)


def edited() -> Tale:
    """Every second minute only, from 605 s on."""
    return Tale().edit(605, **EDITED).silent(*ODD)


def test_a_fleet_of_which_all_went_well_is_not_complained_of() -> None:
    assert Tale().complaints() == []


@pytest.mark.parametrize("concurrency", ["forbid", "allow", "replace"])
@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_nor_is_one_with_other_policies(concurrency: str, catch_up: str) -> None:
    assert Tale(concurrency=concurrency, catch_up=catch_up, max_lateness=10.0).complaints() == []


# doubled


def test_a_tick_that_begins_twice_is_doubled() -> None:
    assert "doubled" in Tale().ran(60).ran(60, 4, told=None).complaints()


def test_so_it_is_on_two_nodes_and_with_allow() -> None:
    tale = Tale(concurrency="allow").ran(60).ran(60, 1.5, node="b", told=None)
    assert tale.complaints() == ["doubled"]


def test_a_run_by_hand_that_begins_twice_is_doubled() -> None:
    tale = Tale().ran(None, 90, run_id="1.1.hand-1.1").ran(None, 95, run_id="1.1.hand-1.1", told=None)
    assert tale.complaints() == ["doubled"]


def test_two_copies_of_a_job_that_has_one_are_doubled() -> None:
    assert Tale().ran(60, copy=2, node="b", run_id="1.2.x.1").ran(60).complaints()[0] == "doubled"


def test_two_copies_on_two_nodes_are_as_it_should_be_and_on_one_node_they_are_not() -> None:
    both = Tale(copies="all")
    one = Tale(copies="all")
    for tick in range(60, 1200, 60):
        both.ran(tick).ran(tick, copy=2, node="b")
        one.ran(tick).ran(tick, copy=2, node="a")
    assert both.complaints() == []
    assert one.complaints() == ["doubled", "missed"]


def test_a_second_attempt_is_doubled_where_there_is_no_retry() -> None:
    tale = Tale().ran(60, told="failed").ran(60, 10, attempt=2)
    assert tale.complaints() == ["doubled"]


def test_it_is_not_where_there_is_and_the_first_failed() -> None:
    assert Tale(retry_attempts=1).ran(60, told="failed").ran(60, 10, attempt=2).complaints() == []


def test_it_is_where_the_first_succeeded() -> None:
    assert Tale(retry_attempts=1).ran(60).ran(60, 10, attempt=2).complaints() == ["doubled"]


def test_it_is_where_there_were_as_many_as_there_may_be() -> None:
    tale = Tale(retry_attempts=1).ran(60, told="failed").ran(60, 10, attempt=2, told="failed")
    assert tale.ran(60, 20, attempt=3).complaints() == ["doubled"]


def test_it_is_while_the_first_goes_on() -> None:
    tale = Tale(retry_attempts=1).ran(60, 1, 20, told="failed").ran(60, 10, attempt=2)
    assert tale.complaints() == ["doubled"]


def test_it_is_where_nobody_heard_of_the_first() -> None:
    assert "doubled" in Tale(retry_attempts=1).ran(60, 10, attempt=2).complaints()


def lost(policy: str) -> Tale:
    """The node loses power at 63 s, during a run; its tick begins once more, elsewhere."""
    tale = Tale(on_node_loss=policy).away("a", 63, 300, "power").ran(60, 1, 2, told="lost", complete=False)
    return tale.skipped(120, "still_running").ran(60, 75, attempt=2, node="b")


def test_a_lost_run_begins_again_where_the_policy_is_rerun() -> None:
    assert lost("rerun").complaints() == []
    assert lost("fail").complaints() == ["doubled"]


def test_a_run_that_ended_long_before_its_node_was_lost_does_not_begin_again() -> None:
    tale = Tale(on_node_loss="rerun").away("a", 75, 300, "power").ran(60).ran(60, 90, attempt=2, node="b")
    assert "doubled" in tale.complaints()


def test_a_run_that_was_given_up_begins_again_though_it_ends_well_after_all_trouble() -> None:
    tale = Tale(on_node_loss="rerun").away("a", 75, 150, "no_guard").ran(60, 1, 600)
    tale = tale.ran(60, 142, attempt=2, node="b").skipped(180, "still_running", first=120)
    assert "doubled" not in tale.complaints()


# stray


def test_a_tick_that_no_schedule_names_is_a_stray() -> None:
    assert Tale().ran(90).complaints() == ["stray"]


def test_a_tick_from_before_the_job_is_a_stray() -> None:
    assert Tale(effective_from=at(61)).complaints() == ["stray"]
    assert Tale(effective_from=at(60)).complaints() == []


def test_a_tick_of_a_job_that_is_disabled_is_a_stray() -> None:
    assert Tale().edit(605, enabled=False).complaints() == ["stray"]
    assert Tale().edit(605, enabled=False).silent(*range(660, 1200, 60)).complaints() == []


def test_a_tick_of_a_job_that_was_removed_is_a_stray() -> None:
    assert Tale().edit(605, removed=True).complaints() == ["stray"]


def test_but_not_before_the_removal_has_reached_the_node() -> None:
    assert Tale().edit(659, removed=True).silent(*range(720, 1200, 60)).complaints() == []
    assert Tale().edit(650, removed=True).silent(*range(720, 1200, 60)).complaints() == ["stray"]


def test_that_takes_longer_while_the_leader_is_away() -> None:
    tale = Tale().away("m1", 640, 700).edit(650, removed=True)
    assert tale.silent(*range(780, 1200, 60)).complaints() == []


def test_a_tick_of_a_former_schedule_is_a_stray_once_the_edit_is_published() -> None:
    assert edited().complaints() == []
    assert edited().ran(660).complaints() == ["stray"]


def test_a_tick_that_an_edit_passed_over_is_a_stray_when_it_begins_long_after() -> None:
    tale = Tale().away("a", 590, 595).edit(605, **EDITED).silent(*ODD)
    assert tale.ran(600, 25, lasted=1).complaints() == []
    tale = Tale().away("a", 590, 595).edit(605, **EDITED).silent(*ODD)
    assert "stray" in tale.ran(600, 90, lasted=1).complaints()


def test_a_job_that_is_enabled_again_makes_up_for_nothing() -> None:
    paused = Tale().edit(605, enabled=False).edit(725, enabled=True, effective_from=at(725))
    assert paused.silent(660, 720).complaints() == []
    paused = Tale().edit(605, enabled=False).edit(725, enabled=True, effective_from=at(725))
    assert paused.silent(660).ran(720, 10).complaints() == ["stray"]


def test_a_run_on_a_node_that_will_not_do_is_a_stray() -> None:
    assert Tale(node="b").complaints() == ["stray"]
    assert Tale(node="a").complaints() == []
    assert Tale(requires={"disk": "ssd"}).complaints() == []
    assert Tale(requires={"disk": "ssd"}).ran(60, node="b").complaints() == ["stray"]


def test_a_run_on_a_node_that_will_not_do_any_more_is_a_stray() -> None:
    tale = Tale().edit(605, node="b")
    for tick in range(660, 1200, 60):
        tale.ran(tick, node="b")
    assert tale.complaints() == []
    assert Tale().edit(605, node="b").complaints() == ["stray"]


def test_where_nothing_is_known_of_nodes_nobody_asks_where_runs_are() -> None:
    tale = Tale(node="b")
    tale.more["nodes"] = {}
    assert tale.complaints() == []


def test_a_run_on_a_node_that_nobody_knows_is_a_stray() -> None:
    assert Tale().ran(60, node="c").complaints() == ["stray"]


def test_a_copy_that_moves_is_a_stray() -> None:
    tale = Tale(copies="all").ran(60, node="b")
    tale.more["nodes"] = {"a": {}, "b": {}}
    assert tale.complaints() == ["stray"]


def test_a_run_by_hand_of_a_job_that_was_removed_is_a_stray() -> None:
    ticks = range(660, 1200, 60)
    assert Tale().edit(605, removed=True).silent(*ticks).ran(None, 609).complaints() == []
    assert Tale().edit(605, removed=True).silent(*ticks).ran(None, 650).complaints() == ["stray"]


# early and late


def test_a_tick_that_begins_before_it_is_due_is_early() -> None:
    assert Tale().ran(60, -0.2).complaints() == ["early"]
    assert Tale().ran(60, 0).complaints() == []


def test_it_may_by_a_clock_that_is_off_but_no_further_than_a_clock_may_be() -> None:
    assert Tale().away("a", 50, 70, "clock").ran(60, -4).complaints() == []
    assert Tale().away("a", 50, 70, "clock").ran(60, -6).complaints() == ["early"]
    assert Tale().away("b", 50, 70, "clock").ran(60, -4).complaints() == ["early"]


def test_a_tick_that_begins_late_without_a_cause_is_late() -> None:
    assert Tale().ran(600, 7.9).complaints() == []
    assert Tale().ran(600, 8.1).complaints() == ["late"]


def test_trouble_of_its_node_is_a_cause_until_all_has_recovered() -> None:
    assert Tale().away("a", 590, 620).ran(600, 50).complaints() == []
    assert Tale().away("a", 500, 570).ran(600, 8.1).complaints() == ["late"]


def test_trouble_of_other_nodes_and_of_managers_is_none_for_a_job_that_stays_where_it_is() -> None:
    assert Tale().away("b", 590, 620).ran(600, 20).complaints() == ["late"]
    assert Tale().away("m1", 590, 620).ran(600, 20).complaints() == ["late"]
    assert Tale().away("zookeeper", 590, 620).ran(600, 20).complaints() == []


def test_it_is_one_for_a_job_that_may_have_been_elsewhere_meanwhile() -> None:
    assert Tale().away("a", 550, 560).away("m1", 590, 620).ran(600, 20).complaints() == []
    assert Tale().away("a", 520, 530).away("m1", 590, 620).ran(600, 20).complaints() == ["late"]
    assert Tale().away("a", 550, 560, "clock").away("m1", 590, 620).ran(600, 20).complaints() == ["late"]


def test_trouble_of_any_is_one_for_a_job_that_moves() -> None:
    assert Tale().away("m1", 590, 620).ran(600, 20, node="b").complaints() == []


def test_an_edit_is_a_cause_for_a_moment() -> None:
    assert Tale().edit(599, max_lateness=10.0).ran(600, 12).complaints() == []
    assert Tale().edit(599, max_lateness=10.0).ran(600, 15).complaints() == ["late"]


def test_its_own_runs_are_a_cause_only_where_the_tick_waits_for_them() -> None:
    assert Tale(catch_up="all").ran(600, 1, 70).ran(660, 12).complaints() == []
    assert Tale(catch_up="all").ran(600, 1, 55).ran(660, 15).complaints() == ["late"]
    assert Tale().ran(600, 1, 70).ran(660, 12).complaints() == ["late"]
    assert Tale(concurrency="replace").ran(600, 1, 65, told="canceled").ran(660, 12).complaints() == []


def test_a_node_without_a_place_is_a_cause() -> None:
    tale = Tale().ran(600, 30)
    assert tale.complaints() == ["late"]
    tale = Tale().ran(None, 590, 39).ran(600, 30)
    tale.more["places"] = {"a": 1}
    assert tale.complaints() == []


def test_a_file_that_its_node_does_not_have_yet_is_a_cause() -> None:
    for node, wrong in (("a", []), ("b", ["late"])):
        tale = Tale().ran(600, 45, 1)
        tale.more["files"] = {(1, node): at(640)}
        assert tale.complaints() == wrong


def test_a_run_that_waits_for_its_file_may_begin_after_an_edit() -> None:
    for there, wrong in ((at(640), []), (at(610), ["late", "stray"])):
        tale = Tale().edit(603, schedule="*/2 * * * *", effective_from=at(603)).ran(600, 45, 1)
        tale.more["files"] = {(1, "a"): there}
        assert tale.silent(*range(660, 1200, 120)).complaints() == wrong


def test_a_run_by_hand_that_waited_for_its_file_may_begin_beside_others_where_that_is_allowed() -> None:
    for policy, there, wrong in (
        ("allow", 602, []),
        ("forbid", 602, ["overlap"]),
        ("allow", 500, ["overlap"]),
    ):
        tale = Tale(concurrency=policy).ran(600, 1, 10).ran(None, 603)
        tale.more["files"] = {(1, "a"): at(there)}
        assert tale.complaints() == wrong


def test_a_run_that_waits_for_its_file_has_a_place() -> None:
    for node, wrong in (("a", []), ("b", ["late"])):
        tale = Tale().ran(600, 35).ran(600, 33, 1, told=None, job_id=2, run_id="2.1.x.1")
        tale.more |= {"places": {"a": 1}, "files": {(2, node): at(632)}}
        assert [each for each in tale.complaints() if each == "late"] == wrong


def test_no_cause_lets_a_tick_begin_later_than_its_max_lateness() -> None:
    tick = Tale(max_lateness=60.0, concurrency="allow").away("a", 590, 595).away("b", 590, 1100)
    assert tick.ran(600, 62, lasted=1, node="b").complaints() == []
    tick = Tale(max_lateness=60.0, catch_up="all").ran(540, 1, 150).ran(600, 92, 1).ran(660, 34, 1)
    assert tick.complaints() == ["late"]
    tick = Tale(schedule=None, at=at(600), max_lateness=60.0, catch_up="all").silent(*range(60, 1200, 60))
    assert tick.ran(None, 590, 100).ran(600, 92).complaints() == []


def test_a_one_shot_is_never_too_late() -> None:
    tale = Tale(schedule=None, at=at(100), max_lateness=30.0).away("a", 90, 800)
    assert tale.silent(*range(60, 1200, 60)).ran(100, 710).complaints() == []


# overlap


def test_two_runs_at_once_overlap_where_that_is_forbidden() -> None:
    assert Tale().ran(600, 1, 62).complaints() == ["overlap"]
    assert Tale().ran(600, 1, 60).complaints() == []
    assert Tale(concurrency="allow").ran(600, 1, 62).complaints() == []


def test_they_do_where_one_is_to_replace_the_other() -> None:
    assert Tale(concurrency="replace").ran(600, 1, 62, told="canceled").complaints() == ["overlap"]


def test_a_run_by_hand_is_beside_no_other_and_a_tick_may_be_beside_it_where_that_is_allowed() -> None:
    assert Tale(concurrency="allow").ran(600, 1, 30).ran(None, 610).complaints() == ["overlap"]
    assert Tale(concurrency="allow").ran(None, 590, 30).complaints() == []
    assert Tale().ran(None, 590, 30).complaints() == ["overlap"]


@pytest.mark.parametrize(("what", "wrong"), [("forgotten", []), ("power", ["doubled"])])
def test_a_node_that_was_forgotten_may_have_tried_again_unheard(what: str, wrong: list[str]) -> None:
    tale = Tale(retry_attempts=1).away("a", 62, 200, what).ran(60, succeeded=False, told="lost")
    found = tale.ran(60, 10, attempt=2, told=None).complaints()
    assert [each for each in found if each == "doubled"] == wrong


def given_up(after: float, what: str = "cut", **policy: str) -> Tale:
    """A run of 500 s, whose node is in trouble from 70 s to 400 s; the next one begins so long after that began."""
    tale = Tale(**policy).away("a", 70, 400, what).ran(60, 1, 500).ran(120, after - 50, node="b")
    for tick in range(180, 600, 60):
        tale.ran(tick, 1 if tick > after + 70 else after - 110 + tick - 178, 0.1, node="b")
    return tale


def test_a_run_that_was_given_up_is_in_nobodys_way() -> None:
    assert "overlap" not in given_up(66).complaints()
    assert "overlap" in given_up(55).complaints()


def test_trouble_that_is_over_soon_gives_nothing_up() -> None:
    tale = Tale(concurrency="forbid").away("a", 70, 71, "slow").ran(60, 1, 200).ran(240, 7)
    assert tale.skipped(180, "still_running", 120).complaints() == ["overlap"]


@pytest.mark.parametrize("policy", [{"on_node_loss": "rerun"}, {"when_isolated": "stop"}])
def test_with_a_guard_that_ends_runs_there_is_no_overlap_but_by_a_pause(policy: dict[str, str]) -> None:
    assert {"overlap", "unstopped"} <= set(given_up(66, **policy).complaints())
    assert not {"overlap", "unstopped"} & set(given_up(66, "pause", **policy).complaints())


def test_a_run_that_is_ended_in_time_is_not_complained_of() -> None:
    tale = Tale(when_isolated="stop").away("a", 70, 400, "cut").ran(60, 1, 65, told="canceled")
    assert "unstopped" not in tale.complaints()
    tale = Tale(when_isolated="finish").away("a", 70, 400, "cut").ran(60, 1, 200)
    assert "unstopped" not in tale.complaints()


@pytest.mark.parametrize("what", ["clock", "disk_full", "drain", "reports_cut", "sql_cut"])
def test_trouble_in_which_a_node_is_still_there_gives_nothing_up(what: str) -> None:
    assert "overlap" in given_up(66, what).complaints()


def test_trouble_from_long_before_a_run_gives_it_not_up() -> None:
    assert Tale().away("a", 100, 400, "cut").ran(600, 1, 62).complaints() == ["overlap"]


def test_the_runs_of_a_forgotten_node_are_given_up_at_once() -> None:
    tale = Tale().away("a", 70, None, "cut").away("a", 100, None, "forgotten").ran(60, 1, 200, told="lost")
    for tick in range(120, 1200, 60):
        tale.ran(tick, node="b")
    assert tale.complaints() == []


# token


def test_tokens_that_do_not_grow_are_complained_of() -> None:
    assert Tale().ran(600, token=(1, 1, 1)).complaints() == ["token"]
    assert Tale().ran(600, token=(1, 1, 5410)).complaints() == ["token"]
    assert Tale().ran(600, token=(1, 1, 5411)).complaints() == []


def test_with_allow_runs_that_were_claimed_together_have_the_same_one() -> None:
    assert Tale(concurrency="allow").ran(600, token=(1, 1, 5410)).complaints() == []
    assert Tale(concurrency="allow").ran(600, token=(1, 0, 9999)).complaints() == ["token"]

"""What the checker complains of in what people are shown, and what it lets pass: by histories made by hand."""

from dataclasses import replace

from simulation.history import Shown
from simulation.tale import TICKS, Tale, at


def show(tale: Tale, tick: int = 600, *, left_out: bool = False, **said: object) -> list[str]:
    """The complaints, where the ledger has every tick as one that ran after a second, but for one."""
    every = {
        each: Shown(job_id=1, copy=1, tick=at(each), result="ran", expected=True, lateness=1.0)
        for each in TICKS
    }
    every[tick] = replace(every.get(tick, every[600]), tick=at(tick), **said)  # type: ignore[arg-type]
    if left_out:
        del every[tick]
    tale.more["shown"] = tuple(every.values())
    return tale.complaints()


def test_a_ledger_that_has_each_tick_as_it_was_is_true() -> None:
    assert show(Tale()) == []


def test_an_expected_tick_that_is_not_in_it_is_missed() -> None:
    assert show(Tale(), left_out=True) == ["missed"]


def test_a_tick_that_nobody_expected_may_be_in_it_only_as_such() -> None:
    assert show(Tale(), 630) == ["mistold"]
    assert show(Tale(schedule="*/2 * * * *").silent(*range(60, 1200, 120)), 660) == ["mistold"]


def test_what_did_not_begin_has_not_run_and_what_began_was_not_skipped() -> None:
    skipped = Tale().away("a", 100, 640).skipped(600, "coalesced")
    assert show(skipped) == ["mistold"]
    assert show(skipped, result="skipped", lateness=None) == []
    assert show(Tale(), result="skipped", lateness=None) == ["mistold"]


def test_it_is_lost_only_where_a_run_of_it_is() -> None:
    assert show(Tale(), result="lost") == ["mistold"]
    lost = Tale().away("a", 601, 900, "power").ran(600, 1, 0.5, told="lost", complete=False)
    assert show(lost, result="lost") == []


def test_it_is_open_only_while_something_of_it_goes_on() -> None:
    assert show(Tale(), result="open") == ["mistold"]
    assert show(Tale(), result="unaccounted") == ["mistold"]
    assert show(Tale().silent(1140), 1140, result="open") == []


def test_it_says_how_late_a_tick_began() -> None:
    assert show(Tale(), lateness=4.5) == ["mistold"]
    assert show(Tale(), lateness=2.5) == []
    assert show(Tale(), result="late") == ["mistold"]
    late = Tale().away("a", 590, 640).ran(600, 50, 1)
    assert show(late, lateness=50.0) == ["mistold"]
    assert show(late, lateness=50.0, result="late") == []


def test_a_job_is_in_error_exactly_where_its_newest_run_has_failed() -> None:
    for told, status in (("succeeded", "scheduled"), ("failed", "error")):
        for shown in ("scheduled", "error"):
            tale = Tale().ran(1140, told=told)
            tale.more["statuses"] = {1: shown}
            assert tale.complaints() == ([] if shown == status else ["mistold"])
    tale = Tale().ran(600, told="failed")
    tale.more["statuses"] = {1: "error"}
    assert tale.complaints() == ["mistold"]


def test_a_job_that_was_removed_is_finished() -> None:
    for status, wrong in (("finished", []), ("scheduled", ["mistold"])):
        tale = Tale().edit(1150, removed=True)
        tale.more["statuses"] = {1: status}
        assert tale.complaints() == wrong

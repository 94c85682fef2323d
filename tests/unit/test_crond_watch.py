"""What is wrong with cron, by what its canaries say: each trouble is noticed in time, and ends by itself."""

import logging
from zoneinfo import ZoneInfo

import pytest
from support.samples import NOW

from cronkeeper.common.facts import ConditionName, Finding
from cronkeeper.worker.crond_watch import (
    AGAIN,
    PATIENCE,
    READ_WITHIN,
    SETTLE,
    CrondWatch,
    Seen,
    findings,
)
from cronkeeper.worker.crontab_file import CrontabUnwritable
from cronkeeper.worker.table import CHECK_EVERY, RETRY, Table

from .test_table import FakeCrond, FakeCrontab, Filed, held

DEAD, HUNG, OLD = ConditionName.CROND_DEAD, ConditionName.CROND_HUNG, ConditionName.CROND_OLD_TABLE
EDITED, REFUSED = ConditionName.CRONTAB_EDITED, ConditionName.CRONTAB_REFUSED
NOTICED = 90.0


class Cron:
    """A cron that reads a crontab when a minute begins and files what its canary says, and a worker's table."""

    def __init__(self) -> None:
        self.target = FakeCrontab(user_field="root")
        self.crond = FakeCrond()
        self.spool = Filed()
        self.table = Table(self.target, "n1", self.spool, ZoneInfo("UTC"), self.crond)  # type: ignore[arg-type]
        self.clock = 30.0
        self.read: bytes | None = b""
        """What it goes by; None: nothing, it refuses the table."""
        self.hangs = self.is_blind = False
        self.jobs = [held(1)]
        self.go(0)

    def go(self, seconds: float) -> None:
        """Let time pass: the worker looks each half second."""
        end = self.clock + seconds
        while True:
            self.table.keep(self.jobs, NOW, self.clock)
            if self.clock >= end:
                return
            self.clock += 0.5
            if self.clock % 60 == 1:
                self.fire()

    def fire(self) -> None:
        """A minute has begun."""
        if self.hangs or not self.crond.runs:
            return
        if not self.is_blind:
            self.read = None if b"61 *" in self.target.table else self.target.table
        lines = [] if self.read is None else self.read.splitlines()
        self.spool.tables |= {line.split(b"canary.")[1][:8].decode() for line in lines if b"canary." in line}

    @property
    def wrong(self) -> list[ConditionName]:
        return [each.name for each in self.table.findings]

    def noticed(self, name: ConditionName) -> float:
        """Seconds until it is, and cron is not relied on."""
        began = self.clock
        while name not in self.wrong:
            self.go(0.5)
            assert self.clock < began + NOTICED, f"{name} is not noticed"
        assert not self.table.trusted
        return self.clock - began

    def until_right(self) -> float:
        began = self.clock
        while self.wrong:
            self.go(0.5)
            assert self.clock < began + NOTICED, f"{self.wrong} do not end"
        assert self.table.trusted
        return self.clock - began


@pytest.fixture(params=[0.0, 17.5, 31.0, 48.0])
def cron(request: pytest.FixtureRequest) -> Cron:
    """In good order for a while, at several moments of a minute."""
    cron = Cron()
    cron.go(180 + request.param)
    assert (cron.wrong, cron.table.trusted) == ([], True)
    return cron


def test_a_cron_that_dies_is_noticed_at_once_and_found_again_soon(cron: Cron) -> None:
    cron.crond.runs = False
    assert cron.noticed(DEAD) <= 0.5
    cron.go(300)
    assert cron.wrong == [DEAD]
    cron.crond.runs = True
    assert cron.until_right() <= RETRY


def test_a_cron_that_hangs_is_noticed_and_trusted_again_as_soon_as_it_files(cron: Cron) -> None:
    cron.hangs = True
    cron.noticed(HUNG)
    cron.go(3600)
    assert cron.wrong == [HUNG]
    cron.hangs = False
    cron.until_right()


def test_a_cron_that_hangs_is_noticed_though_the_table_is_written_all_the_time(cron: Cron) -> None:
    cron.hangs = True
    for number in range(2, 80):
        cron.jobs = [*cron.jobs, held(number)]
        cron.table.changed()
        cron.go(1)
    assert cron.wrong == [HUNG]


def test_a_busy_table_that_cron_reads_is_never_held_against_it(cron: Cron) -> None:
    for number in range(2, 200):
        cron.jobs = [held(number)]
        cron.table.changed()
        cron.go(1.5)
        assert cron.wrong == []


def test_a_cron_that_goes_by_an_old_table_is_noticed_and_the_table_written_again(cron: Cron) -> None:
    cron.is_blind = True
    cron.jobs = [held(1), held(2)]
    cron.table.changed()
    cron.go(2)
    writes = cron.target.writes
    cron.noticed(OLD)
    assert cron.target.writes == writes + 1
    cron.go(AGAIN - 60)
    assert (cron.wrong, cron.target.writes) == ([OLD], writes + 1), (
        "it does not help, and is not repeated all the time"
    )
    cron.is_blind = False
    cron.until_right()


def test_what_others_did_to_our_lines_is_put_right_and_holds_until_cron_has_read_that(cron: Cron) -> None:
    whole = cron.target.table
    for harmed in (b"", whole[: len(whole) // 2], whole.replace(b"* * * * *", b"0 0 1 1 *", 1)):
        cron.target.table = harmed
        assert cron.noticed(EDITED) <= CHECK_EVERY
        assert cron.target.table.replace(b"canary.", b"").split(b"/spool/")[:2] == whole.split(b"/spool/")[:2]
        cron.until_right()
        cron.go(30)


def test_that_cron_goes_by_what_was_edited_is_not_hidden_by_the_canary_that_was_left_in_it(
    cron: Cron,
) -> None:
    """Its edit and our write came within the same second, and cron read in between."""
    cron.target.table = cron.target.table.replace(b"* * * * * root [", b"0 0 1 1 * root [", 1)
    cron.read, cron.is_blind = cron.target.table, True
    cron.noticed(EDITED)
    cron.go(NOTICED)
    assert cron.wrong == [OLD, EDITED]
    cron.is_blind = False
    cron.until_right()


def test_a_line_of_others_that_cron_refuses_is_named(cron: Cron) -> None:
    cron.target.table += b"61 * * * * root true\n"
    cron.noticed(REFUSED)
    (found,) = cron.table.findings
    assert "line 5: 61 * * * * root true" in found.reason
    cron.go(600)
    assert cron.wrong == [REFUSED]
    cron.target.table = cron.target.table.replace(b"61 *", b"6 *")
    cron.until_right()


def test_more_lines_than_cron_takes_are_a_condition_whoever_wrote_them(cron: Cron) -> None:
    cron.target.table += b"# line\n" * 10_000
    cron.noticed(ConditionName.CRONTAB_FULL)
    cron.target.table = cron.target.table.replace(b"# line\n", b"")
    cron.until_right()


def test_a_table_that_can_not_be_written_is_a_condition_with_its_reason(cron: Cron) -> None:
    error = CrontabUnwritable("no space left on device")
    cron.target.read = lambda: raise_(error)  # type: ignore[method-assign]
    cron.noticed(ConditionName.CRONTAB_UNWRITABLE)
    assert [each.reason for each in cron.table.findings] == ["no space left on device"]
    del cron.target.read
    assert cron.until_right() <= RETRY + 0.5


def raise_(error: Exception) -> bytes:
    raise error


def test_a_copy_of_our_lines_elsewhere_does_not_make_a_table_old(cron: Cron) -> None:
    copy = cron.target.table.split(b"canary.")[1][:8].decode()
    cron.jobs = [held(1), held(2)]
    cron.table.changed()
    for _ in range(10):
        cron.go(60 - cron.clock % 60 + 3)
        cron.spool.tables.add(copy)
        cron.go(0)
        assert cron.wrong == []


def test_without_jobs_there_is_no_canary_and_no_hung_cron(cron: Cron) -> None:
    cron.jobs, cron.hangs = [], True
    cron.table.changed()
    cron.go(600)
    assert (cron.target.table, cron.wrong) == (b"", [])
    cron.jobs = [held(3)]
    cron.table.changed()
    cron.go(60)
    assert cron.wrong == []
    cron.go(NOTICED - 60)
    assert cron.wrong == [HUNG]


def test_a_machine_that_slept_does_not_blame_cron(cron: Cron) -> None:
    cron.clock += 7200.0
    cron.go(59)
    assert cron.wrong == []


def test_a_worker_that_was_away_does_not_blame_cron_for_the_canary_of_before() -> None:
    cron = Cron()
    cron.spool.tables.add("0ldc4na7")
    cron.go(300)
    assert cron.wrong == []


def test_each_trouble_is_logged_once_and_not_again_while_it_lasts(
    cron: Cron, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        cron.hangs = True
        cron.go(900)
    assert len([record for record in caplog.records if "crond_hung" in record.getMessage()]) == 1


def test_the_worker_is_woken_when_a_canary_is_overdue() -> None:
    watch = CrondWatch()
    watch.look(10.0, alive=True, canaries=())
    assert watch.wait(10.0) > 1e9
    watch.stands("ab", 10.0, edited=False)
    assert watch.wait(20.0) == PATIENCE - 10
    watch.look(50.0, alive=True, canaries=["ab"])
    assert watch.wait(50.0) == PATIENCE
    watch.stands("cd", 80.0, edited=False)
    watch.look(80 + READ_WITHIN + 1, alive=True, canaries=["ab"])
    assert watch.wait(80 + READ_WITHIN + 2) == SETTLE - 1


def test_what_is_seen_and_what_is_wrong() -> None:
    fault = Finding(ConditionName.CRONTAB_FULL, "too long")
    for seen, names in (
        (Seen(), [DEAD]),
        (Seen(alive=True), []),
        (Seen(alive=True, fault=fault), [fault.name]),
        (Seen(fault=fault), [fault.name, DEAD]),
        (Seen(alive=True, expected_since=0.0), [HUNG]),
        (Seen(alive=True, expected_since=0.0, doubt="line 3"), [REFUSED]),
        (Seen(alive=True, expected_since=0.0, fault=fault, doubt="line 3"), [fault.name, HUNG]),
        (Seen(alive=True, expected_since=0.0, right_at=99.0), []),
        (Seen(alive=True, expected_since=0.0, right_at=20.0, outdated_at=90.0, outdated_since=90.0), [OLD]),
        (Seen(alive=True, expected_since=0.0, right_at=40.0, outdated_at=97.0, outdated_since=97.0), []),
        (
            Seen(alive=True, expected_since=0.0, outdated_at=90.0, outdated_since=30.0, edited=True),
            [OLD, EDITED],
        ),
    ):
        assert [each.name for each in findings(seen, 100.0)] == names, seen

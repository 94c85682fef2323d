"""Our block in a node's crontab follows its claims, and says when cron is not to be relied on."""

import logging
import math
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.samples import NOW, spec

from cronkeeper.common.model import Claim, ClaimName, Generation
from cronkeeper.worker.assignment import Held
from cronkeeper.worker.crond_watch import PATIENCE
from cronkeeper.worker.crontab_file import Crontab, CrontabRefused
from cronkeeper.worker.table import APART, CHECK_EVERY, PER_LINE, RETRY, ZONES_EVERY, Table

SPOOL = Path("/spool")
FOREIGN = b'# mine\nMAILTO=""\n17 *\t* * * caf\xe9\n'


class FakeCrontab(Crontab):
    """One in memory, that may refuse to be read or written, or keep something else than it is given."""

    def __init__(self, table: bytes = b"", user_field: str | None = None) -> None:
        self.title = "the crontab of ann"
        self.user_field = user_field
        self.table = table
        self.refusal: str | None = None
        self.twists = False
        self.reads = self.writes = 0

    def read(self) -> bytes:
        self.reads += 1
        if self.refusal is not None:
            raise CrontabRefused(self.refusal)
        return self.table

    def write(self, table: bytes) -> None:
        self.writes += 1
        self.table = table + b"twisted\n" if self.twists else table


@dataclass
class FakeCrond:
    """One that is found as soon as it runs."""

    runs: bool = True
    found: bool = field(default=False)

    @property
    def alive(self) -> bool:
        return self.found and self.runs

    def find(self) -> None:
        self.found = self.runs


@dataclass
class Filed:
    """A spool, and what canaries have filed."""

    folder: Path = SPOOL
    tables: set[str] = field(default_factory=set)

    def canaries(self) -> set[str]:
        found, self.tables = self.tables, set()
        return found


def made(target: FakeCrontab | None, crond: FakeCrond | None = None, filed: Filed | None = None) -> Table:
    spool = Filed() if filed is None else filed
    return Table(target, "here", spool, ZoneInfo("UTC"), FakeCrond() if crond is None else crond)  # type: ignore[arg-type]


def held(job_id: int, counter: int = 1, **changes: Any) -> Held:
    name = ClaimName(job_id, 1, Generation(1, counter))
    return Held(name, spec(job_id=job_id, **changes), Claim(), 0)


def jobs(table: bytes) -> list[int]:
    """The jobs that have a line."""
    return [
        int(line.split(b"# cronkeeper ")[1].split()[0])
        for line in table.splitlines()
        if b"# cronkeeper " in line and b"] && :" in line
    ]


def test_each_job_has_a_line_in_the_order_of_their_numbers_and_foreign_bytes_stay() -> None:
    target = FakeCrontab(FOREIGN)
    made(target).keep([held(12), held(3)], NOW, 0.0)
    assert target.table.startswith(FOREIGN)
    assert jobs(target.table) == [3, 12]


def test_a_system_crontab_names_its_user() -> None:
    target = FakeCrontab(user_field="root")
    made(target).keep([held(1)], NOW, 0.0)
    assert b"* * * * * root [ -d /spool ]" in target.table


def test_nothing_is_read_or_written_until_something_changes_or_it_is_time_to_compare() -> None:
    target = FakeCrontab()
    table = made(target)
    table.keep([held(1)], NOW, 0.0)
    reads, writes = target.reads, target.writes
    table.keep([held(1), held(2)], NOW, 1.0)
    assert (target.reads, target.writes) == (reads, writes)
    table.changed()
    table.keep([held(1), held(2)], NOW, 2.0)
    assert jobs(target.table) == [1, 2]
    writes = target.writes
    table.keep([held(1), held(2)], NOW, 2.0 + CHECK_EVERY)
    assert target.writes == writes


def test_what_others_did_to_our_block_is_mended() -> None:
    target = FakeCrontab()
    table = made(target)
    table.keep([held(1)], NOW, 0.0)
    good, target.table = target.table, FOREIGN
    table.keep([held(1)], NOW, CHECK_EVERY)
    assert target.table.startswith(FOREIGN + good[:100])
    assert jobs(target.table) == [1]


def test_a_job_that_is_published_again_has_its_new_line() -> None:
    target = FakeCrontab()
    table = made(target)
    table.keep([held(1)], NOW, 0.0)
    table.changed()
    table.keep([held(1, counter=2, schedule="5 4 * * *")], NOW, 2.0)
    assert jobs(target.table) == [1]
    assert b"\n5 4 * * * " in target.table


def test_cron_is_trusted_once_our_lines_stand_and_a_crond_runs() -> None:
    crond = FakeCrond()
    table = made(FakeCrontab(), crond)
    assert not table.trusted
    table.keep([held(1)], NOW, 0.0)
    assert table.trusted
    crond.runs = False
    assert not table.trusted


def test_a_crond_that_comes_later_is_found_at_the_next_comparison() -> None:
    crond = FakeCrond(runs=False)
    table = made(FakeCrontab(), crond)
    table.keep([held(1)], NOW, 0.0)
    assert not table.trusted
    crond.runs = True
    table.keep([held(1)], NOW, CHECK_EVERY)
    assert table.trusted


def test_a_crontab_that_refuses_is_not_trusted_is_told_of_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    target = FakeCrontab()
    table = made(target)
    target.refusal = "you (ann) are not allowed to use this program"
    with caplog.at_level(logging.ERROR):
        for clock in (0.0, RETRY, 2 * RETRY):
            table.keep([held(1)], NOW, clock)
    assert not table.trusted
    assert [record.getMessage() for record in caplog.records] == [
        f"the crontab is not up to date, the clock starts the jobs meanwhile: {target.refusal}"
    ]
    target.refusal = None
    table.keep([held(1)], NOW, 2 * RETRY + 1)
    assert target.table == b""
    table.keep([held(1)], NOW, 3 * RETRY)
    assert jobs(target.table) == [1]
    assert table.trusted


def test_a_crontab_that_does_not_hold_what_was_written_is_not_trusted() -> None:
    target = FakeCrontab()
    target.twists = True
    table = made(target)
    table.keep([held(1)], NOW, 0.0)
    assert not table.trusted


def test_a_line_that_cron_would_refuse_is_left_out_and_the_others_stand(
    caplog: pytest.LogCaptureFixture,
) -> None:
    target = FakeCrontab()
    made(target).keep([held(1, schedule="61 * * * *"), held(2)], NOW, 0.0)
    assert jobs(target.table) == [2]
    assert "job 1 gets no line, the clock starts it" in caplog.text


def test_more_lines_than_cron_takes_are_not_written(caplog: pytest.LogCaptureFixture) -> None:
    target = FakeCrontab(b"# line\n" * 9_999)
    table = made(target)
    table.keep([held(1)], NOW, 0.0)
    assert (target.writes, table.trusted) == (0, False)
    assert "more than 10000 lines, which cron refuses" in caplog.text


def test_our_block_goes_when_the_worker_stops() -> None:
    target = FakeCrontab(FOREIGN)
    table = made(target)
    table.keep([held(1)], NOW, 0.0)
    table.clear()
    assert target.table == FOREIGN


def test_jobs_that_the_clock_keeps_stand_there_as_comments_also_where_there_are_no_others() -> None:
    target = FakeCrontab(user_field="root")
    table = made(target)
    table.keep([held(1, schedule="@every 10s"), held(2, schedule="*/5 * * * * *")], NOW, 0.0)
    assert [line.split(" nightly")[0] for line in target.table.decode().splitlines()[1:-1]] == [
        "# by the worker's clock: @every 10s # cronkeeper 1",
        "# by the worker's clock: */5 * * * * * # cronkeeper 2",
    ]
    assert table.trusted


def test_the_lines_of_a_job_in_another_zone_follow_its_clocks_and_are_worked_out_twice_a_day() -> None:
    target = FakeCrontab()
    table = made(target)
    jobs_of_zones = [held(1, schedule="30 2 * * *", timezone="Europe/Berlin"), held(2)]
    table.keep(jobs_of_zones, NOW, 0.0)
    assert (jobs(target.table), b"\n0 1 29 3 * [ -d" in target.table) == ([1, 1, 2], True)
    later = NOW + timedelta(days=60)
    table.keep(jobs_of_zones, later, ZONES_EVERY - 1)
    assert b"\n0 1 29 3 * [ -d" in target.table
    table.keep(jobs_of_zones, later, ZONES_EVERY + CHECK_EVERY)
    assert b"\n0 1 29 3 * [ -d" not in target.table
    assert b"\n30 0-1 * * * [ -d" in target.table
    assert b"\n0 1 28 3 * [ -d" in target.table


def test_without_a_crontab_the_clock_leads() -> None:
    table = made(None)
    table.keep([held(1)], NOW, 0.0)
    table.clear()
    assert not table.trusted


@pytest.mark.parametrize("count", [2, 200])
def test_of_two_tables_within_a_second_the_later_is_written_once_more_for_cron_may_not_see_it(
    count: int,
) -> None:
    target = FakeCrontab()
    table = made(target)
    some = [held(number) for number in range(1, count + 1)]
    table.keep(some, NOW, 10.0)
    assert table.wait(10.0) == PATIENCE
    table.changed()
    table.keep([*some, held(count + 1)], NOW, 10.02)
    assert (target.writes, table.wait(10.02)) == (2, pytest.approx(APART))
    written = target.table
    table.keep([*some, held(count + 1)], NOW, 10.02 + APART)
    assert (target.writes, table.wait(11.2)) == (3, pytest.approx(PATIENCE - 1.2))
    assert (jobs(target.table), target.table != written) == (jobs(written), True)


def test_a_large_table_is_written_less_often() -> None:
    target = FakeCrontab()
    table = made(target)
    table.keep([held(number) for number in range(1, 2001)], NOW, 10.0)
    table.changed()
    table.keep([held(number) for number in range(1, 2002)], NOW, 10.001)
    assert (target.writes, table.wait(10.001)) == (1, pytest.approx(2000 * PER_LINE - 0.001))


def test_without_a_crontab_nothing_waits_to_be_written() -> None:
    table = made(None)
    table.changed()
    assert table.wait(0.0) == math.inf

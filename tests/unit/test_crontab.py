from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import Concurrency, JobType, Spec
from cronkeeper.worker import crontab

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
SPOOL = Path("/var/lib/cronkeeper/spool")
FOREIGN = b"# mine\n17 *\t* * * true\n"


def spec(
    command: str = "/usr/bin/backup --all",
    name: str = "nightly-backup",
    schedule: str | None = "*/5 * * * *",
    timezone: str = "UTC",
) -> Spec:
    return Spec(
        job_id=42,
        copy=1,
        rev=1,
        name=name,
        type=JobType.COMMAND,
        command=command,
        artifact=None,
        schedule=schedule,
        at=None,
        timezone=timezone,
        run_as=None,
        concurrency=Concurrency.FORBID,
        effective_from=NOW,
    )


def rendered(a_spec: Spec, spool: Path = SPOOL, user: str | None = None) -> bytes:
    (entry,) = crontab.lines(a_spec, spool=spool, user=user, zone=UTC, now=NOW)
    return entry


def canary(name: str = "ab") -> bytes:
    return crontab.canary(name, spool=SPOOL, user=None)


def splice(table: bytes, install: str, lines: list[bytes]) -> bytes:
    return crontab.splice(table, install, lines, crontab.filing(SPOOL))


def test_a_line_says_what_runs_and_does_nothing_once_we_are_gone() -> None:
    assert rendered(spec()) == (
        b"*/5 * * * * [ -d /var/lib/cronkeeper/spool ] && : > /var/lib/cronkeeper/spool/42"
        b" # cronkeeper 42 nightly-backup: /usr/bin/backup --all"
    )


def test_a_system_crontab_names_the_user() -> None:
    assert rendered(spec(), user="root").startswith(b"*/5 * * * * root [ -d ")


def test_a_job_without_a_schedule_has_no_line() -> None:
    assert crontab.lines(spec(schedule=None), spool=SPOOL, user=None, zone=UTC, now=NOW) == ()


@pytest.mark.parametrize("schedule", ["@every 10s", "*/10 * * * * *"])
def test_what_cron_can_not_keep_is_a_comment_that_says_who_does(schedule: str) -> None:
    entry = rendered(spec(schedule=schedule), user="root")
    expected = f"# by the worker's clock: {schedule} # cronkeeper 42 nightly-backup: /usr/bin/backup --all"
    assert entry.decode() == expected
    crontab.check(entry, system=True)


def test_the_lines_of_a_job_in_another_zone_name_the_zone() -> None:
    a_spec = spec(schedule="30 1 * * 1-5", timezone="Europe/Berlin")
    lines = crontab.lines(a_spec, spool=SPOOL, user=None, zone=UTC, now=NOW)
    assert [line.split(b" [")[0] for line in lines] == [b"30 0 * * 1-5", b"30 23 * * *"]
    assert all(b" # cronkeeper 42 nightly-backup (Europe/Berlin): /usr/bin/" in line for line in lines)


def test_percent_signs_are_escaped_in_the_path_and_in_the_comment() -> None:
    entry = rendered(spec("date +%F"), spool=Path("/home/a%b c"))
    assert entry.replace(rb"\%", b"").count(b"%") == 0
    assert b"'/home/a\\%b c'/42" in entry


def test_a_name_with_line_ends_can_not_start_a_line() -> None:
    assert b"\n" not in rendered(spec("a\n* * * * * rm -rf /", name="x\r\ny"))


@given(st.text(), st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=2_000))
def test_whatever_the_name_and_command_cron_takes_the_line(name: str, command: str) -> None:
    for system in (False, True):
        entry = rendered(spec(command, name), user="root" if system else None)
        assert len(entry) <= crontab.MAX_LINE_BYTES
        crontab.check(entry, system=system)


def test_a_line_that_cron_would_refuse_is_caught() -> None:
    for bad in (b"61 * * * * true", b"* * * * true", b"", b"# x", b"* * * * * a\n* * * * * b"):
        with pytest.raises((Invalid, ValueError)):
            crontab.check(bad, system=False)


LINES = st.lists(
    st.binary(max_size=30).filter(lambda b: b"\n" not in b and b"\r" not in b and b"cronkeeper" not in b),
    max_size=4,
)


@given(st.binary(max_size=200), LINES, LINES)
def test_every_foreign_byte_stays_where_it_was(text: bytes, first: list[bytes], second: list[bytes]) -> None:
    foreign = text + b"\n" if text else b""
    once = splice(foreign, "a1", first)
    assert once == foreign + crontab.block("a1", first)
    assert splice(once, "a1", second) == foreign + crontab.block("a1", second)
    assert splice(once, "a1", []) == foreign


def test_a_last_line_without_its_end_gets_one_since_cron_would_drop_the_whole_table() -> None:
    assert splice(b"# mine", "a1", [b"one"]) == b"# mine\n" + crontab.block("a1", [b"one"])


def test_lines_below_and_above_our_block_stay() -> None:
    table = splice(b"MAILTO=\n", "a1", [b"x"]) + b"\tcaf\xe9 %\n"
    assert splice(table, "a1", []) == b"MAILTO=\n\tcaf\xe9 %\n"


def test_two_installs_do_not_meet() -> None:
    both = splice(splice(b"", "a1", [b"one"]), "b2", [b"two"])
    assert splice(both, "a1", []) == splice(b"", "b2", [b"two"])


def test_of_a_block_that_has_lost_an_end_all_goes_that_is_ours() -> None:
    ours = [rendered(spec()), canary()]
    whole = splice(FOREIGN, "a1", ours)
    begin, *_, end = whole.removeprefix(FOREIGN).splitlines(keepends=True)
    for torn in (
        whole.replace(end, b""),
        whole.replace(begin, b""),
        whole.replace(begin, b"").replace(end, b""),
        whole.replace(end, b"") + b"1 2 3 4 5 mine\n",
        whole + whole.removeprefix(FOREIGN),
        FOREIGN + begin + whole.removeprefix(FOREIGN),
    ):
        kept = b"1 2 3 4 5 mine\n" if b"mine\n" in torn.removeprefix(FOREIGN) else b""
        assert splice(torn, "a1", ours) == whole + kept
        assert splice(torn, "a1", []) == FOREIGN + kept


@given(st.integers(0, 500))
def test_a_table_that_was_cut_off_anywhere_is_whole_again(length: int) -> None:
    ours = [rendered(spec()), canary()]
    whole = splice(FOREIGN, "a1", ours)
    assert splice(whole[: len(FOREIGN) + length], "a1", ours).startswith(FOREIGN)
    if length > len(b"# cronkeeper a1 begin: written by cronkeeper, edits are undone"):
        assert splice(whole[: len(FOREIGN) + length], "a1", ours) == whole


def test_a_line_of_ours_outside_the_block_goes_and_a_comment_on_it_stays() -> None:
    comment = b"# " + canary() + b"\n"
    whole = splice(FOREIGN + comment, "a1", [canary("new")])
    assert splice(canary("old") + b"\n" + whole, "a1", [canary("new")]) == whole


def test_lines_of_others_that_have_no_end_get_one_since_cron_would_drop_the_whole_table() -> None:
    whole = splice(b"", "a1", [canary()])
    assert splice(whole + b"1 2 3 4 5 mine", "a1", [canary()]) == whole + b"1 2 3 4 5 mine\n"


def test_the_canary_is_a_line_that_cron_takes_and_names_the_table() -> None:
    crontab.check(canary(), system=False)
    crontab.check(crontab.canary("ab", spool=SPOOL, user="root"), system=True)
    assert canary().startswith(
        b"* * * * * [ -d /var/lib/cronkeeper/spool ] && : > /var/lib/cronkeeper/spool/canary.ab #"
    )
    names = {
        crontab.name_of(lines, times) for lines in ([b"a"], [b"a", b"b"], [b"b", b"a"]) for times in (0, 1)
    }
    assert len(names) == 6


@pytest.mark.parametrize("line", [b"61 * * * * true", b"* * * * ", b"hello", b"* * * * * no\xe9 newline"])
def test_the_line_that_cron_would_refuse_is_named(line: bytes) -> None:
    fine = b'# caf\xe9\n\nMAILTO=""\n  A_B = c d\n\t17 *\t* * *   true \xe9 100\\% # x\n@daily true\n'
    assert crontab.refused_line(fine, system=False) is None
    table = fine + line + (b"" if line.endswith(b"newline") else b"\n")
    assert crontab.refused_line(table, system=False) is not None
    assert crontab.refused_line(b"* * * * * root true\n", system=True) is None
    assert crontab.refused_line(b"* * * * * true\n", system=True) == "line 1: * * * * * true"

"""Every schedule that we accept is one that Debian's cron reads as we do: cron itself says so."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.installs import next_minute, sleep_until
from support.samples import spec
from support.wait import wait_until
from testbed.hosts import Host

from cronkeeper.common import schedule
from cronkeeper.common.errors import Invalid

LINES = 600
MINUTES = 2
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
Bounds = tuple[int, int]


def around(chance: random.Random, now: int, bounds: Bounds) -> int:
    """A value that is often the present one, or next to it: else next to nothing would ever be due."""
    if chance.random() < 0.6:
        return min(bounds[1], max(bounds[0], now + chance.choice((-1, 0, 0, 0, 1))))
    return chance.randint(*bounds)


def part(chance: random.Random, now: int, bounds: Bounds, names: list[str]) -> str:
    def say(value: int) -> str:
        index = value - bounds[0]
        named = names and index < len(names) and chance.random() < 0.4
        return chance.choice((str.lower, str.upper, str.title))(names[index]) if named else str(value)

    kind = chance.random()
    step = f"/{chance.randint(1, max(2, bounds[1] // 3))}" if chance.random() < 0.4 else ""
    if kind < 0.3:
        return f"*{step}"
    low, high = sorted(around(chance, now, bounds) for _ in range(2))
    return (
        say(low) if kind < 0.6 else f"{low}-{high}{step}" if names == [] else f"{say(low)}-{say(high)}{step}"
    )


def expression(chance: random.Random, now: datetime) -> str:
    if chance.random() < 0.03:
        return chance.choice(sorted(schedule.NAMES))
    weekday = (now.weekday() + 1) % 7
    fields: list[tuple[int, Bounds, list[str]]] = [
        (now.minute, (0, 59), []),
        (now.hour, (0, 23), []),
        (now.day, (1, 31), []),
        (now.month, (1, 12), MONTHS),
        (weekday, (0, 7), DAYS),
    ]
    return " ".join("*" if chance.random() < 0.25 else a_list(chance, *field) for field in fields)


def a_list(chance: random.Random, now: int, bounds: Bounds, names: list[str]) -> str:
    return ",".join(part(chance, now, bounds, names) for _ in range(chance.choice((1, 1, 2, 3))))


def accepted(chance: random.Random, now: datetime) -> Iterator[str]:
    while True:
        try:
            yield schedule.parse(expression(chance, now), UTC, now)
        except Invalid:
            continue


@pytest.mark.timeout(300)
def test_what_we_accept_cron_takes_and_is_due_in_the_same_minutes(tmp_path: Path, open_folder: Path) -> None:
    seed = int(os.environ.get("CRONKEEPER_TEST_SEED", str(time.time_ns())))
    print(f"CRONKEEPER_TEST_SEED={seed}")
    chance = random.Random(seed)
    every = accepted(chance, datetime.fromtimestamp(next_minute(20), UTC))
    texts = [next(every) for _ in range(LINES)]
    with Host(None, "parser", "", tmp_path / "host") as host:
        lines = [
            f"{schedule.NAMES.get(text, text)} root : > {open_folder}/{number}.$(date +\\%H\\%M)\n"
            for number, text in enumerate(texts)
        ]
        new = host.home / "table"
        new.write_text("".join(lines))
        new.rename(host.cron_d / "alike")
        # Only now: to make so many may take more than what is left of a minute.
        first = datetime.fromtimestamp(next_minute(5), UTC)
        minutes = [first + timedelta(minutes=number) for number in range(MINUTES)]
        expected = {
            f"{number}.{minute:%H%M}"
            for number, text in enumerate(texts)
            for minute in minutes
            if due(text, minute)
        }
        end = minutes[-1].timestamp()
        sleep_until(end + 10)
        wait_until(lambda: expected <= fired(open_folder, minutes) or time.time() > end + 45, 60)
    differ = {name: texts[int(name.partition(".")[0])] for name in fired(open_folder, minutes) ^ expected}
    assert differ == {}, "cron and we differ on these"
    assert len(expected) > LINES // 10


def fired(folder: Path, minutes: Sequence[datetime]) -> set[str]:
    """What cron made in these minutes: it may have read the table in time for one before, too."""
    wanted = {f".{minute:%H%M}" for minute in minutes}
    return {path.name for path in folder.iterdir() if path.suffix in wanted}


def due(text: str, minute: datetime) -> bool:
    job = spec(schedule=text, timezone="UTC", effective_from=minute - timedelta(days=400))
    return schedule.next_tick(job, minute - timedelta(seconds=1)) == minute

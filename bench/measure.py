"""CPU and memory of whole hosts, from /proc; medians and tables."""

import os
import platform
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from testbed.hosts import Host

_TICKS = os.sysconf("SC_CLK_TCK")
KNOWN_LOAD = 2.0
# Processes of 20 ms each, which are gone when they are looked for; the shell that waits for them stays.
_BURN = (
    "import os, time\n"
    "for number in range(100):\n"
    "    if os.fork() == 0:\n"
    "        while time.process_time() < 0.02: pass\n"
    "        os._exit(0)\n"
    "    os.wait()\n"
)


Row = Sequence[float | None]
"""What one run puts into a table; None where there is no value."""


@dataclass(frozen=True)
class Process:
    """CPU seconds of a process itself, and of its children that have ended and were waited for."""

    name: str
    own: float
    children: float


def processes(host: Host) -> dict[int, Process]:
    """Every process of a host, as the machine numbers it."""
    space = Path(f"/proc/{host.pid}/ns/pid").readlink()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns/pid").readlink() == space:
                found[int(folder.name)] = _process((folder / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def cpu(host: Host, roles: Mapping[int, str]) -> Counter[str]:
    """CPU seconds that the host has used since it was booted, by role; ask for it when the host is quiet.

    Each process counts itself and its dead children, so that nothing that ran on the host is left out: all its
    orphans are buried by its first process. `roles` names the processes of interest; `<role>'s children` is what
    they started and waited for, "rest" all else.
    """
    spent: Counter[str] = Counter()
    for pid, process in processes(host).items():
        role = roles.get(pid, process.name if process.name == "cron" else "rest")
        spent[role] += process.own  # type: ignore[assignment]
        spent["rest" if role == "rest" else f"{role}'s children"] += process.children  # type: ignore[assignment]
    return spent


def prove(host: Host) -> float:
    """What `cpu` makes of `KNOWN_LOAD` seconds that a hundred short-lived children burn."""
    load = [sys.executable, "-I", "-S", "-c", _BURN]
    shell = host.exec(
        ["/bin/sh", "-c", 'read _; "$@"; echo done; read _', "sh", *load],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    before = cpu(host, {})
    with shell:
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        shell.stdout.readline()
        after = cpu(host, {})
    return sum(after.values()) - sum(before.values())


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: float(rest.split()[0]) / 1024 for name, rest in (line.split(":") for line in lines)}
    return sizes["Rss"], sizes["Pss"]


def percentile(values: Iterable[float], percent: int) -> float:
    """Of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def show(title: str, header: Sequence[str], rows: Mapping[str, Sequence[Row]]) -> None:
    """Print a row for each run and, in the last, the medians."""
    print(f"\n{title}\n{'':<34}" + "".join(f"{name:>12}" for name in header))
    for name, runs in rows.items():
        if len(runs) == 1:
            print(_row(name, runs[0]))
            continue
        for number, run in enumerate(runs, 1):
            print(_row(f"{name}, run {number}", run))
        print(_row(f"{name}, median", medians(runs)))
    sys.stdout.flush()


def medians(runs: Sequence[Row]) -> list[float | None]:
    """The median of each column."""
    columns = [[value for value in column if value is not None] for column in zip(*runs, strict=True)]
    return [statistics.median(column) if column else None for column in columns]


def quotient(value: float | None, base: float | None) -> float | None:
    """None where there is none."""
    return value / base if value is not None and base else None


def machine() -> str:
    """What was measured on, and when."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].partition(": ")[2] if models else platform.machine()
    now = datetime.now(UTC)
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{now:%Y-%m-%d %H:%M} UTC, load average {load()}"
    )


def load() -> str:
    """The load averages of the last 1, 5 and 15 minutes: figures of a busy machine are worth little."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _process(stat: str) -> Process:
    """From a line of /proc/<pid>/stat (proc(5))."""
    head, _, rest = stat.rpartition(")")
    user, system, child_user, child_system = (int(field) / _TICKS for field in rest.split()[11:15])
    return Process(head.partition("(")[2], user + system, child_user + child_system)


def _row(name: str, values: Row) -> str:
    return f"{name:<34}" + "".join(
        f"{'-' if value is None else format(value, '.3f'):>12}" for value in values
    )

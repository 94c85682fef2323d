"""The two clocks: the wall's, which cron and people go by, and one that no step of the wall's moves."""

import time
from datetime import UTC, datetime
from pathlib import Path

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
UPTIME_PATH = Path("/proc/uptime")


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def boottime() -> float:
    """Seconds since boot, suspended time included: what leases are counted on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def uptime() -> float:
    """Seconds since boot as /proc/uptime shows it, which is what a shell can read.

    In most containers it equals `boottime`; where a container fakes it, only differences are the same.
    """
    return float(UPTIME_PATH.read_text().split()[0])


def boot_id() -> str:
    """The kernel's name for this boot: another one means that every process of before is gone."""
    return BOOT_ID_PATH.read_text().strip()


def same_boot(one: str, other: str) -> bool:
    """Whether two marks of a boot and a home (`worker.machine.boot_of`) may be the same.

    Versions before them wrote the kernel's name alone: there the home is not known, and any will do.
    """
    kernel, _, home = one.partition(".")
    other_kernel, _, other_home = other.partition(".")
    return kernel == other_kernel and (home == other_home or not home or not other_home)

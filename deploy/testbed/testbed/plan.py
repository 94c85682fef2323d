"""How large a cluster is, and which addresses its parts have."""

import re
from dataclasses import dataclass

FIRST_ADDRESS = {"n": 11, "haproxy": 101, "s3": 102, "api": 111, "manager": 121, "zk": 131, "db": 141}
MOST_NODES = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many there are of each server, beside one SeaweedFS."""

    zookeepers: int = 1
    apis: int = 1
    """One, or two behind HAProxy."""
    databases: int = 1
    """One MariaDB or, with two APIs, a Galera cluster of three behind HAProxy."""
    clocks: bool = False
    """Whether hosts, API and managers have clocks that can be skewed: it makes a look at the clock a bit slower."""

    def __post_init__(self) -> None:
        if (self.apis, self.databases) not in ((1, 1), (2, 1), (2, 3)):
            raise ValueError("there are one API and one database, or two APIs and one database or three")

    @property
    def balanced(self) -> bool:
        """Whether HAProxy is there."""
        return self.apis > 1


SMALL = Plan()
"""One of each: what most tests need."""
WHOLE = Plan(zookeepers=3, apis=2, clocks=True)
"""What `make cluster` starts."""


def numbered(kind: str, count: int) -> list[str]:
    """The names of so many parts: zk1, zk2, …"""
    return [f"{kind}{number}" for number in range(1, count + 1)]


def address(name: str) -> str:
    """The address of a part of that name."""
    if name in FIRST_ADDRESS:
        return f"10.77.0.{FIRST_ADDRESS[name]}"
    kind, number = re.split(r"(?=\d)", name, maxsplit=1)
    return f"10.77.0.{FIRST_ADDRESS[kind] + int(number) - 1}"

"""What lies in deploy/, with the examples in it replaced: each of them has to be there."""

from collections.abc import Mapping
from pathlib import Path

from testbed.services import MariaDB

DEPLOY = Path(__file__).parents[2] / "deploy"
CONTAINERFILE = DEPLOY / "container/Containerfile"
PASSWORDS = {"CHANGE-ME-1": "of the daemons", "CHANGE-ME-2": "of the upgrade"}
PROXY = "10.0.0.10"
"""Where users of the database come from, in the examples."""


def adapted(name: str, changes: Mapping[str, str]) -> str:
    """A file of deploy/ after these replacements."""
    text = (DEPLOY / name).read_text()
    for example, own in changes.items():
        assert example in text, f"{example!r} does not stand in {name}"
        text = text.replace(example, own)
    return text


class Database(MariaDB):
    """A MariaDB that setup.sql was run on, for users on this machine."""

    user = "operator"

    def set_up(self) -> None:
        """Run setup.sql."""
        self.execute(adapted("mysql/setup.sql", {**PASSWORDS, PROXY: "127.0.0.1"}))

    @property
    def of_daemons(self) -> str:
        """The URL of the user that daemons have."""
        return f"mysql://cronkeeper:{PASSWORDS['CHANGE-ME-1']}@127.0.0.1:{self.port}/cronkeeper"

    @property
    def of_upgrade(self) -> str:
        """The URL of the user that makes the tables."""
        return f"mysql://cronkeeper_upgrade:{PASSWORDS['CHANGE-ME-2']}@127.0.0.1:{self.port}/cronkeeper"

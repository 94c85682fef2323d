"""HAProxy with the operators' own configuration: only its addresses are exchanged, and where it writes."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from .network import Room
from .server import Server, dying_with_us, program
from .services import PROBE

CONFIGURATION = Path(__file__).parents[2] / "haproxy"
API_PORT = 30000
SQL_PORT = 3306
FIGURES = "127.0.0.1:8404"
"""Where its figures are, in its room."""
APIS = ("10.0.0.21", "10.0.0.22")
DATABASES = ("10.0.0.31", "10.0.0.32", "10.0.0.33")
# It is to die with us, which it would not as another user, and to write below its home.
OURS = {
    "    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n": "",
    "/run/haproxy/admin.sock": "unix@admin.sock",
    "log /dev/log local0 info": "log stdout format raw local0 info",
}


class HAProxy(Server):
    """Before the API and, where there are several databases, before these; also on this machine's loopback."""

    def __init__(
        self, home: Path, room: Room, apis: Sequence[str], databases: Sequence[str], entrance: int
    ) -> None:
        """`apis` and `databases` are addresses, `entrance` the port on the loopback."""
        super().__init__(home, room.ip, API_PORT, room.prefix)
        self._apis, self._databases = apis, databases
        self._entrance = entrance

    def prepare(self) -> None:
        own = f"    bind 10.0.0.10:{API_PORT}\n"
        entrance = {own: f"{own}    bind fd@{self.inherited[0]}\n"}
        api = dict(zip(APIS, self._apis, strict=True))
        self._write("haproxy.cfg", {**OURS, **entrance, "10.0.0.10": self.host, **api})
        if self._databases:
            nodes = dict(zip(DATABASES, self._databases, strict=True))
            self._write("galera.cfg", {"10.0.0.10": self.host, **nodes})

    def command(self) -> list[str]:
        # galera.cfg comes second, as its defaults are its own.
        names = ["haproxy.cfg", *(["galera.cfg"] if self._databases else [])]
        return [*dying_with_us(), program("haproxy"), "-db", "--", *names]

    def launch(self) -> None:
        # Opened anew for each start, so that nobody is let in while it is down.
        with socket.create_server(("127.0.0.1", self._entrance)) as listener:
            self.inherited = (listener.fileno(),)
            super().launch()

    def probe(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(PROBE), "tcp", self.host, str(self.port)]

    def _write(self, name: str, ours: dict[str, str]) -> None:
        (self.home / name).write_text(replaced((CONFIGURATION / name).read_text(), ours))


def replaced(text: str, ours: dict[str, str]) -> str:
    """The text with each of these replaced.

    Raises:
        ValueError: there is nothing to replace.
    """
    for theirs, mine in ours.items():
        if theirs not in text:
            raise ValueError(f"nothing is {theirs!r} in the configuration")
        text = text.replace(theirs, mine)
    return text

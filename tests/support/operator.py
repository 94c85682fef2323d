"""An operator who follows docs/operations.md on a cluster of the test-bed, block by block, as it stands.

The first line of a block is a comment that says where it runs. What the test-bed has not (systemd, a journal, ssh)
is stood in for by programs on PATH; examples such as addresses are replaced, and each of them has to stand in the
page.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.cluster import CRONKEEPER, Cluster
from testbed.hosts import Host
from testbed.server import Server

from support.wait import wait_until

PAGE = Path(__file__).parents[2] / "docs/operations.md"
BLOCK = re.compile(r"^```sh\n# (.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DESK = "desk"
ONE_BLOCK = 60.0
"""Seconds."""
ASK = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect(os.environ["OPERATOR_SOCKET"])
    link.sendall(json.dumps([os.environ["OPERATOR_PLACE"], *sys.argv[1:]]).encode() + b"\\n")
    answer = json.loads(link.makefile().readline())
print(answer["said"], end="")
sys.exit(answer["code"])
"""
SHIMS = {
    "cronkeeper": f'exec {" ".join(CRONKEEPER)} "$@"',
    "systemctl": f'exec {sys.executable} -I -S "$OPERATOR_ASK" systemctl "$@"',
    "journalctl": f'exec {sys.executable} -I -S "$OPERATOR_ASK" journalctl "$@"',
    "scp": f'exec {sys.executable} -I -S "$OPERATOR_ASK" scp "$@"',
    "mariadb": 'exec /usr/bin/mariadb --no-defaults $OPERATOR_SQL "$@"',
    "mariadb-dump": 'exec /usr/bin/mariadb-dump --no-defaults $OPERATOR_SQL "$@"',
}
"""systemctl and journalctl ask the test, whose children all servers are."""


def blocks(section: str) -> list[tuple[str, str]]:
    """Where each block of a section runs, and what."""
    found = re.search(rf"^##+ {re.escape(section)}\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.M | re.DOTALL)
    assert found is not None, f"the page has no section {section!r}"
    return BLOCK.findall(found[1])


class Operator:
    """Runs the page's blocks. `examples` of the page are replaced wherever they stand."""

    def __init__(
        self, cluster: Cluster, places: Mapping[str, list[str]], examples: Mapping[str, str]
    ) -> None:
        """`places`: what the first line of a block says, and the parts that are meant; DESK is no part."""
        self.cluster = cluster
        self.places = dict(places)
        self.examples = dict(examples)
        missing = [each for each in examples if each not in PAGE.read_text()]
        assert missing == [], f"these are not in the page: {missing}"
        self.folder = Path(tempfile.mkdtemp(prefix="operator-"))
        self.folder.chmod(0o755)
        for name, line in SHIMS.items():
            (self.folder / name).write_text(f"#!/bin/sh\n{line}\n")
            (self.folder / name).chmod(0o755)
        (self.folder / "ask.py").write_text(ASK)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / "socket"))
        self._listener.listen()
        self._listener.settimeout(0.02)

    def follow(self, section: str, **choice: str) -> str:
        """Run all blocks of a section, in order; returns what they said. `choice`: more examples, for this time."""
        found = blocks(section)
        assert found, f"section {section!r} has no block"
        return "".join(
            self._run(place, block, choice) for where, block in found for place in self.places[where]
        )

    def folder_of(self, place: str) -> Path:
        """What the place has for a disk of its own; the folders that the page speaks of are in it."""
        if place == DESK:
            return self.folder
        host = self.cluster.hosts.get(place)
        return host.home if host is not None else self.cluster.home / place

    def _run(self, place: str, block: str, choice: Mapping[str, str]) -> str:
        for example, own in {**self.examples, **choice, **self._paths(place)}.items():
            block = block.replace(example, own)
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                self._command(place, ["bash", "-euxo", "pipefail", "-c", block]),
                env={**os.environ, **self._environment(place)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            try:
                wait_until(lambda: self._serve() or process.poll() is not None, ONE_BLOCK, every=0)
            finally:
                process.kill()
                process.wait()
                said.seek(0)
                text = said.read()
                print(f"--- on {place}\n{text}")
        assert process.returncode == 0, text
        return text

    def _paths(self, place: str) -> dict[str, str]:
        own = self.folder_of(place)
        if place == DESK:
            return {}
        return {
            "/etc/cronkeeper": str(self._etc(place)),
            "/var/lib/cronkeeper": str(own / "cronkeeper"),
            "/var/lib/zookeeper": str(own / "data"),
            "127.0.0.1:2181": f"{self._ip(place)}:2181",
        }

    def _etc(self, place: str) -> Path:
        """A node's own; what API servers and managers have is in one folder here, for all of them alike."""
        return (self.folder_of(place) if place in self.cluster.hosts else self.cluster.home) / "etc"

    def _scp(self, _place: str, words: list[str]) -> str:
        machine, _, path = words[1].partition(":")
        shutil.copy(self.folder / words[0], path.replace("/etc/cronkeeper", str(self._etc(machine))))
        return ""

    def _ip(self, place: str) -> str:
        room = self.cluster.rooms.get(place)
        return room.ip if room is not None else ""

    def _command(self, place: str, words: list[str]) -> list[str]:
        if place == DESK:
            return words
        if (host := self.cluster.hosts.get(place)) is not None:
            return host.command(words, env=self._environment(place), cwd=str(host.home))
        return self.cluster.rooms[place].command(words)

    def _environment(self, place: str) -> dict[str, str]:
        sql = self.cluster.mariadb
        options = f"--host={sql.host} --user={sql.user} --password={sql.password} --protocol=tcp"
        login = {"CRONKEEPER_URL": self.cluster.url, "CRONKEEPER_TOKEN": self.cluster.admin_token}
        return {
            **(login if place == DESK else {}),
            "PATH": f"{self.folder}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/",
            "OPERATOR_SOCKET": str(self.folder / "socket"),
            "OPERATOR_ASK": str(self.folder / "ask.py"),
            "OPERATOR_PLACE": place,
            "OPERATOR_SQL": options,
        }

    def _serve(self) -> bool:
        """Do what a shim asks for; False, always."""
        try:
            link, _ = self._listener.accept()
        except TimeoutError:
            return False
        with link:
            link.settimeout(5)
            place, program, *words = json.loads(link.makefile().readline())
            try:
                answer = {"code": 0, "said": getattr(self, f"_{program}")(place, words)}
            except (KeyError, RuntimeError, AssertionError, OSError) as error:
                answer = {"code": 1, "said": f"{error!r}\n"}
            link.sendall(json.dumps(answer).encode() + b"\n")
        return False

    def _systemctl(self, place: str, words: list[str]) -> str:
        verb, *units = [word for word in words if not word.startswith("--")]
        for unit in units:
            unit_of = {"worker": self._worker, "api": self._server, "manager": self._server}
            do = unit_of.get(unit.removeprefix("cronkeeper-"), self._server)
            for step in {"restart": ("stop", "start"), "enable": ("start",), "disable": ("stop",)}.get(
                verb, (verb,)
            ):
                do(place)[step]()
        return ""

    def _server(self, place: str) -> dict[str, Callable[[], None]]:
        server = self._servers()[place]
        # systemctl does not wait for a ZooKeeper either: alone it has no quorum.
        start = server.launch if place.startswith("zk") else server.start
        return {"start": start, "stop": server.stop, "reload": lambda: os.kill(server.pid, signal.SIGHUP)}

    def _worker(self, place: str) -> dict[str, Callable[[], None]]:
        worker = self.cluster.workers[place]

        def stop() -> None:
            if worker.pids():
                os.kill(worker.guard_pid, signal.SIGTERM)
                wait_until(lambda: worker.pids() == [], 30)
            worker.bury()

        return {
            "start": worker.start,
            "stop": stop,
            "reload": lambda: os.kill(worker.guard_pid, signal.SIGHUP),
        }

    def _journalctl(self, place: str, _words: list[str]) -> str:
        host: Host | None = self.cluster.hosts.get(place)
        log = host.home / "worker.log" if host is not None else self._servers()[place].log_path
        return log.read_text(errors="replace")

    def _servers(self) -> dict[str, Server]:
        cluster = self.cluster
        kinds: dict[str, list[Server]] = {
            "zk": list(cluster.zookeepers),
            "db": list(cluster.databases),
            "api": list(cluster.apis),
            "manager": list(cluster.managers),
        }
        return {f"{kind}{at}": each for kind, group in kinds.items() for at, each in enumerate(group, 1)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

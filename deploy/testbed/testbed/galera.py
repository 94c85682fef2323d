"""A node of a Galera cluster: MariaDB, with others."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .cache import cached
from .network import Network, Room
from .server import dying_with_us, program
from .services import MARIADB_OPTIONS, TMP, MariaDB

USER = "mysql"
"""Galera's transfer by rsync fails as root."""
SEEN = Path("/mnt")
"""Where the node sees its home, which may lie in a folder that is closed to other users."""
CHECK_USER = "haproxy_check"
RECOVERED = "recovered.log"
SIZE = 3
TEMPLATE = "galera-2"
"""Data that a cluster begins with: change the name where what `_make_template` does is changed."""
PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so")
# A node that has died is given up after a second: the defaults are made for links between continents.
TIMING = (
    "evs.keepalive_period=PT0.2S",
    "evs.inactive_check_period=PT0.2S",
    "evs.suspect_timeout=PT1S",
    "evs.inactive_timeout=PT3S",
    "evs.install_timeout=PT3S",
    "gmcast.time_wait=PT1S",
    "gcache.size=16M",
)
BIND = f'mount --bind "$1" {SEEN} && shift && exec "$@"'


class Galera(MariaDB):
    """One node of three. They begin with the data of a cluster that was killed, and find each other again."""

    begins = False
    _position: tuple[str, ...] = ()

    def prepare(self) -> None:
        if not (self.home / "data").exists():
            mine = str(self.peers.index(self.host))
            shutil.copytree(cached(TEMPLATE, _make_template) / mine, self.home / "data.new")
            (self.home / "data.new").rename(self.home / "data")
        self._hand_over()
        self._position = (f"--wsrep-start-position={self._recovered()}",)

    def _hand_over(self) -> None:
        shutil.rmtree(self.home / TMP, ignore_errors=True)
        (self.home / TMP).mkdir()
        subprocess.run(["chown", "-R", f"{USER}:", self.home], check=True)

    def command(self) -> list[str]:
        address = [f"--bind-address={self.host}", f"--port={self.port}"]
        files = ["--socket=mariadb.sock", "--pid-file=mariadb.pid"]
        return self._mariadbd(*address, *files, *self._wsrep(), *self._position)

    def _mariadbd(self, *options: str) -> list[str]:
        # It is the user from the start: changing to it later would forget whom to die with.
        as_user = dying_with_us("--reuid", USER, "--regid", USER, "--init-groups")
        files = [f"--datadir={SEEN / 'data'}", f"--tmpdir={SEEN / TMP}"]
        within = [program("unshare"), "--mount", "/bin/sh", "-c", BIND, "sh", str(self.home)]
        node = [program("mariadbd"), "--no-defaults", *files, *MARIADB_OPTIONS, *options]
        return [*dying_with_us(), *within, *as_user, *node]

    def _recovered(self) -> str:
        """How far the data goes, as Debian's unit finds it out before each start.

        Nodes that all start without it begin a history without a name, in which one that comes back may not write.
        """
        said = SEEN / TMP / RECOVERED
        options = ["--wsrep-recover", f"--log-error={said}", "--skip-networking", "--socket=recovering.sock"]
        subprocess.run(self._mariadbd(*options, *self._wsrep()), check=True)
        found = re.search(r"Recovered position: *(\S+)", (self.home / TMP / RECOVERED).read_text())
        assert found is not None
        return found[1]

    def probe(self) -> list[str]:
        """Ends with 0 once the node takes part: until then it refuses to read tables."""
        return self._client("SELECT 1 FROM mysql.user LIMIT 1")

    def _wsrep(self) -> list[str]:
        provider = next((path for path in PROVIDERS if Path(path).exists()), PROVIDERS[0])
        listen = f"gmcast.listen_addr=tcp://{self.host}:4567"
        return [
            "--wsrep-on=ON",
            f"--wsrep-provider={provider}",
            f"--wsrep-provider-options={';'.join([*TIMING, listen])}",
            "--wsrep-cluster-name=testbed",
            f"--wsrep-cluster-address=gcomm://{','.join(self.peers)}",
            f"--wsrep-node-name={self.host}",
            f"--wsrep-node-address={self.host}",
            "--wsrep-sst-method=rsync",
            "--wsrep-sync-wait=1",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            *(["--wsrep-new-cluster"] if self.begins else []),
        ]


class _Beginner(Galera):
    """A node that makes a cluster, or joins it without any data."""

    def prepare(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)
        self._hand_over()


def _make_template(folder: Path) -> None:
    """The data of three nodes that were killed at once: of all ways to begin, the one that takes two seconds."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as home, Network() as network:
        rooms = [Room(network, f"db{number}", f"10.77.0.{number + 10}") for number in range(SIZE)]
        alone = MariaDB(Path(home) / "0", port=3306, prefix=rooms[0].prefix)
        alone.start()
        alone.execute(f"CREATE USER '{CHECK_USER}'@'10.77.0.%' WITH MAX_USER_CONNECTIONS 10")
        alone.stop()
        nodes = [
            _Beginner(Path(home) / str(number), room.ip, 3306, room.prefix)
            for number, room in enumerate(rooms)
        ]
        for node in nodes:
            node.peers = [room.ip for room in rooms]
            node.begins = node is nodes[0]
            node.start()
        for node in nodes:
            node.kill()
        for node in nodes:
            (node.home / "data/mariadb.sock").unlink()
            (node.home / "data").rename(folder / node.home.name)

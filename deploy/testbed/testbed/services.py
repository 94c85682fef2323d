"""ZooKeeper, MariaDB and SeaweedFS as plain processes: the real thing, small, with every fsync left on."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .cache import cached
from .server import MissingProgram, Server, dying_with_us, free_port, program

__all__ = ["MariaDB", "MissingProgram", "SeaweedFS", "Server", "ZooKeeper", "free_port"]

PROBE = Path(__file__).with_name("probe.py")
# The jars that these need are named in their manifests; without slf4j-simple ZooKeeper logs nothing.
ZOOKEEPER_JARS = ("/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar")
ZOOKEEPER_JVM = (
    "-Xms32m",
    "-Xmx128m",
    "-Xss512k",
    "-XX:+ExitOnOutOfMemoryError",  # else the JVM lives on and fails every request
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
# Short ticks, so that sessions of a second end when they should.
ZOOKEEPER_CONFIG = """\
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
dataDir={data}
clientPortAddress={host}
clientPort={port}
"""
# Of an ensemble. In ticks: how long a follower may take to join, and to be behind.
ZOOKEEPER_QUORUM = """\
initLimit=20
syncLimit=10
"""
GRPC = 10000
"""By so much the ports of SeaweedFS for gRPC are above the others."""
TMP = "tmp"
"""Below the home of each MariaDB: one that starts deletes the temporary tables of others in the same folder."""
MARIADB_OPTIONS = (
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--table-open-cache=400",
    "--max-connections=200",
    "--performance-schema=OFF",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
)


class ZooKeeper(Server):
    """One ZooKeeper, alone or of an ensemble; `hosts` is what a client connects to."""

    @property
    def hosts(self) -> str:
        """host:port."""
        return f"{self.host}:{self.port}"

    def prepare(self) -> None:
        for jar in ZOOKEEPER_JARS:
            if not Path(jar).exists():
                raise MissingProgram(f"{jar} is not installed: run make deps")
        data = self.home / "data"
        data.mkdir(exist_ok=True)
        config = ZOOKEEPER_CONFIG.format(data=data, host=self.host, port=self.port)
        if self.peers:
            (data / "myid").write_text(f"{self.peers.index(self.host) + 1}\n")
            servers = [f"server.{number}={host}:2888:3888\n" for number, host in enumerate(self.peers, 1)]
            config += ZOOKEEPER_QUORUM + "".join(servers)
        (self.home / "zoo.cfg").write_text(config)

    def command(self) -> list[str]:
        main = "quorum.QuorumPeerMain" if self.peers else "ZooKeeperServerMain"
        jars = ":".join(ZOOKEEPER_JARS)
        java = [program("java"), *ZOOKEEPER_JVM, "-cp", jars, f"org.apache.zookeeper.server.{main}"]
        return [*dying_with_us(), *java, str(self.home / "zoo.cfg")]

    def probe(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(PROBE), "zookeeper", self.host, str(self.port)]


class MariaDB(Server):
    """One MariaDB, with a user who may do everything from everywhere."""

    user = "cronkeeper"
    password = "test-bed-only"

    def prepare(self) -> None:
        data = self.home / "data"
        if not data.exists():
            shutil.copytree(mariadb_template(), self.home / "data.new")
            (self.home / "data.new").rename(data)
        (self.home / TMP).mkdir(exist_ok=True)
        grant = f"GRANT ALL ON *.* TO '{self.user}'@'%' IDENTIFIED BY '{self.password}' WITH GRANT OPTION;\n"
        (self.home / "init.sql").write_text(grant)

    def command(self) -> list[str]:
        return [
            *dying_with_us(),
            program("mariadbd"),
            "--no-defaults",
            *_as_root(),
            f"--datadir={self.home / 'data'}",
            f"--init-file={self.home / 'init.sql'}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            # Relative to the data directory: the path of a socket may be no longer than 107 bytes.
            "--socket=mariadb.sock",
            "--pid-file=mariadb.pid",
            f"--tmpdir={self.home / TMP}",
            *MARIADB_OPTIONS,
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "MYSQL_PWD": self.password}

    def probe(self) -> list[str]:
        return self._client("SELECT 1")

    def url(self, database: str, host: str | None = None) -> str:
        """The SQLAlchemy URL of a database on this server, or on the `host` that leads to it."""
        options = "use_pure=true&charset=utf8mb4&collation=utf8mb4_general_ci"
        server = f"{host if host is not None else self.host}:{self.port}"
        return f"mysql+mysqlconnector://{self.user}:{self.password}@{server}/{database}?{options}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        self.execute(f"CREATE DATABASE `{name}`")
        return self.url(name)

    def execute(self, statement: str) -> str:
        """Run a statement as the user who may do everything; the rows come as lines of tab-separated text."""
        command = [*self.prefix, *self._client(statement)]
        environment = self.environment()
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _client(self, statement: str) -> list[str]:
        target = [f"--host={self.host}", f"--port={self.port}", f"--user={self.user}", "--protocol=tcp"]
        form = ["--default-character-set=utf8mb4", "--batch", "--skip-column-names"]
        return [program("mariadb"), "--no-defaults", *target, *form, "--execute", statement]


class SeaweedFS(Server):
    """One S3 server, with the bucket `bucket` in it."""

    bucket = "cronkeeper"
    region = "us-east-1"
    access_key = "testbedaccess"
    secret_key = "testbed-secret-of-the-test-bed"
    # It waits for the last client to leave.
    stop_timeout = 3.0

    def __init__(
        self, home: Path, host: str = "127.0.0.1", port: int | None = None, prefix: Sequence[str] = ()
    ) -> None:
        super().__init__(home, host, port, prefix)
        inner = ("master", "volume", "filer")
        names = [*(f"{name}.port" for name in inner), *(f"{name}.port.grpc" for name in (*inner, "s3"))]
        # Wherever the one of admin for gRPC is, a part of it looks for it here, again and again.
        admin = free_port(beside=GRPC)
        admins = {"admin.port": admin, "admin.port.grpc": admin + GRPC}
        self._ports = {name: free_port() for name in names} | admins | {"s3.port": self.port}

    @property
    def endpoint(self) -> str:
        """The endpoint of S3."""
        return f"http://{self.host}:{self.port}"

    def prepare(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)

    def command(self) -> list[str]:
        return [
            *dying_with_us(),
            program("weed"),
            "mini",
            f"-dir={self.home / 'data'}",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            *(f"-{name}={port}" for name, port in self._ports.items()),
            f"-bucket={self.bucket}",
            "-s3.autoCreateBucket=false",
            # 0, or they listen on ports of their own choice.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-filer.localSocket={self.home / 'filer.sock'}",
            "-admin.ui=false",
            "-webdav=false",
            # So that it is up again in a second after a kill -9.
            "-master.electionTimeout=300ms",
            "-master.heartbeatInterval=100ms",
            "-master.telemetry=false",
        ]

    def environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return {**os.environ, **keys, "GOMEMLIMIT": "200MiB"}

    def probe(self) -> list[str]:
        return [sys.executable, str(PROBE), "s3", self.host, str(self.port)]


def mariadb_template() -> Path:
    """A fresh data directory to copy."""

    def install(folder: Path) -> None:
        options = ["--no-defaults", f"--datadir={folder}", "--innodb-log-file-size=16M", "--skip-test-db"]
        login = ["--auth-root-authentication-method=normal", *_as_root()]
        command = [program("mariadb-install-db"), *options, *login]
        with tempfile.TemporaryDirectory() as tmp:
            environment = {**os.environ, "TMPDIR": tmp}
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)

    return cached("mariadb", install)


def _as_root() -> list[str]:
    """The option without which MariaDB refuses to run as root.

    It runs as who we are: as another user it could not reach a home in a folder that is ours alone, as
    pytest's are.
    """
    return ["--user=root"] if os.geteuid() == 0 else []

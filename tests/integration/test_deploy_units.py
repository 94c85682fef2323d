"""The systemd units, under a real systemd: they start, are locked up, and jobs get what they have under cron."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.client import Client
from support.deployed import CONTAINERFILE, DEPLOY, Database
from support.image import build, with_packages
from support.machine import PACKAGES, Machine
from support.wait import wait_until
from testbed.server import free_port
from testbed.services import SeaweedFS, ZooKeeper

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a machine of namespaces takes root"),
    pytest.mark.timeout(900),  # where nothing of its Debian is there yet
]

UNITS = ("cronkeeper-api", "cronkeeper-manager", "cronkeeper-worker")
INSTALLED = {
    **{f"systemd/{unit}.service": f"/etc/systemd/system/{unit}.service" for unit in UNITS},
    "systemd/cronkeeper.sysusers": "/usr/lib/sysusers.d/cronkeeper.conf",
    "systemd/cronkeeper.tmpfiles": "/usr/lib/tmpfiles.d/cronkeeper.conf",
}
TOKENS = {"admin_token": "the admin's token", "user_token": "the user's token"}
CRONKEEPER = "/opt/cronkeeper/bin/cronkeeper"
FACTS = """\
umask
ulimit -H -a
ulimit -S -a
grep -E '^(Sig(Blk|Ign)|Cap|NoNewPrivs|Seccomp:|Cpus_allowed:|Groups)' /proc/self/status
cat /proc/self/oom_score_adj /proc/self/coredump_filter
cut -d' ' -f18,19,40,41 /proc/self/stat
readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/user
id
tty
"""
"""What a process inherits, as a script says it."""


class Site:
    """A machine with all three daemons on it."""

    def __init__(
        self, machine: Machine, database: Database, zookeeper: ZooKeeper, seaweedfs: SeaweedFS
    ) -> None:
        self.machine = machine
        self.database = database
        self.address = f"127.0.0.1:{free_port()}"
        self.client = Client(f"http://{self.address}", TOKENS["admin_token"])
        self.configuration = (
            f'[zookeeper]\nhosts = "{zookeeper.hosts}"\nroot = "/units"\n'
            f'[s3]\nendpoint = "{seaweedfs.endpoint}"\nbucket = "{seaweedfs.bucket}"\n'
            f'[api]\nurl = "http://{self.address}"\nbind = "{self.address}"\n'
            '[worker]\nnode = "node1"\nallow_run_as = ["*"]\n'
        )
        keys = {"s3_access_key": seaweedfs.access_key, "s3_secret_key": seaweedfs.secret_key}
        self.secrets = {"sql_url": database.of_daemons, **keys, **TOKENS}

    def install(self) -> None:
        """As the comments in the files say."""
        for name, path in INSTALLED.items():
            self.machine.write(path, (DEPLOY / name).read_text())
        self.machine.run("systemd-sysusers")
        self.machine.run("systemd-tmpfiles", "--create", "cronkeeper.conf")
        self.configure(self.configuration)
        self.machine.run("chown", "root:cronkeeper", "/etc/cronkeeper/cronkeeper.toml")
        for name, secret in self.secrets.items():
            self.machine.write(f"/etc/cronkeeper/secrets/{name}", secret, 0o600)
        self.machine.run("systemctl", "daemon-reload")
        url = f"CRONKEEPER_SQL_URL={self.database.of_upgrade}"
        self.machine.run("env", url, CRONKEEPER, "db", "upgrade")

    def configure(self, text: str) -> None:
        self.machine.write("/etc/cronkeeper/cronkeeper.toml", text, 0o640)

    def start(self) -> None:
        self.machine.run("systemctl", "start", "cron", "cronkeeper-manager", "cronkeeper-api")
        wait_until(lambda: self.client.call("GET", "/health").status == 200, 30)
        variables = [f"CRONKEEPER_URL=http://{self.address}", f"CRONKEEPER_TOKEN={TOKENS['admin_token']}"]
        add = [CRONKEEPER, "node", "add", "node1", "--key-file", "/etc/cronkeeper/node.key"]
        self.machine.run("env", *variables, *add)
        self.machine.run("systemctl", "start", "cronkeeper-worker")
        self.await_live()

    def await_live(self) -> None:
        wait_until(lambda: self.client.get("/nodes")[0]["live"], 30)

    def main_pid(self, unit: str) -> int:
        return int(self.machine.show(unit, "MainPID"))

    def status(self, unit: str) -> dict[str, str]:
        """/proc/<pid>/status of its main process."""
        text = self.machine.run("cat", f"/proc/{self.main_pid(unit)}/status")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


@pytest.fixture(scope="module")
def site(
    zookeeper: ZooKeeper, seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """What it runs on is there for other tests too, but the database, whose users it makes."""
    database = Database(tmp_path_factory.mktemp("database"))
    with ExitStack() as stack:
        stack.callback(database.stop)
        database.start()
        database.set_up()
        installed = with_packages(build(CONTAINERFILE, "build"), build(CONTAINERFILE, "python"), PACKAGES)
        machine = stack.enter_context(Machine(installed))
        stack.callback(lambda: print(*(machine.journal(unit) for unit in UNITS), sep="\n"))
        made = Site(machine, database, zookeeper, seaweedfs)
        made.install()
        machine.write("/facts", FACTS)
        machine.write("/etc/cron.d/facts", "@reboot root sh /facts > /facts.cron\n")
        made.start()
        yield made


def test_the_units_are_what_systemd_takes_without_a_word(site: Site) -> None:
    verify = ["systemd-analyze", "verify", *(f"/etc/systemd/system/{unit}.service" for unit in UNITS)]
    assert site.machine.run("sh", "-c", '"$@" 2>&1', "sh", *verify) == ""


@pytest.mark.parametrize("unit", ["cronkeeper-api", "cronkeeper-manager"])
def test_api_and_manager_are_locked_up(site: Site, unit: str) -> None:
    status = site.status(unit)
    assert status["Uid"].split()[0] == site.machine.run("id", "-u", "cronkeeper").strip() != "0"
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status[f"Cap{kind}"].strip("0") for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {""}
    site.machine.run("systemd-analyze", "security", "--offline=true", "--threshold=13", f"{unit}.service")


def test_secrets_are_read_by_root_alone_and_lie_in_no_environment(site: Site) -> None:
    machine = site.machine
    listed = machine.run(
        "find", "/etc/cronkeeper/secrets", "/etc/cronkeeper/node.key", "-printf", "%m %u %p\n"
    )
    modes = {line.rsplit("/", 1)[1]: line.split()[:2] for line in listed.splitlines()}
    assert modes.pop("secrets") == ["700", "root"]
    assert modes.pop("node.key") == ["600", "root"]
    assert modes == {name: ["600", "root"] for name in site.secrets}
    environments = (machine.run("cat", f"/proc/{site.main_pid(unit)}/environ") for unit in UNITS)
    told = "".join(environments)
    assert "CRONKEEPER_SQL_URL_FILE" in told
    assert [name for name, secret in site.secrets.items() if secret in told] == []


def _comparable(facts: str) -> list[str]:
    """But for the C library's own signal, which posix_spawn(3) leaves so, and whoever needs it sets anew."""
    return facts.replace("SigIgn:\t0000000080000000", "SigIgn:\t0000000000000000").splitlines()


def test_a_job_inherits_what_it_would_under_cron(site: Site) -> None:
    job = site.client.create(type="command", command="sh /facts", run_as="root")
    ours = site.client.output(site.client.run_now(job["id"])["id"])
    assert _comparable(ours) == _comparable((site.machine.root / "facts.cron").read_text())
    assert "NoNewPrivs:\t0" in ours


def test_a_job_of_another_user_may_use_sudo_and_writes_to_everybodys_tmp(site: Site) -> None:
    site.machine.write("/etc/sudoers.d/nobody", "nobody ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    job = site.client.create(
        type="command", command="id -un; sudo -n id -un; sudo -n touch /tmp/here", run_as="nobody"
    )
    run = site.client.run_now(job["id"])
    assert site.client.output(run["id"]) == "nobody\nroot\n"
    assert (site.machine.root / "tmp/here").exists()


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_run_outlives_its_daemon_and_is_found_again(site: Site, how: str) -> None:
    site.machine.run("mkfifo", f"/{how}")
    job = site.client.create(
        type="command", command=f"echo begun; read word < /{how}; echo $word", run_as="root"
    )
    run_id = site.client.call("POST", f"/jobs/{job['id']}/runs").json["id"]
    wait_until(lambda: site.client.get(f"/runs/{run_id}")["state"] == "running", 20)
    before = site.main_pid("cronkeeper-worker")
    if how == "restart":
        site.machine.run("systemctl", "restart", "cronkeeper-worker")
    else:
        site.machine.kill(before)
    wait_until(lambda: site.main_pid("cronkeeper-worker") not in (0, before), 20)
    site.machine.run("sh", "-c", f"echo ended > /{how}")
    wait_until(lambda: site.client.get(f"/runs/{run_id}")["state"] == "succeeded", 30)
    assert site.client.output(run_id) == "begun\nended\n"


@pytest.mark.parametrize("unit", UNITS)
def test_a_reload_reads_the_configuration_again_and_ends_nothing(site: Site, unit: str) -> None:
    before = site.main_pid(unit)
    said = site.machine.journal(unit).count("the configuration was read again")
    site.machine.run("systemctl", "reload", unit)
    wait_until(lambda: site.machine.journal(unit).count("the configuration was read again") > said)
    assert (site.machine.show(unit, "ActiveState"), site.main_pid(unit)) == ("active", before)


def test_what_is_refused_is_not_started_again(site: Site) -> None:
    site.configure(site.configuration + "\n[fleet]\nno_such_key = 1\n")
    try:
        site.machine.run("systemctl", "restart", *UNITS, check=False)
        wait_until(lambda: {site.machine.show(unit, "ActiveState") for unit in UNITS} == {"failed"}, 20)
        said = {
            site.machine.show(unit, "ExecMainStatus") + site.machine.show(unit, "NRestarts") for unit in UNITS
        }
        assert said == {"780"}
    finally:
        site.configure(site.configuration)
        site.machine.run("systemctl", "restart", *UNITS)


def test_a_worker_that_is_stopped_leaves_its_crontab(site: Site) -> None:
    site.await_live()
    job = site.client.create(type="command", command="true", schedule="0 0 1 1 *")
    table = site.machine.root / "etc/cron.d/cronkeeper"
    wait_until(lambda: table.exists() and f"spool/{job['id']} " in table.read_text(), 60)
    site.machine.run("systemctl", "stop", "cronkeeper-worker")
    assert site.machine.show("cronkeeper-worker", "Result") == "success"
    assert f"spool/{job['id']} " in table.read_text()
    site.machine.run("systemctl", "start", "cronkeeper-worker")


def test_the_unit_of_zookeeper_is_what_systemd_takes() -> None:
    unit = str(DEPLOY / "zookeeper/zookeeper.service")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert [line for line in done.stderr.splitlines() if Path(unit).name in line] == []

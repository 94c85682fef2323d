"""`cronkeeper doctor`: looks at everything that this machine's part of cronkeeper needs, and says what to do."""

import json
import os
import pwd
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

import click

from cronkeeper.cli.access import access_options, reach
from cronkeeper.cli.client import DEFAULT_URL, URL_VARIABLE, Client, checked_url
from cronkeeper.cli.daemons import config_option
from cronkeeper.common.clock import utc_now
from cronkeeper.common.config import load
from cronkeeper.common.errors import CronkeeperError, Invalid, Unavailable
from cronkeeper.common.settings import Config

ROOM = 200 * 1024 * 1024
"""Bytes that should be free where run folders and artifacts lie."""
MAX_OFFSET = timedelta(seconds=3)
"""The API tells its time in whole seconds."""
PATIENCE = 5.0


class Verdict(StrEnum):
    """How something was found."""

    OK = "ok"
    LOOK = "look"
    """It works, though perhaps not as meant."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it was found, and a sentence on it."""

    what: str
    verdict: Verdict
    said: str


Check = Callable[[], tuple[Verdict, str]]


@click.command()
@config_option
@access_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def doctor(
    path: Path | None, url: str | None, token: str | None, token_file: Path | None, as_json: bool
) -> None:
    """Check configuration, servers, clock, cron, rights and disk; ends with 1 where something is bad.

    The API is looked for at --url, or else where the configuration has it.
    """
    found = list(examine(path, lambda known: reach(url, token, token_file, known=known)))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        colours = {Verdict.OK: "green", Verdict.LOOK: "yellow", Verdict.BAD: "red"}
        for each in found:
            click.echo(f"{click.style(f'{each.verdict:<4}', colours[each.verdict])} {each.what}: {each.said}")
    sys.exit(any(each.verdict is Verdict.BAD for each in found))


def examine(path: Path | None, find: Callable[[str | None], tuple[str, str | None]]) -> Iterator[Finding]:
    """Look at what the configuration names: without one, at an embedded install.

    `find` says where the API is and what token it is to be shown, if any; it is given the URL in the configuration.
    """
    try:
        config = load(path)
    except Invalid as error:
        yield Finding("configuration", Verdict.BAD, str(error))
        return
    told = f"{path} is right" if path is not None else "no file is named (--config); the defaults hold"
    yield Finding("configuration", Verdict.OK, told)
    embedded = not config.zookeeper.hosts
    url, token = find(config.api.url if config.api.url != DEFAULT_URL or not embedded else None)
    checks: dict[str, Check] = {"API": partial(_api, checked_url(url), token)}
    if config.sql.url:
        checks["SQL"] = lambda: _sql(config)
    if config.zookeeper.hosts:
        checks["ZooKeeper"] = lambda: _zookeeper(config)
    if config.s3.access_key:
        checks["S3"] = lambda: _s3(config)
    if embedded or Path(config.worker.key_file).exists():
        checks |= {"cron": lambda: _cron(config), "user": lambda: _user(config, embedded=embedded)}
        home = Path("var") if embedded else Path(config.worker.home)
        checks["disk"] = lambda: _disk(home)
    if not embedded and Path(config.worker.key_file).exists():
        checks["key"] = lambda: _key(Path(config.worker.key_file))
    for what, check in checks.items():
        yield _look(what, check)


def _look(what: str, check: Check) -> Finding:
    try:
        return Finding(what, *check())
    except (CronkeeperError, OSError) as error:
        return Finding(what, Verdict.BAD, str(error))
    except click.ClickException as error:
        return Finding(what, Verdict.BAD, error.message)


def _api(url: str, token: str | None) -> tuple[Verdict, str]:
    import urllib3

    try:
        answer = urllib3.request("GET", f"{url}/health", timeout=PATIENCE, retries=False)
        parts = answer.json()
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
        raise Unavailable(
            f"no cronkeeper answers at {url}: start it, or say where it is with --url, {URL_VARIABLE} or "
            f"--config ({error})"
        ) from error
    wrong = [
        f"{part}: {said}"
        for part, said in parts.items()
        if part not in ("version", "status") and said != "ok"
    ]
    if wrong:
        return Verdict.BAD, f"{url} answers, but not everything behind it works: {'; '.join(wrong)}"
    told = f"{url} works, version {parts['version']}"
    if token is not None:
        Client(url, token).call("GET", "/jobs?limit=1")
        told += ", and takes the token"
    return _same_time(told, theirs)


def _same_time(told: str, theirs: datetime) -> tuple[Verdict, str]:
    offset = utc_now() - theirs
    if abs(offset) > MAX_OFFSET:
        what = f"this machine's clock is {offset.total_seconds():+.0f} s off the API's: synchronize both (chrony)"
        return Verdict.BAD, f"{told}, but {what}"
    return Verdict.OK, told


def _sql(config: Config) -> tuple[Verdict, str]:
    from cronkeeper.cli import wiring

    store = wiring.store(config)
    try:
        store.check()
    finally:
        store.close()
    return Verdict.OK, f"{store.url_for_people} has our tables"


def _zookeeper(config: Config) -> tuple[Verdict, str]:
    from cronkeeper.cli import wiring

    tree = wiring.tree(config)
    end = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                tree.sync()
            except Unavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return Verdict.OK, f"{config.zookeeper.hosts} answers, through its leader"
    finally:
        tree.close()


def _s3(config: Config) -> tuple[Verdict, str]:
    from cronkeeper.cli import wiring

    wiring.artifacts(config).check()
    return Verdict.OK, f"the bucket {config.s3.bucket} at {config.s3.endpoint} answers"


def _cron(config: Config) -> tuple[Verdict, str]:
    from cronkeeper.worker.crontab_file import crond_pid, crontab_command

    pid = crond_pid()
    if pid is None:
        return (
            Verdict.LOOK,
            "no cron daemon runs here: the worker's own clock starts the jobs; start cron if it should",
        )
    if config.worker.crontab == "user" or not config.zookeeper.hosts:
        if not crontab_command():
            return (
                Verdict.BAD,
                "crontab(1) is missing or does not let this user in: see /etc/cron.allow, /etc/cron.deny",
            )
    elif config.worker.crontab != "none" and not os.access(Path(config.worker.crontab).parent, os.W_OK):
        return Verdict.BAD, f"{config.worker.crontab} can't be written by this user: run the worker as root"
    return Verdict.OK, f"it runs, as process {pid}"


def _user(config: Config, *, embedded: bool) -> tuple[Verdict, str]:
    from cronkeeper.worker.process import CHROOT

    me = pwd.getpwuid(os.geteuid()).pw_name
    wanted = me if embedded and me != "root" else config.fleet.run_as
    try:
        pwd.getpwnam(wanted)
    except KeyError:
        return Verdict.BAD, f"there is no user {wanted!r} here: make it, or set fleet.run_as"
    if wanted != me and (me != "root" or CHROOT is None):
        why = "only root can run them as another user" if me != "root" else "chroot (coreutils) is missing"
        return Verdict.BAD, f"jobs are to run as {wanted}, and this is {me}: {why}"
    return Verdict.OK, f"jobs run as {wanted}"


def _disk(home: Path) -> tuple[Verdict, str]:
    there = home if home.exists() else home.absolute().parent
    if not os.access(there, os.W_OK):
        return Verdict.BAD, f"{there} can't be written by this user"
    free = shutil.disk_usage(there).free
    told = f"{free // 2**20} MiB are free at {there.absolute()}"
    inodes = os.statvfs(there)
    if free < ROOM or (inodes.f_files and inodes.f_favail < 10_000):
        return (
            Verdict.BAD,
            f"{told}, and {inodes.f_favail} files can be made: each run needs a folder of its own",
        )
    return Verdict.OK, told


def _key(file: Path) -> tuple[Verdict, str]:
    from cronkeeper.common.signing import NodeKey

    NodeKey.load(file)
    if file.stat().st_mode & 0o077:
        return Verdict.BAD, f"{file} can be read by others: chmod 600 {file}"
    return Verdict.OK, f"{file} is a node's key"

"""Configuration: one TOML file, then the environment, parsed once into frozen values.

A key `url` in the table `[sql]` is CRONKEEPER_SQL_URL in the environment; CRONKEEPER_SQL_URL_FILE names a file
that holds the value, which is how a secret is best given.
"""

import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cronkeeper.common.errors import Invalid
from cronkeeper.common.schedule import check_zone

PREFIX = "CRONKEEPER_"
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
SECRETS = frozenset(
    {
        ("sql", "url"),
        ("s3", "access_key"),
        ("s3", "secret_key"),
        ("api", "admin_token"),
        ("api", "user_token"),
    }
)
"""What is never shown."""
Sources = dict[tuple[str, str], str]
"""Where the value of each (section, key) comes from: a file or a variable."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration; a key that is not known is refused."""


class Fleet(Section, frozen=True):
    """What holds for all nodes. Times in seconds."""

    timezone: str = ""
    """The zone of jobs that name none; empty: the zone of the machine that takes the job in."""
    run_as: str = "nobody"
    """The user that jobs run as where they name none."""
    session_timeout: float = 6.0
    run_lease: float = 60.0
    on_time: float = 30.0
    clock_grace: float = 5.0


class Sql(Section, frozen=True):
    """The database, as an SQLAlchemy URL."""

    url: str = ""


class Zookeeper(Section, frozen=True):
    """The ensemble: host:port, comma-separated, and the fleet's root in it."""

    hosts: str = ""
    root: str = "/cronkeeper"


class S3(Section, frozen=True):
    """The bucket of artifacts."""

    endpoint: str = ""
    bucket: str = "cronkeeper"
    region: str = "us-east-1"
    prefix: str = "artifacts/"
    access_key: str = ""
    secret_key: str = ""


class Api(Section, frozen=True):
    """Where the API listens, how many processes and threads serve it, and the tokens of its two roles."""

    url: str = "http://127.0.0.1:30000"
    """Where workers and the command line find it."""
    bind: str = "127.0.0.1:30000"
    """Addresses to listen on, comma-separated; gunicorn's forms."""
    workers: int = 2
    threads: int = 8
    admin_token: str = ""
    user_token: str = ""


class Worker(Section, frozen=True):
    """One node."""

    node: str = ""
    """Its name; empty: the host's."""
    home: str = "/var/lib/cronkeeper"
    key_file: str = "/etc/cronkeeper/node.key"
    crontab: str = "/etc/cron.d/cronkeeper"
    """A file of cron's, or `user` for the crontab of whoever runs the worker, or `none`: the clock leads."""
    allow_run_as: tuple[str, ...] = ()
    """The users that admins may run jobs as on this node, besides fleet.run_as; `*` for any."""


class Manager(Section, frozen=True):
    """One manager; its name is for people, empty: the host's and the process id."""

    name: str = ""


class Log(Section, frozen=True):
    """The log, on standard error."""

    level: str = "info"
    """debug, info, warning or error."""
    format: str = "text"
    """text, or json: one object a line."""


class Config(Section, frozen=True):
    """Everything."""

    fleet: Fleet = Fleet()
    sql: Sql = Sql()
    zookeeper: Zookeeper = Zookeeper()
    s3: S3 = S3()
    api: Api = Api()
    worker: Worker = Worker()
    manager: Manager = Manager()
    log: Log = Log()


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file, if one is named, and let the environment overrule it.

    Raises:
        Invalid: a key is not known, or a value is wrong; the text names it and where it comes from.
    """
    return _read(path, environment)[0]


def describe(path: Path | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Each key with its value, which a secret's is not shown, and where that comes from. Raises: Invalid."""
    config, sources = _read(path, environment)
    lines = []
    for section, key in _keys():
        value = getattr(getattr(config, section), key)
        shown = "(not shown)" if (section, key) in SECRETS and value else repr(value)
        lines.append(f"{section}.{key} = {shown}  # {sources.get((section, key), 'default')}")
    return lines


def _read(path: Path | None, environment: Mapping[str, str]) -> tuple[Config, Sources]:
    _refuse_unknown_variables(environment)
    values = _from_file(path)
    sources: Sources = {(section, key): str(path) for section, table in values.items() for key in table}
    for section, key in _keys():
        found = _from_environment(section, key, environment)
        if found is not None:
            value, source = found
            values.setdefault(section, {})[key] = value
            sources[section, key] = source
    try:
        config = msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(_explain(str(error), sources, path)) from error
    _check(config, sources)
    return config, sources


def require(value: str, section: str, key: str) -> str:
    """The value, where the part that starts can't do without it. Raises: Invalid."""
    if not value:
        variable = _variable(section, key)
        raise Invalid(f"{section}.{key} is not set: give it in the configuration file, or as {variable}")
    return value


def _keys() -> list[tuple[str, str]]:
    return [
        (section.name, field.name)
        for section in msgspec.structs.fields(Config)
        for field in msgspec.structs.fields(section.type)
    ]


def _variable(section: str, key: str) -> str:
    return f"{PREFIX}{section}_{key}".upper()


def _from_file(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Invalid(f"the configuration file {path} can't be read: {error}") from error
    for section, table in values.items():
        if not isinstance(table, dict):
            raise Invalid(f"{path}: {section!r} stands outside of a table such as [fleet]")
    return values


def _from_environment(section: str, key: str, environment: Mapping[str, str]) -> tuple[Any, str] | None:
    variable = _variable(section, key)
    if variable in environment:
        text = environment[variable]
        return ([each for each in text.split(",") if each] if key == "allow_run_as" else text), variable
    file = environment.get(f"{variable}_FILE")
    if file is None:
        return None
    try:
        return Path(file).read_text().strip(), f"{variable}_FILE"
    except OSError as error:
        raise Invalid(f"{variable}_FILE names {file}, which can't be read: {error.strerror}") from error


def _explain(complaint: str, sources: Sources, path: Path | None) -> str:
    """msgspec names the place as `$.section.key`; say where its value came from too."""
    what, _, place = complaint.partition(" - at `$.")
    where = tuple(part.partition("[")[0] for part in place.rstrip("`").split(".")[:2])
    source = sources.get((where[0], where[1])) if len(where) == 2 else str(path)
    if "unknown field" in what:
        known = next((s.type for s in msgspec.structs.fields(Config) if s.name == where[0]), Config)
        names = ", ".join(field.name for field in msgspec.structs.fields(known))
        return f"{source or path}: {what[0].lower()}{what[1:]} in [{where[0]}]; accepted: {names}"
    return f"{'.'.join(where)} (from {source}): {what[0].lower()}{what[1:]}"


def _check(config: Config, sources: Sources) -> None:
    """What a type does not say of a value."""
    fleet = config.fleet
    for name in ("session_timeout", "run_lease", "on_time"):
        if not 0 < getattr(fleet, name) < math.inf:
            raise _wrong(
                sources, "fleet", name, f"is {getattr(fleet, name)}: more than 0 seconds is accepted"
            )
    if not 0 <= fleet.clock_grace < math.inf:
        raise _wrong(
            sources, "fleet", "clock_grace", f"is {fleet.clock_grace}: 0 or more seconds is accepted"
        )
    for name, accepted in (("level", LEVELS), ("format", FORMATS)):
        if getattr(config.log, name) not in accepted:
            what = f"is {getattr(config.log, name)!r}; accepted: {', '.join(accepted)}"
            raise _wrong(sources, "log", name, what)
    if fleet.timezone:
        try:
            check_zone(fleet.timezone)
        except Invalid as error:
            raise _wrong(sources, "fleet", "timezone", f"is wrong: {error}") from error


def _wrong(sources: Sources, section: str, key: str, what: str) -> Invalid:
    return Invalid(f"{section}.{key} (from {sources[section, key]}) {what}")


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """A variable with the name of a table in it is meant for us, and must name a key."""
    known = [_variable(section, key) for section, key in _keys()]
    tables = tuple(_variable(field.name, "") for field in msgspec.structs.fields(Config))
    for variable in environment:
        if variable.startswith(tables) and variable.removesuffix("_FILE") not in known:
            near = [name for name in known if name.startswith(variable.rpartition("_")[0])]
            raise Invalid(f"{variable} in the environment is no key; accepted: {', '.join(near or known)}")

"""Configuration: one TOML file, then the environment, parsed once into frozen values.

A key `url` in the table `[sql]` is CRONKEEPER_SQL_URL in the environment; CRONKEEPER_SQL_URL_FILE names a file
that holds the value, which is how a secret is best given.
"""

import math
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cronkeeper.common import labels
from cronkeeper.common.address import parse_address
from cronkeeper.common.errors import Invalid
from cronkeeper.common.settings import Config, History
from cronkeeper.common.zone_names import check_zone

PREFIX = "CRONKEEPER_"
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
MOST = 2**63 - 1
"""The largest whole number that SQL takes."""
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
LISTS = frozenset({"allow_run_as", "labels"})
"""Keys with several values; in the environment these are separated by commas."""
_ZERO_OR_MORE = (
    ("fleet", "clock_grace"),
    ("api", "drain_delay"),
    ("worker", "max_running"),
    ("worker", "capacity"),
)
# What refuses a value of a wrong form, where there is one.
_FORMS: tuple[tuple[str, str, Callable[[Any], object]], ...] = (
    ("fleet", "timezone", check_zone),
    ("worker", "labels", labels.parse),
    ("worker", "metrics", parse_address),
    ("manager", "metrics", parse_address),
)
Sources = dict[tuple[str, str], str]
"""Where the value of each (section, key) comes from: a file or a variable."""


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


def differing(old: Config, new: Config, sections: Iterable[str]) -> list[str]:
    """The keys in these sections that have other values now, as section.key."""
    return [
        f"{section}.{key}"
        for section, key in _keys()
        if section in sections and getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    ]


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
    source = _variable(section, key)
    text = environment.get(source)
    if text is None and (file := environment.get(f"{source}_FILE")) is not None:
        source = f"{source}_FILE"
        try:
            text = Path(file).read_text().strip()
        except OSError as error:
            raise Invalid(f"{source} names {file}, which can't be read: {error.strerror}") from error
    if text is None:
        return None
    return ([each.strip() for each in text.split(",") if each.strip()] if key in LISTS else text), source


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
    for name in ("session_timeout", "run_lease", "on_time", "max_skew"):
        if not 0 < (value := getattr(fleet, name)) < math.inf:
            raise _wrong(sources, "fleet", name, f"is {value}: more than 0 seconds is accepted")
    limits = [("history", field.name) for field in msgspec.structs.fields(History)]
    for section, name in (*_ZERO_OR_MORE, *limits):
        value = getattr(getattr(config, section), name)
        if not 0 <= value < math.inf:
            raise _wrong(sources, section, name, f"is {value}: 0 or more is accepted")
        if isinstance(value, int) and value > MOST:
            raise _wrong(sources, section, name, f"is {value}: up to {MOST} is accepted")
    for name, accepted in (("level", LEVELS), ("format", FORMATS)):
        if getattr(config.log, name) not in accepted:
            what = f"is {getattr(config.log, name)!r}; accepted: {', '.join(accepted)}"
            raise _wrong(sources, "log", name, what)
    _check_forms(config, sources)


def _check_forms(config: Config, sources: Sources) -> None:
    for section, key, check in _FORMS:
        value = getattr(getattr(config, section), key)
        try:
            if value:
                check(value)
        except Invalid as error:
            raise _wrong(sources, section, key, f"is wrong: {error}") from error


def _wrong(sources: Sources, section: str, key: str, what: str) -> Invalid:
    return Invalid(f"{section}.{key} (from {sources[section, key]}) {what}")


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """A variable with the name of a table in it is meant for us, and must name a key."""
    known = {_variable(section, key) for section, key in _keys()}
    tables = tuple(_variable(field.name, "") for field in msgspec.structs.fields(Config))
    for variable in environment:
        # A key's own name may end like that of a file.
        if variable.startswith(tables) and not known & {variable, variable.removesuffix("_FILE")}:
            near = [name for name in sorted(known) if name.startswith(variable.rpartition("_")[0])]
            raise Invalid(
                f"{variable} in the environment is no key; accepted: {', '.join(near or sorted(known))}"
            )

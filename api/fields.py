"""Fields of the API's schemas, and what is checked of a value."""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from cronkeeper.common import labels
from cronkeeper.common.errors import Invalid, NotFound
from cronkeeper.common.zone_names import check_zone

from .services import services

MAX_COMMAND_BYTES = 64 * 1024
MAX_TEXT_BYTES = 64 * 1024
"""Of all arguments together, of the whole environment, and of the standard input."""
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_NAME = 200
MAX_PATH = 1000
MAX_ZONE = 64
RESERVED = "CRONKEEPER_"
"""What the names of the variables begin with that a run gets from us."""
SHELLS_OWN = frozenset({"BASHOPTS", "EUID", "OPTIND", "PPID", "SHELLOPTS", "UID"})
PUBLIC_KEY_BYTES = 32
MAX_LABELS = 20
"""How many a job may require."""
_LAST_YEAR = 2999
_AT = "an instant with its offset is expected, such as 2030-01-31T12:00:00Z or 2030-01-31T12:00:00+01:00"
_FILE = "a file in base64 is expected, or the URL of an artifact"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = f"an Ed25519 key is expected: base64 of its {PUBLIC_KEY_BYTES} bytes"


class Instant(fields.AwareDateTime):
    """An instant: taken in any offset, told in UTC."""

    def _serialize(
        self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> str | float | None:
        return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError(_AT)
        try:
            instant = datetime.fromisoformat(value)
            utc = instant.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError(_AT) from error
        if instant.utcoffset() is None:
            raise ValidationError(f"it has no offset: {_AT}")
        if utc.year > _LAST_YEAR:
            raise ValidationError(f"it is too far away; accepted: up to the year {_LAST_YEAR}")
        return utc


@dataclass(frozen=True, slots=True)
class PutFile:
    """A file that was put into the artifact store before, and its name where its URL has one."""

    sha256: str
    filename: str | None
    size: int


class File(fields.String):
    """A file's content, base64, or the URL of an artifact."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bytes | PutFile:  # type: ignore[override]
        if not isinstance(value, str):
            raise ValidationError(_FILE)
        if ":" in value:  # which base64 never has
            return _put_before(value)
        if len(value) > MAX_FILE_BYTES // 3 * 4 + 4:
            raise ValidationError(_too_large("file", MAX_FILE_BYTES))
        try:
            content = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error) as error:
            raise ValidationError(f"{_FILE}: {error}") from error
        if not content:
            raise ValidationError("the file is empty")
        if len(content) > MAX_FILE_BYTES:
            raise ValidationError(_too_large("file", MAX_FILE_BYTES))
        return content


def between(low: float, high: float, unit: str = "", *, above: bool = False) -> validate.Range:
    """Refuses what is out of these bounds, in words like all other refusals; with `above`, `low` itself too."""
    said = f"accepted: {'above ' if above else ''}{low} to {high}{f' {unit}' if unit else ''}"
    return validate.Range(low, high, min_inclusive=not above, error=said)


class Flag(fields.Boolean):
    """True or false, and nothing that could be taken for one of them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("true or false is expected")
        return value


class Seconds(fields.Float):
    """A number of seconds."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValidationError("a number of seconds is expected")
        number: float = super()._deserialize(value, attr, data, **kwargs)
        return number


class Bytes(fields.Integer):
    """A number of bytes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValidationError("a whole number of bytes is expected")
        return value


class Arguments(fields.List[str]):
    """What a program is given, one text each."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:  # type: ignore[override]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValidationError("a list of strings is expected")
        if any("\0" in each for each in value):
            raise ValidationError("one has a NUL character, which no program takes")
        _check_size("arguments are", sum(len(each.encode()) + 1 for each in value))
        return tuple(value)


class Environment(fields.Dict):
    """Variables by their names. A complaint never repeats a value: it may be secret."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValidationError("an object is expected whose values are strings")
        wrong = [name for name in value if not _VARIABLE.fullmatch(name)]
        if wrong:
            raise ValidationError(
                f"{wrong[0][:MAX_NAME]!r} is no name of a variable; accepted: letters of a-z, "
                "A-Z, digits and _, with no digit at the beginning"
            )
        reserved = [name for name in value if name.startswith(RESERVED) or name in SHELLS_OWN]
        if reserved:
            raise ValidationError(
                f"{reserved[0][:MAX_NAME]} is reserved, as all names are that begin with {RESERVED}, and "
                f"{', '.join(sorted(SHELLS_OWN))}, which belong to the shell"
            )
        holed = [name for name, text in value.items() if "\0" in text]
        if holed:
            raise ValidationError(f"{holed[0][:MAX_NAME]} has a NUL character, which no program takes")
        _check_size("environment is", sum(len(f"{name}={text}".encode()) + 1 for name, text in value.items()))
        return value


class Labels(fields.Dict):
    """Labels: a value for each key."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, str]:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValidationError("an object is expected whose values are strings")
        if len(value) > MAX_LABELS:
            raise ValidationError(f"it has {len(value)} labels; accepted: up to {MAX_LABELS}")
        try:
            labels.check(value)
        except Invalid as error:
            raise ValidationError(str(error)) from error
        return value


class PublicKey(fields.String):
    """A node's public key, base64, always spelled in the same way."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError(_KEY)
        try:
            key = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error) as error:
            raise ValidationError(_KEY) from error
        if len(key) != PUBLIC_KEY_BYTES:
            raise ValidationError(f"it has {len(key)} bytes: {_KEY}")
        return base64.b64encode(key).decode()


class ArtifactUrl(fields.String):
    """Where an artifact lies."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else services().desk.artifacts.url(value.sha256, value.filename)


def printable(text: str) -> None:
    """A name for people."""
    if not text.strip() or len(text) > MAX_NAME or not text.isprintable():
        raise ValidationError(f"1 to {MAX_NAME} printable characters are expected, not only spaces")


def file_name(text: str) -> None:
    """A name that can be given to a file."""
    printable(text)
    if "/" in text or text in (".", ".."):
        raise ValidationError("a plain name is expected, without a folder")


def command_line(text: str) -> None:
    """One line for the shell."""
    if not text.strip():
        raise ValidationError("it is empty")
    if "\0" in text:
        raise ValidationError("it has a NUL character, which no shell takes")
    if "\n" in text or "\r" in text:
        raise ValidationError("one line is expected: use a script for more (type script)")
    if len(text.encode()) > MAX_COMMAND_BYTES:
        raise ValidationError(f"{_too_large('command', MAX_COMMAND_BYTES)}: use a script (type script)")


def program(text: str) -> None:
    """The absolute path of a program."""
    if not text.startswith("/") or text.endswith("/") or not text.isprintable() or len(text) > MAX_PATH:
        raise ValidationError(
            f"the absolute path of a program is expected, such as /bin/bash, of up to {MAX_PATH} characters"
        )


def zone(text: str) -> None:
    """The name of a time zone that means the same on every machine."""
    if text in ("localtime", "posixrules", "Factory") or len(text) > MAX_ZONE:
        raise ValidationError(f"{text[:MAX_ZONE]!r} is no time zone; an example of one: Europe/Berlin")
    try:
        check_zone(text)
    except Invalid as error:
        raise ValidationError(str(error)) from error


def short(text: str) -> None:
    """Text of a size that every node can be sent."""
    _check_size("text is", len(text.encode()))


def matching(pattern: str, expected: str) -> Callable[[str], None]:
    """A check that the whole value matches."""
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise ValidationError(f"{expected} is expected")

    return check


def _put_before(url: str) -> PutFile:
    artifacts = services().desk.artifacts
    try:
        address = artifacts.resolve(url)
        return PutFile(address.sha256, address.filename, artifacts.size(address.sha256))
    except (Invalid, NotFound) as error:
        raise ValidationError(str(error)) from error


def _check_size(what: str, size: int) -> None:
    if size > MAX_TEXT_BYTES:
        raise ValidationError(f"the {what} too large; accepted: up to {MAX_TEXT_BYTES} bytes")


def _too_large(what: str, limit: int) -> str:
    return f"the {what} is too large; accepted: up to {limit} bytes"

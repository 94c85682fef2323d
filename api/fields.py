"""Fields of the API's schemas, and what is checked of a value."""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields

from .services import services

MAX_COMMAND_BYTES = 64 * 1024
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_NAME = 200
PUBLIC_KEY_BYTES = 32
_LAST_YEAR = 2999
_AT = "an instant with its offset is expected, such as 2030-01-31T12:00:00Z or 2030-01-31T12:00:00+01:00"
_FILE = "a file in base64 is expected"
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


class File(fields.String):
    """A file's content, base64."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bytes:  # type: ignore[override]
        if not isinstance(value, str):
            raise ValidationError(_FILE)
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
        return None if value is None else services().desk.artifacts.url(value.sha256)


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


def matching(pattern: str, expected: str) -> Callable[[str], None]:
    """A check that the whole value matches."""
    compiled = re.compile(pattern)

    def check(text: str) -> None:
        if not compiled.fullmatch(text):
            raise ValidationError(f"{expected} is expected")

    return check


def _too_large(what: str, limit: int) -> str:
    return f"the {what} is too large; accepted: up to {limit} bytes"

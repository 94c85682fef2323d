"""People's client of the REST API: where it is, who asks, and what its errors mean for a shell."""

import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import urllib3

DEFAULT_URL = "http://127.0.0.1:30000"
DEFAULT_TOKEN_FILE = Path("var") / "admin.token"
URL_VARIABLE = "CRONKEEPER_URL"
TOKEN_VARIABLE = "CRONKEEPER_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE = "CRONKEEPER_TOKEN_FILE"  # noqa: S105
CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 30.0


class Refused(click.ClickException):
    """The API says that this can't be done."""

    exit_code = 1


class Unreachable(click.ClickException):
    """The API, or a part that it needs, does not answer. What was asked may have been done."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status is below 400."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class Client:
    """Calls the API at `url` with one token, or with none."""

    def __init__(self, url: str, token: str | None) -> None:
        import urllib3

        self._url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = urllib3.PoolManager(retries=False)

    def call(self, method: str, path: str, body: Any = None, *, patience: float = 0.0) -> Answer:
        """One request; it is never repeated. The answer may take `patience` seconds longer than others.

        Raises:
            Refused: what was asked can't be done.
            Unreachable: nobody answers.
        """
        import urllib3

        content: dict[str, Any] = {} if body is None else {"json": body}
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT + patience)
        try:
            answer = self._http.request(
                method, self._url + path, **content, headers=self._headers, timeout=timeout, redirect=False
            )
        except urllib3.exceptions.LocationValueError as error:
            raise click.UsageError(f"{self._url} is no URL such as {DEFAULT_URL}") from error
        except urllib3.exceptions.NewConnectionError as error:
            raise Unreachable(f"no cronkeeper answers at {self._url}: is `make up` running?") from error
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"no answer came from {self._url}: {error}") from error
        if answer.status >= 400:
            raise _refusal(answer)
        return Answer(answer.status, answer.headers, answer.data)


def _refusal(answer: "urllib3.BaseHTTPResponse") -> click.ClickException:
    text = _readable(answer.status, answer.data)
    return Unreachable(text) if answer.status >= 500 else Refused(text)


def _readable(status: int, body: bytes) -> str:
    """A problem (RFC 9457) for people: its detail, and a line for each wrong field."""
    try:
        problem = json.loads(body)
        lines = [str(problem["detail"])]
        for field, complaints in problem.get("errors", {}).items():
            lines += [f"  {field}: {complaint}" for complaint in complaints]
    except (ValueError, LookupError, AttributeError, TypeError):
        return f"the answer was {status}, and is none of cronkeeper's: {body[:200].decode(errors='replace')}"
    return "\n".join(lines)


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where the API is and who asks, and hand it a `client`."""

    @click.option(
        "--url",
        envvar=URL_VARIABLE,
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="Where the API is.",
    )
    @click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"A file with the token; else {TOKEN_VARIABLE}, {TOKEN_FILE_VARIABLE}, or {DEFAULT_TOKEN_FILE} here.",
    )
    @functools.wraps(command)
    def wrapper(url: str, token_file: Path | None, **options: Any) -> Any:
        return command(client=Client(url, _token(token_file, os.environ)), **options)

    return wrapper


def _token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    if file is None and TOKEN_VARIABLE in environment:
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    if file is None and TOKEN_FILE_VARIABLE in environment:
        file = Path(environment[TOKEN_FILE_VARIABLE])
    if file is None and DEFAULT_TOKEN_FILE.exists():
        file = DEFAULT_TOKEN_FILE
    if file is None:
        return None
    try:
        return _checked(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the token's file {file} can't be read: {error}") from error


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not (token.isascii() and token.isprintable()):
        raise click.UsageError(f"{source} holds no token: one line of ASCII is expected")
    return token

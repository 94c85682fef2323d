"""People's client of the REST API, and what its errors mean for a shell."""

import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

DEFAULT_URL = "http://127.0.0.1:30000"
URL_VARIABLE = "CRONKEEPER_URL"
TOKEN_VARIABLE = "CRONKEEPER_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE = "CRONKEEPER_TOKEN_FILE"  # noqa: S105
CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 30.0
LARGEST_PAGE = 1000
REQUEST_ID = "X-Request-Id"
_FROM_A_PROXY = frozenset({502, 504})
"""What a proxy says where the API's own answer did not come, or not in time."""
T = TypeVar("T")


class Refused(click.ClickException):
    """The API says that this can't be done."""

    exit_code = 1


class Missing(Refused):
    """There is no such job, run, node or token."""

    exit_code = 3


class Outdated(Refused):
    """Somebody else has changed the job since it was read."""

    exit_code = 7


class Unreachable(click.ClickException):
    """The API, or a part that it needs, does not answer. What was asked may have been done."""

    exit_code = 4


class Lost(Unreachable):
    """The request went out, and no answer came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status is below 300."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value. Raises: Unreachable, where it was not our API that answered."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Unreachable(_foreign(self.status, self.body)) from error


class Client:
    """Calls the API at `url` with one token, or with none."""

    def __init__(self, url: str, token: str | None) -> None:
        import urllib3

        self._url = checked_url(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = urllib3.PoolManager(retries=False)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        patience: float = 0.0,
    ) -> Answer:
        """One request. The answer may take `patience` seconds longer than others.

        Where the answer is lost, a GET is sent once more, and nothing else is.

        Raises:
            Refused: what was asked can't be done; Missing and Outdated are two of its kinds.
            Unreachable: nobody answers; Lost where the request may have arrived.
        """
        send = partial(
            self._sent,
            method,
            path,
            json=body,
            headers=self._headers | _request_id() | dict(headers if headers is not None else {}),
            patience=patience,
        )
        answer = _again_if_lost(send) if method == "GET" else send()
        return Answer(answer.status, answer.headers, answer.data)

    def create(self, path: str, body: Any = None, *, patience: float = 0.0) -> Answer:
        """POST what is to exist once, however often it is sent: again, where the first answer was lost.

        Raises: what `call` raises.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4())} | _request_id()
        return _again_if_lost(partial(self.call, "POST", path, body, headers=headers, patience=patience))

    def put(self, path: str, body: BinaryIO, size: int, *, patience: float) -> Answer:
        """Send a file as it is; what `call` says holds here too."""
        kind = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        headers = self._headers | _request_id() | kind
        answer = self._sent("PUT", path, body=body, headers=headers, patience=patience)
        return Answer(answer.status, answer.headers, answer.data)

    def open(self, path: str) -> "BaseHTTPResponse":
        """GET what may be too large to be held: its body is still to be read. Raises: what `call` raises."""
        headers = self._headers | _request_id()
        send = partial(self._sent, "GET", path, headers=headers, patience=0.0, preload_content=False)
        return _again_if_lost(send)

    def _sent(self, method: str, path: str, *, patience: float, **content: Any) -> "BaseHTTPResponse":
        import urllib3

        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT + patience)
        number = content["headers"][REQUEST_ID]
        try:
            answer = self._http.request(method, self._url + path, **content, timeout=timeout, redirect=False)
        except urllib3.exceptions.LocationValueError as error:
            raise _no_url(self._url) from error
        except urllib3.exceptions.NewConnectionError as error:
            raise Unreachable(
                f"no cronkeeper answers at {self._url}: start one with `cronkeeper up`, or say where it is "
                f"with --url or {URL_VARIABLE}"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise Lost(f"no answer came from {self._url}: {error} [request {number}]") from error
        if answer.status >= 300:
            raise _refusal(answer.status, answer.data, number)
        return answer

    def pages(self, path: str, limit: int | None, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The first `limit` things of a list, or all of them, from as many pages as it takes.

        `filters` are parts of the query; those that are None are left out. Raises: what `call` raises.
        """
        found: list[dict[str, Any]] = []
        size = LARGEST_PAGE if limit is None else min(limit, LARGEST_PAGE)
        query = {name: value for name, value in filters.items() if value is not None}
        following = f"{path}?{urlencode({'limit': size} | query)}"
        while following and (limit is None or len(found) < limit):
            answer = self.call("GET", following)
            found += answer.json
            following = _next(answer.headers.get("Link", ""))
        return found[:limit]


def _next(link: str) -> str:
    """The path in a Link header of the next page; empty where there is none."""
    return link.split(">")[0].removeprefix("<") if 'rel="next"' in link else ""


def _request_id() -> dict[str, str]:
    """A header by which the API's log knows this request."""
    return {REQUEST_ID: secrets.token_hex(8)}


def _again_if_lost(send: Callable[[], T]) -> T:
    try:
        return send()
    except Lost:
        return send()


def _refusal(status: int, body: bytes, number: str) -> click.ClickException:
    text = _readable(status, body)
    if status >= 500:
        # A refusal explains itself; of a failure the log says more, under this id.
        return (Lost if status in _FROM_A_PROXY else Unreachable)(f"{text} [request {number}]")
    if status == 401:
        text += f"; give it with --token-file, {TOKEN_FILE_VARIABLE} or {TOKEN_VARIABLE}"
    return {404: Missing, 412: Outdated}.get(status, Refused)(text)


def _readable(status: int, body: bytes) -> str:
    """A problem (RFC 9457) in one line: what is wrong with each field, or else its detail."""
    try:
        problem = json.loads(body)
        wrong = [
            f"{field}: {complaint}"
            for field, complaints in problem.get("errors", {}).items()
            for complaint in complaints
        ]
        text = "; ".join(wrong) if wrong else str(problem["detail"])
    except (ValueError, LookupError, AttributeError, TypeError):
        return _foreign(status, body)
    return " ".join(text.split())


def _foreign(status: int, body: bytes) -> str:
    start = body[:200].decode(errors="replace")
    return f"the answer was {status}, and is none of cronkeeper's: {start!r}"


def path_to(kind: str, name: str) -> str:
    """Where the API has what goes by this id or name. Raises: Missing."""
    if "/" in name:
        raise Missing(f"there is no {kind.removesuffix('s')} {name!r}: ids and names have no / in them")
    return f"/{kind}/{quote(name, safe='')}"


def checked_url(text: str) -> str:
    """The URL without a slash at its end. Raises: click.UsageError."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port that is no number
        right = False
    if not right or parts.query or parts.fragment:
        raise _no_url(text)
    return url


def _no_url(text: str) -> click.UsageError:
    return click.UsageError(
        f"{text!r} is no URL of an API: http:// or https:// and a host are expected, such as {DEFAULT_URL}"
    )

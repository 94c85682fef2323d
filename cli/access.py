"""Where the API is, and who asks: options, environment, or the embedded install in this folder."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .client import DEFAULT_URL, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, Client

HOME = Path("var")
"""The embedded install that is found by itself, below the current folder."""
DEFAULT_TOKEN_FILE = HOME / "admin.token"
DEFAULT_URL_FILE = HOME / "url"
LONGEST = 64 * 1024
"""Characters that are read of a file with a token or URL: a device has no end."""
_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option(
        "--url",
        envvar=URL_VARIABLE,
        show_envvar=True,
        help=f"Where the API is; else that of the install in ./{HOME}, or {DEFAULT_URL}.",
    ),
    click.option("--token", help="The token itself; other users of this machine may see it."),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"A file with it; else {TOKEN_VARIABLE}, {TOKEN_FILE_VARIABLE}, or that of the install in ./{HOME}.",
    ),
)


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that `reach` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where the API is and who asks, and hand it a `client`."""

    @access_options
    @functools.wraps(command)
    def wrapper(url: str | None, token: str | None, token_file: Path | None, **options: Any) -> Any:
        return command(client=Client(*reach(url, token, token_file)), **options)

    return wrapper


def reach(
    url: str | None, token: str | None, token_file: Path | None, *, known: str | None = None
) -> tuple[str, str | None]:
    """The API's URL and the token for it, if any, from options, environment and the install in this folder.

    `known` is where the API is unless `url` says otherwise; the install in this folder does not count then.

    Raises: click.UsageError.
    """
    if token is not None and token_file is not None:
        raise click.UsageError("give either --token or --token-file")
    who = _checked(token, "--token") if token is not None else _token(token_file, os.environ)
    if url is None and known is not None:
        return known, who
    if who is None and _there(DEFAULT_TOKEN_FILE):
        return _url_of_home() if url is None else url, _read_token(DEFAULT_TOKEN_FILE)
    return DEFAULT_URL if url is None else url, who


def _token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    if file is None and TOKEN_VARIABLE in environment:
        return _checked(environment[TOKEN_VARIABLE], TOKEN_VARIABLE)
    if file is None and TOKEN_FILE_VARIABLE in environment:
        file = Path(environment[TOKEN_FILE_VARIABLE])
    return _read_token(file) if file is not None else None


def _url_of_home() -> str:
    """Asked for with the home's own token only: any other is not for whoever could write this file."""
    return _read(DEFAULT_URL_FILE, "URL") if _there(DEFAULT_URL_FILE) else DEFAULT_URL


def _there(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError as error:
        raise click.UsageError(
            f"the install in ./{HOME} is another user's: give --url and --token-file"
        ) from error


def _read_token(file: Path) -> str:
    return _checked(_read(file, "token"), str(file))


def _read(file: Path, what: str) -> str:
    try:
        with file.open() as opened:
            return opened.read(LONGEST).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the {what}'s file {file} can't be read: {error}") from error


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not token:
        raise click.UsageError(f"{source} is empty: a token is expected, or leave it out")
    if not (token.isascii() and token.isprintable()):
        raise click.UsageError(f"{source} holds no token: one line of ASCII is expected")
    return token

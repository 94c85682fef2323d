"""`cronkeeper token`, and what is refused of a token and a URL, against the real API on a free port."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.office import TOKENS, Office

from cronkeeper.api.identity import Role
from cronkeeper.api.listen import listen
from cronkeeper.api.server import serve_embedded
from cronkeeper.cli.main import main
from cronkeeper.cli.tokens import ROLES

Say = Callable[..., Result]


@pytest.fixture
def url(office: Office) -> Iterator[str]:
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = serve_embedded(office.app, listen("127.0.0.1", 0), threads=4)
    yield f"http://127.0.0.1:{server.port}"
    server.close()


@pytest.fixture
def say(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs `cronkeeper …` in an empty folder, as an admin where the words say nothing else."""
    monkeypatch.chdir(tmp_path)
    fixed = {
        "CRONKEEPER_URL": url,
        "CRONKEEPER_TOKEN": TOKENS[Role.ADMIN],
        "CRONKEEPER_TOKEN_FILE": None,
    }
    return lambda *words, **environment: CliRunner().invoke(main, words, env=fixed | environment)


def test_a_token_is_printed_alone_and_works_from_a_file(say: Say, tmp_path: Path) -> None:
    result = say("token", "create", "ci", "--expires", "30d")

    assert result.exit_code == 0
    assert result.stdout.startswith("ck_")
    assert result.stdout.count("\n") == 1
    assert result.stderr == "token 1, ci, of role user, for 30d: it is shown this once, so keep it\n"
    (tmp_path / "ci.token").write_text(result.stdout)
    assert say("job", "create", "--command", "true", "--token-file", "ci.token").exit_code == 0
    assert json.loads(say("job", "show", "1", "--json").stdout)["created_by"] == "ci"
    assert say("token", "list", "--token-file", "ci.token").exit_code == 1


def test_the_roles_are_those_of_the_model() -> None:
    assert set(ROLES) == set(Role)


def test_tokens_are_listed_and_revoked(say: Say) -> None:
    made = json.loads(say("token", "create", "deploy", "--role", "admin", "--json").stdout)
    assert (made["role"], made["expires_at"]) == ("admin", None)
    say("token", "create", "ci")

    listed = say("token", "list")
    assert [line.split()[:4] for line in listed.stdout.splitlines()[1:]] == [
        ["1", "deploy", "admin", "admin"],
        ["2", "ci", "user", "admin"],
    ]
    assert made["token"] not in listed.stdout + say("token", "list", "--json").stdout

    assert say("token", "revoke", "1").stdout == "token 1 is revoked\n"
    several = say("token", "revoke", "1", "7", "2", "--json")
    assert several.exit_code == 3
    assert several.stderr == "Error: there is no token 7\n"
    assert [each["id"] for each in json.loads(several.stdout) if each["revoked_at"] is not None] == ["1", "2"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create", "admin"], 1, "name: admin is what the token of that role"),
        (["create", " ci"], 1, "name: it begins or ends with a space"),
        (["create", "ci", "--role", "root"], 2, "'root' is not one of"),
        (["create", "ci", "--expires", "soon"], 2, "no duration"),
        (["revoke", "7"], 3, "there is no token 7"),
        (["revoke", "a/b"], 3, "there is no token 'a/b'"),
        (["revoke"], 2, "ID"),
    ],
)
def test_a_refusal_says_why(say: Say, words: list[str], code: int, said: str) -> None:
    result = say("token", *words)

    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "url", ["foo", "", "localhost:30000", "ftp://x", "http://", "http://x:y", "http://x:99999"]
)
def test_what_is_no_url_is_told_with_what_would_be_one(say: Say, url: str) -> None:
    result = say("job", "list", "--url", url)

    assert result.exit_code == 2
    assert f"{url!r} is no URL of an API: http:// or https:// and a host are expected" in result.stderr


def test_an_empty_token_is_told_from_none(say: Say, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for words, environment, source in [
        (["--token", ""], {}, "--token"),
        (["--token-file", "empty"], {}, "empty"),
        ([], {"CRONKEEPER_TOKEN": " "}, "CRONKEEPER_TOKEN"),
    ]:
        result = say("job", "list", *words, **environment)
        assert result.exit_code == 2
        assert f"{source} is empty: a token is expected" in result.stderr


def test_a_token_that_could_not_be_printed_is_named_with_how_to_revoke_it(say: Say, url: str) -> None:
    reader, closed_pipe = os.pipe()
    os.close(reader)
    for number, output in enumerate([os.open("/dev/full", os.O_WRONLY), closed_pipe], 1):
        done = subprocess.run(
            [sys.executable, "-m", "cronkeeper.cli.main", "token", "create", f"ci{number}", "--url", url],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"CRONKEEPER_TOKEN": TOKENS[Role.ADMIN]},
        )
        os.close(output)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith(
            f"Error: token {number}, ci{number}, is made, but could not be printed ("
        )
        assert f"revoke it with `cronkeeper token revoke {number}`" in done.stderr
    assert len(json.loads(say("token", "list", "--json").stdout)) == 2

"""`cronkeeper doctor` finds an API in the way in which the other words do, and says how to where there is none."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.office import TOKENS, Office

from cronkeeper.api.identity import Role
from cronkeeper.api.listen import listen
from cronkeeper.api.server import serve_embedded
from cronkeeper.cli.main import main
from cronkeeper.common.clock import utc_now

Say = Callable[..., Result]
VARIABLES = ("CRONKEEPER_URL", "CRONKEEPER_TOKEN", "CRONKEEPER_TOKEN_FILE", "CRONKEEPER_CONFIG")


@pytest.fixture
def url(office: Office) -> Iterator[str]:
    logging.getLogger("waitress").setLevel(logging.ERROR)
    office.clock.now = utc_now()
    server = serve_embedded(office.app, listen("127.0.0.1", 0), threads=4)
    yield f"http://127.0.0.1:{server.port}"
    server.close()


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs `cronkeeper doctor …` in an empty folder with a good token in the file `good`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").write_text(TOKENS[Role.USER])
    nothing: dict[str, str | None] = dict.fromkeys(VARIABLES)
    return lambda *words, **given: CliRunner().invoke(main, ["doctor", *words], env=nothing | given)


def api(result: Result) -> tuple[str, str]:
    """What it found of the API."""
    (found,) = [each for each in json.loads(result.stdout) if each["what"] == "API"]
    return found["verdict"], found["said"]


def test_it_looks_where_it_is_told_to_and_tries_the_token(say: Say, url: str) -> None:
    works = f"{url} works, version 1.2.3"
    assert api(say("--json", "--url", f"{url}/")) == ("ok", works)
    assert api(say("--json", "--url", url, "--token-file", "good")) == ("ok", f"{works}, and takes the token")
    told = {"CRONKEEPER_URL": url, "CRONKEEPER_TOKEN_FILE": "good"}
    assert api(say("--json", **told)) == ("ok", f"{works}, and takes the token")

    wrong = say("--json", "--token", "wrong", **told)
    assert wrong.exit_code == 1
    assert api(wrong)[0] == "bad"
    assert "token" in api(wrong)[1]


def test_the_option_goes_before_the_configuration(say: Say, url: str, tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text(f'[api]\nurl = "{url}"\n')
    (tmp_path / "else.toml").write_text('[api]\nurl = "http://127.0.0.1:1"\n')
    assert api(say("--json", "--config", "here.toml"))[0] == "ok"
    assert api(say("--json", "--config", "else.toml", "--url", url))[0] == "ok"


def test_the_install_in_this_folder_is_found_but_its_token_goes_nowhere_else(
    say: Say, url: str, tmp_path: Path
) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "url").write_text(url)
    (tmp_path / "var" / "admin.token").write_text(TOKENS[Role.ADMIN])
    assert api(say("--json")) == ("ok", f"{url} works, version 1.2.3, and takes the token")
    (tmp_path / "here.toml").write_text(f'[api]\nurl = "{url}"\n')
    assert api(say("--json", "--config", "here.toml")) == ("ok", f"{url} works, version 1.2.3")


def test_where_no_api_is_it_says_how_to_say_where_it_is(say: Say) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    verdict, said = api(say("--json", "--url", nobody))
    assert verdict == "bad"
    assert (
        f"no cronkeeper answers at {nobody}: start it, or say where it is with --url, CRONKEEPER_URL" in said
    )


@pytest.mark.parametrize("words", [["--url", "foo"], ["--token", "a", "--token-file", "good"]])
def test_wrong_words_end_with_2(say: Say, words: list[str]) -> None:
    assert say(*words).exit_code == 2

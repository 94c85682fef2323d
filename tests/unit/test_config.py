"""Configuration: every wrong value is refused by its key, where it came from, and what would be right."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from cronkeeper.cli.main import main
from cronkeeper.common import config
from cronkeeper.common.config import load
from cronkeeper.common.errors import Invalid
from cronkeeper.common.labels import parse
from cronkeeper.common.settings import Config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cronkeeper.toml"


def refused(path: Path | None, environment: dict[str, str]) -> str:
    with pytest.raises(Invalid) as error:
        load(path, environment)
    return str(error.value)


def test_without_file_and_environment_everything_has_its_default() -> None:
    assert load(None, {}) == Config()


def test_a_file_is_read_whole(file: Path) -> None:
    file.write_text('[fleet]\nrun_lease = 90\n[worker]\nnode = "alpha"\nallow_run_as = ["ann", "bob"]\n')
    loaded = load(file, {})
    assert loaded.fleet.run_lease == 90.0
    assert (loaded.worker.node, loaded.worker.allow_run_as) == ("alpha", ("ann", "bob"))
    assert loaded.sql == Config().sql


def test_the_environment_overrules_the_file(file: Path) -> None:
    file.write_text('[sql]\nurl = "sqlite:///file"\n[api]\nworkers = 3\n')
    environment = {"CRONKEEPER_SQL_URL": "sqlite:///variable", "CRONKEEPER_FLEET_CLOCK_GRACE": "0"}
    loaded = load(file, environment)
    assert (loaded.sql.url, loaded.api.workers, loaded.fleet.clock_grace) == ("sqlite:///variable", 3, 0.0)


@pytest.mark.parametrize(
    ("text", "users"), [("ann,bob", ("ann", "bob")), ("*", ("*",)), ("", ()), ("ann,", ("ann",))]
)
def test_a_list_in_the_environment_is_separated_by_commas(text: str, users: tuple[str, ...]) -> None:
    assert load(None, {"CRONKEEPER_WORKER_ALLOW_RUN_AS": text}).worker.allow_run_as == users


def test_labels_may_be_given_in_the_environment_with_spaces_between_them() -> None:
    given = load(None, {"CRONKEEPER_WORKER_LABELS": "disk=ssd, site=berlin"}).worker.labels
    assert parse(given) == {"disk": "ssd", "site": "berlin"}


def test_a_list_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("ann, bob\n")
    assert load(None, {"CRONKEEPER_WORKER_ALLOW_RUN_AS_FILE": str(users)}).worker.allow_run_as == (
        "ann",
        "bob",
    )


def test_a_secret_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("hunter2\n")
    assert load(None, {"CRONKEEPER_API_ADMIN_TOKEN_FILE": str(secret)}).api.admin_token == "hunter2"


def test_a_value_in_the_environment_is_stronger_than_one_in_a_file_that_it_names(tmp_path: Path) -> None:
    environment = {"CRONKEEPER_SQL_URL": "sqlite://", "CRONKEEPER_SQL_URL_FILE": str(tmp_path / "gone")}
    assert load(None, environment).sql.url == "sqlite://"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fleet]\nrun_leese = 60\n", ["run_leese", "[fleet]", "accepted:", "run_lease"]),
        ("[fleat]\nrun_lease = 60\n", ["fleat", "accepted:", "fleet", "zookeeper"]),
        ('[fleet]\nrun_lease = "soon"\n', ["fleet.run_lease", "expected `float`"]),
        ("[api]\nworkers = 1.5\n", ["api.workers", "expected `int`"]),
        ("[worker]\nallow_run_as = [1]\n", ["worker.allow_run_as", "expected `str`"]),
        ("[fleet]\nrun_lease = 0\n", ["fleet.run_lease", "more than 0", "0"]),
        ("[fleet]\nsession_timeout = -1\n", ["fleet.session_timeout", "more than 0", "-1"]),
        ("[fleet]\non_time = 0\n", ["fleet.on_time", "more than 0"]),
        ("[fleet]\nclock_grace = -0.5\n", ["fleet.clock_grace", "0 or more", "-0.5"]),
        ('[fleet]\ntimezone = "Mars"\n', ["fleet.timezone", "'Mars'", "Europe/Berlin"]),
        ("[history]\nruns_days = -1\n", ["history.runs_days", "0 or more", "-1"]),
        ("[history]\noutput_per_job = -1\n", ["history.output_per_job", "0 or more"]),
        (f"[history]\nruns_per_job = {2**63}\n", ["history.runs_per_job", f"up to {2**63 - 1} is accepted"]),
        (f"[history]\noutput_per_job = {2**63}\n", ["history.output_per_job", "up to"]),
        ("[history]\noutput_days = inf\n", ["history.output_days", "0 or more", "inf"]),
        ('[log]\nlevel = "loud"\n', ["log.level", "'loud'", "debug, info, warning, error"]),
        (
            '[worker]\nmetrics = "30002"\n',
            ["worker.metrics", "'30002'", "host:port, such as 127.0.0.1:30001"],
        ),
        ('[manager]\nmetrics = "::1:30001"\n', ["manager.metrics", "'::1:30001'", "[::1]:30001"]),
        ('[worker]\nlabels = ["disk"]\n', ["worker.labels", "'disk' is no label: key=value", "disk=ssd"]),
        ('[worker]\nlabels = ["disk="]\n', ["worker.labels", "'' is no value", "accepted: 1 to 63"]),
        ('[worker]\nlabels = ["a b=x"]\n', ["worker.labels", "'a b' is no key", "accepted: 1 to 63"]),
        ('[worker]\nlabels = ["a=x", "a=y"]\n', ["worker.labels", "the label a is given twice"]),
        ("run_lease = 60\n", ["'run_lease'", "[fleet]"]),
        ("[fleet\n", ["can't be read"]),
    ],
)
def test_a_wrong_value_in_a_file_is_refused_with_key_file_and_what_is_right(
    file: Path, text: str, said: list[str]
) -> None:
    file.write_text(text)
    message = refused(file, {})
    for word in [*said, str(file)]:
        assert word in message, message


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CRONKEEPER_API_WORKERS", "many", ["api.workers", "expected `int`"]),
        ("CRONKEEPER_FLEET_RUN_LEASE", "", ["fleet.run_lease", "expected `float`"]),
        ("CRONKEEPER_FLEET_RUN_LEASE", "0", ["fleet.run_lease", "more than 0"]),
        ("CRONKEEPER_FLEET_CLOCK_GRACE", "-1", ["fleet.clock_grace", "0 or more"]),
        ("CRONKEEPER_FLEET_RUN_LEASE", "nan", ["fleet.run_lease", "more than 0"]),
        ("CRONKEEPER_FLEET_TIMEZONE", "Mars", ["fleet.timezone", "Europe/Berlin"]),
        ("CRONKEEPER_LOG_LEVEL", "loud", ["log.level", "debug, info, warning, error"]),
    ],
)
def test_a_wrong_value_in_the_environment_is_refused_with_key_variable_and_what_is_right(
    variable: str, value: str, said: list[str]
) -> None:
    message = refused(None, {variable: value})
    for word in [*said, variable]:
        assert word in message, message


def test_a_variable_that_names_no_key_is_refused_as_in_a_file() -> None:
    message = refused(None, {"CRONKEEPER_SQL_URI": "sqlite://"})
    assert "CRONKEEPER_SQL_URI" in message
    assert "CRONKEEPER_SQL_URL" in message


def test_a_key_whose_own_name_ends_like_that_of_a_file_is_given_by_its_variable() -> None:
    assert load(None, {"CRONKEEPER_WORKER_KEY_FILE": "/k"}).worker.key_file == "/k"


def test_variables_of_others_are_no_business_of_ours() -> None:
    environment = {
        "HOME": "/root",
        "CRONKEEPER_CONFIG": "/etc/x",
        "CRONKEEPER_GUARD": "1",
        "CRONKEEPER_JOB_ID": "1",
    }
    assert load(None, environment) == Config()


def test_a_file_that_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    assert f"{tmp_path / 'gone'} can't be read" in refused(tmp_path / "gone", {})
    message = refused(None, {"CRONKEEPER_API_USER_TOKEN_FILE": str(tmp_path / "gone")})
    assert "CRONKEEPER_API_USER_TOKEN_FILE" in message
    assert str(tmp_path / "gone") in message


def test_a_secret_that_is_wrong_is_not_repeated(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    message = refused(None, {"CRONKEEPER_API_THREADS_FILE": str(secret)})
    assert "CRONKEEPER_API_THREADS_FILE" in message
    assert "hunter2" not in message


def test_what_a_daemon_cannot_do_without_is_asked_for_by_key_and_variable() -> None:
    assert config.require("x", "sql", "url") == "x"
    with pytest.raises(Invalid, match=r"sql\.url is not set: .* CRONKEEPER_SQL_URL"):
        config.require("", "sql", "url")


SAMPLE = Path(__file__).parents[2] / "deploy" / "cronkeeper.toml"


def test_the_sample_has_every_key_with_its_default() -> None:
    assert load(SAMPLE, {}) == Config()
    given = tomllib.loads(SAMPLE.read_text())
    assert {(section, key) for section, table in given.items() for key in table} == set(config._keys())


def test_every_section_and_nearly_every_key_of_the_sample_is_explained() -> None:
    """Of keys that speak for themselves a run of them may share one comment."""
    paragraphs = SAMPLE.read_text().split("\n\n")
    assert all(part.lstrip().startswith(("#", "[")) and "#" in part for part in paragraphs)


def test_what_a_file_comes_to_is_said_with_its_sources_and_without_secrets(file: Path) -> None:
    file.write_text('[sql]\nurl = "mysql://u:hush@h/d"\n[fleet]\nrun_lease = 90\n')
    lines = config.describe(file, {"CRONKEEPER_LOG_LEVEL": "debug"})
    assert f"fleet.run_lease = 90.0  # {file}" in lines
    assert "log.level = 'debug'  # CRONKEEPER_LOG_LEVEL" in lines
    assert "fleet.on_time = 30.0  # default" in lines
    assert f"sql.url = (not shown)  # {file}" in lines
    assert "hush" not in "".join(lines)


def test_an_unknown_form_of_the_log_is_refused() -> None:
    assert "log.format (from CRONKEEPER_LOG_FORMAT) is 'xml'; accepted: text, json" in refused(
        None, {"CRONKEEPER_LOG_FORMAT": "xml"}
    )


@pytest.mark.parametrize("daemon", ["api", "manager", "worker"])
def test_each_daemon_says_what_its_configuration_comes_to(daemon: str, file: Path) -> None:
    file.write_text("[fleet]\nrun_lease = 90\n")
    done = CliRunner().invoke(main, [daemon, "--config", str(file), "--check-config"])
    assert done.exit_code == 0
    assert f"fleet.run_lease = 90.0  # {file}" in done.output
    assert done.output.endswith("# the configuration is right\n")


def test_a_wrong_configuration_is_said_before_anything_starts(file: Path) -> None:
    file.write_text("[fleet]\nrun_leese = 90\n")
    done = CliRunner().invoke(main, ["worker", "--check-config", "--config", str(file)])
    assert done.exit_code == 1
    assert "run_leese" in done.output
    assert "run_lease" in done.output

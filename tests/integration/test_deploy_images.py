"""The images' steps, carried out on a real Debian, and the try-out of all, as far as it goes without an engine."""

import json
import os
import re
from typing import Any

import pytest
import yaml
from support.deployed import CONTAINERFILE, DEPLOY
from support.image import build

from cronkeeper.cli import client
from cronkeeper.common.config import load
from cronkeeper.worker.guard import REFUSED

COMPOSE = DEPLOY / "container/compose.yaml"
pytestmark = pytest.mark.timeout(900)  # where nothing of the Debian below is there yet
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="an image is built by mounts, which take root")
TARGETS = {"api": "cronkeeper", "manager": "cronkeeper", "worker": "root"}
"""Each image, and whom it runs as."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return read


def services(compose: dict[str, Any], *, ours: bool) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose["services"].items() if ("build" in each) is ours}


@as_root
@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_the_daemon_and_its_configuration_is_right(target: str) -> None:
    image = build(CONTAINERFILE, target)
    assert image.run("id", "-un").stdout.strip() == TARGETS[target]
    assert image.run("cronkeeper", "--version").stdout.startswith("cronkeeper, version ")
    checked = image.run("cronkeeper", target, "--check-config")
    assert (checked.returncode, checked.stderr) == (0, "")
    expected = {
        "api": "api.bind = '0.0.0.0:30000'",
        "manager": "manager.name = ''",
        "worker": "worker.crontab = 'none'",
    }
    assert expected[target] in checked.stdout
    assert image.run("sh", "-c", "command -v pip pip3 gcc /opt/cronkeeper/bin/pip").stdout == ""


@as_root
@pytest.mark.parametrize("target", TARGETS)
def test_the_command_of_an_image_starts_its_daemon(target: str) -> None:
    image = build(CONTAINERFILE, target)
    said = image.run(*image.command)
    assert said.returncode == REFUSED, said.stderr
    assert re.search(r"cronkeeper: \w+\.\w+ is not set|node.key", said.stderr), said.stderr


def test_every_service_is_built_from_a_target_or_is_an_image_with_a_name(compose: dict[str, Any]) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", CONTAINERFILE.read_text(), re.M))
    for service in services(compose, ours=True).values():
        context = COMPOSE.parent / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).resolve() == CONTAINERFILE
        assert service["build"]["target"] in targets
    for service in services(compose, ours=False).values():
        assert re.fullmatch(r"docker\.io/[\w/-]+:[\w.-]+", service["image"])


def test_every_service_that_another_one_waits_for_is_there_and_every_volume_too(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        waits_for = service.get("depends_on", [])
        assert set(waits_for) <= set(compose["services"])
        for name, how in waits_for.items() if isinstance(waits_for, dict) else ():
            assert how["condition"] != "service_healthy" or "healthcheck" in compose["services"][name]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (
                (COMPOSE.parent / source).exists() if source.startswith(".") else source in compose["volumes"]
            )


def test_every_setting_is_one_that_the_daemons_know(compose: dict[str, Any]) -> None:
    for name, service in services(compose, ours=True).items():
        settings = {key: str(value) for key, value in service["environment"].items()}
        of_client = {client.URL_VARIABLE, client.TOKEN_VARIABLE}
        load(None, {key: value for key, value in settings.items() if key not in of_client})
        hosts = re.findall(r"[/@]([a-z]+):\d+|^([a-z]+):\d+$", json.dumps(list(settings.values())))
        named = {each for pair in hosts for each in pair if each}
        assert named <= set(compose["services"]), name


def test_the_parts_agree_on_the_passwords_of_the_try_out(compose: dict[str, Any]) -> None:
    parts = compose["services"]
    database, of_api = parts["mariadb"]["environment"], parts["api"]["environment"]
    login = f"{database['MARIADB_USER']}:{database['MARIADB_PASSWORD']}@mariadb:3306/{database['MARIADB_DATABASE']}"
    assert of_api["CRONKEEPER_SQL_URL"] == f"mysql://{login}"
    store = parts["seaweedfs"]["environment"]
    for service in ("api", "manager", "w1", "w2"):
        settings = parts[service]["environment"]
        assert settings["CRONKEEPER_S3_ACCESS_KEY"] == store["AWS_ACCESS_KEY_ID"]
        assert settings["CRONKEEPER_S3_SECRET_KEY"] == store["AWS_SECRET_ACCESS_KEY"]
    assert parts["nodes"]["environment"]["CRONKEEPER_TOKEN"] == of_api["CRONKEEPER_API_ADMIN_TOKEN"]

"""Two servers of the API behind HAProxy: interchangeable, and killed or restarted under load without a loss."""

import http.client
import json
import os
import signal
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.chain import Api, Daemon, HAProxy, Load
from support.samples import at_once
from support.wait import wait_until
from testbed.services import MariaDB, SeaweedFS, ZooKeeper

from cronkeeper.cli.client import Client
from cronkeeper.common.signing import NodeKey
from cronkeeper.common.store import audit
from cronkeeper.common.store.store import Store

ADMIN, USER = "the admin's token", "the user's token"
SETTLED = 0.5
"""Seconds of load between two blows."""


@dataclass(frozen=True)
class Site:
    """All of one cluster but workers; `token` is the file with the admin's token."""

    apis: list[Api]
    manager: Daemon
    haproxy: HAProxy
    folder: Path
    token: Path
    settings: dict[str, str]


@pytest.fixture(scope="module")
def settings(zookeeper: ZooKeeper, mariadb: MariaDB, seaweedfs: SeaweedFS) -> dict[str, str]:
    """Of every daemon of one cluster."""
    name = f"chain_{uuid.uuid4().hex}"
    url = mariadb.create_database(name)
    store = Store(url)
    store.upgrade()
    store.close()
    return {
        "SQL_URL": url,
        "ZOOKEEPER_HOSTS": zookeeper.hosts,
        "ZOOKEEPER_ROOT": f"/{name}",
        "S3_ENDPOINT": seaweedfs.endpoint,
        "S3_BUCKET": seaweedfs.bucket,
        "S3_ACCESS_KEY": seaweedfs.access_key,
        "S3_SECRET_KEY": seaweedfs.secret_key,
        "S3_PREFIX": f"{name}/artifacts/",
        "API_USER_TOKEN": USER,
        "FLEET_TIMEZONE": "UTC",
        "LOG_FORMAT": "json",
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("chain")
    token = folder / "admin.token"
    token.write_text(ADMIN)
    settings = settings | {"API_ADMIN_TOKEN_FILE": str(token)}
    apis = [Api(folder / name, settings) for name in ("api1", "api2")]
    manager, haproxy = Daemon(folder / "manager", "manager", settings), HAProxy(folder / "haproxy", apis)
    daemons = [*apis, manager, haproxy]
    try:
        for daemon in daemons:
            daemon.start()
        haproxy.await_all()
        yield Site(apis, manager, haproxy, folder, token, settings)
    finally:
        for daemon in daemons:
            daemon.kill()


def jobs(site: Site) -> Counter[str]:
    """How often there is a job of each name."""
    found = Client(site.haproxy.url, ADMIN).pages("/jobs", None, {})
    return Counter(job["name"] for job in found)


def assert_all_went_well(site: Site, load: Load) -> None:
    there = jobs(site)
    assert load.failed == []
    assert load.looks > 100
    assert len(load.acknowledged) > 20
    assert [name for name in load.acknowledged if there[name] == 0] == [], "an acknowledged job was lost"
    assert [name for name, number in there.items() if number > 1] == [], "a job was doubled"
    client = Client(site.haproxy.url, ADMIN)
    for job_id, run_id in load.runs[:: max(1, len(load.runs) // 50)]:
        assert [run["id"] for run in client.call("GET", f"/jobs/{job_id}/runs").json] == [run_id]


def test_servers_that_are_killed_in_turn_cost_no_answer_and_no_job(site: Site) -> None:
    with Load(site.haproxy.url, USER) as load:
        for api in site.apis * 2:
            time.sleep(SETTLED)
            api.kill()
            time.sleep(SETTLED)
            api.start()
            site.haproxy.await_all()
    assert_all_went_well(site, load)


def test_servers_that_are_restarted_in_turn_fail_no_request_of_any_kind(site: Site) -> None:
    with Load(site.haproxy.url, USER) as load:
        for api in site.apis:
            time.sleep(SETTLED)
            api.restart()
            site.haproxy.await_all()
    assert load.cut == []
    assert_all_went_well(site, load)


def ask(url: str, method: str, path: str, token: str = ADMIN, **options: Any) -> urllib3.BaseHTTPResponse:
    """One request, by a connection of its own, which nobody repeats."""
    headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
    return urllib3.request(method, url + path, headers=headers, retries=False, timeout=70, **options)


def job(name: str, **changes: Any) -> dict[str, Any]:
    return {"type": "command", "command": "true", "schedule": None, "name": name} | changes


def test_whatever_one_server_says_the_other_says_too(site: Site) -> None:
    one, other = (api.url for api in site.apis)
    made = ask(one, "POST", "/jobs", json=job("both"))
    path, etag = made.headers["Location"], made.headers["ETag"]
    shown = [ask(url, "GET", path) for url in (other, one)]
    assert shown[0].json() == shown[1].json()
    assert {answer.headers["ETag"] for answer in shown} == {etag}

    changed = ask(other, "PATCH", path, json={"name": "other"}, headers={"If-Match": etag})
    assert changed.status == 200
    assert ask(one, "PATCH", path, json={"name": "third"}, headers={"If-Match": etag}).status == 412

    for number in range(3):
        ask((one, other)[number % 2], "POST", "/jobs", json=job(f"page {number}"))
    urls, seen, following = [one, other], [], "/jobs?limit=1&name=page&sort=name"
    while following:
        answer = ask(urls[len(seen) % 2], "GET", following)
        seen += [each["name"] for each in answer.json()]
        following = answer.headers.get("Link", "").split(">")[0].removeprefix("<")
    assert seen == ["page 0", "page 1", "page 2"]

    token = ask(one, "POST", "/tokens", json={"name": uuid.uuid4().hex, "role": "user"}).json()
    assert ask(other, "GET", "/jobs?limit=1", token["token"]).status == 200
    ask(one, "DELETE", f"/tokens/{token['id']}")
    # So long a process believes what SQL said of a token (docs/api.md).
    wait_until(lambda: ask(other, "GET", "/jobs?limit=1", token["token"]).status == 401, 10)


def test_one_key_at_both_servers_at_the_same_moment_is_one_job_and_one_run(site: Site) -> None:
    urls = [api.url for api in site.apis]
    for _ in range(5):
        name, key = uuid.uuid4().hex, {"Idempotency-Key": uuid.uuid4().hex}
        answers = at_once(
            [partial(ask, url, "POST", "/jobs", json=job(name), headers=key) for url in urls * 2]
        )
        assert {answer.status for answer in answers} == {201}
        (job_id,) = {answer.json()["id"] for answer in answers}
        path = f"/jobs/{job_id}"
        other = {"Idempotency-Key": uuid.uuid4().hex}
        twins = at_once([partial(ask, url, "POST", f"{path}/duplicate", headers=other) for url in urls * 2])
        assert len({answer.json()["id"] for answer in twins}) == 1
        runs = at_once([partial(ask, url, "POST", f"{path}/runs", headers=key) for url in urls * 2])
        assert len({answer.json()["id"] for answer in runs}) == 1
        assert len(ask(urls[0], "GET", f"{path}/runs").json()) == 1


def test_an_answer_that_was_lost_is_given_by_the_other_server(site: Site) -> None:
    name, key = uuid.uuid4().hex, {"Idempotency-Key": uuid.uuid4().hex}
    one, other = (api.url for api in site.apis)
    made = ask(one, "POST", "/jobs", json=job(name), headers=key)
    again = ask(other, "POST", "/jobs", json=job(name), headers=key)
    assert (again.json()["id"], again.headers["Idempotent-Replay"]) == (made.json()["id"], "true")


def half_sent(api: Api, body: dict[str, Any]) -> tuple[socket.socket, bytes]:
    """A POST of a job, but for the end of its body."""
    content = json.dumps(body).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}"
    head = f"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n{kind}\r\n\r\n"
    link = socket.create_connection((api.host, api.port), timeout=30)
    link.sendall(head.encode() + content[:-5])
    return link, content[-5:]


def test_a_server_that_is_told_to_end_answers_what_it_has_and_then_refuses(site: Site) -> None:
    api = site.apis[0]
    made = ask(api.url, "POST", "/jobs", json=job("waits")).json()
    link = http.client.HTTPConnection(api.host, api.port, timeout=30)
    unfinished, rest = half_sent(api, job("half"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, api.url, "POST", f"/jobs/{made['id']}/runs?wait=60")
        wait_until(lambda: ask(api.url, "GET", f"/jobs/{made['id']}/runs").json())
        told = time.monotonic()
        os.kill(api.pid, signal.SIGTERM)
        assert waiting.result(10).status == 202
        assert time.monotonic() - told < 5

    wait_until(lambda: ask(api.url, "GET", "/health").status == 503)
    statuses = []
    while True:
        try:
            link.request("GET", "/jobs?limit=1", headers={"Authorization": f"Bearer {ADMIN}"})
            answer = link.getresponse()
        except ConnectionRefusedError:
            break
        statuses.append(answer.status)
        answer.read()
        closing = answer.headers.get("Connection") == "close"
    assert set(statuses) == {200}
    assert closing, "a connection that was kept is ended by an answer that says so"
    unfinished.sendall(rest)
    assert b" 201 " in unfinished.recv(1000), (
        "what had come in before is answered, though nothing new is taken"
    )
    unfinished.close()
    api.stop()
    assert time.monotonic() - told < 15
    api.start()
    site.haproxy.await_all()


def exchange(site: Site, token: str) -> None:
    """Give the admin another token, one server after the other."""
    before = {pid for api in site.apis for pid in api.children()}
    site.token.write_text(token)
    for api in site.apis:
        os.kill(api.pid, signal.SIGHUP)
        wait_until(lambda api=api: before.isdisjoint(api.children()), 30)
        wait_until(lambda api=api: ask(api.url, "GET", "/nodes", token).status == 200)


def test_sighup_exchanges_a_token_and_fails_no_request(site: Site) -> None:
    with Load(site.haproxy.url, USER) as load:
        exchange(site, "another token of the admin")
    assert [ask(api.url, "GET", "/nodes").status for api in site.apis] == [401, 401]
    assert (load.failed, load.cut) == ([], [])
    assert load.looks > 20
    exchange(site, ADMIN)
    site.haproxy.await_all()


def test_a_configuration_that_is_wrong_changes_nothing(site: Site) -> None:
    api = site.apis[0]
    before = api.children()
    site.token.write_text(USER)  # one token would open both roles
    os.kill(api.pid, signal.SIGHUP)
    wait_until(lambda: "the configuration stays as it was: the tokens of admin and user" in api.log)
    site.token.write_text(ADMIN)
    assert ask(api.url, "GET", "/nodes").status == 200
    assert api.children() == before


def lines(daemon: Daemon, request_id: str) -> list[dict[str, str]]:
    """What a daemon has logged under the id of a request."""
    said = [json.loads(line) for line in daemon.log.splitlines() if line.startswith("{")]
    return [line for line in said if line.get("request") == request_id]


def test_one_id_is_found_in_the_logs_of_all_and_in_the_audit(site: Site, tmp_path: Path) -> None:
    key = NodeKey.generate()
    key.save(tmp_path / "node.key")
    ask(site.haproxy.url, "POST", "/nodes", json={"name": "chain", "public_key": key.public})
    own = {"WORKER_NODE": "chain", "WORKER_HOME": str(tmp_path / "home"), "WORKER_CRONTAB": "none"}
    secret = {"WORKER_KEY_FILE": str(tmp_path / "node.key"), "API_URL": site.haproxy.url}
    worker = Daemon(tmp_path / "worker", "worker", site.settings | own | secret)
    worker.start()
    try:
        wait_until(lambda: ask(site.haproxy.url, "GET", "/nodes/chain").json()["live"], 30)
        _follow(site, worker)
    finally:
        worker.stop()


def _follow(site: Site, worker: Daemon) -> None:
    of_job, of_run = (f"{what}-{uuid.uuid4().hex}" for what in ("job", "run"))
    body = job("followed", node="chain")
    made = ask(site.haproxy.url, "POST", "/jobs", json=body, headers={"X-Request-Id": of_job})
    assert made.headers["X-Request-Id"] == of_job
    job_id = made.json()["id"]
    wait_until(lambda: f"job {job_id}, rev 1, is on node chain" in str(lines(site.manager, of_job)), 30)
    ask(site.haproxy.url, "POST", f"/jobs/{job_id}/runs", headers={"X-Request-Id": of_run})
    wait_until(lambda: "is in the inbox of node chain" in str(lines(site.manager, of_run)), 30)
    wait_until(lambda: "is taken from the inbox" in str(lines(worker, of_run)), 30)

    for request_id, said in ((of_job, "created by admin"), (of_run, "requested by admin")):
        assert said in str([lines(api, request_id) for api in site.apis])
        assert f"{{{request_id}}}" in site.haproxy.log
    store = Store(site.settings["SQL_URL"])
    entries = store.transaction(partial(audit.listing, limit=100_000))
    store.close()
    found = [(each.action, each.job_id) for each in entries if each.request_id in (of_job, of_run)]
    assert found == [("create", int(job_id)), ("run", int(job_id))]


def test_a_request_without_an_id_gets_one_from_haproxy_and_the_command_line_sends_its_own(site: Site) -> None:
    given = ask(site.haproxy.url, "GET", "/jobs?limit=1").headers["X-Request-Id"]
    assert uuid.UUID(given)
    assert f"{{{given}}}" in wait_until(lambda: given in site.haproxy.log and site.haproxy.log)

    answer = Client(site.haproxy.url, ADMIN).call("GET", "/jobs?limit=1")
    own = answer.headers["X-Request-Id"]
    assert len(own) == 16
    wait_until(lambda: f"{{{own}}}" in site.haproxy.log)

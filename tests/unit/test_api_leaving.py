"""An API that is about to end says so, and nothing holds it up: whoever waits is answered."""

import time
from concurrent.futures import ThreadPoolExecutor

from support.office import Office, problem
from support.wait import wait_until

from cronkeeper.api.leaving import LAST_CALL


def test_health_says_that_the_server_leaves_and_all_else_is_served(office: Office) -> None:
    office.create()
    office.leaving.server()

    answer = office.call("GET", "/health", None)
    assert answer.status_code == 503
    assert answer.json == {"status": "leaving", "version": "1.2.3"}
    assert office.create().status_code == 201
    assert office.call("GET", "/jobs/1").status_code == 200


def test_a_process_that_is_replaced_does_not_speak_for_the_server(office: Office) -> None:
    office.leaving.process(30)
    assert office.call("GET", "/health", None).status_code == 200


def test_who_waits_for_a_run_gets_it_as_it_is_when_the_server_leaves(office: Office) -> None:
    office.create()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(office.call, "POST", "/jobs/1/runs?wait=60")
        wait_until(lambda: office.call("GET", "/jobs/1/runs").json)
        told = time.monotonic()
        office.leaving.server()
        answer = waiting.result(10)

    assert time.monotonic() - told < 5
    assert answer.status_code == 202
    assert (answer.json or {})["state"] == "queued"


def test_who_waits_for_a_run_does_not_hold_up_a_single_process_either(office: Office) -> None:
    office.create()
    office.leaving.process(30)
    begun = time.monotonic()
    assert office.call("POST", "/jobs/1/runs?wait=60").status_code == 202
    assert time.monotonic() - begun < 5


def test_an_upload_goes_on_while_there_is_time_and_is_to_be_sent_again_after_that(office: Office) -> None:
    office.leaving.process(LAST_CALL + 60)
    assert office.call("PUT", "/artifacts", data=b"in time").status_code == 201

    office.leaving.process(LAST_CALL - 1)
    answer = office.call("PUT", "/artifacts", data=b"too late")
    assert answer.status_code == 503
    assert "send the file again" in problem(answer)["detail"]
    assert answer.headers["Retry-After"] == "1"
    assert len([path for path in (office.folder / "store").rglob("*") if path.is_file()]) == 1

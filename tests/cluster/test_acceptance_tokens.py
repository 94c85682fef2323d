"""People's tokens are known to every process of every install, and soon to none."""

from support.client import Client
from support.installs import Embedded, Testbed
from support.wait import wait_until

Install = Embedded | Testbed


def test_a_token_works_until_it_is_revoked_and_a_configured_one_goes_on(install: Install) -> None:
    made = install.client.call("POST", "/tokens", {"name": "ci", "role": "user"}).json
    theirs = Client(install.client.url, made["token"])
    job = theirs.create(type="command", command="echo hello")
    assert job["created_by"] == "ci"
    assert theirs.run_now(job["id"])["requested_by"] == "ci"
    assert theirs.call("GET", "/tokens").status == 403

    assert install.client.call("DELETE", f"/tokens/{made['id']}").status == 204
    wait_until(lambda: {theirs.call("GET", "/jobs").status for _ in range(20)} == {401}, 15)
    assert install.user_client.call("GET", "/jobs").status == 200


def test_what_runs_as_somebody_keeps_its_secrets_from_users(install: Install) -> None:
    job = install.client.create(
        type="command", command="true", run_as="root", env={"PASSWORD": "x"}, stdin="y"
    )
    seen = install.user_client.get(f"/jobs/{job['id']}")
    assert (seen["env"], seen["stdin"], seen["hidden"]) == ({"PASSWORD": None}, None, ["env", "stdin"])
    for method, path in (("POST", "/runs"), ("POST", "/pause"), ("DELETE", "")):
        assert install.user_client.call(method, f"/jobs/{job['id']}{path}").status == 403

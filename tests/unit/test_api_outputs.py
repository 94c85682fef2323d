"""What a run wrote, as the API gives it back: whole, in bounded memory, and not for ever."""

import io
import tracemalloc
from typing import Any

import pytest
from support.office import Office, of_hand_run, problem
from support.samples import NOW
from werkzeug.test import TestResponse

from cronkeeper.common.artifacts.store import ArtifactStore, OutputName, StoredOutput
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import Output, RunState, replace
from cronkeeper.common.store import outputs
from cronkeeper.manager import reports

MIB = 1024 * 1024
WHOLE = b"<b>\xff\0\r\n" * 100_000
PART = Output(size=len(WHOLE), data=b"head and tail")
NOTHING = Output(size=0, data=b"")


@pytest.fixture
def run(office: Office) -> dict[str, Any]:
    office.create()
    asked: dict[str, Any] | None = office.call("POST", "/jobs/1/runs").json
    assert asked is not None
    return asked


def get(office: Office, run: dict[str, Any], stream: str = "stdout", method: str = "GET") -> TestResponse:
    """As a server does it: whatever comes back is closed."""
    return office.call(method, f"/runs/{run['id']}/{stream}", buffered=True)


def put(office: Office, run: dict[str, Any], content: bytes) -> None:
    office.desk.artifacts.put_output(OutputName(run["id"], "stdout"), io.BytesIO(content), len(content))


def end(office: Office, run: dict[str, Any], stdout: Output | None, node: str = "alpha") -> None:
    ended = of_hand_run(run, RunState.SUCCEEDED, stdout=stdout, stderr=NOTHING, node=node)
    assert reports.accept(office.desk, node, [ended], NOW) == [run["id"]]


def test_what_is_stored_is_given_whole(office: Office, run: dict[str, Any]) -> None:
    put(office, run, WHOLE)
    end(office, run, replace(PART, stored=len(WHOLE)))
    for method in ("GET", "HEAD"):
        answer = get(office, run, method=method)
        assert answer.status_code == 200
        assert answer.data == (WHOLE if method == "GET" else b"")
        assert answer.headers["Content-Length"] == answer.headers["Cronkeeper-Output-Size"] == str(len(WHOLE))
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert get(office, run, "stderr").data == b""


def test_what_is_stored_after_the_end_was_told_is_given_from_then_on(
    office: Office, run: dict[str, Any]
) -> None:
    end(office, run, PART)
    assert get(office, run).data == PART.data
    put(office, run, WHOLE)
    for _ in range(2):
        end(office, run, replace(PART, stored=len(WHOLE)))
        assert get(office, run).data == WHOLE
    end(office, run, PART)  # as a worker that was started again tells it first
    assert get(office, run).data == WHOLE


def test_another_node_does_not_say_where_a_runs_output_lies(office: Office, run: dict[str, Any]) -> None:
    end(office, run, PART)
    put(office, run, WHOLE)
    end(office, run, replace(PART, stored=len(WHOLE)), node="beta")
    assert get(office, run).data == PART.data


def test_output_that_was_removed_says_so(office: Office, run: dict[str, Any]) -> None:
    put(office, run, WHOLE)
    end(office, run, replace(PART, stored=len(WHOLE)))
    office.desk.artifacts.remove_outputs([OutputName(run["id"], "stdout")])
    said = [problem(get(office, run))]
    office.store.transaction(lambda connection: outputs.remove(connection, [run["id"]]))
    said += [problem(get(office, run, stream)) for stream in ("stdout", "stderr")]
    for each in said:
        assert each["status"] == 404
        assert "is not kept any more" in each["detail"]
        assert "history.output_days" in each["detail"]


def test_a_run_that_never_began_has_written_nothing(office: Office, run: dict[str, Any]) -> None:
    failed = of_hand_run(run, RunState.FAILED, started_at=None, exit_code=None, reason="no such user")
    reports.accept(office.desk, "alpha", [failed], NOW)
    answer = get(office, run)
    assert (answer.status_code, answer.data) == (200, b"")


class Away(ArtifactStore):
    """A store that does not answer."""

    def open_output(self, name: OutputName) -> StoredOutput:
        raise Unavailable("S3 does not answer")


Away.__abstractmethods__ = frozenset()


def test_while_the_store_is_away_what_is_in_it_is_unavailable(office: Office, run: dict[str, Any]) -> None:
    put(office, run, WHOLE)
    end(office, run, replace(PART, stored=len(WHOLE)))
    object.__setattr__(office.desk, "artifacts", Away())  # type: ignore[abstract]
    answer = get(office, run)
    assert answer.headers["Retry-After"] == "1"
    assert (problem(answer)["status"], problem(answer)["detail"]) == (503, "S3 does not answer")


def test_200_mib_are_given_in_a_fraction_of_that_memory(office: Office, run: dict[str, Any]) -> None:
    put(office, run, b"")
    with (office.folder / "store" / "outputs" / run["id"] / "stdout").open("wb") as file:
        file.truncate(200 * MIB)
    end(office, run, Output(size=200 * MIB, data=b"", stored=200 * MIB))
    tracemalloc.start()
    answer = office.call("GET", f"/runs/{run['id']}/stdout", buffered=False)
    assert sum(len(piece) for piece in answer.iter_encoded()) == 200 * MIB
    answer.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MIB

"""The OpenAPI document: every operation with its errors, and with examples that are true."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.office import Office, problem

from cronkeeper.api import examples
from cronkeeper.api.identity import Role
from cronkeeper.common.model import Report, decode, encode

JSON = "application/json"
METHODS = ("get", "post", "put", "patch", "delete")
OPEN = {"/health"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    office = Office(tmp_path_factory.mktemp("office"))
    answer = office.call("GET", "/openapi.json", None)
    office.close()
    return answer.json


def operations(document: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def properties(document: Any, schema: dict[str, Any]) -> set[str]:
    """The names in the schema, or in that of its items."""
    schema = schema.get("items", schema)
    return set(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"])


def test_every_body_in_json_has_an_example_with_just_the_fields_that_are_described(document: Any) -> None:
    shown = set()
    for method, path, operation in operations(document):
        if JSON in operation.get("requestBody", {}).get("content", {}):
            assert operation["requestBody"]["content"][JSON]["examples"], path
            shown.add((method, path))
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get(JSON)
            if content is None or (path, status) == ("/reports", "200"):
                continue
            example = content["example"]
            one = example[0] if isinstance(example, list) else example
            assert set(one) == properties(document, content["schema"]), (method, path, status)
    assert shown == set(examples.REQUESTS)


def test_every_operation_names_its_errors(document: Any) -> None:
    for _, path, operation in operations(document):
        assert ("401" in operation["responses"]) == (path not in OPEN), path
        assert ("404" in operation["responses"]) == ("{" in path), path
        assert {"503", "default"} <= operation["responses"].keys(), path
    change = document["paths"]["/jobs/{job_id}"]["patch"]["responses"]
    assert set(change) == {
        "200",
        "400",
        "401",
        "403",
        "404",
        "409",
        "412",
        "413",
        "415",
        "422",
        "503",
        "default",
    }
    shown = document["components"]["responses"]["CONFLICT"]["content"]["application/problem+json"]["example"]
    assert shown["status"] == 409
    failing = document["paths"]["/health"]["get"]["responses"]["503"]["content"][JSON]["example"]
    assert failing["status"] == "failing"


def test_what_is_answered_without_a_token_is_described(empty_office: Office, document: Any) -> None:
    for method, path, operation in operations(document):
        answer = empty_office.call(method.upper(), path.replace("{job_id}", "1"), None)
        assert str(answer.status_code) in operation["responses"], (method, path)


@pytest.mark.parametrize(("method", "path"), [key for key in examples.REQUESTS if key[1] != "/reports"])
def test_the_examples_of_requests_are_accepted(office: Office, method: str, path: str) -> None:
    office.create()
    for name, body in examples.REQUESTS[method, path].items():
        answer = office.call(method.upper(), path.replace("{job_id}", "1"), Role.ADMIN, json=body)
        assert answer.status_code in (200, 201), (name, answer.text)


def test_the_example_of_a_report_is_one(office: Office) -> None:
    ((_, body),) = examples.REQUESTS["post", "/reports"].items()
    (report,) = decode(encode(body), list[Report])
    key = office.add_node(report.node)
    assert office.report(report.node, key, [report]).json == {"acknowledged": [report.run_id]}


def test_a_conflict_is_answered_where_it_is_described(office: Office, document: Any) -> None:
    office.create()
    office.call("DELETE", "/jobs/1")
    refused = problem(office.call("POST", "/jobs/1/runs"))
    assert str(refused["status"]) in document["paths"]["/jobs/{job_id}/runs"]["post"]["responses"]


def test_the_example_of_a_file_is_what_it_is_said_to_be(tmp_path: Path, office: Office) -> None:
    stored = office.call("PUT", "/artifacts?filename=hello.sh", data=b"hello\n").json
    assert {name: stored[name] for name in ("sha256", "size", "filename")} == {
        name: examples.ARTIFACT[name] for name in ("sha256", "size", "filename")
    }

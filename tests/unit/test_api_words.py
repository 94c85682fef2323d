"""What the API says of a wrong request is in its own words, whichever field or schema it is of."""

import math
from typing import Any

import pytest
from support.office import Office, problem

from cronkeeper.api.schemas import Strict
from cronkeeper.common.model import Role

VALUES = [None, [], {}, "?" * 2000, "", -1, 10**400, math.nan, True]


def strict_schemas(kind: type[Strict] = Strict) -> set[type[Strict]]:
    """All that the application has imported."""
    return set(kind.__subclasses__()).union(*map(strict_schemas, kind.__subclasses__()))


def sentences(found: Any) -> list[str]:
    """All of them, however deep they lie."""
    if isinstance(found, str):
        return [found]
    within = found.values() if isinstance(found, dict) else found
    return [each for part in within for each in sentences(part)]


def test_no_schema_speaks_in_the_words_of_its_library() -> None:
    schemas = [kind() for kind in strict_schemas()]
    said = {text for schema in schemas for text in sentences(schema.validate({}))}
    for value in VALUES:
        for schema in schemas:
            said.update(sentences(schema.validate(dict.fromkeys(schema.load_fields, value))))
    assert {"required", "null is not accepted here", "a whole number is expected"} <= said
    assert {text for text in said if text.endswith(".") or text[0].isupper()} == set()


@pytest.mark.parametrize(
    ("changes", "field", "complaint"),
    [
        ({"type": ...}, "type", "required"),
        ({"type": None}, "type", "null is not accepted here"),
        ({"type": "library"}, "type", "accepted: command, script, binary"),
        ({"type": 1}, "type", "a string is expected"),
        ({"schedule": ...}, "schedule", "required; null: by hand only"),
        ({"schedule": 5}, "schedule", "a string is expected"),
        ({"schedule": " " * 1001}, "schedule", "accepted: up to 1000 characters"),
        ({"name": {}}, "name", "a string is expected"),
        ({"enabled": None}, "enabled", "null is not accepted here"),
        ({"timeout": 10**400}, "timeout", "the number is too large"),
        ({"concurrency": "queue"}, "concurrency", "accepted: forbid, allow, replace"),
        ({"catch_up": "some"}, "catch_up", "accepted: latest, all"),
    ],
)
def test_a_wrong_field_is_told_what_is_accepted(
    empty_office: Office, changes: dict[str, Any], field: str, complaint: str
) -> None:
    assert problem(empty_office.create(**changes))["errors"] == {field: [complaint]}


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/jobs?limit=ten", "a whole number is expected"),
        ("/jobs?enabled=perhaps", "true or false is expected"),
        ("/jobs?status=lost", "accepted: scheduled, finished, error"),
        ("/jobs?type=job", "accepted: command, script, binary"),
        ("/jobs?sort=size", "accepted: id, -id, name, -name, updated_at, -updated_at"),
        ("/jobs/1/runs?limit=", "a whole number is expected"),
    ],
)
def test_a_wrong_filter_is_told_what_is_accepted(empty_office: Office, path: str, complaint: str) -> None:
    assert list(problem(empty_office.call("GET", path))["errors"].values()) == [[complaint]]


def test_a_token_without_a_role_is_told_so(empty_office: Office) -> None:
    answer = empty_office.call("POST", "/tokens", Role.ADMIN, json={"name": "ci"})
    assert problem(answer)["errors"] == {"role": ["required"]}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty; a JSON object is expected"),
        (b" \n", "the body is empty; a JSON object is expected"),
        (b'{"name": "\\ud800"}', "the body has half a character, \\ud800; accepted: both halves in a pair"),
        (b'{"\\udc00": 1}', "the body has half a character, \\udc00; accepted: both halves in a pair"),
        (b'{"name": ', "the body is not JSON: Input data was truncated"),
        (b'{"a": NaN}', "the body is not JSON: JSON is malformed: invalid character (byte 6)"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_why(empty_office: Office, body: bytes, detail: str) -> None:
    answer = empty_office.call("POST", "/jobs", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert problem(answer)["detail"] == detail

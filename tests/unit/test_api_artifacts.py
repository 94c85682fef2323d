"""Files come in by themselves, as they are."""

import io
import logging
from typing import Any

import pytest
from support.office import Office, problem
from werkzeug.test import TestResponse

from cronkeeper.api import artifacts
from cronkeeper.api.identity import Role
from cronkeeper.common.artifacts.store import Address, sha256_of

FILE = b"\x7fELF\x00\xff" * 1000
NAME = sha256_of(FILE)


def put(office: Office, data: Any = FILE, path: str = "/artifacts", **options: Any) -> TestResponse:
    return office.call("PUT", path, options.pop("role", Role.USER), data=data, **options)


def put_from(office: Office, stream: io.BytesIO, said: int | None) -> TestResponse:
    """As gunicorn hands it over: read from the connection, with what the Content-Length says, if anything."""
    environ: dict[str, Any] = {"wsgi.input": stream, "wsgi.input_terminated": True}
    if said is not None:
        environ["CONTENT_LENGTH"] = str(said)
    return office.call("PUT", "/artifacts", environ_overrides=environ)


def stored(office: Office) -> list[str]:
    return [path.name for path in (office.folder / "store").rglob("*") if path.is_file()]


@pytest.mark.parametrize("role", Role)
def test_a_file_is_stored_by_whoever_has_a_token(
    office: Office, role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, artifacts.__name__):
        answer = put(office, path="/artifacts?filename=Nacht%201.sh", role=role)

    assert answer.status_code == 201
    assert answer.json == {
        "url": (office.folder / "store" / NAME[:2] / NAME).as_uri() + "#Nacht%201.sh",
        "sha256": NAME,
        "size": len(FILE),
        "filename": "Nacht 1.sh",
    }
    assert office.desk.artifacts.resolve(answer.json["url"]) == Address(NAME, "Nacht 1.sh")
    office.desk.artifacts.fetch(NAME, office.folder / "fetched")
    assert (office.folder / "fetched").read_bytes() == FILE
    assert f"artifact {NAME} of {len(FILE)} bytes stored by {role}" in caplog.text


def test_without_a_name_the_url_has_none(office: Office) -> None:
    answer = put(office)
    assert answer.json is not None
    assert answer.json["filename"] is None
    assert answer.json["url"] == office.desk.artifacts.url(NAME)


def test_what_is_sent_again_is_stored_once(office: Office) -> None:
    for path in ("/artifacts", "/artifacts?filename=other"):
        assert put(office, path=path).status_code == 201
    assert stored(office) == [NAME]


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_the_content_type_does_not_matter(office: Office, kind: str | None) -> None:
    assert put(office, content_type=kind).status_code == 201
    assert stored(office) == [NAME]


def test_a_body_without_a_length_is_read_to_its_end(office: Office) -> None:
    assert put_from(office, io.BytesIO(FILE), None).status_code == 201
    assert stored(office) == [NAME]


def test_more_than_a_job_may_have_in_its_body_is_accepted(office: Office) -> None:
    answer = put(office, bytes(26 * 1024 * 1024))
    assert answer.json is not None
    assert answer.json["size"] == 26 * 1024 * 1024


def test_an_empty_file_is_refused(office: Office) -> None:
    for answer in (put(office, b""), put(office, None), put_from(office, io.BytesIO(), None)):
        assert answer.status_code == 422
        assert problem(answer)["detail"] == "the body is empty; the file's bytes are expected"
    assert stored(office) == []


@pytest.mark.parametrize("sent", [0, 1, len(FILE) - 1])
def test_a_body_that_breaks_off_is_not_stored(office: Office, sent: int) -> None:
    answer = put_from(office, io.BytesIO(FILE[:sent]), len(FILE))
    assert answer.status_code == 400
    assert problem(answer)["detail"] == f"the body broke off after {sent} of {len(FILE)} bytes"
    assert stored(office) == []


def test_more_than_1_gib_is_refused_before_it_is_read(office: Office) -> None:
    unread = io.BytesIO(FILE)
    answer = put_from(office, unread, 1024**3 + 1)
    assert answer.status_code == 413
    assert problem(answer)["detail"] == "the body is too large; accepted: up to 1073741824 bytes"
    assert unread.tell() == 0
    assert stored(office) == []


def test_a_body_without_a_length_is_refused_when_it_becomes_too_large(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MAX_BYTES", len(FILE) - 1)
    answer = put_from(office, io.BytesIO(FILE), None)
    assert answer.status_code == 413
    assert stored(office) == []


def test_the_largest_file_is_accepted(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_BYTES", len(FILE))
    assert put_from(office, io.BytesIO(FILE), len(FILE)).status_code == 201


@pytest.mark.parametrize("query", ["filename=", "filename=a/b", "filename=..", "filename=a%0Ab", "name=x"])
def test_a_name_that_is_none_is_refused_before_the_body_is_read(office: Office, query: str) -> None:
    answer = put(office, path=f"/artifacts?{query}")
    assert answer.status_code == 422
    assert list(problem(answer)["errors"]) == [query.partition("=")[0]]
    assert stored(office) == []


def test_nobody_stores_a_file_without_a_token(office: Office) -> None:
    assert put(office, role=None).status_code == 401
    assert stored(office) == []
